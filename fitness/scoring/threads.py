"""One thread for sums: over several they differ in their last bits, and results must not depend on who shares the cores."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_inside = 0
_limits: Any = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the context, numpy and scipy compute with one thread in this process.

    The limit holds for all threads of the process. Contexts may overlap, in one thread or several: it falls when the
    last of them ends, and then the number of threads is what it was before the first.
    """
    global _inside, _limits
    with _lock:
        if _inside == 0:
            _limits = _limit()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _limits.restore_original_limits()
                _limits = None


def one_thread_for_good() -> None:
    """Limits a process that is there for evaluating alone; does nothing where `one_thread` holds already."""
    with _lock:
        if _inside == 0:
            _limit()


def _limit() -> Any:
    import scipy.linalg  # noqa: F401  # brings a BLAS of its own, and only what is loaded can be limited
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")

"""One thread for sums: over several, they differ in their last bits with the number of workers that share the cores."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_inside = 0
_ends: threading.Event | None = None
_keeper: threading.Thread | None = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the context, numpy and scipy compute with one thread in this process.

    The limit holds for all threads of the process. Contexts may overlap, in one thread or several: it falls when the
    last of them ends, and then the number of threads is what it was before the first.
    """
    global _inside
    with _lock:
        if _inside == 0:
            _begin()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _end()


def one_thread_for_good() -> None:
    """Limits a process that is there for evaluating alone; does nothing where `one_thread` holds already."""
    with _lock:
        if _inside == 0:
            _limits()


def _begin() -> None:
    # Only the thread that set a limit can lift it (threadpoolctl); a thread of its own is there to do so at any time.
    global _ends, _keeper
    begun, _ends = threading.Event(), threading.Event()

    def keep(ends: threading.Event) -> None:
        try:
            with _limits():
                begun.set()
                ends.wait()
        finally:
            begun.set()

    _keeper = threading.Thread(target=keep, args=(_ends,), name="one-thread", daemon=True)
    _keeper.start()
    begun.wait()


def _end() -> None:
    if _ends is not None and _keeper is not None:
        _ends.set()
        _keeper.join()


def _limits() -> Any:
    import scipy.linalg  # noqa: F401  # brings a BLAS of its own, and only what is loaded can be limited
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")

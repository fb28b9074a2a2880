"""Worker processes that may grow: what loky takes for a leak is attention that they map, and what they remember."""

from __future__ import annotations

from functools import cache


@cache
def may_grow() -> None:
    """From now on, loky lets this process grow; elsewhere it does nothing.

    Where psutil is installed, loky ends a worker that has 300 MB more than after its first task. Mapped pages count,
    and operators lay out the fit split once per process: on a model of some hundred heads every worker was ended about
    once a minute, and its successor began with reading it all again. What a worker remembers is bounded where it is
    kept. There is no option for this limit.
    """
    from joblib.externals.loky import process_executor

    process_executor._MAX_MEMORY_LEAK_SIZE = float("inf")

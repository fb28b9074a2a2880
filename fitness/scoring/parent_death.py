"""Worker processes that do not outlive the process that started them."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from functools import cache


@cache
def end_with_parent() -> None:
    """From now on, this process is killed as soon as its parent is gone; called again, it does nothing.

    A worker whose parent was killed would otherwise finish its task, and wait minutes for another. A thread watches,
    not a parent-death signal, which comes as well when merely the thread that started the worker ends.
    """
    threading.Thread(target=_watch, args=(os.getppid(),), name="end_with_parent", daemon=True).start()


def _watch(parent: int) -> None:
    try:
        descriptor = os.pidfd_open(parent)
    except (AttributeError, OSError):  # not Linux, or already gone
        descriptor = -1
    while os.getppid() == parent:
        if descriptor < 0:
            time.sleep(0.5)
        else:
            select.select([descriptor], [], [])
            break
    os.kill(os.getpid(), signal.SIGKILL)

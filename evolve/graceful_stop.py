"""Signals as wishes: Ctrl-C lets the step at hand end, and a second one stops at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from evolve.listeners import SEARCHING, Listener


class GracefulStop(Listener):
    """Turns signals into a wish to stop: while steps are searched the first one waits for the step's end.

    Args:
        tell: told what a signal does.

    Attributes:
        asked: a stop is wished for.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._searching = False
        self.asked = False

    def on_stage(self, name: str, done: int, total: int) -> None:
        """Notes whether steps are being searched."""
        self._searching = name == SEARCHING

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal."""
        if self.asked or not self._searching:
            raise KeyboardInterrupt
        self.asked = True
        self._tell("stopping after this step; once more stops at once")


@contextmanager
def graceful_stop(tell: Callable[[str], object]) -> Iterator[GracefulStop]:
    """The first SIGINT or SIGTERM asks for a stop after the step, the second stops at once."""
    stop = GracefulStop(tell)
    before = {number: signal.signal(number, stop.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

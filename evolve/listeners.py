"""Who is told how work goes: the console, the log, a notebook. Work itself is silent."""

from __future__ import annotations

from collections.abc import Iterable

from evolve.store.records import StepSummary
from fitness.text.corpus import Splits

# The stages of a campaign that its steps belong to, and that follows them.
SEARCHING, REPORTING = "searching", "reducing, and reading the test texts"


class Listener:
    """Told how work goes, in the thread that does it; a subclass overrides what it wants to know."""

    def on_stage(self, name: str, done: int, total: int) -> None:
        """Something long that is no step of the search has come this far, such as capturing attention."""

    def on_texts(self, splits: Splits, max_tokens: int) -> None:
        """The texts were read, cut to `max_tokens` and divided."""

    def on_note(self, message: str) -> None:
        """Something to know of what is measured."""

    def on_step(self, summary: StepSummary) -> None:
        """A step was committed."""

    def on_incident(self, message: str) -> None:
        """Something went wrong and was survived."""


class Listeners(Listener):
    """Tells several listeners, in their order."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = tuple(listeners)

    def on_stage(self, name: str, done: int, total: int) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.on_stage(name, done, total)

    def on_texts(self, splits: Splits, max_tokens: int) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.on_texts(splits, max_tokens)

    def on_note(self, message: str) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.on_note(message)

    def on_step(self, summary: StepSummary) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.on_step(summary)

    def on_incident(self, message: str) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.on_incident(message)

"""Long work on stderr: a bar per stage on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from evolve.config import Config
from evolve.listeners import Listener
from evolve.session import confinement
from evolve.views.terminal import terminal
from evolve.views.words import texts_lines
from fitness.text.corpus import Splits

PLAIN_EVERY_SECONDS = 10.0


def error_console() -> Console:
    """A console on stderr; where that is no terminal, lines stay whole for whoever reads the log."""
    return terminal(stderr=True)


def print_confinement(console: Console, config: Config, *, verbose: bool = False) -> None:
    """Says how programs are run: in two words, or in full where that was asked for or they are not confined as usual.

    Raises:
        UserError: where they cannot be confined as asked.
    """
    line, degraded = confinement(config), config.sandbox.mode == "degraded"
    said = line if verbose or degraded else "programs confined"
    console.print(escape(said), style="bold red" if degraded else None, highlight=False)


class PlainStages:
    """Says how far stages are, in lines: the first and the last of each, and one every ten seconds between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._name = ""
        self._last = 0.0

    def show(self, name: str, done: int, total: int) -> None:
        """A stage has come this far; without a total there is nothing to say."""
        now = time.monotonic()
        due = name != self._name or now - self._last >= PLAIN_EVERY_SECONDS or done == total
        if total > 0 and due:
            self._name, self._last = name, now
            self._console.print(f"{escape(name)}: {done} of {total}", highlight=False)


class StageConsole(Listener):
    """Shows the progress of long work for as long as the context lasts.

    Args:
        console: where to write; stderr where none is given.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or error_console()
        self._plain = PlainStages(self.console)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
        self._bars = Progress(*columns, TimeRemainingColumn(), console=self.console, transient=True)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> StageConsole:
        if self.console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self._bars.stop()

    def on_stage(self, name: str, done: int, total: int) -> None:
        """Moves the stage's bar."""
        if not self.console.is_terminal:
            self._plain.show(name, done, total)
            return
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(escape(name), total=total or None)
        self._bars.update(self._tasks[name], completed=done, total=total or None)

    def on_texts(self, splits: Splits, max_tokens: int) -> None:
        """Says what was read, a line for each domain."""
        for line in texts_lines(splits, max_tokens):
            self.console.print(escape(line), highlight=False)

    def on_note(self, message: str) -> None:
        """Says it."""
        self.console.print(escape(message), highlight=False)

    def on_incident(self, message: str) -> None:
        """Says it."""
        self.console.print(f"[yellow]{escape(message)}[/yellow]")

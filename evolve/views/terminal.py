"""The only way to a terminal: whatever is drawn there, foreign strings in it are made printable."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from evolve.views.fitting import fit
from fitness.printable import printable


class Terminal(Console):
    """A console whose text, wherever it comes from, holds nothing that a terminal obeys; its own styles aside.

    Tables are made to fit its width.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Segments of anything that can be drawn."""
        if isinstance(renderable, Table):
            fit(renderable, self, options or self.options)
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text, lines=True), segment.style)


def terminal(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr; on stderr that is no terminal, lines stay whole for whoever reads the log."""
    return Terminal(stderr=stderr, soft_wrap=stderr and not sys.stderr.isatty())


def log_to_stderr() -> None:
    """Has the loggers of libraries write printable lines to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)


class _Printable(logging.Formatter):
    def format(self, record: Any) -> str:
        return printable(super().format(record), lines=True)

"""What a command came to, on stdout."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType

from evolve.views.terminal import terminal


def print_all(shown: RenderableType | Sequence[RenderableType]) -> None:
    """Prints tables, panels and lines of markup; lines are never broken, so that paths in them stay whole."""
    console = terminal()
    for part in [shown] if not isinstance(shown, list) else shown:
        console.print(part, highlight=False, soft_wrap=isinstance(part, str))

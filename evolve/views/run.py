"""How a campaign ended, for people."""

from __future__ import annotations

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from evolve.running import Ended
from evolve.views.words import duration


def render(ended: Ended) -> list[RenderableType]:
    """A table of the library beside what is simpler, and where to read on; nothing of an interrupted run."""
    result, run_dir = ended.result, ended.run_dir
    if result is None:
        return []
    table = Table(title=f"{result.heads} heads, test texts", title_justify="left")
    table.add_column("programs")
    table.add_column("mean IoU", justify="right")
    table.add_row("best simple baseline of each head", f"{result.baseline_iou_test:.3f}")
    table.add_row("best single program for all heads", f"{result.single_best_iou_test:.3f}")
    table.add_row(f"library of {result.library_size} programs", f"[bold]{result.mean_iou_test:.3f}[/bold]")
    return [
        table,
        f"{result.programs_evaluated} programs evaluated, {result.programs_failed} failed, {duration(result.seconds)}",
        f"library: {escape(str(run_dir.file('library.py')))}",
        f"report:  {escape(str(run_dir.file('report.html')))}",
    ]

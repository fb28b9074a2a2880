"""Scores of programs, for people."""

from __future__ import annotations

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from evolve.results.scores import ProgramScore, Scored

ROWS_SHOWN = 40


def render(scored: Scored) -> list[RenderableType]:
    """The programs, those of the highest IoU first, and what they come to."""
    table = Table(title=f"{len(scored.programs)} programs, {len(scored.heads)} heads", title_justify="left")
    table.add_column("program")
    table.add_column("mean IoU", justify="right")
    table.add_column("best IoU", justify="right")
    table.add_column("on head")
    ranked = sorted(scored.programs, key=lambda entry: -1 if entry.best_iou is None else entry.best_iou, reverse=True)
    for entry in ranked[:ROWS_SHOWN]:
        table.add_row(escape(entry.name), *_cells(entry))
    lines: list[RenderableType] = [table]
    if len(ranked) > ROWS_SHOWN:
        lines.append(f"... and {len(ranked) - ROWS_SHOWN} more; --json or --out gives all")
    lines.append(
        f"mean best IoU {scored.mean_iou:.3f}, best single program {scored.single_best_iou:.3f}, "
        f"excess {scored.excess_iou:.3f}, {scored.failed} failed"
    )
    return lines


def _cells(entry: ProgramScore) -> tuple[str, str, str]:
    if entry.mean_iou is None or entry.best_iou is None or entry.best_head is None:
        line = f" (line {entry.line})" if entry.line else ""
        return "-", "-", f"[red]{escape(f'{entry.kind}: {entry.message}{line}')}"
    return f"{entry.mean_iou:.3f}", f"{entry.best_iou:.3f}", entry.best_head

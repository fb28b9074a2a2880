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
    reported = f" on {scored.texts_reported} of {scored.texts} texts" if scored.texts else ""
    tokens = f", {scored.tokens} tokens in all" if scored.tokens else ""
    how = {
        "every other text": "each head's program chosen on every other text, reported on the rest",
        "own assignment": "each head's program as the library assigns it",
        "the same texts": "each head's program chosen on the very scores reported, which flatters",
    }[scored.chosen]
    lines.append(f"{how}{reported}{tokens}")
    if scored.published_iou is not None:
        lines.append(
            f"published IoU {scored.published_iou:.3f}: no mask, rows as they are, chosen on the texts reported"
        )
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

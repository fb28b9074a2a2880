"""What replacing heads costs a model, for people: perplexity, and the accuracy on questions."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from rich.table import Table

SHOWN = ("programs", "uniform", "first_token", "random_programs", "least_cost")


def render_perplexity(result: dict[str, Any]) -> list[RenderableType]:
    """What `replace` found."""
    perplexity = result["perplexity"]
    title = f"{perplexity['measure']} on {result['texts']} test texts; original {perplexity['original']:.2f}"
    table = Table(title=title, title_justify="left")
    table.add_column("heads", justify="right")
    for name in (*SHOWN, "random order"):
        table.add_column(name.replace("_", " "), justify="right")
    for row in perplexity["by_fraction"]:
        spread = f"{row['random_order_mean']:.2f}±{row['random_order_std']:.2f}"
        table.add_row(f"{row['fraction']:.0%}", *(f"{row[name]:.2f}" for name in SHOWN), spread)
    lines: list[RenderableType] = [table]
    correlation = result["correlation"]
    if correlation["spearman"] is not None:
        lines.append(
            f"rank correlation of IoU with the cost of replacing that head alone: {correlation['spearman']:+.2f} "
            f"(p = {correlation['p_value']:.2g}, {correlation['heads']} heads)"
        )
    return [*lines, *_failures(result)]


def render_tasks(result: dict[str, Any]) -> list[RenderableType]:
    """What `tasks` found."""
    lines: list[RenderableType] = []
    for name, task in result["tasks"].items():
        title = f"{name}: {task['questions']} questions, chance {task['chance']:.3f}"
        table = Table(title=title, title_justify="left")
        table.add_column("heads", justify="right")
        controls = [key for key in task["by_fraction"][0] if key not in ("fraction", "heads")]
        for control in controls:
            table.add_column(control.replace("_", " "), justify="right")
        for row in task["by_fraction"]:
            cells = [f"{row[key]['accuracy']:.3f} ± {row[key]['standard_error']:.3f}" for key in controls]
            table.add_row(f"{row['fraction']:.0%}", *cells)
        lines.append(table)
        if task["left_out"] or task["cut_queries"]:
            lines.append(
                f"{task['left_out']} questions do not fit the model's context; {task['cut_queries']} queries were cut"
            )
    return [*lines, *_failures(result)]


def _failures(result: dict[str, Any]) -> list[RenderableType]:
    return [
        f"[red]program {program} failed on {count} texts: heads kept their own attention there[/red]"
        for program, count in result["failed_programs"].items()
    ]

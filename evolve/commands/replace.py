"""`headscribe replace`: perplexity with ever more heads replaced by programs, beside controls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from evolve.finished_run import open_replaceable, progress_bar
from evolve.run_dir import write_atomically
from evolve.views.console import error_console


def replace_heads(path: Path, *, fractions: list[float] | None, random_orders: int, quiet: bool) -> dict[str, Any]:
    """Measures replacement on the test texts of a run and writes `replacement.json`.

    Args:
        path: a finished run.
        fractions: shares of the heads in [0, 1]; None is every 5 %.
        random_orders: seeds of the control that replaces heads in random order.
        quiet: print no table on stdout.

    Returns:
        What `--json` prints: `perplexity` with `original` and `by_fraction`, and the rest of docs/replacement.md.

    Raises:
        UserError: for a run without a library, fractions out of range, and a model where replacement is not exact.
    """
    from fitness.replacement.study import FRACTIONS, study

    console = error_console()
    run = open_replaceable(path, console)
    model, tokenizer = run.load_model()
    with progress_bar(console) as report:
        result = study(
            model,
            tokenizer,
            run.test,
            run.held_out,
            run.assignment,
            run.head_iou,
            run.sandbox,
            seed=run.config.seed,
            fractions=FRACTIONS if fractions is None else fractions,
            random_orders=random_orders,
            progress=report,
        )
    write_atomically(run.run_dir.file("replacement.json"), json.dumps(result, indent=1) + "\n")
    if not quiet:
        _print(result, run.run_dir.file("replacement.json"))
    return result


def _print(result: dict[str, Any], path: Path) -> None:
    perplexity = result["perplexity"]
    console = Console()
    title = f"{perplexity['measure']} on {result['texts']} test texts; original {perplexity['original']:.2f}"
    table = Table(title=title, title_justify="left")
    shown = ("programs", "uniform", "first_token", "random_programs", "least_cost")
    table.add_column("heads", justify="right")
    for name in (*shown, "random order"):
        table.add_column(name.replace("_", " "), justify="right")
    for row in perplexity["by_fraction"]:
        spread = f"{row['random_order_mean']:.2f}±{row['random_order_std']:.2f}"
        table.add_row(f"{row['fraction']:.0%}", *(f"{row[name]:.2f}" for name in shown), spread)
    console.print(table)
    correlation = result["correlation"]
    if correlation["spearman"] is not None:
        console.print(
            f"rank correlation of IoU with the cost of replacing that head alone: {correlation['spearman']:+.2f} "
            f"(p = {correlation['p_value']:.2g}, {correlation['heads']} heads)",
            highlight=False,
        )
    for program, count in result["failed_programs"].items():
        console.print(f"[red]program {program} failed on {count} texts: heads kept their own attention there[/red]")
    console.print(f"wrote {path}", highlight=False)

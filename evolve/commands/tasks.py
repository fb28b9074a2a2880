"""`headscribe tasks`: multiple-choice questions answered with heads replaced by programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from evolve.finished_run import open_replaceable, progress_bar
from evolve.run_dir import write_atomically
from evolve.views.console import error_console


def run_tasks(
    path: Path, *, tasks: list[str], fractions: list[float] | None, limit: int | None, quiet: bool
) -> dict[str, Any]:
    """Measures accuracies with heads replaced and writes `tasks.json`.

    Args:
        path: a finished run.
        tasks: JSON-lines files, or names of hub tasks.
        fractions: shares of the heads in [0, 1]; None is a few.
        limit: the most questions of a task.
        quiet: print no table on stdout.

    Raises:
        UserError: for a run without a library, tasks that cannot be read, and a model where replacement is not exact.
    """
    from fitness.replacement.qa import FRACTIONS, evaluate_tasks
    from fitness.replacement.questions import read_questions

    questions = {Path(task).stem: read_questions(task, limit) for task in tasks}
    console = error_console()
    run = open_replaceable(path, console)
    model, tokenizer = run.load_model()
    with progress_bar(console) as report:
        result = evaluate_tasks(
            model,
            tokenizer,
            questions,
            run.assignment,
            run.head_iou,
            run.sandbox,
            seed=run.config.seed,
            fractions=FRACTIONS if fractions is None else fractions,
            progress=report,
        )
    write_atomically(run.run_dir.file("tasks.json"), json.dumps(result, indent=1) + "\n")
    if not quiet:
        _print(result)
    return result


def _print(result: dict[str, Any]) -> None:
    console = Console()
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
        console.print(table)
        if task["left_out"] or task["cut_queries"]:
            console.print(
                f"{task['left_out']} questions do not fit the model's context; {task['cut_queries']} queries were cut",
                highlight=False,
            )
    for program, count in result["failed_programs"].items():
        console.print(f"[red]program {program} failed on {count} texts: heads kept their own attention there[/red]")

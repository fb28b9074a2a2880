"""`headscribe score`: programs from outside on a model's heads, or a published score table."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from archives.table import ScoreTable, read_csv
from evolve.commands.run import captured, confinement
from evolve.config import Config, parse_config
from evolve.views.console import error_console
from fitness.adapter import adapt
from fitness.errors import UserError
from fitness.program import Program, ProgramError
from fitness.scoring.pool import Pool
from fitness.scoring.worker import Evaluation
from fitness.text.corpus import read_texts

ROWS_SHOWN = 40


def score_programs(
    path: Path,
    *,
    model: str | None,
    texts: str,
    max_tokens: int,
    limit: int,
    sandbox: str,
    workers: int,
    out: Path | None,
    quiet: bool,
) -> dict[str, Any]:
    """Scores a file of programs against every head of a model, or sums up a CSV score table.

    Returns:
        `programs` (one entry each: name, kind, message, line, mean and best IoU, best head), `heads` (head -> best
        program and IoU), `mean_iou`, `single_best_iou`, `excess_iou`, `failed`.

    Raises:
        UserError: for a file that cannot be read or holds no program, and a missing model.
    """
    if path.suffix == ".csv":
        table = read_csv(path)
        evaluations: list[tuple[str, Evaluation]] = []
    else:
        table, evaluations = _evaluate(path, model, texts, max_tokens, limit, sandbox, workers)
    result = summarise(table, evaluations)
    if out:
        write_scores(table, out)
    if not quiet:
        _print(result)
    return result


def _evaluate(
    path: Path, model: str | None, texts: str, max_tokens: int, limit: int, sandbox: str, workers: int
) -> tuple[ScoreTable, list[tuple[str, Evaluation]]]:
    if model is None:
        raise UserError("score: programs need --model, a folder, a bundled name or a hub name, to be scored on")
    if not path.is_file():
        raise UserError(f"score: no file {path}; give a .py file of programs, or a .csv score table")
    programs = _read_programs(path)
    console = error_console()
    sizes = {"fit": 1, "held_out": max(1, min(limit, len(read_texts(texts)) - 2)), "test": 1}
    settings = {"model": model, "texts": texts, "max_tokens": max_tokens, "splits": sizes, "stop": {"max_programs": 1}}
    settings |= {"sandbox": {"mode": sandbox}, "parallel": {"workers": workers}}
    config: Config = parse_config(settings, "score")
    console.print(confinement(config), highlight=False)
    attention, spec = captured(config, console)
    names = list(programs)
    with console.status(f"scoring {len(names)} programs"):
        found = Pool(workers).evaluate(spec, list(programs.values()), "held_out")
    nothing = np.full((len(attention.labels), sizes["held_out"]), np.nan, dtype=np.float32)
    columns = [evaluation.scores if evaluation.scores is not None else nothing for evaluation in found]
    table = ScoreTable(np.stack(columns, axis=1), attention.labels, tuple(names))
    return table, list(zip(names, found, strict=True))


def _read_programs(path: Path) -> dict[str, Program]:
    try:
        return adapt(path.read_text(encoding="utf-8"))
    except ProgramError as error:
        line = f", line {error.line}" if error.line else ""
        raise UserError(f"score: {path}{line}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"score: cannot read {path}: {error}") from None


def summarise(table: ScoreTable, evaluations: list[tuple[str, Evaluation]]) -> dict[str, Any]:
    """Numbers of a score table: the best of each program and of each head; what is not scored counts 0."""
    means = np.nan_to_num(table.means, nan=0.0)
    by_name = dict(evaluations)
    programs = []
    for column, name in enumerate(table.programs):
        entry: dict[str, Any] = {"name": name, "kind": "ok"}
        if name in by_name and not by_name[name].ok:
            bad = by_name[name]
            entry |= {"kind": bad.kind, "message": bad.message, "line": bad.line, "text": bad.text}
            programs.append(entry)
            continue
        best = int(means[:, column].argmax())
        entry |= {"mean_iou": float(means[:, column].mean()), "best_iou": float(means[best, column])}
        programs.append(entry | {"best_head": table.heads[best]})
    best_programs = means.argmax(axis=1)
    heads = {
        head: {"program": table.programs[best], "iou": float(means[row, best])}
        for row, (head, best) in enumerate(zip(table.heads, best_programs, strict=True))
    }
    mean, single = float(means.max(axis=1).mean()), float(means.mean(axis=0).max())
    return {
        "programs": programs,
        "heads": heads,
        "mean_iou": mean,
        "single_best_iou": single,
        "excess_iou": mean - single,
        "failed": sum(entry["kind"] != "ok" for entry in programs),
    }


def write_scores(table: ScoreTable, path: Path) -> None:
    """Writes a score table as CSV with columns layer, head, program_name, sentence_idx, iou_score."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["layer", "head", "program_name", "sentence_idx", "iou_score"])
        scores = table.scores if table.scores.ndim == 3 else table.scores[:, :, None]
        for row, label in enumerate(table.heads):
            layer, head = label.removeprefix("L").split("H")
            for column, name in enumerate(table.programs):
                for text, value in enumerate(scores[row, column]):
                    if not np.isnan(value):
                        writer.writerow([layer, head, name, text, f"{value:.6f}"])


def _print(result: dict[str, Any]) -> None:
    table = Table(title=f"{len(result['programs'])} programs, {len(result['heads'])} heads", title_justify="left")
    table.add_column("program")
    table.add_column("mean IoU", justify="right")
    table.add_column("best IoU", justify="right")
    table.add_column("on head")
    ranked = sorted(result["programs"], key=lambda entry: -entry.get("best_iou", -1))
    for entry in ranked[:ROWS_SHOWN]:
        if entry["kind"] == "ok":
            numbers = f"{entry['mean_iou']:.3f}", f"{entry['best_iou']:.3f}", entry["best_head"]
            table.add_row(escape(entry["name"]), *numbers)
        else:
            line = f" (line {entry['line']})" if entry["line"] else ""
            table.add_row(
                escape(entry["name"]), "-", "-", f"[red]{escape(entry['kind'] + ': ' + entry['message'])}{line}"
            )
    console = Console()
    console.print(table)
    if len(ranked) > ROWS_SHOWN:
        console.print(f"... and {len(ranked) - ROWS_SHOWN} more; --json or --out gives all", highlight=False)
    console.print(
        f"mean best IoU {result['mean_iou']:.3f}, best single program {result['single_best_iou']:.3f}, "
        f"excess {result['excess_iou']:.3f}, {result['failed']} failed",
        highlight=False,
    )

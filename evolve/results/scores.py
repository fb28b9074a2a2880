"""Programs from outside scored on a model's heads, or a published score table, and what they come to."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from archives.table import ScoreTable
from evolve.config import Config, parse_config
from evolve.listeners import Listener
from evolve.results.found import table_of, text_names
from evolve.session import captured, make_pool
from fitness.adapter import adapt
from fitness.errors import UserError
from fitness.heads import Head
from fitness.printable import csv_cell
from fitness.program import Program, ProgramError
from fitness.scoring.worker import Evaluation
from fitness.text.sources import read_texts


@dataclass(frozen=True)
class ProgramScore:
    """One program on all heads.

    Attributes:
        name: what it is called.
        kind: "ok", or the kind of its failure.
        mean_iou: mean over heads, None where it failed.
        best_iou: on its best head, None where it failed.
        best_head: that head, None where it failed.
        message: what went wrong, where it failed.
        line: 1-based line of that, where known.
        text: index of the text that it failed on, where known.
    """

    name: str
    kind: str
    mean_iou: float | None = None
    best_iou: float | None = None
    best_head: str | None = None
    message: str = ""
    line: int | None = None
    text: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Numbers, or the failure."""
        failure = ("message", "line", "text")
        numbers = ("mean_iou", "best_iou", "best_head")
        left_out = failure if self.kind == "ok" else numbers
        return {key: value for key, value in asdict(self).items() if key not in left_out}


@dataclass(frozen=True)
class Scored:
    """Programs on heads, summed up; what is not scored counts 0.

    Attributes:
        programs: one entry each, in the order of the table.
        heads: head -> its best program and that program's IoU.
        mean_iou: mean over heads of the best IoU.
        single_best_iou: mean over heads of the best single program.
    """

    programs: tuple[ProgramScore, ...]
    heads: Mapping[str, tuple[str, float]]
    mean_iou: float
    single_best_iou: float

    @property
    def excess_iou(self) -> float:
        """What the programs know beyond the best single one."""
        return self.mean_iou - self.single_best_iou

    @property
    def failed(self) -> int:
        """Number of programs that failed."""
        return sum(program.kind != "ok" for program in self.programs)

    def as_json(self) -> dict[str, Any]:
        """What `score --json` prints."""
        return {
            "programs": [program.as_json() for program in self.programs],
            "heads": {head: {"program": name, "iou": iou} for head, (name, iou) in self.heads.items()},
            "mean_iou": self.mean_iou,
            "single_best_iou": self.single_best_iou,
            "excess_iou": self.excess_iou,
            "failed": self.failed,
        }


def scoring_config(
    model: str, texts: str, *, max_tokens: int = 64, limit: int = 32, sandbox: str = "strict", workers: int = 2
) -> Config:
    """The configuration of scoring: `limit` texts are the held-out split.

    Raises:
        UserError: for a value that is not right.
    """
    sizes = {"fit": 1, "held_out": max(1, min(limit, len(read_texts(texts)) - 2)), "test": 1}
    settings: dict[str, Any] = {"model": model, "texts": texts, "max_tokens": max_tokens, "splits": sizes}
    settings |= {"stop": {"max_programs": 1}, "sandbox": {"mode": sandbox}, "parallel": {"workers": workers}}
    return parse_config(settings, "score")


def score_programs(
    programs: Mapping[str, Program], config: Config, listener: Listener | None = None
) -> tuple[ScoreTable, dict[str, Evaluation]]:
    """Scores programs against every head of a model on the held-out texts of a configuration.

    Args:
        programs: by name.
        config: model, texts and limits.
        listener: told how it goes.

    Returns:
        the (heads, programs, texts) score table, NaN where a program failed, and the evaluation of each program.
    """
    attention, spec, _ = captured(config, listener)
    found = make_pool(config, listener).evaluate(replace(spec, quotes=True), list(programs.values()), "held_out")
    texts = text_names(spec.attention)[spec.fit : spec.fit + spec.held_out]
    table = table_of(found, attention.labels, list(programs), texts, failed=float("nan"))
    return table, dict(zip(programs, found, strict=True))


def read_programs(path: Path) -> dict[str, Program]:
    """Programs of a Python file, by name.

    Raises:
        UserError: where it cannot be read or holds no program.
    """
    if not path.is_file():
        raise UserError(f"score: no file {path}; give a .py file of programs, or a .csv score table")
    try:
        return adapt(path.read_text(encoding="utf-8"))
    except ProgramError as error:
        line = f", line {error.line}" if error.line else ""
        raise UserError(f"score: {path}{line}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"score: cannot read {path}: {error}") from None


def summarise(table: ScoreTable, evaluations: Mapping[str, Evaluation]) -> Scored:
    """The best of each program and of each head of a score table.

    Args:
        table: scores.
        evaluations: by name, for those programs that were run here.
    """
    means = np.nan_to_num(table.means, nan=0.0)
    programs = []
    for column, name in enumerate(table.programs):
        bad = evaluations.get(name)
        if bad is not None and not bad.ok:
            programs.append(ProgramScore(name, bad.kind, message=bad.message, line=bad.line, text=bad.text))
            continue
        best = int(means[:, column].argmax())
        mean, highest = float(means[:, column].mean()), float(means[best, column])
        programs.append(ProgramScore(name, "ok", mean, highest, table.heads[best]))
    best_programs = means.argmax(axis=1)
    heads = {
        head: (table.programs[best], float(means[row, best]))
        for row, (head, best) in enumerate(zip(table.heads, best_programs, strict=True))
    }
    return Scored(tuple(programs), heads, float(means.max(axis=1).mean()), float(means.mean(axis=0).max()))


def write_scores(table: ScoreTable, path: Path) -> None:
    """Writes a score table as CSV with columns layer, head, program_name, sentence_idx, iou_score."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["layer", "head", "program_name", "sentence_idx", "iou_score"])
        scores = table.scores if table.scores.ndim == 3 else table.scores[:, :, None]
        for row, label in enumerate(table.heads):
            layer, head = Head.parse(label)
            for column, name in enumerate(table.programs):
                for text, value in enumerate(scores[row, column]):
                    if not np.isnan(value):
                        writer.writerow([layer, head, csv_cell(name), csv_cell(text), f"{value:.6f}"])

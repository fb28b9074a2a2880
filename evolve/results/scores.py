"""Programs from outside scored on a model's heads, or a published score table, and what they come to."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from archives.gain import best_of
from archives.table import ScoreTable
from evolve.config import Config, parse_config
from evolve.listeners import Listener
from evolve.results.found import table_of, text_names
from evolve.results.program_files import ProgramFile
from evolve.results.provenance import campaign_facts, software
from evolve.session import captured, make_pool
from fitness.heads import Head
from fitness.printable import csv_cell
from fitness.scoring.pool import split_evenly
from fitness.scoring.published import published_chunk
from fitness.scoring.worker import Evaluation
from fitness.text.sources import read_texts


@dataclass(frozen=True)
class ProgramScore:
    """One program on all heads and texts.

    Attributes:
        name: what it is called.
        kind: "ok", or the kind of its failure.
        mean_iou: mean over heads, None where it failed.
        best_iou: on its best head, None where it failed.
        best_head: that head, None where it failed.
        published_best_iou: on its best head, by the published IoU: no mask, rows as they are; None where unknown.
        message: what went wrong, where it failed.
        line: 1-based line of that, where known.
        text: index of the text that it failed on, where known.
    """

    name: str
    kind: str
    mean_iou: float | None = None
    best_iou: float | None = None
    best_head: str | None = None
    published_best_iou: float | None = None
    message: str = ""
    line: int | None = None
    text: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Numbers, or the failure."""
        failure = ("message", "line", "text")
        numbers = ("mean_iou", "best_iou", "best_head", "published_best_iou")
        left_out = failure if self.kind == "ok" else numbers
        return {key: value for key, value in asdict(self).items() if key not in left_out}


@dataclass(frozen=True)
class Scored:
    """Programs on heads, summed up; what is not scored counts 0.

    Attributes:
        programs: one entry each, in the order of the table.
        heads: head -> its program, or None, and that program's IoU on the texts reported on.
        mean_iou: mean over heads of that.
        single_best_iou: mean over heads of the best single program, chosen and reported on the same texts as the rest.
        chosen: how each head got its program: "every other text", on which nothing is reported; "own assignment" of a
            library; "the same texts" where there is one text, or only means.
        texts: texts scored on, None where only means are known.
        texts_reported: those of them that the numbers of heads are of.
        provenance: what was scored, on what.
        tokens: tokens of all texts, None where unknown.
        published_iou: mean over heads of the best program by the published IoU (no mask, rows as they are), chosen and
            reported on the same texts, as published tables are; None where unknown.
    """

    programs: tuple[ProgramScore, ...]
    heads: Mapping[str, tuple[str | None, float]]
    mean_iou: float
    single_best_iou: float
    chosen: str
    texts: int | None
    texts_reported: int | None
    provenance: Mapping[str, Any]
    tokens: int | None = None
    published_iou: float | None = None

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
            "published_iou": self.published_iou,
            "chosen": self.chosen,
            "texts": self.texts,
            "texts_reported": self.texts_reported,
            "tokens": self.tokens,
            "failed": self.failed,
            "provenance": dict(self.provenance),
        }


@dataclass(frozen=True)
class ScoredPrograms:
    """Programs that were run here.

    Attributes:
        table: (heads, programs, texts) IoU, NaN where a program failed.
        evaluations: by name.
        published: (heads, programs) mean published IoU, NaN where a program failed.
        tokens: tokens of all texts.
        provenance: of the model and the texts.
    """

    table: ScoreTable
    evaluations: Mapping[str, Evaluation]
    published: np.ndarray
    tokens: int
    provenance: Mapping[str, Any]


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


def score_programs(file: ProgramFile, config: Config, listener: Listener | None = None) -> ScoredPrograms:
    """Scores programs against every head of a model on the held-out texts of a configuration.

    Args:
        file: the programs, and the texts that they may have been made for, which are not taken.
        config: model, texts and limits.
        listener: told how it goes.
    """
    seen = [text for text in file.seen_texts if text in set(read_texts(config.texts[0].source))]
    attention, spec, _ = captured(_room_for(config, len(seen)), listener, but=file.seen_texts)
    spec, pool, programs = replace(spec, quotes=True), make_pool(config, listener), list(file.programs.values())
    found = pool.evaluate(spec, programs, "held_out")
    chunks = split_evenly(programs, 2 * pool.workers)
    published = [
        scores
        for result in pool.run([(published_chunk, (spec, chunk, "held_out")) for chunk in chunks])
        for scores in result
    ]
    nothing = np.full(len(attention.labels), np.nan)
    own = slice(spec.fit, spec.fit + spec.held_out)
    texts = attention.texts[own]
    facts = campaign_facts(config, config.target(), attention, texts, spec.domains)
    about = {key: value for key, value in facts.items() if key not in ("splits", "seed")}
    table = table_of(found, attention.labels, list(file.programs), text_names(spec.attention)[own], failed=float("nan"))
    return ScoredPrograms(
        table,
        dict(zip(file.programs, found, strict=True)),
        np.stack([nothing if scores is None else scores.mean(axis=1) for scores in published], axis=1),
        sum(text.n for text in texts),
        about | {"software": software()},
    )


def _room_for(config: Config, taken: int) -> Config:
    """The configuration with as many fewer texts as cannot be taken, where the corpus is no longer than asked for."""
    left = len(read_texts(config.texts[0].source)) - taken - config.splits.fit - config.splits.test
    sizes = config.splits.model_copy(update={"held_out": max(1, min(config.splits.held_out, left))})
    return config.model_copy(update={"splits": sizes})


def summarise(
    table: ScoreTable,
    provenance: Mapping[str, Any],
    measured: ScoredPrograms | None = None,
    assignment: Mapping[str, str] | None = None,
) -> Scored:
    """What programs come to, as honestly as a table allows.

    A head keeps the program that a library assigns to it. Without an assignment its program is chosen on every other
    text and reported on the rest.

    Args:
        table: scores.
        provenance: what was scored, on what.
        measured: what is known besides of programs that were run here.
        assignment: head -> program, for a library of this model.
    """
    own = None if assignment is None else [assignment.get(head) for head in table.heads]
    divided = table.scores.ndim == 3 and len(table.texts) > 1
    choosing, reported = (table, table) if own is not None or not divided else table.split_texts()
    names = own if own is not None else best_of(choosing.means, table.programs)
    column = {name: number for number, name in enumerate(table.programs)}
    on_report = np.nan_to_num(reported.means, nan=0.0)
    ious = [0.0 if name is None else float(on_report[row, column[name]]) for row, name in enumerate(names)]
    single = int(np.nan_to_num(choosing.means, nan=0.0).mean(axis=0).argmax())
    published = None if measured is None else np.nan_to_num(measured.published, nan=0.0)
    return Scored(
        programs=tuple(_program_score(table, name, measured) for name in table.programs),
        heads={head: (name, iou) for head, name, iou in zip(table.heads, names, ious, strict=True)},
        mean_iou=float(np.mean(ious)),
        single_best_iou=float(on_report[:, single].mean()),
        chosen="own assignment" if own is not None else "every other text" if divided else "the same texts",
        texts=len(table.texts) or None,
        texts_reported=len(reported.texts) or None,
        provenance=provenance,
        tokens=None if measured is None else measured.tokens,
        published_iou=None if published is None else float(published.max(axis=1).mean()),
    )


def _program_score(table: ScoreTable, name: str, measured: ScoredPrograms | None) -> ProgramScore:
    found = None if measured is None else measured.evaluations[name]
    if found is not None and not found.ok:
        return ProgramScore(name, found.kind, message=found.message, line=found.line, text=found.text)
    column = table.programs.index(name)
    means = np.nan_to_num(table.means[:, column], nan=0.0)
    best = int(means.argmax())
    published = None if measured is None else float(measured.published[:, column].max())
    return ProgramScore(name, "ok", float(means.mean()), float(means[best]), table.heads[best], published)


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

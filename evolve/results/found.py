"""What a run has found so far: its programs that ran, as arrays, and their scores on the test texts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from archives.table import ScoreTable
from evolve.results.references import held_out_tables, tables_on_test
from evolve.store import Store
from evolve.store.readings import Record
from evolve.store.records import ProgramRecord
from fitness.errors import UserError
from fitness.models.attention import open_attention
from fitness.program import Program
from fitness.scoring.pool import Pool
from fitness.scoring.worker import Evaluation, SplitName, WorkerSpec

# Scores programs on the test texts: ids in, (heads, programs, texts) out.
TestScorer = Callable[[Sequence[str]], ScoreTable]


@dataclass(frozen=True)
class Found:
    """All programs of one or more runs that ran, as arrays.

    Attributes:
        records: by column of the table.
        table: (heads, programs) mean held-out IoU.
        signatures: one hash per program; equal where two predict the same.
        descriptor_names: names of the descriptors.
        tables: (heads, tables) mean held-out IoU of the tables that programs are compared with.
    """

    records: tuple[ProgramRecord, ...]
    table: ScoreTable
    signatures: tuple[str, ...]
    descriptor_names: tuple[str, ...]
    tables: ScoreTable

    @property
    def costs(self) -> np.ndarray:
        """(programs,) characters of the normalised sources."""
        return np.array([record.length for record in self.records], dtype=float)

    @property
    def measures(self) -> np.ndarray:
        """(programs, measures) in [0, 1]: the descriptors, the mass lost to the mask and the share of empty rows."""
        rows = [
            [*map(float, e.descriptors if e.descriptors is not None else ()), e.masked_mass or 0.0, e.empty_rows or 0.0]
            for e in (record.evaluation for record in self.records)
        ]
        return np.array(rows)

    @property
    def measure_names(self) -> tuple[str, ...]:
        """Names of the measures."""
        return (*self.descriptor_names, "masked_mass", "empty_rows")

    def without(self, ids: Sequence[str]) -> Found:
        """All but some programs."""
        kept = [column for column, name in enumerate(self.table.programs) if name not in set(ids)]
        return replace(
            self,
            records=tuple(self.records[column] for column in kept),
            table=self.table.take_programs([self.table.programs[column] for column in kept]),
            signatures=tuple(self.signatures[column] for column in kept),
        )

    def programs(self, ids: Sequence[str]) -> dict[str, Program]:
        """Programs by id."""
        wanted = set(ids)
        return {record.id: record.program() for record in self.records if record.id in wanted}


def load_found(store: Store) -> Found:
    """Reads what a run has found so far.

    Raises:
        UserError: where no program ran yet.
    """
    records = tuple(record for record in store.all_programs() if record.iou is not None)
    if not records:
        raise UserError(f"{store.path.parent}: no program has been evaluated yet; let the campaign run first")
    means = np.stack([record.iou for record in records if record.iou is not None], axis=1)
    table = ScoreTable(means, store.meta("labels"), tuple(record.id for record in records))
    signatures = tuple(record.evaluation.signature for record in records)
    names = tuple(store.meta("fingerprint")["search.descriptors"])
    return Found(records, table, signatures, names, held_out_tables(store))


def test_scorer(found: Found, pool: Pool, spec: WorkerSpec, record: Record) -> TestScorer:
    """Scores programs of a run and its tables on the test texts; a program that fails there scores 0.

    Args:
        found: the programs.
        pool: where they run.
        spec: attention and texts.
        record: writes each reading down.
    """

    def score(ids: Sequence[str]) -> ScoreTable:
        record(len(ids))
        return score_on_test(pool, spec, found.programs(ids), ids)

    return score


def score_on_test(pool: Pool, spec: WorkerSpec, programs: Mapping[str, Program], ids: Sequence[str]) -> ScoreTable:
    """(heads, programs and tables, texts): scores of programs on the test texts, then those of tables."""
    tables = tables_on_test(spec)
    scored = score_table(pool, spec, "test", tables.heads, programs, ids)
    scores = np.concatenate([scored.scores, tables.scores], axis=1)
    return ScoreTable(scores, scored.heads, scored.programs + tables.programs, scored.texts)


def score_table(
    pool: Pool,
    spec: WorkerSpec,
    split: SplitName,
    heads: Sequence[str],
    programs: Mapping[str, Program],
    ids: Sequence[str],
) -> ScoreTable:
    """Scores programs on every head and text of a split; one that fails scores 0.

    Args:
        pool: where they run.
        spec: attention and texts.
        split: whose texts.
        heads: names of the heads.
        programs: sources by id.
        ids: which of them, in the order of the table's columns.
    """
    evaluations = pool.evaluate(spec, [programs[name] for name in ids], split) if ids else []
    texts = {"fit": spec.fit, "held_out": spec.held_out, "test": spec.test}[split]
    begin = {"fit": 0, "held_out": spec.fit, "test": spec.fit + spec.held_out}[split]
    return table_of(evaluations, heads, ids, text_names(spec.attention)[begin : begin + texts])


@lru_cache(maxsize=4)
def text_names(folder: str) -> tuple[str, ...]:
    """Names of the texts of captured attention, equal for equal tokens, so that two runs' scores can be paired."""
    names: dict[str, None] = {}
    for text in open_attention(Path(folder)).texts:
        name = hashlib.sha256(text.ids.tobytes()).hexdigest()[:12]
        while name in names:  # the same tokens twice
            name += "'"
        names[name] = None
    return tuple(names)


def table_of(
    evaluations: Sequence[Evaluation],
    heads: Sequence[str],
    ids: Sequence[str],
    texts: Sequence[str],
    *,
    failed: float = 0.0,
) -> ScoreTable:
    """The score table of evaluations.

    Args:
        evaluations: one per program.
        heads: names of the heads.
        ids: names of the programs, in the order of the evaluations.
        texts: names of the texts that were evaluated on.
        failed: what a program that failed scores; NaN where it is to count as not scored.

    Returns:
        (heads, programs, texts) IoU.
    """
    scores = np.full((len(heads), len(ids), len(texts)), failed, dtype=np.float32)
    for column, evaluation in enumerate(evaluations):
        if evaluation.scores is not None:
            scores[:, column] = evaluation.scores
    return ScoreTable(scores, tuple(heads), tuple(ids), tuple(texts))

"""What a run has found so far: its programs that ran, as arrays, and their scores on the test texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from archives.table import ScoreTable
from evolve.records import ProgramRecord
from evolve.store import Store
from fitness.errors import UserError
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
    """

    records: tuple[ProgramRecord, ...]
    table: ScoreTable
    signatures: tuple[str, ...]
    descriptor_names: tuple[str, ...]

    @property
    def costs(self) -> np.ndarray:
        """(programs,) characters of the normalised sources."""
        return np.array([record.length for record in self.records], dtype=float)

    @property
    def descriptors(self) -> np.ndarray:
        """(programs, descriptors) in [0, 1]."""
        return np.stack([np.asarray(record.evaluation.descriptors) for record in self.records])

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
    return Found(records, table, signatures, tuple(store.meta("fingerprint")["search.descriptors"]))


def test_scorer(found: Found, pool: Pool, spec: WorkerSpec) -> TestScorer:
    """Scores programs of a run on its test texts; a program that fails there scores 0."""

    def score(ids: Sequence[str]) -> ScoreTable:
        return score_table(pool, spec, "test", found.table.heads, found.programs(ids), ids)

    return score


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
    return table_of(evaluations, heads, ids, texts)


def table_of(
    evaluations: Sequence[Evaluation], heads: Sequence[str], ids: Sequence[str], texts: int, *, failed: float = 0.0
) -> ScoreTable:
    """The score table of evaluations.

    Args:
        evaluations: one per program.
        heads: names of the heads.
        ids: names of the programs, in the order of the evaluations.
        texts: number of texts that were evaluated on.
        failed: what a program that failed scores; NaN where it is to count as not scored.

    Returns:
        (heads, programs, texts) IoU.
    """
    scores = np.full((len(heads), len(ids), texts), failed, dtype=np.float32)
    for column, evaluation in enumerate(evaluations):
        if evaluation.scores is not None:
            scores[:, column] = evaluation.scores
    return ScoreTable(scores, tuple(heads), tuple(ids))

"""The end of a campaign: reduce on held-out scores, then read the test texts, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archives.reduce import Reduction, reduce
from archives.table import ScoreTable
from evolve.config import Config
from evolve.pictures import matrix_png
from evolve.run_dir import RunDir
from evolve.status import llm_spend
from evolve.store import ProgramRecord, Store
from fitness.baselines import baselines
from fitness.capture import Attention
from fitness.contract import to_prediction
from fitness.errors import UserError
from fitness.iou import unpack
from fitness.pool import Pool
from fitness.program import Program
from fitness.worker import WorkerSpec, worker

MOST_PICTURES = 60


@dataclass(frozen=True)
class Found:
    """All programs of a run that ran, as arrays.

    Attributes:
        records: by column.
        table: (heads, programs) mean held-out IoU.
        costs: (programs,) characters of the normalised sources.
        behaviours: one hash a program.
    """

    records: list[ProgramRecord]
    table: ScoreTable
    costs: np.ndarray
    behaviours: list[str]


def load_found(store: Store, labels: Sequence[str]) -> Found:
    """Reads what a run has found so far.

    Raises:
        UserError: where no program ran yet.
    """
    records = [record for record in store.all_programs() if record.iou is not None]
    if not records:
        raise UserError(f"{store.path.parent}: no program has been evaluated yet; let the campaign run first")
    means = np.stack([record.iou for record in records if record.iou is not None], axis=1)
    table = ScoreTable(means, tuple(labels), tuple(record.id for record in records))
    costs = np.array([record.length for record in records], dtype=float)
    return Found(records, table, costs, [record.evaluation.behaviour for record in records])


def test_scores(programs: Sequence[Program], pool: Pool, spec: WorkerSpec, heads: int) -> np.ndarray:
    """(heads, programs, texts) float32 IoU on the test texts; a program that fails there scores 0."""
    columns = [
        evaluation.scores if evaluation.scores is not None else np.zeros((heads, spec.test), dtype=np.float32)
        for evaluation in pool.evaluate(spec, programs, "test")
    ]
    return np.stack(columns, axis=1)

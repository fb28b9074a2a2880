"""What a run is measured against: tables of its heads' attention, fitted on its fit texts, and the simple baselines."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from archives.gain import best_of
from archives.table import ScoreTable
from evolve.store import Store
from fitness.errors import UserError
from fitness.models.attention import Attention, open_attention
from fitness.scoring.baselines import baselines
from fitness.scoring.references import KINDS, Tables, fit_tables
from fitness.scoring.worker import WorkerSpec

FITTING = "fitting tables to compare with"
_META = "tables_held_out"


@lru_cache(maxsize=2)
def _fitted(folder: str, fit: int) -> Tables:
    return fit_tables(open_attention(Path(folder)), range(fit))


def run_tables(spec: WorkerSpec) -> Tables:
    """The tables of a run's heads, fitted on its fit texts; remembered."""
    return _fitted(spec.attention, spec.fit)


def remember_tables(store: Store, attention: Attention, spec: WorkerSpec) -> None:
    """Fits the tables of a run and keeps their held-out IoU in its store; does nothing where that was done before."""
    if store.meta(_META) is not None:
        return
    found = run_tables(spec).score(attention, range(spec.fit, spec.fit + spec.held_out))
    means = {kind: spec.fitness(scores).tolist() for kind, scores in found.items()}
    store.set_meta(_META, means)


def held_out_tables(store: Store) -> ScoreTable:
    """(heads, tables) mean held-out IoU of a run's tables.

    Raises:
        UserError: where the run has not fitted them yet.
    """
    means = store.meta(_META)
    if means is None:
        raise UserError(f"{store.path.parent}: the campaign has not begun to search yet; let it run first")
    return ScoreTable(np.array([means[kind] for kind in KINDS]).T, store.meta("labels"), KINDS)


def tables_on_test(spec: WorkerSpec) -> ScoreTable:
    """(heads, tables, texts) IoU of a run's tables on its test texts; whoever asks has the reading written down."""
    attention = open_attention(Path(spec.attention))
    begin = spec.fit + spec.held_out
    found = run_tables(spec).score(attention, range(begin, begin + spec.test))
    return ScoreTable(np.stack([found[kind] for kind in KINDS], axis=1), attention.labels, KINDS)


def reference_held_out(store: Store) -> float | None:
    """Mean held-out IoU of each head's best table or simple baseline; None before the first step of a run.

    The choice was made on the same texts, which flatters the reference as it flatters the programs.
    """
    simple = store.programs(store.known([program.id for program in baselines().values()]).values())
    ious = [record.iou for record in simple.values() if record.iou is not None]
    if not ious or store.meta(_META) is None:
        return None
    return float(np.maximum(held_out_tables(store).means.max(axis=1), np.max(ious, axis=0)).mean(dtype=np.float64))


def baseline_ids(table: ScoreTable) -> list[str]:
    """Ids of the simple baselines that a table holds."""
    known = set(table.programs)
    return [program.id for program in baselines().values() if program.id in known]


def best_baseline(table: ScoreTable) -> list[str | None]:
    """(heads,) id of each head's best simple baseline by the scores of a table."""
    simple = baseline_ids(table)
    return best_of(table.take_programs(simple).means, simple)


def best_reference(table: ScoreTable, tables: ScoreTable) -> list[str | None]:
    """(heads,) each head's reference: its best table or simple baseline by held-out IoU.

    Args:
        table: held-out scores of programs, the baselines among them.
        tables: held-out scores of the tables, on the same heads.
    """
    simple = baseline_ids(table)
    means = np.concatenate([tables.means, table.take_programs(simple).means], axis=1)
    return best_of(means, [*tables.programs, *simple])

"""The end of a campaign: reduce on held-out scores, then read the test texts, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from archives.export import library_json
from archives.table import ScoreTable
from evolve.listeners import Listener
from evolve.results.details import run_details
from evolve.results.found import Found, load_found, test_scorer
from evolve.results.reduction import Criterion, reduce_and_write
from evolve.results.status import LlmSpend, llm_spend
from evolve.session import Session
from fitness.scoring.baselines import baselines


@dataclass(frozen=True)
class RunResult:
    """What `run --json` prints; IoU are means over heads and texts, intervals 95 % bootstraps over texts.

    Attributes:
        mean_iou_held_out: the library's held-out IoU.
        mean_iou_test: its test IoU.
        mean_iou_test_interval: the interval of that.
        full_mean_iou_test: test IoU where each head has the best of all programs.
        baseline_iou_test: test IoU of each head's best simple baseline, chosen on held-out texts.
        single_best_iou_test: test IoU of the best single program for all heads.
        excess_iou_test: what the library knows beyond that.
        heads: number of heads.
        library_size: programs in the library.
        programs_evaluated: programs that were run.
        programs_failed: those of them that failed.
        seconds: wall time of all sessions.
        llm: calls, tokens and dollars.
        run_dir: where the run lies.
        texts: texts of all splits.
        tokens: their tokens.
        domains: domain -> what was read of it, see `fitness.text.corpus.DomainRead`.
    """

    mean_iou_held_out: float
    mean_iou_test: float
    mean_iou_test_interval: list[float] | None
    full_mean_iou_test: float | None
    baseline_iou_test: float
    single_best_iou_test: float
    excess_iou_test: float
    heads: int
    library_size: int
    programs_evaluated: int
    programs_failed: int
    seconds: float
    llm: LlmSpend
    run_dir: str
    texts: int
    tokens: int
    domains: dict[str, dict[str, int]]

    def as_json(self) -> dict[str, Any]:
        """Plain values under the names of the attributes."""
        return asdict(self)


def finish(session: Session, listener: Listener | None = None) -> RunResult:
    """Reduces a finished campaign and reads the test texts; keeps and returns the numbers of the run."""
    store, config = session.store, session.config
    pool = session.pool(listener)
    found = load_found(store)
    known = set(found.table.programs)
    simple = [program.id for program in baselines().values() if program.id in known]
    reduced = reduce_and_write(
        found,
        test_scorer(found, pool, session.spec),
        Criterion(epsilon=config.library.epsilon),
        session.run_dir.path,
        seed=config.seed,
        extra=simple,
    )
    numbers = library_json(reduced.library)
    baseline_test = _baseline_test(found, reduced.test, simple)
    counts = store.counts()
    result = RunResult(
        mean_iou_held_out=numbers["mean_iou_held_out"],
        mean_iou_test=numbers["mean_iou_test"],
        mean_iou_test_interval=numbers["mean_iou_test_interval"],
        full_mean_iou_test=numbers["full_mean_iou_test"],
        baseline_iou_test=float(baseline_test.mean()),
        single_best_iou_test=numbers["single_best_iou_test"],
        excess_iou_test=numbers["excess_iou_test"],
        heads=numbers["heads"],
        library_size=numbers["library_size"],
        programs_evaluated=sum(counts.values()),
        programs_failed=sum(counts.values()) - counts.get("ok", 0),
        seconds=round(store.seconds(), 1),
        llm=llm_spend(store),
        run_dir=str(session.run_dir.path),
        **store.meta("texts"),
    )
    store.set_meta("details", run_details(reduced.library, baseline_test, session.spec, session.attention))
    store.set_meta("result", result.as_json())
    return result


def _baseline_test(found: Found, test: ScoreTable, simple: Sequence[str]) -> np.ndarray:
    """(heads,) test IoU of each head's best simple baseline, chosen on held-out scores."""
    chosen = found.table.take_programs(simple).means.argmax(axis=1)
    scores = test.take_programs(simple).means
    return scores[np.arange(len(chosen)), chosen]

"""The end of a campaign: reduce on held-out scores, then read the test texts, and say what that is worth."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from archives.bootstrap import Estimate
from archives.export import library_json
from archives.library import ReducedLibrary
from archives.table import ScoreTable
from evolve.listeners import Listener
from evolve.results.found import Found, load_found, score_table, test_scorer
from evolve.results.program_classes import with_classes
from evolve.results.provenance import dated, provenance_of
from evolve.results.reduction import Criterion, reduce_found, write_library
from evolve.results.report.details import iou_on, run_details
from evolve.results.status import LlmSpend, llm_spend
from evolve.results.transfer import DomainTransfer, transfer
from evolve.session import Session
from evolve.store import Store
from evolve.store.readings import recorder
from fitness.scoring.pool import Pool
from fitness.scoring.references import KINDS
from fitness.scoring.worker import SplitName


@dataclass(frozen=True)
class RunResult:
    """What `run --json` prints; IoU are means over heads and texts, intervals 95 % bootstraps over test texts.

    Attributes:
        mean_iou_held_out: the library's held-out IoU.
        mean_iou_test: its test IoU.
        mean_iou_test_interval: the interval of that.
        held_out_minus_test: how much the held-out IoU, which the library was chosen by, promises too much.
        full_mean_iou_test: test IoU where each head has the best of all programs.
        baseline_iou_test: test IoU of each head's best simple baseline, chosen on held-out texts.
        gain_over_baseline: library minus baseline, paired by text.
        gain_over_baseline_interval: the interval of that.
        tables_iou_test: test IoU of each kind of table of attention by position, fitted on fit texts.
        reference_iou_test: test IoU of each head's best table or simple baseline, chosen on held-out texts.
        gain_over_reference: library minus reference, paired by text.
        gain_over_reference_interval: the interval of that.
        heads_won_over_reference: heads whose own interval of that lies above 0.
        heads_lost_to_reference: heads whose own interval of that lies below 0.
        single_best_iou_test: test IoU of the best single program for all heads.
        classes: how many heads the programs of each class have, in all, by layer and by fraction replaced.
        excess_iou_test: library minus that program, paired by text.
        excess_iou_test_interval: the interval of that.
        test_reads: how often the test texts were read so far, this time included.
        heads: number of heads.
        library_size: programs in the library.
        programs_evaluated: programs that were run.
        programs_failed: those of them that failed.
        seconds: wall time of all sessions.
        llm: calls, tokens and dollars.
        run_dir: where the run lies.
        notes: what to know of the model that was measured: that it is quantised, layers that were left out.
        texts: texts of all splits.
        tokens: their tokens.
        domains: domain -> what was read of it, see `fitness.text.corpus.DomainRead`.
        transfer: domain under `transfer` -> what the library is worth there.
        earlier: results of the same run at fewer programs, the oldest first; a resumed run adds to them.
        provenance: the model, texts, settings and software, when the run was begun and when this was found.
    """

    mean_iou_held_out: float
    mean_iou_test: float
    mean_iou_test_interval: list[float] | None
    held_out_minus_test: float
    full_mean_iou_test: float | None
    baseline_iou_test: float
    gain_over_baseline: float
    gain_over_baseline_interval: list[float] | None
    tables_iou_test: dict[str, float]
    reference_iou_test: float
    gain_over_reference: float
    gain_over_reference_interval: list[float] | None
    heads_won_over_reference: int
    heads_lost_to_reference: int
    single_best_iou_test: float
    classes: dict[str, Any] | None
    excess_iou_test: float
    excess_iou_test_interval: list[float] | None
    test_reads: int
    heads: int
    library_size: int
    programs_evaluated: int
    programs_failed: int
    seconds: float
    llm: LlmSpend
    run_dir: str
    notes: list[str]
    texts: int
    tokens: int
    domains: dict[str, dict[str, int]]
    transfer: dict[str, DomainTransfer]
    earlier: list[dict[str, Any]]
    provenance: dict[str, Any]

    @property
    def beats_reference(self) -> bool:
        """Whether the gain over the reference lies above 0 with its whole interval."""
        return self.gain_over_reference_interval is not None and self.gain_over_reference_interval[0] > 0

    def as_json(self) -> dict[str, Any]:
        """Plain values under the names of the attributes."""
        return asdict(self) | {"transfer": {name: domain.as_json() for name, domain in self.transfer.items()}}


# What is kept of a result once the run has gone on.
_EARLIER = (
    "programs_evaluated",
    "seconds",
    "library_size",
    "mean_iou_held_out",
    "mean_iou_test",
    "reference_iou_test",
    "gain_over_reference",
    "gain_over_reference_interval",
)
SPLITS: dict[SplitName, str] = {"fit": "fit", "held_out": "held-out", "test": "test"}
# Numbers of `library.json` that the result repeats under the same name.
_OF_LIBRARY = (
    "mean_iou_held_out",
    "mean_iou_test",
    "mean_iou_test_interval",
    "full_mean_iou_test",
    "baseline_iou_test",
    "gain_over_baseline",
    "gain_over_baseline_interval",
    "reference_iou_test",
    "gain_over_reference",
    "gain_over_reference_interval",
    "heads_won_over_reference",
    "heads_lost_to_reference",
    "single_best_iou_test",
    "excess_iou_test",
    "excess_iou_test_interval",
    "classes",
    "heads",
    "library_size",
)


def finish(session: Session, listener: Listener | None = None) -> RunResult:
    """Reduces a finished campaign and reads the test texts; keeps and returns the numbers of the run."""
    store, config = session.store, session.config
    found = load_found(store)
    pool = session.pool(listener)
    score_test = test_scorer(found, pool, session.spec, recorder(store, "run"))
    reduced, points = reduce_found(
        found,
        score_test,
        Criterion(epsilon=config.library.epsilon),
        seed=config.seed,
        pure=partial(pool.pure, session.spec),
    )
    about = provenance_of(store)
    library = replace(with_classes(reduced.library, pool, session.spec), provenance=about)
    agree = partial(pool.agree, session.spec)
    write_library(library, points, session.run_dir.path, plots=False, agree=agree)
    numbers = library_json(library)
    counts = store.counts()
    evaluated = sum(counts.values())
    result = RunResult(
        **{key: numbers[key] for key in _OF_LIBRARY},
        held_out_minus_test=numbers["mean_iou_held_out"] - numbers["mean_iou_test"],
        tables_iou_test=table_means(reduced.test),
        test_reads=len(store.readings()),
        programs_evaluated=evaluated,
        programs_failed=evaluated - counts.get("ok", 0),
        seconds=round(store.seconds(), 1),
        llm=llm_spend(store),
        run_dir=str(session.run_dir.path),
        notes=list(session.attention.notes),
        **store.meta("texts"),
        transfer=transfer(session, config, listener) if config.abroad else {},
        earlier=earlier_results(store, evaluated),
        provenance=dated(about, store),
    )
    iou = _iou_by_head(session, found, library, reduced.test, pool)
    for domain, abroad in result.transfer.items():
        iou[domain] = [abroad.by_head.get(line.label) for line in library.heads]
    store.set_meta("details", run_details(library, session.spec, session.attention, iou))
    store.set_meta("result", result.as_json())
    return result


def _iou_by_head(
    session: Session, found: Found, library: ReducedLibrary, test: ScoreTable, pool: Pool
) -> dict[str, list[Estimate | None]]:
    """Split, and domain of the run where it has several -> (heads,) test IoU of each head's program there."""
    ids, spec, seed = [member.id for member in library.members], session.spec, session.config.seed
    programs = found.programs(ids)
    iou: dict[str, list[Estimate | None]] = {}
    for split, name in SPLITS.items():
        scores = test if split == "test" else score_table(pool, spec, split, test.heads, programs, ids)
        whole, *parts = iou_on(scores, library, spec.domains, seed)
        iou[name] = whole
        if split == "test":
            iou |= {f"test, {domain}": part for domain, part in zip(spec.domains, parts, strict=False)}
    return iou


def table_means(test: ScoreTable) -> dict[str, float]:
    """Kind -> mean test IoU of all heads' tables of that kind."""
    return dict(zip(KINDS, map(float, test.take_programs(KINDS).means.mean(axis=0, dtype=float)), strict=True))


def earlier_results(store: Store, evaluated: int) -> list[dict[str, Any]]:
    """What a run came to when it had evaluated fewer programs, the oldest first."""
    last = store.meta("result")
    if last is None:
        return []
    return [
        *last["earlier"],
        *([{key: last[key] for key in _EARLIER}] if last["programs_evaluated"] < evaluated else []),
    ]

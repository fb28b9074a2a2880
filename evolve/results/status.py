"""How far a run is, what fails in it, and what each operator gained: one look at its database."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from archives.grid import AddStatus
from evolve.ceiling import ceiling_held_out
from evolve.replay import replay
from evolve.results.provenance import config_changes
from evolve.results.references import reference_held_out
from evolve.scheduler import Arm
from evolve.state import SearchState
from evolve.store import Store
from evolve.store.records import ProposalRecord
from evolve.store.run_dir import RunDir
from fitness.failures import FailureKind
from operators.llm.client.calls import spend_of


@dataclass(frozen=True)
class LlmSpend:
    """What language models were asked so far.

    Attributes:
        calls: requests.
        cached_calls: replies that the last session took from the store.
        prompt_tokens: tokens of prompts.
        cached_tokens: those of them that endpoints had at hand.
        completion_tokens: tokens of replies.
        reasoning_tokens: those of them that models thought and did not say.
        lost_tokens: tokens paid for without a reply.
        cost_usd: dollars.
    """

    calls: int
    cached_calls: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    lost_tokens: int
    cost_usd: float


@dataclass(frozen=True)
class OperatorRow:
    """What one operator, prompt and model did so far.

    Attributes:
        operator: its name, with prompt and model where it has them.
        candidates: what it proposed.
        new: candidates that were evaluated.
        known: candidates that were programs already.
        failed: candidates that came to nothing.
        gain: held-out IoU gained, summed over heads.
        gain_per_second: that per second of estimated cost, recent slots weighing more; None before any.
        chance: the probability that it gets the next slot.
    """

    operator: str
    candidates: int
    new: int
    known: int
    failed: int
    gain: float
    gain_per_second: float | None
    chance: float


@dataclass(frozen=True)
class GridStatus:
    """What the grid holds, in the words of `Grid.stats`.

    Attributes:
        num_elites: elites per head.
        coverage: share of cells occupied, in [0, 1].
        qd_score: IoU summed over a head's elites, mean over heads.
        norm_qd_score: the same over the number of cells.
        opened_cells: programs that opened a cell for some head.
        improved_cells: programs that improved an elite and opened no cell.
        not_added: programs that ran and did neither.
        occupancy: programs by bin of each descriptor axis.
        clipped: values outside [0, 1] by descriptor.
    """

    num_elites: float
    coverage: float
    qd_score: float
    norm_qd_score: float
    opened_cells: int
    improved_cells: int
    not_added: int
    occupancy: dict[str, list[int]]
    clipped: dict[str, int]


@dataclass(frozen=True)
class Status:
    """One look at a run, which may be running; IoU are held-out, None before the first step.

    Attributes:
        run_dir: where it lies.
        model: its model.
        steps: steps committed.
        programs_evaluated: programs that were run.
        programs_failed: those of them that failed.
        mean_iou_held_out: mean over heads of the best IoU.
        best_iou_held_out: the highest IoU of any head.
        excess_iou_held_out: mean best IoU minus the mean IoU of the best single program.
        reference_iou_held_out: mean over heads of the best table or simple baseline.
        ceiling_iou_held_out: mean over heads of a dense log-linear model, which is about what programs can reach.
        gain_over_reference_held_out: mean IoU of the best programs minus that.
        gain_over_reference: the same of the library on test, where the campaign has finished.
        gain_over_reference_interval: the interval of that.
        test_reads: how often the test texts were read so far.
        coverage: share of the grid's cells that are occupied, in [0, 1].
        seconds: wall time of all sessions.
        outcomes: programs by kind of outcome.
        operators: one row each, those of most gain first.
        grid: what the grid holds.
        llm: what language models were asked.
        sandbox: "strict" or "degraded".
        config_changes: settings that sessions changed, see `evolve.results.provenance.config_changes`.
    """

    run_dir: str
    model: str
    steps: int
    programs_evaluated: int
    programs_failed: int
    mean_iou_held_out: float | None
    best_iou_held_out: float | None
    excess_iou_held_out: float | None
    reference_iou_held_out: float | None
    ceiling_iou_held_out: float | None
    gain_over_reference_held_out: float | None
    gain_over_reference: float | None
    gain_over_reference_interval: list[float] | None
    test_reads: int
    coverage: float | None
    seconds: float
    outcomes: dict[str, int]
    operators: list[OperatorRow]
    grid: GridStatus
    llm: LlmSpend
    sandbox: str | None
    config_changes: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Plain values under the names of the attributes; the grid's beside the rest."""
        values = asdict(self)
        return values | values.pop("grid") | {"coverage": self.coverage}


def read_status(run_dir: RunDir) -> Status:
    """All that is known of a run; one that is running is not disturbed.

    Raises:
        UserError: where the directory holds no run.
    """
    config = run_dir.load_config()
    store = run_dir.open_store()
    try:
        state = replay(store, config)
        last, result = store.last_summary(), store.meta("result") or {}
        reference = reference_held_out(store)
        return Status(
            run_dir=str(run_dir.path),
            model=config.model,
            steps=store.steps(),
            programs_evaluated=last.programs if last else 0,
            programs_failed=last.failed if last else 0,
            mean_iou_held_out=last.mean_iou if last else None,
            best_iou_held_out=last.best_iou if last else None,
            excess_iou_held_out=last.excess if last else None,
            reference_iou_held_out=reference,
            ceiling_iou_held_out=ceiling_held_out(store),
            gain_over_reference_held_out=last.mean_iou - reference if last and reference is not None else None,
            gain_over_reference=result.get("gain_over_reference"),
            gain_over_reference_interval=result.get("gain_over_reference_interval"),
            test_reads=len(store.readings()),
            coverage=last.coverage if last else None,
            seconds=round(store.seconds(), 1),
            outcomes=store.counts(),
            operators=operator_rows(store, state),
            grid=grid_status(state),
            llm=llm_spend(store),
            sandbox=store.meta("sandbox"),
            config_changes=config_changes(store),
        )
    finally:
        store.close()


def operator_rows(store: Store, state: SearchState) -> list[OperatorRow]:
    """One row for each operator, prompt and model, those of most gain first."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for proposal in store.all_proposals():
        if proposal.fitted:
            continue
        kind = str(proposal.outcome) if proposal.outcome in ("new", "known", FailureKind.NONE) else "failed"
        arm = Arm(proposal.operator, proposal.model, proposal.prompt)
        counts[arm.label].update([kind, "candidates"])
    rows = [
        OperatorRow(
            operator=row.arm.label,
            **{key: counts[row.arm.label][key] for key in ("candidates", "new", "known", "failed")},
            gain=round(row.rewards.gain, 4),
            gain_per_second=row.rewards.gain_per_second,
            chance=row.chance,
        )
        for row in state.scheduler.explain()
    ]
    return sorted(rows, key=lambda row: (-row.gain, row.operator))


def grid_status(state: SearchState) -> GridStatus:
    """What the grid holds."""
    grid = state.grid
    stats = grid.stats()
    names = [axis.name for axis in grid.axes]
    return GridStatus(
        num_elites=stats["num_elites"],
        coverage=stats["coverage"],
        qd_score=stats["qd_score"],
        norm_qd_score=stats["norm_qd_score"],
        opened_cells=state.added[AddStatus.NEW],
        improved_cells=state.added[AddStatus.IMPROVE_EXISTING],
        not_added=state.added[AddStatus.NOT_ADDED],
        occupancy={name: counts.tolist() for name, counts in zip(names, grid.histogram, strict=True)},
        clipped=dict(zip(names, map(int, grid.clipped), strict=True)),
    )


def llm_spend(store: Store) -> LlmSpend:
    """What language models were asked in all sessions."""
    spend = spend_of(store.calls())
    return LlmSpend(
        calls=spend.calls,
        cached_calls=store.meta("cached_calls", 0),
        prompt_tokens=spend.prompt_tokens,
        cached_tokens=spend.cached_tokens,
        completion_tokens=spend.completion_tokens,
        reasoning_tokens=spend.reasoning_tokens,
        lost_tokens=spend.lost_tokens,
        cost_usd=round(spend.usd, 6),
    )


def usd_by_step(store: Store, proposals: Sequence[ProposalRecord], steps: int) -> np.ndarray:
    """(steps,) dollars that the replies cost whose candidates a step committed; a reply counts once."""
    first = {
        proposal.call: proposal.step for proposal in reversed(proposals) if proposal.call and proposal.step < steps
    }
    dollars = np.zeros(steps)
    for key, cost in store.costs(list(first)).items():
        dollars[first[key]] += cost.cost_usd
    return dollars

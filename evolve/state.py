"""What a search has learnt so far, and what it does next: a pure function of the steps committed."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from archives.grid import AddResult, AddStatus, Axis, Grid
from evolve.config import Config
from evolve.scheduler import Arm, make_scheduler
from evolve.store.records import CallCost, ProgramRecord, ProposalRecord
from fitness.failures import FailureKind
from fitness.own import Own
from operators.protocol import Failure
from operators.registry import get_operator

# Tags that keep the random streams of one campaign apart.
PLAN, HEADS, PROPOSE = 1, 2, 3

RECENT_FAILURES = 128
# Share of the slots in which heads take turns, where it is known what is within reach of each.
IN_TURN = 0.3
# What a head earned fades by this with every further slot on it.
FADING = 0.5
LEAST_PROMISE = 0.002


@dataclass(frozen=True)
class Slot:
    """One place in a step: which operator works on which head, from which programs.

    Attributes:
        parents: (number, held-out IoU, cell) of each parent, best first.
        seed: entropy for the operator.
        common_errors: the campaign's most common failures, one line each.
        repairs: key of the LLM call that a repair continues.
        failure: what that call's reply failed on.
        round: how many repairs lead here, itself included; 0 for other operators.
    """

    step: int
    slot: int
    arm: Arm
    head: int
    parents: tuple[tuple[int, float, int], ...]
    seed: tuple[int, ...]
    common_errors: tuple[str, ...]
    repairs: str | None = None
    failure: Failure | None = None
    round: int = 0


@dataclass(frozen=True)
class _Failed:
    number: int | None
    head: int
    call: str
    failure: Failure
    round: int


class SearchState:
    """The grid and everything else that decides the next steps.

    Attributes:
        grid: elites by cell and head.
        programs: programs evaluated.
        failed: how many of them failed, by kind.
        last_gain: number of programs evaluated when a head last improved.
        single_best: (mean IoU over heads, number) of the best single program.
        internal_errors: internal errors in a row.
        budget_spent: the budget for language models is spent, and the campaign goes on without them.
        added: how many programs opened a cell of the grid for some head, improved an elite, or did neither.
    """

    def __init__(self, config: Config, heads: int, own: Sequence[Own] = (), ceiling: np.ndarray | None = None) -> None:
        self.config = config
        self._own = tuple(own)
        self.grid = Grid([Axis(name, config.search.bins) for name in config.search.descriptors], heads)
        self.scheduler = make_scheduler(config)
        self.programs = 0
        self.failed: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.last_gain = 0
        self.single_best = (-1.0, -1)
        self.internal_errors = 0
        self.budget_spent = False
        self.added: Counter[AddStatus] = Counter()
        self._ceiling = ceiling
        self._recent = np.zeros(heads)
        # A bandit goes by what operators gain, and in the beginning anything gains: so that every head has a program
        # written for it, its first turn is the regression's.
        begins = config.search.choice == "bandit"
        self._beginning = next((arm for arm in self.scheduler.arms if begins and arm.operator == "residual"), None)
        self._failures: deque[_Failed] = deque(maxlen=RECENT_FAILURES)

    @property
    def mean_iou(self) -> float:
        """Mean over heads of the best held-out IoU."""
        return float(np.maximum(self.grid.head_iou, 0).mean(dtype=np.float64))

    @property
    def excess(self) -> float:
        """Mean best IoU minus the mean IoU of the best single program."""
        return self.mean_iou - max(0.0, self.single_best[0])

    def enter(self, records: Sequence[ProgramRecord]) -> dict[int, AddResult]:
        """Adds programs to the grid, in order; failed ones are counted. Returns what became of each, by number."""
        results = {}
        for record in records:
            self.programs += 1
            evaluation = record.evaluation
            internal = evaluation.failure is FailureKind.INTERNAL
            self.internal_errors = self.internal_errors + 1 if internal else 0
            if record.iou is None or evaluation.descriptors is None:
                self.failed[evaluation.kind] += 1
                if not internal:
                    self.errors[_error_line(record)] += 1
                continue
            added = self.grid.add(
                record.number,
                record.iou,
                evaluation.descriptors,
                length=record.length,
                key=record.id,
            )
            results[record.number] = added
            self.added[added.status] += 1
            if added.gain > 0:
                self.last_gain = self.programs
            mean = float(record.iou.mean(dtype=np.float64))
            if mean > self.single_best[0]:
                self.single_best = (mean, record.number)
        return results

    def learn(
        self,
        proposals: Sequence[ProposalRecord],
        records: Sequence[ProgramRecord],
        calls: Mapping[str, CallCost],
    ) -> None:
        """Tells the scheduler what operators gained and cost, and remembers what a repair could mend."""
        by_number = {record.number: record for record in records}
        for proposal in proposals:
            if proposal.candidate == 0:
                self._recent[proposal.head] *= FADING
            self._recent[proposal.head] += proposal.gain
            self.scheduler.learn(proposal, calls.get(proposal.call or ""))
            spent = proposal.outcome == FailureKind.BUDGET_SPENT
            self.budget_spent |= spent and self.config.when_spent == "offline"
            failure = None if proposal.fitted else _failure(proposal, by_number)
            if failure and proposal.call is not None and proposal.round < self.config.llm.repair_rounds:
                number = proposal.number if proposal.outcome == "new" else None
                failed = _Failed(number, proposal.head, proposal.call, failure, proposal.round + 1)
                self._failures.append(failed)

    def plan(self, step: int, *, can_call: bool = True) -> list[Slot]:
        """The slots of a step. Depends on the seed, the step and what was entered so far alone.

        Args:
            step: from 1 on.
            can_call: whether LLMs may be asked; false once an endpoint is given up.
        """
        # By what was committed, not by what is spent: replies of steps under way come in any order.
        can_call = can_call and not self.budget_spent
        common = tuple(f"{text} ({count} times)" for text, count in self.errors.most_common(5))
        return [self._plan_slot(step, slot, common, can_call) for slot in range(self.config.search.batch)]

    def _plan_slot(self, step: int, slot: int, common: tuple[str, ...], can_call: bool) -> Slot:
        seed = self.config.seed
        rng = np.random.default_rng((seed, PLAN, step, slot))
        turn = (step - 1) * self.config.search.batch + slot
        arm = self.scheduler.choose(rng, can_repair=bool(self._failures), can_call=can_call)
        if turn < self.grid.heads:
            arm = self._beginning or arm
        entropy = (seed, PROPOSE, step, slot)
        if arm.operator == "repair":
            failed = self._failures.pop()
            parents: tuple[tuple[int, float, int], ...] = ()
            if failed.number is not None:
                parents = ((failed.number, float("nan"), -1),)
            return Slot(
                step, slot, arm, failed.head, parents, entropy, common, failed.call, failed.failure, failed.round
            )
        head = self._head(turn, rng)
        wanted = get_operator(arm.operator, self._own).n_parents
        parents = tuple(self.grid.sample_elites(head, wanted, rng)) if wanted else ()
        return Slot(step, slot, arm, head, parents, entropy, common)

    def _head(self, turn: int, rng: np.random.Generator) -> int:
        # Every head gets a turn before any gets another, in an order drawn anew each time round.
        lap, place = divmod(turn, self.grid.heads)
        if self._ceiling is None or lap == 0 or rng.random() < IN_TURN:
            return int(_order(self.config.seed, lap, self.grid.heads)[place])
        promise = self.promise()
        return int(rng.choice(self.grid.heads, p=promise / promise.sum()))

    def promise(self) -> np.ndarray:
        """(heads,) what effort on each head promises: its gap to the ceiling, and what it earned of late.

        A head that has reached its ceiling and earns nothing rests, but for its turns.
        """
        gap = 0.0 if self._ceiling is None else np.maximum(self._ceiling - self.grid.head_iou, 0)
        return np.asarray(gap + self._recent + LEAST_PROMISE, dtype=np.float64)


@lru_cache(maxsize=4)
def _order(seed: int, lap: int, heads: int) -> np.ndarray:
    return np.random.default_rng((seed, HEADS, lap)).permutation(heads)


def _failure(proposal: ProposalRecord, records: Mapping[int, ProgramRecord]) -> Failure | None:
    """What a repair could mend, or None."""
    if isinstance(proposal.outcome, FailureKind):
        return Failure(proposal.outcome, proposal.message) if proposal.outcome.repairable else None
    record = records.get(proposal.number) if proposal.number is not None and proposal.outcome == "new" else None
    if record is None:
        return None
    evaluation = record.evaluation
    if evaluation.failure is not None:
        return Failure(evaluation.failure, evaluation.message) if evaluation.failure.repairable else None
    return Failure(FailureKind.DEGENERATE, evaluation.degenerate) if evaluation.degenerate else None


def _error_line(record: ProgramRecord) -> str:
    """What prompts may say of a failure on held-out texts."""
    failure = record.evaluation.failure
    assert failure is not None
    told = failure.told(record.evaluation.message)
    return f"{failure}: {told}"[:160] if told else str(failure)

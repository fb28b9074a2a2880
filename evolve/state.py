"""What a search has learnt so far, and what it does next: a pure function of the steps committed."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archives.grid import AddResult, Axis, Grid
from evolve.config import Config
from evolve.scheduler import Arm, make_scheduler
from evolve.store import ProgramRecord, ProposalRecord
from operators.registry import get_operator

# Tags that keep the random streams of one campaign apart.
PLAN, HEADS, PROPOSE = 1, 2, 3

# Failures of programs that a repair can mend; ours are not the program's fault.
REPAIRABLE = frozenset(
    {"rejected", "syntax", "exception", "bad shape", "bad values", "memory", "timeout", "early exit"}
)
RECENT_FAILURES = 128


@dataclass(frozen=True)
class Slot:
    """One place in a step: which operator works on which head, from which programs.

    Attributes:
        parents: (number, held-out IoU, cell) of each parent, best first.
        rounds: how many repairs led to the parent, for repair.
    """

    step: int
    slot: int
    arm: Arm
    head: int
    parents: tuple[tuple[int, float, int], ...]
    seed: tuple[int, ...]
    common_errors: tuple[str, ...]
    rounds: int = 0


@dataclass(frozen=True)
class _Failed:
    number: int
    head: int
    rounds: int


class SearchState:
    """The grid and everything else that decides the next steps.

    Attributes:
        grid: elites by cell and head.
        programs: programs evaluated.
        failed: how many of them failed, by kind.
        last_gain: number of programs evaluated when a head last improved.
        single_best: (mean IoU over heads, number) of the best single program.
        ours: failures of ours in a row.
    """

    def __init__(self, config: Config, heads: int) -> None:
        self.config = config
        self.grid = Grid([Axis(name, config.search.bins) for name in config.search.descriptors], heads)
        self.scheduler = make_scheduler(config)
        self.programs = 0
        self.failed: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.last_gain = 0
        self.single_best = (-1.0, -1)
        self.ours = 0
        self._rounds: dict[int, int] = {}
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
            self.ours = self.ours + 1 if evaluation.kind == "ours" else 0
            if record.iou is None or evaluation.descriptors is None:
                self.failed[evaluation.kind] += 1
                if evaluation.kind != "ours":
                    self.errors[f"{evaluation.kind}: {evaluation.message}"[:160]] += 1
                continue
            added = self.grid.add(
                record.number,
                record.iou,
                evaluation.descriptors,
                length=record.length,
                key=record.id,
            )
            results[record.number] = added
            if added.gain > 0:
                self.last_gain = self.programs
            mean = float(record.iou.mean(dtype=np.float64))
            if mean > self.single_best[0]:
                self.single_best = (mean, record.number)
        return results

    def learn(self, proposals: Sequence[ProposalRecord], records: Sequence[ProgramRecord]) -> None:
        """Tells the scheduler what operators earned, and remembers what a repair could mend."""
        by_number = {record.number: record for record in records}
        for proposal in proposals:
            self.scheduler.learn(proposal)
            record = by_number.get(proposal.number if proposal.number is not None else -1)
            if record is None or proposal.outcome != "new":
                continue
            rounds = self._rounds.get(proposal.parents[0], 0) + 1 if proposal.operator == "repair" else 0
            broken = record.evaluation.kind in REPAIRABLE or record.evaluation.degenerate
            if broken and proposal.call is not None and rounds < self.config.llm.repair_rounds:
                self._rounds[record.number] = rounds
                self._failures.append(_Failed(record.number, proposal.head, rounds))

    def plan(self, step: int) -> list[Slot]:
        """The slots of a step. Depends on the seed, the step and what was entered so far alone."""
        common = tuple(f"{text} ({count} times)" for text, count in self.errors.most_common(5))
        return [self._plan_slot(step, slot, common) for slot in range(self.config.search.batch)]

    def _plan_slot(self, step: int, slot: int, common: tuple[str, ...]) -> Slot:
        seed = self.config.seed
        rng = np.random.default_rng((seed, PLAN, step, slot))
        arm = self.scheduler.choose(rng, can_repair=bool(self._failures))
        entropy = (seed, PROPOSE, step, slot)
        if arm.operator == "repair":
            failed = self._failures.pop()
            parents: tuple[tuple[int, float, int], ...] = ((failed.number, float("nan"), -1),)
            return Slot(step, slot, arm, failed.head, parents, entropy, common, failed.rounds)
        head = self._head(step * self.config.search.batch + slot)
        wanted = get_operator(arm.operator).n_parents
        parents = tuple(self.grid.sample_elites(head, wanted, rng)) if wanted else ()
        return Slot(step, slot, arm, head, parents, entropy, common)

    def _head(self, turn: int) -> int:
        # Every head gets a turn before any gets another, in an order drawn anew each time round.
        lap, place = divmod(turn, self.grid.heads)
        return int(np.random.default_rng((self.config.seed, HEADS, lap)).permutation(self.grid.heads)[place])

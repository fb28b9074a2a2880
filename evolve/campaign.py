"""The search itself: propose, evaluate, keep, one committed step after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from archives.grid import AddResult, AddStatus
from evolve.candidates import Candidate
from evolve.ceiling import ceiling_by_head
from evolve.config import Config
from evolve.listeners import Listener
from evolve.proposing import Proposer
from evolve.replay import committed_steps
from evolve.state import SearchState, Slot
from evolve.stopping import Progress, StopCondition, stop_reason
from evolve.store import Store
from evolve.store.records import FITTED, ProgramRecord, ProposalOutcome, ProposalRecord, StepSummary
from fitness.failures import FailureKind
from fitness.program import Program
from fitness.scoring.baselines import baselines
from fitness.scoring.pool import Pool, Task, split_evenly
from fitness.scoring.worker import Evaluation, WorkerSpec, evaluate_chunk
from operators.tasks import OperatorFailed, fit_chunk

INTERNAL_ERRORS_IN_A_ROW = 20


class TooManyInternalErrorsError(RuntimeError):
    """Evaluations fail for reasons that are not the programs', again and again."""


@dataclass
class Campaign:
    """One session of a search, from the last committed step to a reason to stop.

    Step s is proposed from the archive as of step s - 1 - `search.lag`, the pipeline depth, while the steps between are
    evaluated: neither proposing nor evaluating waits, and the outcome depends on the order of steps alone, never on
    speed.

    Attributes:
        config: what is asked for.
        spec: what workers need.
        store: the state on disk.
        pool: where tasks run.
        heads: number of heads.
        conditions: when to stop.
        listener: whom to tell.
        interrupted: asked between steps and while replies are awaited; true ends the session.
        state: what the search has learnt.
    """

    config: Config
    spec: WorkerSpec
    store: Store
    pool: Pool
    heads: int
    proposer: Proposer
    conditions: list[StopCondition]
    listener: Listener
    interrupted: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        self.state = SearchState(self.config, self.heads, self.spec.own, ceiling_by_head(self.store))
        self._planned: dict[int, list[Slot]] = {}
        self._next_plan = 1
        self._seconds = self.store.seconds()
        self._clock = time.monotonic()

    def run(self) -> str:
        """Searches until a condition holds; returns its reason, or "interrupted".

        Raises:
            TooManyInternalErrorsError: after 20 internal errors in a row.
        """
        step = self._replay()
        while True:
            reason = self._reason()
            if reason or (self.proposer.spent and self.config.when_spent == "stop"):
                return reason or f"llm.budget: {self.proposer.spent}"
            try:
                self._step(step)
            except InterruptedError:
                return self._reason() or "interrupted"
            step += 1

    def _reason(self) -> str | None:
        """Why the session ends now, or None."""
        return "interrupted" if self.interrupted() else stop_reason(self.conditions, self._progress())

    # Slots are planned `lag` steps ahead, prepared while an earlier step is evaluated, and collected in their turn.

    def _replay(self) -> int:
        """Rebuilds the state from the store, as it was when the last step was committed; returns the next step."""
        following = 0
        for done in committed_steps(self.store):
            self._plan_ahead(done.step)
            self._planned.pop(done.step, None)
            self.state.enter(done.records)
            self.state.learn(done.proposals, done.records, done.calls)
            following = done.step + 1
        if self.state.budget_spent:
            self.state.budget_spent = self.proposer.still_spent()
        return following

    def _plan_ahead(self, step: int) -> None:
        # Step 0 is the baselines: nothing is planned before there is something to start from.
        while step > 0 and self._next_plan <= step + self.config.search.lag:
            self._planned[self._next_plan] = self.state.plan(self._next_plan, can_call=self.proposer.can_call)
            self._next_plan += 1

    def _step(self, step: int) -> None:
        self._plan_ahead(step)
        if step in self._planned:  # the first step of a session has had no evaluation to be prepared beside
            self._run_beside([], through=step + self.config.search.lag - 1)
        candidates = self.proposer.collect(step, lambda: bool(self._reason())) if step > 0 else []
        programs, proposals = (list(baselines().values()), []) if step == 0 else self._sort_out(candidates)
        chunks = split_evenly(programs, 2 * self.pool.workers)
        results = self._run_beside([(evaluate_chunk, (self.spec, chunk, "held_out", True)) for chunk in chunks])
        evaluations: list[Evaluation] = [evaluation for result in results for evaluation in result]
        first = self.state.programs
        records = [
            ProgramRecord.of(first + index, program, step, evaluation, self.spec.fitness)
            for index, (program, evaluation) in enumerate(zip(programs, evaluations, strict=True))
        ]
        self._commit(step, *self._with_fitted(step, records, proposals))

    def _with_fitted(
        self, step: int, records: list[ProgramRecord], proposals: list[ProposalRecord]
    ) -> tuple[list[ProgramRecord], list[ProposalRecord]]:
        """Adds what language models proposed and ran once more, with its numbers fitted, where that gains anything."""
        ran = {record.number: record for record in records if record.ok and not record.evaluation.degenerate}
        written = [p for p in proposals if p.call and p.outcome == "new" and p.number in ran]
        if not written:
            return records, proposals
        wanted = [(ran[p.number or 0].program(), p.head) for p in written]
        chunks = split_evenly(wanted, 2 * self.pool.workers)
        answers = [answer for part in self.pool.run([(fit_chunk, (self.spec, c)) for c in chunks]) for answer in part]
        known = self.store.known([answer[0].program.id for answer in answers if isinstance(answer, tuple)])
        known |= {record.id: record.number for record in records}
        records, proposals = list(records), list(proposals)
        for proposal, answer in zip(written, answers, strict=True):
            if answer is None:
                continue
            assert proposal.number is not None
            fitted = replace(proposal, candidate=FITTED + proposal.candidate, parents=(proposal.number,), number=None)
            if isinstance(answer, OperatorFailed):
                proposals.append(replace(fitted, outcome=FailureKind.INTERNAL, message=answer.message))
                continue
            found, evaluation = answer
            number = known.setdefault(found.program.id, self.state.programs + len(records))
            outcome: ProposalOutcome = "known"
            if number == self.state.programs + len(records):
                outcome = "new"
                records.append(ProgramRecord.of(number, found.program, step, evaluation, self.spec.fitness))
            proposals.append(replace(fitted, outcome=outcome, number=number, note=found.note))
        return records, sorted(proposals, key=lambda proposal: (proposal.slot, proposal.candidate))

    def _run_beside(self, tasks: list[Task], through: int | None = None) -> list[Any]:
        """Runs tasks beside the preparation of all steps planned (`through` a step); returns the tasks' results."""
        steps = [step for step in sorted(self._planned) if through is None or step <= through]
        preparing = [(step, self.proposer.tasks(self._planned[step])) for step in steps]
        results = self.pool.run(tasks + [task for _, group in preparing for task in group])
        answers = iter(results[len(tasks) :])
        for step, group in preparing:
            self.proposer.receive(self._planned.pop(step), [next(answers) for _ in group])
        return results[: len(tasks)]

    def _sort_out(self, candidates: list[Candidate]) -> tuple[list[Program], list[ProposalRecord]]:
        """Drops candidates that are known already; the order is that of slots."""
        numbers = self.store.known([candidate.program.id for candidate in candidates if candidate.program])
        programs: list[Program] = []
        proposals = []
        for candidate in candidates:
            outcome: ProposalOutcome = candidate.failure or FailureKind.NONE
            number = None
            if candidate.program is not None:
                outcome = "known" if candidate.program.id in numbers else "new"
                number = numbers.setdefault(candidate.program.id, self.state.programs + len(programs))
                if outcome == "new":
                    programs.append(candidate.program)
            proposals.append(candidate.record(outcome, candidate.message, number))
        return programs, proposals

    def _commit(self, step: int, records: list[ProgramRecord], proposals: list[ProposalRecord]) -> None:
        records = self._mark_copies(records)
        results = self.state.enter(records)
        proposals = [_with_gain(proposal, results) for proposal in proposals]
        now = time.monotonic()
        seconds, self._clock = now - self._clock, now
        self._seconds += seconds
        summary = self._summary(step, records, proposals, results)
        self.store.commit_step(step, records, proposals, seconds, summary)
        self.state.learn(proposals, records, self.store.costs([p.call for p in proposals if p.call]))
        self.listener.on_step(summary)
        if self.state.internal_errors >= INTERNAL_ERRORS_IN_A_ROW:
            last = records[-1].evaluation.message
            raise TooManyInternalErrorsError(
                f"{self.state.internal_errors} internal errors in a row, the last one: {last}"
            )

    def _mark_copies(self, records: list[ProgramRecord]) -> list[ProgramRecord]:
        """Says of programs that predict what a known one predicts that they do."""
        known = self.store.signatures([record.evaluation.signature for record in records if record.ok])
        marked = []
        for record in records:
            evaluation = record.evaluation
            twin = known.setdefault(evaluation.signature, record.number) if record.ok else record.number
            if twin != record.number and not evaluation.degenerate:
                evaluation = replace(evaluation, degenerate=f"predicts the same as program {twin}")
            marked.append(replace(record, evaluation=evaluation))
        return marked

    def _summary(
        self,
        step: int,
        records: list[ProgramRecord],
        proposals: list[ProposalRecord],
        results: Mapping[int, AddResult],
    ) -> StepSummary:
        stats = self.state.grid.stats()
        statuses = [result.status for result in results.values()]
        return StepSummary(
            step=step,
            programs=self.state.programs,
            failed=sum(self.state.failed.values()),
            mean_iou=self.state.mean_iou,
            best_iou=float(self.state.grid.head_iou.max()),
            excess=self.state.excess,
            coverage=stats["coverage"],
            num_elites=stats["num_elites"],
            qd_score=stats["qd_score"],
            clipped=int(self.state.grid.clipped.sum()),
            new=len(records),
            opened_cells=statuses.count(AddStatus.NEW),
            improved_cells=statuses.count(AddStatus.IMPROVE_EXISTING),
            not_added=statuses.count(AddStatus.NOT_ADDED),
            known=sum(proposal.outcome == "known" for proposal in proposals),
            gain=sum(result.gain for result in results.values()),
            seconds=self._seconds,
        )

    def _progress(self) -> Progress:
        seconds = self._seconds + time.monotonic() - self._clock
        return Progress(self.state.programs, seconds, self.state.mean_iou, self.state.last_gain)


def _with_gain(proposal: ProposalRecord, results: Mapping[int, AddResult]) -> ProposalRecord:
    """The record of a proposal with what its program, where that is a new one that ran, gained."""
    result = results.get(proposal.number) if proposal.number is not None and proposal.outcome == "new" else None
    return replace(proposal, gain=result.gain) if result is not None else proposal

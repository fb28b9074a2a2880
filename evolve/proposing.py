"""From planned slots to candidates: offline operators in the workers, LLM calls in threads beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evolve.state import Slot
from evolve.store import ProposalRecord, Store
from fitness.pool import Task, split_evenly
from fitness.worker import WorkerSpec
from operators.protocol import Failure, Parent, Request
from operators.tasks import OperatorFailed, propose_chunk


@dataclass(frozen=True)
class Candidate:
    """Source text that came of a slot, or the failure to get any.

    Attributes:
        slot: where it came from.
        index: which of the slot's candidates it is.
        source: the text, None where there is none.
        failure: kind of failure, empty where there is a source.
        message: what went wrong.
        note: how the operator describes it.
        call: key of the LLM call.
        template: hash of the prompt template.
    """

    slot: Slot
    index: int
    source: str | None
    failure: str = ""
    message: str = ""
    note: str = ""
    call: str | None = None
    template: str | None = None

    def record(self, outcome: str, message: str, number: int | None) -> ProposalRecord:
        """What the store keeps of it."""
        return ProposalRecord(
            self.slot.step,
            self.slot.slot,
            self.index,
            self.slot.arm.operator,
            self.slot.head,
            tuple(parent[0] for parent in self.slot.parents),
            outcome,
            message,
            number,
            call=self.call,
            note=self.note,
            model=self.slot.arm.model,
            template=self.template,
        )


class Proposer:
    """Prepares the candidates of planned steps and hands them over in their turn.

    Args:
        spec: what workers need.
        store: where parents' sources are.
        labels: names of the heads.
        chunks: how many worker tasks a step is cut into.
    """

    def __init__(self, spec: WorkerSpec, store: Store, labels: Sequence[str], chunks: int) -> None:
        self._spec = spec
        self._store = store
        self._labels = labels
        self._chunks = chunks
        self._ready: dict[int, list[Candidate]] = {}

    def tasks(self, slots: Sequence[Slot]) -> list[Task]:
        """Worker tasks that prepare the slots of one step; their results go to `receive` in the same order."""
        requests = self._requests(slots)
        return [(propose_chunk, (self._spec, chunk)) for chunk in split_evenly(requests, self._chunks)]

    def receive(self, slots: Sequence[Slot], results: Sequence[Any]) -> None:
        """Takes the results of a step's tasks."""
        answers = [answer for result in results for answer in result]
        for slot, answer in zip(slots, answers, strict=True):
            self._ready.setdefault(slot.step, []).extend(_offline(slot, answer))

    def collect(self, step: int) -> list[Candidate]:
        """All candidates of a step, by slot; waits for those still under way."""
        return self._ready.pop(step, [])

    def _requests(self, slots: Sequence[Slot]) -> list[tuple[str, Request]]:
        records = self._store.programs(parent[0] for slot in slots for parent in slot.parents)
        requests = []
        for slot in slots:
            parents = []
            for number, iou, cell in slot.parents:
                record = records[number]
                result = record.evaluation
                failure = None
                if not record.ok:
                    failure = Failure(result.kind, result.message, result.line, result.text)
                elif result.degenerate:
                    failure = Failure("degenerate", result.degenerate)
                parents.append(Parent(record.program(), iou, cell, failure))
            label = self._labels[slot.head]
            requests.append(
                (slot.arm.operator, Request(slot.head, label, tuple(parents), slot.seed, slot.common_errors))
            )
        return requests


def _offline(slot: Slot, answer: Any) -> list[Candidate]:
    if isinstance(answer, OperatorFailed):
        return [Candidate(slot, 0, None, "ours", answer.message)]
    if not answer:
        return [Candidate(slot, 0, None, "none", "nothing to propose")]
    return [Candidate(slot, index, proposal.source, note=proposal.note) for index, proposal in enumerate(answer)]

"""A candidate: what a slot of a step came to, before it is known whether it is new."""

from __future__ import annotations

from dataclasses import dataclass

from evolve.state import Slot
from evolve.store.records import ProposalOutcome, ProposalRecord
from fitness.failures import FailureKind
from fitness.program import Program


@dataclass(frozen=True)
class Candidate:
    """A program that came of a slot, or the failure to get one.

    Attributes:
        slot: where it came from.
        index: which of the slot's candidates it is.
        program: what is to be evaluated, None where there is none.
        failure: kind of failure, None where there is a program.
        message: what went wrong.
        note: how the operator describes it.
        call: key of the LLM call.
    """

    slot: Slot
    index: int
    program: Program | None
    failure: FailureKind | None = None
    message: str = ""
    note: str = ""
    call: str | None = None

    def record(self, outcome: ProposalOutcome, message: str, number: int | None) -> ProposalRecord:
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
            prompt=self.slot.arm.prompt,
            template=self.slot.arm.template,
            round=self.slot.round,
        )

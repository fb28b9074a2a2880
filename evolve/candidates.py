"""A candidate: what a slot of a step came to, before it is known whether it is a program."""

from __future__ import annotations

from dataclasses import dataclass

from evolve.state import Slot
from evolve.store import ProposalRecord


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
    """

    slot: Slot
    index: int
    source: str | None
    failure: str = ""
    message: str = ""
    note: str = ""
    call: str | None = None

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
            prompt=self.slot.arm.prompt,
            template=self.slot.arm.template,
            round=self.slot.round,
        )

"""What is written down about calls and set aside for them: before a request goes out, and when it has ended."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fitness.failures import FailureKind
from operators.llm.client.answer import Answer, most_prompt_tokens
from operators.llm.client.budget import Budget, Reservation
from operators.llm.client.calls import CallStore, Message, Reply, Spend, call_key, spend_of
from operators.llm.client.failures import BudgetSpent, CallFailed, EndpointDown, ReplayMiss, Unanswered
from operators.llm.client.settings import ModelEntry, SpendLimits, adapted, longest_reply
from operators.llm.client.usage import cost_usd, most_usd


@dataclass(frozen=True)
class Call:
    """One question to one model.

    Attributes:
        entry: whom to ask.
        messages: the conversation so far.
        sample: number that tells repeated askings of one prompt apart.
        purpose: JSON values kept with the call.
        key: its key in the store.
    """

    entry: ModelEntry
    messages: Sequence[Message]
    sample: int
    purpose: Mapping[str, Any]
    key: str

    @classmethod
    def of(cls, entry: ModelEntry, messages: Sequence[Message], sample: int, purpose: Mapping[str, Any]) -> Call:
        """A call with its key."""
        return cls(entry, messages, sample, purpose, call_key(entry, messages, sample))


@dataclass(frozen=True)
class Booking:
    """One request that may go out: its key in the store, and what is set aside for it."""

    request: str
    reservation: Reservation


class Ledger:
    """Keeps a store and a budget in step.

    Args:
        store: where calls are kept.
        limits: what may be spent, by all sessions on the store together.
    """

    def __init__(self, store: CallStore, limits: SpendLimits) -> None:
        self._store = store
        self.budget = Budget(limits, spend_of(store.calls()))

    def stored(self, key: str) -> Reply | None:
        """The stored reply of a call."""
        record = self._store.get(key)
        return None if record is None else Reply.of(key, record, cached=True)

    def book(self, call: Call, stopped: Callable[[], bool]) -> Booking:
        """Sets aside what a request can cost, and writes that down first: a kill may come at any time.

        Raises:
            BudgetSpent: where it could overspend.
            CallFailed: of kind `STOPPED`.
        """
        prompt, reply = most_prompt_tokens(call.messages), longest_reply(call.entry)
        tokens, usd = prompt + reply, most_usd(call.entry.price_per_million, prompt, reply)
        reservation = self.budget.reserve(tokens, usd, stopped)
        if reservation is None:
            raise CallFailed(FailureKind.STOPPED, "the client was stopped before the call was sent")
        number = 0
        while self._store.get(f"sent:{call.key}:{number}") is not None:
            number += 1
        request = f"sent:{call.key}:{number}"
        self._store.put(request, {"event": "sent", "model": call.entry.model, "tokens": tokens, "cost_usd": usd})
        return Booking(request, reservation)

    def answered(self, call: Call, booking: Booking, answer: Answer, refused: Collection[str]) -> Reply:
        """Keeps a reply before anybody sees it; `refused` are the fields that the endpoint would not have."""
        usd = cost_usd(call.entry.price_per_million, answer.usage)
        record = {
            "event": "answered",
            "model": call.entry.model,
            "settings": adapted(call.entry, refused),
            "messages": list(call.messages),
            "sample": call.sample,
            "purpose": dict(call.purpose),
            "text": answer.text,
            "finish": answer.finish,
            **asdict(answer.usage),
            "estimated": answer.estimated,
            "cost_usd": usd,
            "request": booking.request,
        }
        try:
            self._store.put(call.key, record)
        finally:
            self.budget.settle(booking.reservation, Spend.answered(answer.usage, usd))
        return Reply.of(call.key, record, cached=False)

    def unanswered(self, booking: Booking, failure: Unanswered) -> None:
        """Gives back what a request without an answer cannot have cost."""
        calls = int(failure.reached)
        reserved = booking.reservation
        tokens, usd = (reserved.tokens, reserved.usd) if failure.billed else (0, 0.0)
        key = booking.request.replace("sent", "unanswered", 1)
        record = {"event": "unanswered", "kind": failure.kind, "calls": calls, "tokens": tokens, "cost_usd": usd}
        try:
            self._store.put(key, record)
        finally:
            self.budget.settle(reserved, Spend(calls, lost_tokens=tokens, usd=usd))

    def broken_off(self, booking: Booking) -> None:
        """A request whose end nobody saw counts with the most that it can cost; its record says so already."""
        reserved = booking.reservation
        self.budget.settle(reserved, Spend(1, lost_tokens=reserved.tokens, usd=reserved.usd))

    def gave_up(self, call: Call, failure: CallFailed) -> None:
        """Remembers how a call ended, so that a replay ends it likewise."""
        if failure.kind is FailureKind.STOPPED:
            return
        record: dict[str, Any] = {"event": "gave up", "kind": failure.kind, "message": str(failure)}
        if isinstance(failure, BudgetSpent):
            record |= {"limit": failure.limit, "tokens": failure.tokens, "usd": failure.usd}
        self._store.put(f"gave-up:{call.key}", record)

    def still_spent(self) -> bool:
        """Whether the last call that the budget did not allow is one that it does not allow today."""
        records = (record for _, record in self._store.calls() if record["event"] == "gave up")
        spent = [record for record in records if record["kind"] == FailureKind.BUDGET_SPENT]
        return bool(spent) and not self.budget.fits(spent[-1].get("tokens", 0), spent[-1].get("usd", 0.0))

    def missed(self, call: Call) -> Exception:
        """What a replay raises where there is no reply: what the call raised then, or that it was never made."""
        record = self._store.get(f"gave-up:{call.key}")
        model = call.entry.model
        if record is None:
            return ReplayMiss(
                f"replay: no reply of {model} is stored for call {call.key[:12]}; the configuration, a template or the "
                "code differs from the run that is replayed, or it ended here; run it live to go on"
            )
        kind = FailureKind(record["kind"])
        if kind is FailureKind.BUDGET_SPENT:
            return BudgetSpent(record["limit"], record["message"])
        if kind is FailureKind.ENDPOINT_DOWN:
            return EndpointDown(model, record["message"], permanent=True)
        return CallFailed(kind, record["message"])

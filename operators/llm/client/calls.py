"""Calls as they are stored: their keys, their records, and what all of them have cost.

A store only ever gains records, so that nothing is lost between a request and its reply:

    sent:<key>:<i>         before the i-th request of a call goes out, with the most that it can cost
    unanswered:<key>:<i>   it came to nothing, with what must be counted for it
    <key>                  the call is answered: request, reply, tokens, cost, purpose
    gave-up:<key>          the call ended without an answer
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any, Protocol

from operators.llm.client.settings import ModelEntry, sampling
from operators.llm.client.usage import Usage

Message = dict[str, str]


class CallStore(Protocol):
    """Where records are kept; safe to use from several threads."""

    def get(self, key: str) -> dict[str, Any] | None:
        """The record of this key."""
        ...

    def put(self, key: str, record: dict[str, Any]) -> None:
        """Keeps a record, on the disk when it returns; the first of a key stays."""
        ...

    def calls(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """All keys and records, oldest first."""
        ...


@dataclass(frozen=True)
class Reply:
    """An answer, from the endpoint or from the store.

    Attributes:
        text: what the model said; empty where it said nothing.
        finish: why it ended: "stop", "length" (cut off), "refusal", "content_filter" or what the endpoint calls it.
        usage: tokens by kind.
        cost_usd: dollars by the configured prices.
        cached: it came from the store, and nothing was paid now.
        key: key of the call.
    """

    text: str
    finish: str
    usage: Usage
    cost_usd: float
    cached: bool
    key: str

    @classmethod
    def of(cls, key: str, record: Mapping[str, Any], *, cached: bool) -> Reply:
        """The reply that a record of an answered call holds."""
        return cls(
            record["text"],
            record["finish"],
            Usage.of(record),
            record["cost_usd"],
            cached,
            key,
        )


@dataclass(frozen=True)
class Spend:
    """What calls have cost.

    Attributes:
        calls: HTTP requests, retries included.
        prompt_tokens: of answered calls.
        completion_tokens: of answered calls.
        lost_tokens: most that requests without an answer can have used.
        usd: dollars, those of requests without an answer at their most.
        reasoning_tokens: those among `completion_tokens` that models thought and did not say.
        cached_tokens: those among `prompt_tokens` that endpoints had at hand.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    lost_tokens: int = 0
    usd: float = 0.0
    reasoning_tokens: int = 0
    cached_tokens: int = 0

    @classmethod
    def answered(cls, usage: Usage, usd: float) -> Spend:
        """What one answered call has cost."""
        return cls(calls=1, usd=usd, **asdict(usage))

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.prompt_tokens + self.completion_tokens + self.lost_tokens

    def __add__(self, other: Spend) -> Spend:
        return Spend(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


def call_key(entry: ModelEntry, messages: Sequence[Message], sample: int) -> str:
    """SHA-256 of all that decides a reply: model, sampling settings, messages and sample number.

    The endpoint's address is left out: a model that moves keeps its replies.
    """
    content = {"model": entry.model, "settings": sampling(entry), "messages": list(messages), "sample": sample}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def spend_of(records: Iterable[tuple[str, Mapping[str, Any]]]) -> Spend:
    """What a store's records add up to; a request whose end is not known counts with the most that it can cost."""
    open_requests: dict[str, Mapping[str, Any]] = {}
    total = Spend()
    for key, record in records:
        event = record["event"]
        if event == "sent":
            open_requests[key] = record
        elif event == "unanswered":
            open_requests.pop("sent" + key.removeprefix("unanswered"), None)
            total += Spend(calls=record["calls"], lost_tokens=record["tokens"], usd=record["cost_usd"])
        elif event == "answered":
            open_requests.pop(record["request"], None)
            total += Spend.answered(Usage.of(record), record["cost_usd"])
    for record in open_requests.values():
        total += Spend(calls=1, lost_tokens=record["tokens"], usd=record["cost_usd"])
    return total


def conversation(record: Mapping[str, Any], messages: Sequence[Message]) -> list[Message]:
    """An answered call's messages and its reply, followed by further ones; a second system message is left out."""
    # Some endpoints refuse an empty message that is sent back to them.
    said = {"role": "assistant", "content": record["text"] or "(no answer)"}
    return [*record["messages"], said, *(message for message in messages if message["role"] != "system")]

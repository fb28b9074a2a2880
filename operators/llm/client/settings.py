"""What the client is told about models and limits; the configuration's sections fit these protocols as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, Protocol

from fitness.errors import UserError
from operators.llm.client.usage import TokenPrice

# Request fields that headscribe fills in itself; `extra` must leave them alone.
OWN_FIELDS = ("model", "messages", "temperature", "max_tokens", "n", "stream", "response_format")
LENGTH_FIELD = "max_completion_tokens"
# Fields that some models refuse, and that a request can go without or say otherwise.
DISPENSABLE = ("max_tokens", "temperature")
# What `response_format: json_schema` asks for.
REPLY_SCHEMA = {
    "type": "object",
    "properties": {"programs": {"type": "array", "items": {"type": "string"}}},
    "required": ["programs"],
    "additionalProperties": False,
}


class ModelEntry(Protocol):
    """One entry of `llm.models`."""

    @property
    def model(self) -> str:
        """Name that the endpoint knows the model by."""
        ...

    @property
    def base_url(self) -> str | None:
        """The endpoint; None is the openai package's default."""
        ...

    @property
    def api_key_env(self) -> str | None:
        """Environment variable that holds the key; None for endpoints that want none."""
        ...

    @property
    def price_per_million(self) -> TokenPrice | None:
        """Dollars per million tokens; None where nobody said, and dollars are not counted."""
        ...

    @property
    def temperature(self) -> float | None:
        """Sampling temperature; None is the endpoint's default."""
        ...

    @property
    def max_tokens(self) -> int:
        """Longest reply."""
        ...

    @property
    def timeout(self) -> float:
        """Seconds until a request is given up."""
        ...

    @property
    def tokens_per_second(self) -> float:
        """What the endpoint is estimated to deliver."""
        ...

    @property
    def response_format(self) -> str | None:
        """`json_schema` where the endpoint is to hold the model to it."""
        ...

    @property
    def extra(self) -> dict[str, Any]:
        """Further request fields."""
        ...


class SpendLimits(Protocol):
    """What may be spent at the most; None is no limit."""

    @property
    def calls(self) -> int | None:
        """HTTP requests."""
        ...

    @property
    def tokens(self) -> int | None:
        """Prompt and completion tokens together."""
        ...

    @property
    def usd(self) -> float | None:
        """Dollars."""
        ...


def check_models(entries: Iterable[ModelEntry]) -> None:
    """Refuses entries that could not be told apart or would not do what they say.

    Raises:
        UserError: for two entries of one model name, or an `extra` that sets a field which has a key of its own.
    """
    entries = list(entries)
    twice = [name for name, count in Counter(entry.model for entry in entries).items() if count > 1]
    if twice:
        raise UserError(f"llm.models: {twice[0]!r} is named twice; give each entry a model name of its own")
    for entry in entries:
        taken = sorted(set(entry.extra) & set(OWN_FIELDS))
        if taken:
            raise UserError(
                f"llm.models: extra of {entry.model!r} must not set {taken[0]!r}; headscribe fills it in itself"
            )


def sampling(entry: ModelEntry) -> dict[str, Any]:
    """Request fields that decide what a reply may be: part of a call's key."""
    fields: dict[str, Any] = {} if entry.temperature is None else {"temperature": entry.temperature}
    # Some models know the longest reply by another name, and refuse both at once.
    if LENGTH_FIELD not in entry.extra:
        fields["max_tokens"] = entry.max_tokens
    if entry.response_format == "json_schema":
        schema = {"name": "programs", "strict": True, "schema": REPLY_SCHEMA}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    return fields | entry.extra


def adapted(entry: ModelEntry, refused: Collection[str]) -> dict[str, Any]:
    """As `sampling`, for a model that refuses some of `DISPENSABLE`."""
    fields = sampling(entry)
    if "temperature" in refused:
        fields.pop("temperature", None)
    if "max_tokens" in refused and "max_tokens" in fields:
        fields[LENGTH_FIELD] = fields.pop("max_tokens")
    return fields


def longest_reply(entry: ModelEntry) -> int:
    """Most completion tokens that a reply may have."""
    return int(entry.extra.get(LENGTH_FIELD, entry.max_tokens))

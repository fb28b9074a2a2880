"""What the client is told about models and limits; the configuration's sections fit these protocols as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

from fitness.errors import UserError

# Request fields that headscribe fills in itself; `extra` must leave them alone.
OWN_FIELDS = ("model", "messages", "temperature", "max_tokens", "n", "stream")
LENGTH_FIELD = "max_completion_tokens"


class TokenPrice(Protocol):
    """Dollars per million tokens."""

    @property
    def input(self) -> float:
        """Price of prompt tokens."""
        ...

    @property
    def output(self) -> float:
        """Price of completion tokens."""
        ...


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
    def price_per_million(self) -> TokenPrice:
        """Dollars per million tokens."""
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
    return fields | entry.extra


def longest_reply(entry: ModelEntry) -> int:
    """Most completion tokens that a reply may have."""
    return int(entry.extra.get(LENGTH_FIELD, entry.max_tokens))


def cost_usd(entry: ModelEntry, prompt_tokens: int, completion_tokens: int) -> float:
    """Dollars that a call of this size costs."""
    price = entry.price_per_million
    return (prompt_tokens * price.input + completion_tokens * price.output) / 1e6

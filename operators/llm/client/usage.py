"""Tokens of a call by kind, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol


@dataclass(frozen=True)
class Usage:
    """Tokens of one answer, as the endpoint counts them.

    Attributes:
        prompt_tokens: of the prompt, those that the endpoint had at hand included.
        completion_tokens: of the reply, thought included.
        reasoning_tokens: those of the reply that the model thought and did not say.
        cached_tokens: those of the prompt that the endpoint had at hand from an earlier one.
    """

    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0
    cached_tokens: int = 0

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Usage:
        """The tokens that the record of an answered call holds."""
        return cls(**{field.name: record.get(field.name, 0) for field in fields(cls)})


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

    @property
    def cached_input(self) -> float | None:
        """Price of prompt tokens that the endpoint has at hand; None is that of all."""
        ...

    @property
    def reasoning(self) -> float | None:
        """Price of completion tokens that are thought; None is that of all."""
        ...


def cost_usd(price: TokenPrice | None, usage: Usage) -> float:
    """Dollars that a call of this size costs; 0 where no price is known."""
    if price is None:
        return 0.0
    cached = price.input if price.cached_input is None else price.cached_input
    reasoning = price.output if price.reasoning is None else price.reasoning
    prompt = (usage.prompt_tokens - usage.cached_tokens) * price.input + usage.cached_tokens * cached
    said = usage.completion_tokens - usage.reasoning_tokens
    return (prompt + said * price.output + usage.reasoning_tokens * reasoning) / 1e6


def most_usd(price: TokenPrice | None, prompt_tokens: int, completion_tokens: int) -> float:
    """Most dollars that a call of this size can cost, whatever kinds its tokens are of."""
    kinds = (
        Usage(prompt_tokens, completion_tokens, reasoning, cached)
        for reasoning in (0, completion_tokens)
        for cached in (0, prompt_tokens)
    )
    return max(cost_usd(price, usage) for usage in kinds)

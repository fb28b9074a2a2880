"""The part of the configuration that names language models, and what they may cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from evolve.config.section import Count, Section


class Price(Section):
    """Dollars per million tokens."""

    input: Annotated[float, Field(ge=0)] = 0.0
    output: Annotated[float, Field(ge=0)] = 0.0


class LlmModel(Section):
    """One model behind an OpenAI-compatible endpoint.

    Attributes:
        model: name that the endpoint knows it by.
        base_url: the endpoint; None is the openai package's default.
        api_key_env: environment variable that holds the key; None for endpoints that want none.
        price_per_million: dollars per million tokens.
        temperature: sampling temperature, None for the endpoint's default.
        max_tokens: longest reply.
        timeout: seconds until a request is given up.
        tokens_per_second: what the endpoint is estimated to deliver, for weighing operators; nothing is timed.
        extra: further request fields, passed on as they are.
    """

    model: str
    base_url: str | None = None
    api_key_env: str | None = None
    price_per_million: Price = Price()
    temperature: Annotated[float, Field(ge=0)] | None = None
    max_tokens: Count = 1500
    timeout: Annotated[float, Field(gt=0)] = 120.0
    tokens_per_second: Annotated[float, Field(gt=0)] = 50.0
    extra: dict[str, Any] = {}


class LlmBudget(Section):
    """What may be spent at the most; None is no limit."""

    calls: Annotated[int, Field(ge=0)] | None = None
    tokens: Annotated[int, Field(ge=0)] | None = None
    usd: Annotated[float, Field(ge=0)] | None = None


class Llm(Section):
    """Language models that propose programs.

    Attributes:
        models: what to ask; without any, only offline operators run.
        max_in_flight: requests at a time.
        budget: what may be spent.
        on_failure: what to do when an endpoint stays down.
        prompts: a directory whose templates replace those of the same name.
        leave_out: parts of what prompts say of a head that are left out, to see what they are worth.
        repair_rounds: how often a failed program may be sent back.
        retries: how often a request is tried again after a rate limit, a timeout or a server error.
    """

    models: tuple[LlmModel, ...] = ()
    max_in_flight: Count = 8
    budget: LlmBudget = LlmBudget()
    on_failure: Literal["pause", "offline"] = "pause"
    prompts: Path | None = None
    leave_out: tuple[Literal["profile", "examples", "wrong", "right", "leads", "common_errors"], ...] = ()
    repair_rounds: Count = 2
    retries: Annotated[int, Field(ge=0)] = 4

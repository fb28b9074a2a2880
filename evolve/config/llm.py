"""The part of the configuration that names language models, and what they may cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from evolve.config.section import Count, Section
from operators.llm.client.endpoints import is_hosted

# Longest replies: models of services often think before they answer, and their thought counts.
HOSTED_TOKENS, LOCAL_TOKENS = 8000, 1500
Dollars = Annotated[float, Field(ge=0)]


class Price(Section):
    """Dollars per million tokens.

    Attributes:
        input: of prompts.
        output: of replies.
        cached_input: of what the endpoint has at hand of a prompt; None is `input`.
        reasoning: of what a model thinks and does not say; None is `output`.
    """

    input: Dollars = 0.0
    output: Dollars = 0.0
    cached_input: Dollars | None = None
    reasoning: Dollars | None = None


class LlmModel(Section):
    """One model behind an OpenAI-compatible endpoint.

    Attributes:
        model: name that the endpoint knows it by.
        base_url: the endpoint; None is the openai package's default.
        api_key_env: environment variable that holds the key; None for endpoints that want none.
        price_per_million: dollars per million tokens; None where they are not to be counted.
        temperature: sampling temperature, None for the endpoint's default.
        max_tokens: longest reply, thought included; left out, 8,000 of a service on the internet and 1,500 of a model
            on this machine or its network.
        timeout: seconds until a request is given up.
        tokens_per_second: what the endpoint is estimated to deliver, for weighing operators; nothing is timed.
        response_format: `json_schema` has the endpoint hold the model to a JSON object of programs.
        extra: further request fields, passed on as they are.
    """

    model: str
    base_url: str | None = None
    api_key_env: str | None = None
    price_per_million: Price | None = None
    temperature: Annotated[float, Field(ge=0)] | None = None
    max_tokens: Count = Field(
        default_factory=lambda data: HOSTED_TOKENS if is_hosted(data.get("base_url")) else LOCAL_TOKENS
    )
    timeout: Annotated[float, Field(gt=0)] = 120.0
    tokens_per_second: Annotated[float, Field(gt=0)] = 50.0
    response_format: Literal["json_schema"] | None = None
    extra: dict[str, Any] = {}


class LlmBudget(Section):
    """What may be spent at the most; None is no limit.

    Attributes:
        calls: requests.
        tokens: of prompts and replies together.
        usd: dollars.
        when_spent: whether the campaign then stops, or goes on with its offline operators; left out, it goes on where
            an offline operator has a share.
    """

    calls: Annotated[int, Field(ge=0)] | None = None
    tokens: Annotated[int, Field(ge=0)] | None = None
    usd: Annotated[float, Field(ge=0)] | None = None
    when_spent: Literal["stop", "offline"] | None = None


class Llm(Section):
    """Language models that propose programs.

    Attributes:
        models: what to ask; without any, only offline operators run.
        prices: a YAML file of prices by model, for entries without a price of their own; what it holds becomes theirs
            when the configuration is read, so that a run keeps the prices that it began with.
        max_in_flight: requests at a time.
        budget: what may be spent.
        on_failure: what to do when an endpoint stays down.
        prompts: a directory whose templates replace those of the same name, or a set that comes along: `brief`.
        leave_out: parts of what prompts say of a head that are left out, to see what they are worth.
        repair_rounds: how often a failed program may be sent back.
        retries: how often a request is tried again after a rate limit, a timeout or a server error.
    """

    models: tuple[LlmModel, ...] = ()
    prices: Path | None = None
    max_in_flight: Count = 8
    budget: LlmBudget = LlmBudget()
    on_failure: Literal["pause", "offline"] = "pause"
    prompts: Path | None = None
    leave_out: tuple[Literal["profile", "examples", "wrong", "losses", "right", "leads", "common_errors"], ...] = ()
    repair_rounds: Count = 2
    retries: Annotated[int, Field(ge=0)] = 4

    @property
    def unpriced(self) -> tuple[LlmModel, ...]:
        """Models of services of which no price is known."""
        return tuple(model for model in self.models if model.price_per_million is None and is_hosted(model.base_url))

    @model_validator(mode="after")
    def _dollars_are_counted(self) -> Llm:
        if self.budget.usd is not None and self.unpriced:
            raise ValueError(
                f"budget.usd cannot hold where no price of {self.unpriced[0].model!r} is known; give its "
                "price_per_million or a file of `prices`, or leave budget.usd out"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _with_prices(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or data.get("prices") is None:
            return data
        prices = _read_prices(Path(data["prices"]))
        entries = data.get("models") or ()
        if isinstance(entries, list | tuple) and all(isinstance(entry, Mapping) for entry in entries):
            entries = [{"price_per_million": prices.get(str(entry.get("model"))), **entry} for entry in entries]
        return {**data, "prices": None, "models": entries}


def _read_prices(path: Path) -> dict[str, Price]:
    """Prices by model.

    Raises:
        ValueError: where there are none to be read.
    """
    try:
        return TypeAdapter(dict[str, Price]).validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise ValueError(f"{path}: {place}: {problem['msg']}; a line is MODEL: {{input: 0.40, output: 1.60}}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"cannot read prices: {' '.join(str(error).split())}") from None

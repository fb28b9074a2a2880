"""`--llm-model` and `--llm-url`: any configuration, with one language model that proposes programs as well."""

from __future__ import annotations

import os
from typing import Any

from fitness.errors import UserError
from operators.llm.client.endpoints import key_variable
from operators.registry import LLM_OPERATORS

# Shares of the LLM operators where a configuration has none; with the presets' offline ones, about four slots in ten.
SHARES = {"fresh": 1, "mutate": 2, "crossover": 1, "repair": 1}


def with_model(data: dict[str, Any], offline: dict[str, float], model: str | None, url: str | None) -> dict[str, Any]:
    """The settings of a configuration with one model in place of those that it names; unchanged without a model.

    Args:
        data: the settings, not validated yet.
        offline: operators and shares of a configuration that names none.
        model: name that the endpoint knows the model by.
        url: the endpoint; None is the openai package's default.

    Raises:
        UserError: for an address without a model.
    """
    if model is None:
        if url is not None:
            raise UserError("--llm-url names an endpoint and no model; add --llm-model NAME")
        return data
    operators = dict(data.get("operators") or offline)
    if not any(operators.get(name) for name in LLM_OPERATORS):
        operators |= SHARES
    search = {"lag": 2, **(data.get("search") or {})}
    entry = {"model": model, "base_url": url, "api_key_env": key_variable(url, os.environ)}
    return data | {"operators": operators, "search": search, "llm": (data.get("llm") or {}) | {"models": [entry]}}

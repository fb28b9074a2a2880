"""Operators by name; each is imported when it is first asked for."""

from __future__ import annotations

from importlib import import_module

from operators.protocol import Operator, PromptOperator

OFFLINE_OPERATORS = {
    "residual": ("operators.residual", "Residual"),
    "genetic": ("operators.genetic", "Genetic"),
    "tweak": ("operators.tweak", "Tweak"),
    "constants": ("operators.constants", "Constants"),
    "simplify": ("operators.simplify", "Simplify"),
}
LLM_OPERATORS = {
    "fresh": ("operators.llm.fresh", "Fresh"),
    "mutate": ("operators.llm.mutate", "Mutate"),
    "crossover": ("operators.llm.crossover", "Crossover"),
    "repair": ("operators.llm.repair", "Repair"),
}


def get_operator(name: str) -> Operator | PromptOperator:
    """The operator of this name: an `Operator` where it is offline, a `PromptOperator` where it asks a language model.

    Raises:
        KeyError: for a name that is neither in `OFFLINE_OPERATORS` nor in `LLM_OPERATORS`.
    """
    module, attribute = (OFFLINE_OPERATORS | LLM_OPERATORS)[name]
    operator: Operator | PromptOperator = getattr(import_module(module), attribute)()
    return operator

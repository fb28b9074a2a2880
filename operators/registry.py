"""Operators by name; each is imported when it is first asked for. One's own are named `package.module:Name`."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from fitness.errors import UserError
from fitness.own import Own, find_own, is_own
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


def get_operator(name: str, own: Iterable[Own] = ()) -> Operator | PromptOperator:
    """The operator of this name: an `Operator` where it is offline, a `PromptOperator` where it asks a language model.

    Args:
        name: a built-in one, or `package.module:Name` of a class or an instance.
        own: operators that were given as objects.

    Raises:
        KeyError: for another name that is neither in `OFFLINE_OPERATORS` nor in `LLM_OPERATORS`.
        UserError: for one's own that cannot be imported, or is not an operator.
    """
    if is_own(name):
        return _own_operator(name, own)
    module, attribute = (OFFLINE_OPERATORS | LLM_OPERATORS)[name]
    operator: Operator | PromptOperator = getattr(import_module(module), attribute)()
    return operator


def _own_operator(name: str, own: Iterable[Own]) -> Operator:
    found = find_own(name, own)
    operator = found() if isinstance(found, type) else found
    parents = getattr(operator, "n_parents", None)
    if not isinstance(parents, int) or parents < 0:
        raise UserError(f"operators: {name!r} is not an operator: it needs `n_parents`, a number from 0 on")
    if not callable(getattr(operator, "propose", None)):
        raise UserError(f"operators: {name!r} is not an operator: it needs a method `propose(request, view)`")
    return operator

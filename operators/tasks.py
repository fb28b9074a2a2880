"""Tasks for worker processes: what operators do there, on the fit split alone."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fitness.program import Program
from fitness.scoring.worker import Evaluation, WorkerSpec, worker
from operators.protocol import PromptOperator, Proposal, Request
from operators.registry import get_operator


@dataclass(frozen=True)
class OperatorFailed:
    """An operator raised an exception; the message says where."""

    message: str


def propose_chunk(
    spec: WorkerSpec, requests: Sequence[tuple[str, Request]]
) -> list[list[Proposal] | dict[str, Any] | OperatorFailed]:
    """Answers requests in order: proposals of offline operators, prompt values of LLM operators."""
    view = worker(spec).view()
    answers: list[list[Proposal] | dict[str, Any] | OperatorFailed] = []
    for name, request in requests:
        operator = get_operator(name, spec.own)
        try:
            if isinstance(operator, PromptOperator):
                answers.append(operator.prompt(request, view))
            else:
                answers.append(operator.propose(request, view))
        except Exception as error:  # one broken operator must not end a campaign of days; it is counted and logged
            answers.append(_failed(name, error))
    return answers


def fit_chunk(
    spec: WorkerSpec, programs: Sequence[tuple[Program, int]]
) -> list[tuple[Proposal, Evaluation] | OperatorFailed | None]:
    """Fits the numbers of programs to a head each, on the fit split, and scores what that gives on the held-out texts.

    A language model gives the form of a program, and the fit its numbers.

    Returns:
        One entry per program, in order; None where fitting gains nothing.
    """
    # Loads what fits numbers, which only workers need.
    from operators.constants import with_fitted_numbers

    at_work = worker(spec)
    answers: list[tuple[Proposal, Evaluation] | OperatorFailed | None] = []
    for program, head in programs:
        try:
            fitted = with_fitted_numbers(program, head, at_work.view())
        except Exception as error:  # as above
            answers.append(_failed("constants", error))
            continue
        scored = None if fitted is None else (fitted, at_work.evaluate(fitted.program, "held_out", twice=True))
        answers.append(scored)
    return answers


def _failed(name: str, error: Exception) -> OperatorFailed:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return OperatorFailed(f"{name}: {type(error).__name__}: {error} ({frame.name}, line {frame.lineno})")

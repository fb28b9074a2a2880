"""Tasks for worker processes: what operators do there, on the fit split alone."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fitness.scoring.worker import WorkerSpec, worker
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
            frame = traceback.extract_tb(error.__traceback__)[-1]
            answers.append(
                OperatorFailed(f"{name}: {type(error).__name__}: {error} ({frame.name}, line {frame.lineno})")
            )
    return answers

"""LLM operator: a program that failed, or ran and says nothing, is sent back with what went wrong."""

from __future__ import annotations

from typing import Any

from fitness.failures import FailureKind
from fitness.sandbox import Outcome
from fitness.scoring.fit_view import FitView
from operators.llm.feedback import common_errors, repair_values
from operators.protocol import Failure, Request


class Repair:
    """Continues the conversation that a broken program came from."""

    name = "repair"
    n_parents = 1

    def prompt(self, request: Request, view: FitView) -> dict[str, Any]:
        """Plain values for the placeholders of `configs/prompts/repair.md`."""
        run = view.predictions(request.parents[0].program)
        return self.values(request, view, run if isinstance(run, Outcome) else None)

    def values(self, request: Request, view: FitView, failed: Outcome | None) -> dict[str, Any]:
        """As `prompt`, for a program that was run on the fit split already; `failed` is how it failed there."""
        parent = request.parents[0]
        failure = parent.failure or Failure(FailureKind.DEGENERATE, "the program says nothing about the head")
        if failed is not None and failed.failure is not None:
            failure = Failure(failed.failure, failed.message, failed.line)
        else:
            failure = Failure(failure.kind, failure.kind.told(failure.message), failure.line)
        values = repair_values(request.label, parent.program.source, failure)
        sizes = [text.n for text in view.texts]
        return values | {"sizes": {"least": min(sizes), "most": max(sizes)}, "common_errors": common_errors(request)}

"""LLM operator: a program that failed, or ran and said nothing, is sent back with what went wrong."""

from __future__ import annotations

from typing import Any

from fitness.sandbox import Outcome
from fitness.scoring.fit_view import FitView
from operators.llm.feedback import common_errors, quote_error
from operators.protocol import Failure, Request

# Failures that are the source's own: their messages cannot hold words of held-out texts.
ABOUT_SOURCE = frozenset({"syntax", "rejected", "degenerate", "timeout", "memory", "too long"})


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
        failure = parent.failure or Failure("degenerate", "the program says nothing about the head")
        if failed is not None:
            failure = Failure(failed.kind, failed.message, failed.line)
        elif failure.kind not in ABOUT_SOURCE:
            failure = Failure(failure.kind, "", failure.line)
        values = repair_values(request.label, parent.program.source, failure)
        sizes = [text.n for text in view.texts]
        return values | {"sizes": {"least": min(sizes), "most": max(sizes)}, "common_errors": common_errors(request)}


def repair_values(label: str, source: str, failure: Failure) -> dict[str, Any]:
    """What is said of one failure.

    Args:
        label: name of the head.
        source: what failed; need not be a program.
        failure: how it failed, its message fit to be shown.
    """
    lines = source.split("\n")
    known = failure.line is not None and 0 < failure.line <= len(lines)
    return {
        "label": label,
        "program": source,
        "kind": failure.kind,
        "message": quote_error(failure.message) if failure.message else "",
        "line": failure.line if known else None,
        "source_line": lines[failure.line - 1].strip() if known and failure.line else "",
        "sizes": None,
        "common_errors": [],
    }

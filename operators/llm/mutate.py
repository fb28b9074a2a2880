"""LLM operator: a better version of an elite, from where it is wrong and where it is right."""

from __future__ import annotations

from typing import Any

import numpy as np

from fitness.sandbox import Outcome
from fitness.scoring.fit_view import FitView
from operators.llm.feedback import common_errors, compared_rows, draw, losses, profile, quote, quote_error, row_overlaps
from operators.protocol import Request

WRONG_TEXTS = 2
WRONG_ROWS = 3
RIGHT_ROWS = 2


class Mutate:
    """Shows an elite with its held-out IoU and, on fit texts, wanted against predicted weights."""

    name = "mutate"
    n_parents = 1

    def prompt(self, request: Request, view: FitView) -> dict[str, Any]:
        """Plain values for the placeholders of `configs/prompts/mutate.md`."""
        return self.values(request, view, view.predictions(request.parents[0].program))

    def values(self, request: Request, view: FitView, predictions: np.ndarray | Outcome) -> dict[str, Any]:
        """As `prompt`, for an elite that was run on the fit split already."""
        parent = request.parents[0]
        values = {
            "label": request.label,
            "causal": view.causal,
            "program": parent.program.source,
            "iou": f"{parent.iou:.3f}",
            "profile": profile(view, request.head),
            "common_errors": common_errors(request),
            "failure": None,
            "losses": [],
            "wrong": [],
            "right": None,
        }
        if isinstance(predictions, Outcome):
            failure = {"kind": predictions.kind, "message": quote_error(predictions.message), "line": predictions.line}
            return values | {"failure": failure}
        rng = np.random.default_rng(request.seed)
        ious = view.iou_texts(predictions, request.head)
        order = np.argsort(ious, kind="stable")

        def shown(text: int, rows: int, wrong: bool) -> dict[str, Any]:
            ranked = _ranked(row_overlaps(view, predictions, request.head, text))
            drawn = draw(rng, ranked if wrong else ranked[::-1], rows)
            return {
                "text": quote(view.texts[text].string),
                "iou": f"{ious[text]:.2f}",
                "rows": compared_rows(view, request.head, text, drawn, predicted=predictions),
            }

        wrong = [shown(int(text), WRONG_ROWS, True) for text in draw(rng, order, WRONG_TEXTS)]
        values |= {"losses": losses(view, predictions, request.head)}
        return values | {"wrong": wrong, "right": shown(int(order[-1]), RIGHT_ROWS, False)}


def _ranked(overlaps: np.ndarray) -> np.ndarray:
    """Rows from the least overlap to the most; the first row has nothing to choose from."""
    return 1 + np.argsort(overlaps[1:], kind="stable")

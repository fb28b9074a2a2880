"""LLM operator: one program out of two that are good on different texts of a head."""

from __future__ import annotations

from typing import Any

import numpy as np

from fitness.sandbox import Outcome
from fitness.scoring.fit_view import FitView
from operators.llm.feedback import common_errors, compared_rows, draw, losses, profile, quote, quote_error, row_overlaps
from operators.protocol import Request

TEXTS_EACH = 2
ROWS = 2


class Crossover:
    """Shows two elites of different cells, and the fit texts on which each is the better one."""

    name = "crossover"
    n_parents = 2

    def prompt(self, request: Request, view: FitView) -> dict[str, Any]:
        """Plain values for the placeholders of `configs/prompts/crossover.md`."""
        return self.values(request, view, [view.predictions(parent.program) for parent in request.parents])

    def values(self, request: Request, view: FitView, predictions: list[np.ndarray | Outcome]) -> dict[str, Any]:
        """As `prompt`, for elites that were run on the fit split already."""
        programs = [
            {
                "program": parent.program.source,
                "iou": f"{parent.iou:.3f}",
                "losses": losses(view, run, request.head) if isinstance(run, np.ndarray) else [],
                "failure": f"{run.kind}: {quote_error(run.message)}" if isinstance(run, Outcome) else None,
            }
            for parent, run in zip(request.parents, predictions, strict=True)
        ]
        ran = [run for run in predictions if isinstance(run, np.ndarray)]
        return {
            "label": request.label,
            "causal": view.causal,
            "programs": programs,
            "leads": self._leads(request, view, ran) if len(ran) == 2 else [],
            "profile": profile(view, request.head),
            "common_errors": common_errors(request),
        }

    def _leads(self, request: Request, view: FitView, ran: list[np.ndarray]) -> list[dict[str, Any]]:
        """Texts on which either program leads, with the rows in which it leads most."""
        rng = np.random.default_rng(request.seed)
        ious = np.stack([view.iou_texts(flat, request.head) for flat in ran])
        leads = []
        for better, other in ((0, 1), (1, 0)):
            lead = ious[better] - ious[other]
            order = np.argsort(-lead, kind="stable")
            for text in draw(rng, order[lead[order] > 0], TEXTS_EACH):
                overlaps = [row_overlaps(view, flat, request.head, text) for flat in ran]
                rows = draw(rng, np.argsort(overlaps[other] - overlaps[better], kind="stable"), ROWS)
                leads.append(
                    {
                        "better": better + 1,
                        "text": quote(view.texts[text].string),
                        "ious": [f"{value:.2f}" for value in ious[:, text]],
                        "rows": compared_rows(view, request.head, int(text), rows, first=ran[0], second=ran[1]),
                    }
                )
        return leads

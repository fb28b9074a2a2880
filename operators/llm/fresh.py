"""LLM operator: a program from scratch, from where the head looks."""

from __future__ import annotations

from typing import Any

import numpy as np

from fitness.scoring.fit_view import FitView
from operators.llm.feedback import common_errors, profile, strongest_pairs
from operators.protocol import Request


class Fresh:
    """Shows the head's strongest token pairs and asks for programs that explain them."""

    name = "fresh"
    n_parents = 0

    def prompt(self, request: Request, view: FitView) -> dict[str, Any]:
        """Plain values for the placeholders of `configs/prompts/fresh.md`."""
        return {
            "label": request.label,
            "causal": view.causal,
            "examples": strongest_pairs(view, request.head, np.random.default_rng(request.seed)),
            "profile": profile(view, request.head),
            "common_errors": common_errors(request),
        }

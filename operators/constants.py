"""Fits the numbers in a program to a head's attention on the fit split."""

from __future__ import annotations

from fitness.scoring.fit_view import FitView
from operators.protocol import Proposal, Request
from operators.shared.docstrings import proposal
from operators.shared.fit_numbers import fit_numbers
from operators.shared.fit_scoring import fit_scorer
from operators.shared.syntax_trees import tree_of

MIN_GAIN = 0.0005


class Constants:
    """Proposes the parent with its numbers fitted."""

    name = "constants"
    n_parents = 1

    def propose(self, request: Request, view: FitView) -> list[Proposal]:
        """The fitted parent; nothing where it has no numbers or nothing is gained."""
        if not request.parents:
            return []
        scorer = fit_scorer(view)
        tree = tree_of(request.parents[0].program)
        before = scorer.iou(tree, request.head)
        fitted, after = fit_numbers(tree, request.head, scorer)
        if after < before + MIN_GAIN:
            return []
        return [proposal(fitted, f"fit IoU {before:.3f} -> {after:.3f}")]

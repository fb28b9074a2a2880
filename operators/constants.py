"""Fits the numbers in a program to a head's attention on the fit split."""

from __future__ import annotations

import ast

from fitness.program import Program
from fitness.scoring.fit_view import FitView
from operators.protocol import Proposal, Request
from operators.shared.docstrings import described, proposal
from operators.shared.fit_numbers import fit_numbers
from operators.shared.fit_scoring import fit_scorer
from operators.shared.syntax_trees import to_source, tree_of

MIN_GAIN = 0.0005


class Constants:
    """Proposes the parent with its numbers fitted."""

    name = "constants"
    n_parents = 1

    def propose(self, request: Request, view: FitView) -> list[Proposal]:
        """The fitted parent; nothing where it has no numbers or nothing is gained."""
        if not request.parents:
            return []
        fit = _fitted(request.parents[0].program, request.head, view)
        return [proposal(*fit)] if fit else []


def with_fitted_numbers(program: Program, head: int, view: FitView) -> Proposal | None:
    """A program as it is, docstring included, but for its numbers; None where it has none or nothing is gained."""
    fit = _fitted(program, head, view)
    if fit is None:
        return None
    tree, note = fit
    doc = None if program.docstring else described(tree)
    return Proposal(Program.parse(to_source(tree, doc)), f"numbers fitted, {note}")


def _fitted(program: Program, head: int, view: FitView) -> tuple[ast.Module, str] | None:
    """The tree with its numbers fitted, and what that is worth on the fit split; None where it is worth nothing."""
    scorer = fit_scorer(view)
    tree = tree_of(program)
    before = scorer.iou(tree, head)
    fitted, after = fit_numbers(tree, head, scorer)
    return None if after < before + MIN_GAIN else (fitted, f"fit IoU {before:.3f} -> {after:.3f}")

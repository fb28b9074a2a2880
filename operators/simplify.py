"""Shortens a program: leaves out what a head's IoU on the fit split does not miss."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from fitness.scoring.fit_view import FitView
from operators.protocol import Proposal, Request
from operators.shared.docstrings import proposal
from operators.shared.fit_numbers import fit_numbers
from operators.shared.fit_scoring import FitScorer, fit_scorer
from operators.shared.syntax_trees import (
    Place,
    copy_of,
    drop_idle_lines,
    length_of,
    places_of,
    rounded,
    tree_of,
)
from operators.shared.tree_evaluation import Unsupported

TOLERANCE = 0.002
PLAIN_TRIALS = 40
SANDBOX_TRIALS = 16
POLISH = 30


class Simplify:
    """Proposes the parent without the parts that hardly matter."""

    name = "simplify"
    n_parents = 1

    def propose(self, request: Request, view: FitView) -> list[Proposal]:
        """The shortened parent; nothing where every part matters."""
        if not request.parents:
            return []
        scorer = fit_scorer(view)
        tree = tree_of(request.parents[0].program)
        before = scorer.iou(tree, request.head)
        if before < 0:
            return []
        shorter = shortened(tree, request.head, scorer, floor=before - TOLERANCE)
        saved = length_of(tree) - length_of(shorter)
        if saved <= 0:
            return []
        fitted, after = fit_numbers(shorter, request.head, scorer, evaluations=POLISH)
        note = f"{saved} characters shorter, fit IoU {before:.3f} -> {after:.3f}"
        return [proposal(fitted, note)]


def shortened(tree: ast.Module, head: int, scorer: FitScorer, *, floor: float) -> ast.Module:
    """The program without what can be left out, one part after the other, while its IoU stays at the floor or above.

    Args:
        tree: the program; left unchanged.
        head: flat index of the head.
        scorer: tries the programs.
        floor: least mean IoU on the sample.
    """
    limit = PLAIN_TRIALS
    try:
        scorer.weights(tree)
    except Unsupported:
        limit = SANDBOX_TRIALS
    tree = copy_of(tree)
    tried = []
    for order, reduction in enumerate(sorted(_reductions(tree), key=lambda reduction: -reduction.saved)[:limit]):
        reduction.place.put(reduction.new)
        iou = scorer.iou(tree, head)
        reduction.place.put(reduction.old)
        if iou >= floor:
            tried.append((-reduction.saved, -iou, order, reduction))
    for _, _, _, reduction in sorted(tried, key=lambda t: t[:3]):
        if reduction.place.node is not reduction.old:
            continue
        # A part may lie within another that is gone already; then this changes nothing, and does no harm.
        reduction.place.put(reduction.new)
        if scorer.iou(tree, head) < floor:
            reduction.place.put(reduction.old)
    return drop_idle_lines(tree)


@dataclass(frozen=True)
class _Reduction:
    """One expression of a program and what could stand in its place, so many characters shorter."""

    place: Place
    old: ast.expr
    new: ast.expr
    saved: int


def _reductions(tree: ast.Module) -> list[_Reduction]:
    """Every way to leave out one term, factor, condition or listed token, or digits of one number."""
    found = []
    for place in places_of(tree):
        old = place.node
        length = len(ast.unparse(old))
        for new in _shorter(old):
            saved = length - len(ast.unparse(new))
            if saved > 0:
                found.append(_Reduction(place, old, new, saved))
    return found


def _shorter(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.BitAnd, ast.BitOr)):
        # What is left of a difference is its left side: the right one would be of the wrong sign.
        sides = [node.left] if isinstance(node.op, ast.Sub) else [node.left, node.right]
        return [side for side in sides if not isinstance(side, ast.Constant)]
    if isinstance(node, (ast.List, ast.Tuple)) and len(node.elts) > 1:
        if not all(isinstance(element, ast.Constant) and isinstance(element.value, str) for element in node.elts):
            return []
        half = len(node.elts) // 2
        return [ast.List(part, ast.Load()) for part in (node.elts[:half], node.elts[half:])]
    if isinstance(node, ast.Constant) and isinstance(node.value, float):
        return [ast.Constant(rounded(node.value, 1))]
    return []

"""Shortens a program: leaves out what a head's IoU on the fit split does not miss."""

from __future__ import annotations

import ast
from dataclasses import dataclass

import numpy as np

from fitness.scoring.fit_view import FitView
from operators.constants import fit_numbers
from operators.protocol import Proposal, Request
from operators.shared.docstrings import proposal
from operators.shared.fit_scoring import Trial, trial_of
from operators.shared.syntax_trees import (
    Slot,
    changing_lines,
    copy_of,
    drop_idle_lines,
    entry,
    length_of,
    rounded,
    slots_of,
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
        trial = trial_of(view)
        tree = tree_of(request.parents[0].program)
        before = trial.iou(tree, request.head)
        if before < 0:
            return []
        shorter = shortened(tree, request.head, trial, floor=before - TOLERANCE)
        saved = length_of(tree) - length_of(shorter)
        if saved <= 0:
            return []
        fitted, after = fit_numbers(shorter, request.head, trial, evaluations=POLISH)
        note = f"{saved} characters shorter, fit IoU {before:.3f} -> {after:.3f}"
        return [proposal(fitted, note)]


def shortened(tree: ast.Module, head: int, trial: Trial, *, floor: float) -> ast.Module:
    """The program without what can be left out, one part after the other, while its IoU stays at the floor or above.

    Args:
        tree: the program; left unchanged.
        head: flat index of the head.
        trial: tries the programs.
        floor: least mean IoU on the sample.
    """
    limit = PLAIN_TRIALS
    try:
        trial.weights(tree)
    except Unsupported:
        limit = SANDBOX_TRIALS
    tree = copy_of(tree)
    tried = []
    for order, reduction in enumerate(sorted(_reductions(tree), key=lambda reduction: -reduction.saved)[:limit]):
        reduction.slot.put(reduction.new)
        iou = trial.iou(tree, head)
        reduction.slot.put(reduction.old)
        if iou >= floor:
            tried.append((-reduction.saved, -iou, order, reduction))
    for _, _, _, reduction in sorted(tried, key=lambda t: t[:3]):
        if reduction.slot.node is not reduction.old:
            continue
        # A part may lie within another that is gone already; then this changes nothing, and does no harm.
        reduction.slot.put(reduction.new)
        if trial.iou(tree, head) < floor:
            reduction.slot.put(reduction.old)
    return drop_idle_lines(tree)


def without_weakest_lines(
    tree: ast.Module, head: int, trial: Trial, *, most: int, lists: int, loss: float
) -> ast.Module:
    """The program without the lines that matter least: those above a number, and those whose loss is small.

    Args:
        tree: a plain program; left unchanged.
        head: flat index of the head.
        trial: tries the programs.
        most: how many lines that change the weights may stay.
        lists: how many of them may hold a list of tokens.
        loss: a line whose leaving lowers the mean IoU by less goes in any case.
    """
    tree = copy_of(tree)
    body = entry(tree).body
    iou = trial.plain_iou(tree, head)
    while lines := changing_lines(tree):
        listing = [line for line in lines if "np.isin" in ast.unparse(line)]
        offered = listing if len(listing) > lists else lines
        left = []
        for line in offered:
            place = body.index(line)
            body.remove(line)
            left.append(trial.plain_iou(tree, head))
            body.insert(place, line)
        best = int(np.argmax(left))
        if len(lines) <= most and offered is lines and left[best] < iou - loss:
            break
        body.remove(offered[best])
        iou = left[best]
    return tree


@dataclass(frozen=True)
class _Reduction:
    """One expression of a program and what could stand in its place, so many characters shorter."""

    slot: Slot
    old: ast.expr
    new: ast.expr
    saved: int


def _reductions(tree: ast.Module) -> list[_Reduction]:
    """Every way to leave out one term, factor, condition or listed token, or digits of one number."""
    found = []
    for slot in slots_of(tree):
        old = slot.node
        length = len(ast.unparse(old))
        for new in _shorter(old):
            saved = length - len(ast.unparse(new))
            if saved > 0:
                found.append(_Reduction(slot, old, new, saved))
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

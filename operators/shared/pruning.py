"""Takes out of a program the lines that matter least for a head, while operators are still building it."""

from __future__ import annotations

import ast

import numpy as np

from operators.shared.fit_scoring import FitScorer
from operators.shared.syntax_trees import changing_lines, copy_of, entry


def without_weakest_lines(
    tree: ast.Module, head: int, scorer: FitScorer, *, most: int, lists: int, loss: float
) -> ast.Module:
    """The program without the lines that matter least: those above a number, and those whose loss is small.

    Args:
        tree: a plain program; left unchanged.
        head: flat index of the head.
        scorer: tries the programs.
        most: how many lines that change the weights may stay.
        lists: how many of them may hold a list of tokens.
        loss: a line whose leaving lowers the mean IoU by less goes in any case.
    """
    tree = copy_of(tree)
    body = entry(tree).body
    iou = scorer.plain_iou(tree, head)
    while lines := changing_lines(tree):
        listing = [line for line in lines if "np.isin" in ast.unparse(line)]
        offered = listing if len(listing) > lists else lines
        left = []
        for line in offered:
            place = body.index(line)
            body.remove(line)
            left.append(scorer.plain_iou(tree, head))
            body.insert(place, line)
        best = int(np.argmax(left))
        if len(lines) <= most and offered is lines and left[best] < iou - loss:
            break
        body.remove(offered[best])
        iou = left[best]
    return tree

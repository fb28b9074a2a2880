"""Fits the numbers of a program to a head's attention on the fit split, by Powell's line searches (Powell 1964)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import minimize

from operators.shared.fit_scoring import FitScorer
from operators.shared.syntax_trees import copy_of, rounded
from operators.shared.tree_evaluation import Unsupported

PLAIN_EVALUATIONS = 120
SANDBOX_EVALUATIONS = 24


def fit_numbers(
    tree: ast.Module, head: int, scorer: FitScorer, evaluations: int | None = None
) -> tuple[ast.Module, float]:
    """Fits a program's numbers; those of plain programs at once, those of others in a few runs of the sandbox.

    Numbers keep their sign; they are searched for on a logarithmic scale and end up with two significant digits.

    Args:
        tree: the program; left unchanged.
        head: flat index of the head.
        scorer: tries the programs.
        evaluations: at most so many, or None for as many as are cheap.

    Returns:
        The fitted program and its mean IoU on the sample, -1 where it does not run; never worse than the program given.
    """
    fitted = copy_of(tree)
    numbers = numbers_of(fitted)
    score: Callable[[ast.Module, int], float] = scorer.plain_iou
    limit = evaluations or PLAIN_EVALUATIONS
    try:
        scorer.weights(fitted)
    except Unsupported:
        score, limit = scorer.iou, min(limit, SANDBOX_EVALUATIONS)
    start = np.array([float(number.value) for number in numbers])  # type: ignore[arg-type]
    best, best_iou = start, score(fitted, head)
    if best_iou < 0 or not len(numbers):
        return fitted, best_iou

    def loss(logs: np.ndarray) -> float:
        nonlocal best, best_iou
        values = [rounded(value, 3) for value in start * np.exp(np.clip(logs, -6, 6))]
        _set(numbers, values)
        iou = score(fitted, head)
        if iou > best_iou:
            best, best_iou = np.array(values), iou
        return -iou

    minimize(loss, np.zeros(len(numbers)), method="Powell", options={"maxfev": limit, "xtol": 0.02, "ftol": 1e-4})
    for digits in (2, 3):
        _set(numbers, [_written(rounded(value, digits)) for value in best])
        iou = score(fitted, head)
        if iou > best_iou - 0.0005:
            return fitted, iou
    return fitted, iou


def numbers_of(tree: ast.Module) -> list[ast.Constant]:
    """The numbers that can be fitted, in the order of the source: positive floats, and integers that scale something.

    Integers in comparisons, indices and calls choose or shape; they are not quantities.
    """
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp):
            scales = isinstance(node.op, (ast.Mult, ast.Div, ast.Pow))
            for side in (node.left, node.right):
                if isinstance(side, ast.Constant) and (_is_float(side) or (scales and _is_int(side))):
                    found.append(side)
        elif isinstance(node, (ast.Call, ast.UnaryOp, ast.Compare)):
            found += [
                child for child in ast.iter_child_nodes(node) if isinstance(child, ast.Constant) and _is_float(child)
            ]
    return [number for number in found if float(number.value) > 0]  # type: ignore[arg-type]


def _is_float(node: ast.Constant) -> bool:
    return isinstance(node.value, float)


def _is_int(node: ast.Constant) -> bool:
    return isinstance(node.value, int) and not isinstance(node.value, bool)


def _set(numbers: list[ast.Constant], values: Sequence[float]) -> None:
    for number, value in zip(numbers, values, strict=True):
        number.value = value


def _written(value: float) -> float:
    """Larger whole numbers are written without a point."""
    return int(value) if value >= 10 and value.is_integer() else value

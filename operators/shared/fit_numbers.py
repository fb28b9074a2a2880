"""Fits the numbers of a program to a head's attention on the fit split.

Those of plain programs go up the exact gradient of the IoU (L-BFGS-B: Byrd, Lu, Nocedal and Zhu 1995); what has none,
because only the sandbox can run it, is left to line searches (Powell 1964).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from scipy.optimize import minimize

from operators.shared.fit_scoring import FitScorer
from operators.shared.gradients import Differentiator
from operators.shared.syntax_trees import copy_of, rounded
from operators.shared.tree_evaluation import Unsupported

GRADIENT_EVALUATIONS = 30
LINE_EVALUATIONS = 120
SANDBOX_EVALUATIONS = 24
# Numbers may change by a factor of e to the power of this.
REACH = 6.0
ROUNDING_LOSS = 0.0005


def fit_numbers(
    tree: ast.Module, head: int, scorer: FitScorer, evaluations: int | None = None
) -> tuple[ast.Module, float]:
    """Fits a program's numbers.

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
    if not numbers or not scorer.is_plain(fitted):
        return fit_by_line_searches(tree, head, scorer, min(evaluations or SANDBOX_EVALUATIONS, SANDBOX_EVALUATIONS))
    start = _values(numbers)
    try:
        best, best_iou = _climb(fitted, numbers, start, head, scorer, evaluations or GRADIENT_EVALUATIONS)
    except Unsupported:  # a number in a place that has no derivative
        return fit_by_line_searches(tree, head, scorer, evaluations or LINE_EVALUATIONS)
    return _read(fitted, numbers, start, best, best_iou, lambda: scorer.plain_iou(fitted, head))


def fit_by_line_searches(tree: ast.Module, head: int, scorer: FitScorer, limit: int) -> tuple[ast.Module, float]:
    """The same without derivatives: one number after the other, at most `limit` evaluations."""
    fitted = copy_of(tree)
    numbers = numbers_of(fitted)
    score = scorer.plain_iou if scorer.is_plain(fitted) else scorer.iou
    start = _values(numbers)
    best, best_iou = start, score(fitted, head)
    if best_iou < 0 or not numbers:
        return fitted, best_iou

    def loss(logs: np.ndarray) -> float:
        nonlocal best, best_iou
        values = start * np.exp(np.clip(logs, -REACH, REACH))
        _set(numbers, values)
        iou = score(fitted, head)
        if iou > best_iou:
            best, best_iou = values, iou
        return -iou

    minimize(loss, np.zeros(len(start)), method="Powell", options={"maxfev": limit, "xtol": 0.02, "ftol": 1e-4})
    return _read(fitted, numbers, start, best, best_iou, lambda: score(fitted, head))


def _climb(
    tree: ast.Module, numbers: Sequence[ast.Constant], start: np.ndarray, head: int, scorer: FitScorer, limit: int
) -> tuple[np.ndarray, float]:
    """(numbers,) the best values met on the way up the gradient, and their IoU."""
    differentiator = Differentiator(scorer.evaluator, numbers)
    best, best_iou = start, -1.0

    def loss(logs: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal best, best_iou
        values = start * np.exp(logs)
        _set(numbers, values)
        try:
            weights = differentiator.weights(tree)
        except Unsupported:
            if best_iou < 0:
                raise
            return 0.0, np.zeros(len(logs))  # a step too far: the weights left the contract
        iou, slope = scorer.sample.iou_and_gradient(weights, head)
        if iou > best_iou:
            best, best_iou = values, iou
        return -iou, -np.nan_to_num(differentiator.gradient(slope) * values)

    bounds = [(-REACH, REACH)] * len(start)
    options = {"maxfun": limit, "maxiter": limit, "ftol": 1e-5, "gtol": 1e-6}
    minimize(loss, np.zeros(len(start)), method="L-BFGS-B", jac=True, bounds=bounds, options=options)
    return best, best_iou


def _read(
    tree: ast.Module,
    numbers: Sequence[ast.Constant],
    start: np.ndarray,
    best: np.ndarray,
    best_iou: float,
    score: Callable[[], float],
) -> tuple[ast.Module, float]:
    """The tree with the best values in two significant digits, in three where two lose too much, or as it was."""
    iou = -1.0
    for values in ([rounded(value) for value in best], [rounded(value, 3) for value in best], start):
        _set(numbers, values)
        iou = score()
        if iou > best_iou - ROUNDING_LOSS:
            break
    return tree, iou


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


def _values(numbers: Sequence[ast.Constant]) -> np.ndarray:
    return np.array([float(number.value) for number in numbers])  # type: ignore[arg-type]


def _set(numbers: Sequence[ast.Constant], values: Iterable[float]) -> None:
    for number, value in zip(numbers, values, strict=True):
        number.value = _written(float(value))


def _written(value: float) -> float:
    """Larger whole numbers are written without a point."""
    return int(value) if value >= 10 and value.is_integer() else value

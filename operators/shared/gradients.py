"""Derivatives of a plain program's weights by its numbers: reverse accumulation over one evaluation of its tree."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from operators.shared.tree_evaluation import Evaluator, Unsupported, Value

# Name of an operation -> derivative by each operand, from (operands, result); a number where it is constant.
_DERIVATIVES: dict[str, tuple[float | Callable[..., Any], ...]] = {
    "Add": (1.0, 1.0),
    "Sub": (1.0, -1.0),
    "Mult": (lambda a, b, out: b, lambda a, b, out: a),
    "Div": (lambda a, b, out: 1 / b, lambda a, b, out: -out / b),
    "Pow": (lambda a, b, out: b * np.power(a, b - 1), lambda a, b, out: out * np.log(np.where(a > 0, a, 1))),
    "USub": (-1.0,),
    "exp": (lambda a, out: out,),
    "expm1": (lambda a, out: out + 1,),
    "log": (lambda a, out: 1 / a,),
    "log1p": (lambda a, out: 1 / (1 + a),),
    "sqrt": (lambda a, out: 0.5 / out,),
    "square": (lambda a, out: 2 * a,),
    "abs": (lambda a, out: np.sign(a),),
    "minimum": (lambda a, b, out: a <= b, lambda a, b, out: b < a),
    "maximum": (lambda a, b, out: a >= b, lambda a, b, out: b > a),
    "where": (0.0, lambda c, a, b, out: c, lambda c, a, b, out: np.logical_not(c)),
    "index": (1.0,),
    "row_sum": (1.0,),
}
_DERIVATIVES |= {
    "add": _DERIVATIVES["Add"],
    "subtract": _DERIVATIVES["Sub"],
    "multiply": _DERIVATIVES["Mult"],
    "divide": _DERIVATIVES["Div"],
    "power": _DERIVATIVES["Pow"],
    "absolute": _DERIVATIVES["abs"],
}
_STEPS = frozenset("Eq NotEq Lt LtE Gt GtE equal not_equal less less_equal greater greater_equal".split())


class Differentiator(Evaluator):
    """Evaluates a program, remembering what depends on its numbers, and carries derivatives back to them.

    Comparisons are flat almost everywhere, so numbers in them have derivative 0.

    Args:
        evaluator: shares its sample, and what it remembers of subexpressions without numbers.
        numbers: the constants of one tree, the only one to be evaluated; its other constants are fixed.
    """

    def __init__(self, evaluator: Evaluator, numbers: Sequence[ast.Constant]) -> None:
        super().__init__(evaluator.sample, evaluator)
        self._numbers = {id(number): place for place, number in enumerate(numbers)}
        self._leaves: list[tuple[int, Value]] = []
        self._tape: list[tuple[str, list[Value], Value]] = []
        self._live: set[int] = set()
        self._fixed: dict[int, tuple[ast.expr, Value]] = {}
        self._last: Value | None = None

    def weights(self, tree: ast.Module) -> np.ndarray:
        """(N,) float32 weights of a program; `Evaluator.weights`, with the way back kept."""
        self._leaves, self._tape, self._live, self._last = [], [], set(), None
        return super().weights(tree)

    def value(self, node: ast.expr, names: dict[str, Value]) -> Value:
        """Evaluates one expression."""
        if id(node) in self._fixed:
            return self._fixed[id(node)][1]
        if id(node) not in self._numbers:
            found = super().value(node, names)
            if found.key is not None:
                # Free of numbers, so the same at every evaluation; a name keeps its place in the one tree.
                self._fixed[id(node)] = node, found
            return found
        leaf = Value(float(node.value), "number", None)  # type: ignore[attr-defined]
        self._leaves.append((self._numbers[id(node)], leaf))
        self._live.add(id(leaf))
        return leaf

    def _checked(self, value: Value) -> np.ndarray:
        self._last = value
        return super()._checked(value)

    def _noted(self, name: str, operands: list[Value], result: Value) -> Value:
        if name in _STEPS or not any(id(operand) in self._live for operand in operands):
            return result
        if name not in _DERIVATIVES:
            raise Unsupported(f"a number within {name}")
        self._tape.append((name, operands, result))
        self._live.add(id(result))
        return result

    def gradient(self, slope: np.ndarray) -> np.ndarray:
        """(numbers,) float64 derivatives of a quantity by each number.

        Args:
            slope: (N,) its derivatives by the weights of the last program evaluated.
        """
        assert self._last is not None, "evaluate a program first"
        slopes: dict[int, Any] = {id(self._last): slope}
        with np.errstate(all="ignore"):
            for name, operands, result in reversed(self._tape):
                upper = slopes.pop(id(result), None)
                if upper is None:
                    continue
                arrays: list[Any] = []
                for operand, derivative in zip(operands, _DERIVATIVES[name], strict=True):
                    if id(operand) not in self._live:
                        continue
                    if callable(derivative):
                        arrays = arrays or [self._lifted(v) if result.axis == "pair" else v.array for v in operands]
                        derivative = derivative(*arrays, result.array)
                    share = self._gathered(upper, derivative, result, operand)
                    known = slopes.get(id(operand))
                    slopes[id(operand)] = share if known is None else known + share
        found = np.zeros(len(self._numbers))
        for place, leaf in self._leaves:
            found[place] += float(slopes.get(id(leaf), 0.0))
        return found

    def _gathered(self, upper: Any, derivative: Any, result: Value, operand: Value) -> Any:
        """Derivative by an operand, summed over those elements of the result that one of its elements went to."""
        if operand.axis == "number":
            if np.ndim(upper) == 0 or np.ndim(derivative) == 0:
                return float(np.sum(upper * derivative, dtype=np.float64))
            return float(np.dot(upper, np.asarray(derivative, dtype=np.float32)))
        slope = upper if isinstance(derivative, float) and derivative == 1 else upper * derivative
        if result.axis == "query" and operand.axis == "pair":  # a sum of rows
            return slope[self.sample.query]
        if result.axis != "pair" or operand.axis == "pair":
            return slope
        if operand.axis == "query":
            return self.sample.query_sums(slope)
        return np.bincount(self.sample.key, weights=slope, minlength=len(self.sample.tokens)).astype(np.float32)

"""Programs of one exponential, exp(c1 * pattern1 + c2 * pattern2 + ...): read, fitted, grown, pruned and written.

Scaled to rows of sum 1, that is a softmax over a sum of patterns, as a head's own attention is one over a sum of
products. All coefficients of a program climb the exact gradient of the IoU together (L-BFGS-B: Byrd, Lu, Nocedal and
Zhu 1995). What is not linear enough for that, such as a decay over a fitted length, is left to `fit_numbers`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from operators.shared.fit_scoring import FitScorer
from operators.shared.syntax_trees import entry, expression, rounded, spell
from operators.shared.tree_evaluation import Unsupported, entry_of

SCORES = "scores"
TERMS_A_LINE = 3
# No coefficient is larger: exp(12) is as good as certainty, and sums of a few stay far from what floats can hold.
LARGEST = 12.0
SHRINKAGE = 1e-5


@dataclass(frozen=True)
class Term:
    """One summand of the exponent.

    Attributes:
        source: expression of its pattern.
        coefficient: what the pattern is multiplied by.
    """

    source: str
    coefficient: float


class LogLinear:
    """Terms for one head, with their patterns' values on the fit sample.

    Args:
        scorer: evaluates patterns.
        head: flat index of the head.
        terms: what to begin with.
        base: (N,) scores that the terms are added to, such as the logarithm of another program's weights.
    """

    def __init__(
        self, scorer: FitScorer, head: int, terms: Iterable[Term] = (), base: np.ndarray | None = None
    ) -> None:
        self._scorer, self._head = scorer, head
        self._base = np.zeros(len(scorer.sample.row), dtype=np.float32) if base is None else base
        self.sources: list[str] = []
        self._values = np.zeros((0, len(self._base)), dtype=np.float32)
        self.coefficients = np.zeros(0)
        found = list(terms)
        self.add([term.source for term in found])
        self.coefficients = np.array([term.coefficient for term in found])

    def __len__(self) -> int:
        return len(self.sources)

    def add(self, sources: Sequence[str]) -> None:
        """Adds terms with coefficient 0."""
        if sources:
            values = np.stack([self._scorer.evaluator.pattern(source) for source in sources])
            self._values = np.concatenate([self._values, values])
            self.sources += sources
            self.coefficients = np.append(self.coefficients, np.zeros(len(sources)))

    def keep(self, places: np.ndarray) -> None:
        """Keeps the terms at these places, in this order."""
        self.sources = [self.sources[place] for place in places]
        self._values = self._values[places]
        self.coefficients = self.coefficients[places]

    def scores(self) -> np.ndarray:
        """(N,) float32 exponents."""
        return self._base + self.coefficients.astype(np.float32) @ self._values

    def state(self) -> tuple[float, np.ndarray, np.ndarray]:
        """Mean IoU, (N,) its derivative by each score, (N,) prediction."""
        return self._scorer.sample.iou_and_score_gradient(self.scores(), self._head)

    def fit(self, evaluations: int) -> float:
        """Fits all coefficients from where they are; returns the mean IoU of the best met."""
        best, best_iou = self.coefficients, -1.0

        def loss(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal best, best_iou
            self.coefficients = coefficients
            iou, slope, _ = self.state()
            if iou > best_iou:
                best, best_iou = coefficients.copy(), iou
            shrunk = SHRINKAGE * coefficients
            return float(-iou + 0.5 * coefficients @ shrunk), shrunk - (self._values @ slope).astype(np.float64)

        if len(self):
            bounds = [(-LARGEST, LARGEST)] * len(self)
            options = {"maxfun": evaluations, "maxiter": evaluations, "ftol": 1e-5, "gtol": 1e-6}
            minimize(loss, self.coefficients, method="L-BFGS-B", jac=True, bounds=bounds, options=options)
        self.coefficients = best
        return best_iou if len(self) else self.state()[0]

    def importance(self) -> np.ndarray:
        """(terms,) how much each coefficient moves the prediction: its size times the pattern's spread within rows."""
        _, _, prediction = self.state()
        sample = self._scorer.sample
        spread = np.zeros(len(self))
        for place, values in enumerate(self._values):
            weighted = values * prediction
            spread[place] = float(np.dot(weighted, values)) - float(np.square(sample.row_sums(weighted)).sum())
        return np.abs(self.coefficients) * np.sqrt(np.maximum(spread, 0) / sample.rows)

    def terms(self) -> list[Term]:
        """The terms in two significant digits, those that matter most first; those rounded to 0 left out."""
        order = np.argsort(-self.importance(), kind="stable")
        found = [Term(self.sources[place], rounded(float(self.coefficients[place]))) for place in order]
        return [term for term in found if term.coefficient != 0]


def write(terms: Sequence[Term]) -> ast.Module:
    """The program of terms: a few of them a line, in their order."""
    tree = ast.parse(f"def program(text):\n    return np.exp({SCORES})\n")
    lines = []
    for begin in range(0, len(terms), TERMS_A_LINE):
        line = summed(terms[begin : begin + TERMS_A_LINE])
        lines.append(f"{SCORES} = {line}" if begin == 0 else f"{SCORES} = {SCORES} {_signed(line)}")
    # Terms of keys alone make one row of n scores; the shape of pairs comes from another factor.
    if not any(is_pair(expression(term.source)) for term in terms):
        tree = ast.parse(f"def program(text):\n    return np.exp({SCORES}) * (text.distance >= 0)\n")
    entry(tree).body[:0] = [ast.parse(line).body[0] for line in lines or [f"{SCORES} = 0 * text.log_distance"]]
    return ast.fix_missing_locations(tree)


def summed(terms: Sequence[Term]) -> str:
    """Source of a sum of terms."""
    parts = []
    for term in terms:
        pattern = expression(term.source)
        bare = isinstance(pattern, (ast.Attribute, ast.Subscript, ast.Call))
        written = term.source if bare else f"({term.source})"
        sign = "-" if term.coefficient < 0 else "+"
        parts.append(f"{sign} {spell(abs(term.coefficient))} * {written}")
    first = parts[0].removeprefix("+ ")
    return " ".join([first.replace("- ", "-", 1) if first.startswith("- ") else first, *parts[1:]])


def _signed(line: str) -> str:
    return f"- {line[1:]}" if line.startswith("-") else f"+ {line}"


def is_pair(node: ast.expr) -> bool:
    """Whether an expression is (n, n): it holds a field of pairs, or a query's value beside a key's."""
    from operators.shared.field_types import FIELD_TYPES

    fields = [part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute) and part.attr in FIELD_TYPES]
    return any(FIELD_TYPES[name][0] == "(n, n)" for name in fields) or any(
        isinstance(part, ast.Subscript) and "None" in ast.unparse(part.slice) for part in ast.walk(node)
    )


def read(tree: ast.Module) -> list[Term] | None:
    """The terms of a program of this kind, or None where it is of another."""
    try:
        body = [node for node in entry_of(tree).body if not _is_text(node)]
    except Unsupported:
        return None
    *lines, last = body
    if not lines or not (isinstance(last, ast.Return) and last.value is not None):
        return None
    if ast.unparse(last.value) not in (f"np.exp({SCORES})", f"np.exp({SCORES}) * (text.distance >= 0)"):
        return None
    terms: list[Term] = []
    for place, line in enumerate(lines):
        if not (isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == SCORES):
            return None
        found = _summands(line.value, 1.0, skip=SCORES if place else None)
        if found is None:
            return None
        terms += found
    return [term for term in terms if term.coefficient != 0]


def _summands(node: ast.expr, sign: float, skip: str | None) -> list[Term] | None:
    """Terms of a sum, or None where a part has no plain number before it."""
    if skip is not None and isinstance(node, ast.Name) and node.id == skip:
        return []
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
        left = _summands(node.left, sign, skip)
        right = _summands(node.right, sign if isinstance(node.op, ast.Add) else -sign, None)
        return None if left is None or right is None else left + right
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _summands(node.operand, -sign, skip)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        number = node.left
        if isinstance(number, ast.UnaryOp) and isinstance(number.op, ast.USub):
            number, sign = number.operand, -sign
        if isinstance(number, ast.Constant) and isinstance(number.value, (int, float)) and not _has_names(node.right):
            return [Term(ast.unparse(node.right), sign * float(number.value))]
        if isinstance(node.left, ast.BinOp):  # 0.5 * a * b reads (0.5 * a) * b
            inner = _summands(node.left, sign, None)
            if inner is not None and len(inner) == 1 and not _has_names(node.right):
                pattern = ast.unparse(ast.BinOp(expression(inner[0].source), ast.Mult(), node.right))
                return [Term(pattern, inner[0].coefficient)]
    return None


def _has_names(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Name) and part.id not in ("text", "np") for part in ast.walk(node))


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)

"""Programs that are exponentials of sums of patterns: read, fitted, pruned and written. They have one of two forms.

Joint: a softmax over all tokens, as a head's own attention is one over a sum of products.

    scores = c1 * pattern1 + c2 * pattern2 + ...            (n, n)
    return np.exp(scores)

Apart: what rests on the first token is told by properties of the query, and a softmax shares out the rest. Most heads
of language models rest on the first token where they find nothing else (Xiao et al. 2023, "attention sinks"). In one
softmax its share hangs on how many tokens of each kind a text has, which differs from one kind of text to the next.

    sink = d0 + d1 * property1 + ...                        (n,), the first token's logit

All coefficients climb the exact gradient of the IoU together (L-BFGS-B: Byrd, Lu, Nocedal and Zhu 1995).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from fitness.text.view import fields
from operators.shared.fit_scoring import FitScorer
from operators.shared.syntax_trees import expression, rounded, spell
from operators.shared.tree_evaluation import Unsupported, entry_of

SCORES, SINK = "scores", "sink"
TERMS_A_LINE = 3
# No coefficient is larger: exp(12) is as good as certainty, and sums of a few stay far from what floats can hold.
LARGEST = 12.0
SHRINKAGE = 1e-5
# The sink's own constant: a property that every query has.
ALWAYS = "1"
CAUSAL = ["rest = np.exp(scores) * (text.distance >= 0) * ~text.is_first"]
BOTH_WAYS = ["rest = np.exp(scores) * (text.log_distance >= 0) * ~text.is_first"]
TAIL = ["rest = rest / np.maximum(rest.sum(axis=1, keepdims=True), 1e-9)"]
JOINT = "np.exp(scores)"
RETURN = "np.exp(sink)[:, None] * text.is_first + rest"
_PAIR = re.compile(
    r"\bNone\b|\btext\.(latest|" + "|".join(field.name for field in fields() if field.shape == "(n, n)") + r")\b"
)


@dataclass(frozen=True)
class Term:
    """One summand.

    Attributes:
        source: expression of its pattern; of a property of tokens, (n,), where it is the sink's.
        coefficient: what the pattern is multiplied by.
        sink: whether it is a summand of the first token's logit.
    """

    source: str
    coefficient: float
    sink: bool = False


class LogLinear:
    """Terms for one head, with their patterns' values on the fit sample.

    Args:
        scorer: evaluates patterns.
        head: flat index of the head.
        terms: what to begin with.
        base: (N,) scores that the terms are added to, such as the logarithm of another program's weights, for the joint
            form; without, the first token is set apart.
    """

    def __init__(
        self, scorer: FitScorer, head: int, terms: Iterable[Term] = (), base: np.ndarray | None = None
    ) -> None:
        self._scorer, self._head, self._base = scorer, head, base
        self.terms: list[Term] = []
        self._values: list[np.ndarray] = []
        self.add(terms)

    def __len__(self) -> int:
        return len(self.terms)

    def add(self, terms: Iterable[Term]) -> None:
        """Adds terms, with their coefficients."""
        sample, pattern = self._scorer.sample, self._scorer.evaluator.pattern
        for term in terms:
            if not term.sink:
                self._values.append(pattern(term.source))
            elif term.source == ALWAYS:
                self._values.append(np.ones(sample.rows, dtype=np.float32))
            else:
                self._values.append(sample.first_keys(pattern(f"({term.source})[:, None]")))
            self.terms.append(term)

    def keep(self, places: Iterable[int]) -> None:
        """Keeps the terms at these places, in this order."""
        places = list(places)
        self.terms = [self.terms[place] for place in places]
        self._values = [self._values[place] for place in places]

    @property
    def coefficients(self) -> np.ndarray:
        """(terms,) float64."""
        return np.array([term.coefficient for term in self.terms])

    @coefficients.setter
    def coefficients(self, values: np.ndarray) -> None:
        self.terms = [
            Term(term.source, float(value), term.sink) for term, value in zip(self.terms, values, strict=True)
        ]

    def state(self) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """Mean IoU, (N,) its derivative by each score, (rows,) by each logit of the first token, (N,) prediction."""
        sample = self._scorer.sample
        scores, sinks = self._matrices()
        return self._state(scores, sinks, self.coefficients, sample.rows)

    def _matrices(self) -> tuple[np.ndarray, np.ndarray]:
        sample = self._scorer.sample
        shapes = (False, len(sample.row)), (True, sample.rows)
        stacked = []
        for sink, length in shapes:
            rows = [values for values, term in zip(self._values, self.terms, strict=True) if term.sink is sink]
            stacked.append(np.stack(rows) if rows else np.zeros((0, length), dtype=np.float32))
        return stacked[0], stacked[1]

    def _state(
        self, scores: np.ndarray, sinks: np.ndarray, coefficients: np.ndarray, rows: int
    ) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        sample = self._scorer.sample
        is_sink = np.array([term.sink for term in self.terms], dtype=bool)
        coefficients = coefficients.astype(np.float32)
        summed = coefficients[~is_sink] @ scores
        if self._base is not None:
            iou, slope, prediction = sample.iou_and_score_gradient(summed + self._base, self._head)
            return iou, slope, np.zeros(rows, dtype=np.float32), prediction
        return sample.iou_and_sink_gradient(summed, coefficients[is_sink] @ sinks, self._head)

    def fit(self, evaluations: int) -> float:
        """Fits all coefficients from where they are; returns the mean IoU of the best met."""
        if not len(self):
            return self.state()[0]
        scores, sinks = self._matrices()
        is_sink = np.array([term.sink for term in self.terms], dtype=bool)
        best, best_iou = self.coefficients, -1.0

        def loss(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal best, best_iou
            iou, by_score, by_sink, _ = self._state(scores, sinks, coefficients, sinks.shape[1])
            if iou > best_iou:
                best, best_iou = coefficients.copy(), iou
            slope = np.empty(len(coefficients))
            slope[~is_sink], slope[is_sink] = scores @ by_score, sinks @ by_sink
            shrunk = SHRINKAGE * coefficients
            return float(-iou + 0.5 * coefficients @ shrunk), shrunk - slope

        bounds = [(-LARGEST, LARGEST)] * len(self)
        options = {"maxfun": evaluations, "maxiter": evaluations, "ftol": 1e-5, "gtol": 1e-6}
        minimize(loss, self.coefficients, method="L-BFGS-B", jac=True, bounds=bounds, options=options)
        self.coefficients = best
        return best_iou

    def importance(self) -> np.ndarray:
        """(terms,) how much each coefficient moves the prediction: its size times the pattern's spread within rows.

        The sink's constant is beyond comparison: it is always kept.
        """
        *_, prediction = self.state()
        sample = self._scorer.sample
        share = sample.first_keys(prediction)
        spread = np.zeros(len(self))
        for place, (values, term) in enumerate(zip(self._values, self.terms, strict=True)):
            if term.sink:
                spread[place] = np.inf if term.source == ALWAYS else float((share * (1 - share) * values**2).sum())
            else:
                weighted = values * prediction
                spread[place] = float(np.dot(weighted, values)) - float(np.square(sample.row_sums(weighted)).sum())
        with np.errstate(invalid="ignore"):
            found = np.abs(self.coefficients) * np.sqrt(np.maximum(spread, 0) / sample.rows)
        return np.where(np.isinf(spread), np.inf, found)

    def rounded(self) -> list[Term]:
        """The terms in two significant digits, those that matter most first; those rounded to 0 left out."""
        order = np.argsort(-self.importance(), kind="stable")
        terms = [self.terms[place] for place in order]
        found = [Term(term.source, rounded(term.coefficient), term.sink) for term in terms]
        return [term for term in found if term.coefficient != 0]


def write(terms: Sequence[Term], *, causal: bool) -> ast.Module:
    """The program of terms, a few of them a line, in their order; of the joint form where none is the sink's."""
    if not any(term.sink for term in terms):
        flat = not any(_PAIR.search(term.source) for term in terms)  # keys alone make n scores, not (n, n)
        lines = _lines(SCORES, [*terms, Term("text.log_distance", 0.0)] if flat else terms, "")
        return ast.parse("def program(text):\n" + "".join(f"    {line}\n" for line in [*lines, f"return {JOINT}"]))
    scores = [term for term in terms if not term.sink] or [Term("text.log_distance", 0.0)]
    sink = [term for term in terms if term.sink]
    constant = sum(term.coefficient for term in sink if term.source == ALWAYS)
    properties = [term for term in sink if term.source != ALWAYS]
    # A sum of properties of the query is (n,), but a constant alone is not.
    if not properties:
        properties = [Term("text.log_position", 0.0)]
    lines = _lines(SCORES, scores, "") + _lines(SINK, properties, f"{spell(constant)} + ")
    body = [*lines, *(CAUSAL if causal else BOTH_WAYS), *TAIL, f"return {RETURN}"]
    return ast.parse("def program(text):\n" + "".join(f"    {line}\n" for line in body))


def _lines(name: str, terms: Sequence[Term], before: str) -> list[str]:
    lines = []
    for begin in range(0, len(terms), TERMS_A_LINE):
        line = summed(terms[begin : begin + TERMS_A_LINE])
        joined = f"{name} {_signed(line)}" if begin else f"{before}{line}".replace("+ -", "- ")
        lines.append(f"{name} = {joined}")
    return lines


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


def read(tree: ast.Module) -> list[Term] | None:
    """The terms of a program of this kind, or None where it is of another."""
    try:
        body = [node for node in entry_of(tree).body if not _is_text(node)]
    except Unsupported:
        return None
    *lines, last = body
    ending = ast.unparse(last.value) if isinstance(last, ast.Return) and last.value is not None else ""
    if ending == _normal(RETURN):
        tail = [ast.unparse(line) for line in lines[-2:]]
        if tail not in ([*map(_normal, way + TAIL)] for way in (CAUSAL, BOTH_WAYS)):
            return None
        lines = lines[:-2]
    elif ending != JOINT:
        return None
    terms: list[Term] = []
    met: set[str] = set()
    for line in lines:
        name = ast.unparse(line.targets[0]) if isinstance(line, ast.Assign) else ""
        if name not in (SCORES, SINK) or not isinstance(line, ast.Assign):
            return None
        found = _summands(line.value, 1.0, skip=name if name in met else None)
        if found is None or (name == SCORES and any(term.source == ALWAYS for term in found)):
            return None
        terms += [Term(term.source, term.coefficient, name == SINK) for term in found]
        met.add(name)
    if (SINK in met) != (ending != JOINT) or SCORES not in met:
        return None
    return [term for term in terms if term.coefficient != 0 or term.source == ALWAYS]


def _normal(line: str) -> str:
    return ast.unparse(ast.parse(line))


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
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return [Term(ALWAYS, sign * float(node.value))]
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

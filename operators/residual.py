"""Explains what a program leaves unexplained: adds the one pattern that raises a head's IoU on the fit split most."""

from __future__ import annotations

import ast
from dataclasses import dataclass

import numpy as np

from fitness.scoring.fit_view import FitView
from operators.protocol import Proposal, Request
from operators.shared.docstrings import proposal
from operators.shared.fit_numbers import fit_numbers
from operators.shared.fit_scoring import FitScorer, fit_scorer
from operators.shared.patterns import FADING, Pattern, dictionary_of
from operators.shared.pruning import without_weakest_lines
from operators.shared.syntax_trees import append_line, can_append, changing_lines, program_tree, step_source, tree_of
from operators.shared.tree_evaluation import Unsupported

SEARCHED = 10
REFINED = 6
SHARES = (0.1, 0.3, 0.6)
FACTORS = (-0.6, 1.0, 4.0)
MIN_GAIN = 0.002
MIN_LOSS = 0.001
MAX_LINES = 8
MAX_LISTS = 3
# IoU that a character of a pattern has to bring in.
PRICE = 0.00003
LARGE_GAIN = 0.01
MAX_STEPS = 3
POLISH = 30


class Residual:
    """Proposes the best parent with a pattern more, or a few while they gain much; without a parent, from scratch."""

    name = "residual"
    n_parents = 3

    def propose(self, request: Request, view: FitView) -> list[Proposal]:
        """One program; nothing where no pattern gains anything."""
        scorer = fit_scorer(view)
        rng = np.random.default_rng(request.seed)
        if request.parents:
            tree = tree_of(request.parents[min(int(rng.geometric(0.7)), len(request.parents)) - 1].program)
            if not can_append(tree):
                return []
        else:
            tree = _start(request.head, scorer, rng)
        most = max(MAX_LINES, len(changing_lines(tree)))
        before = scorer.iou(tree, request.head) if request.parents else 0.0
        notes = []
        for _ in range(MAX_STEPS):
            step = best_step(tree, request.head, scorer, rng)
            if step is None:
                break
            tree = append_line(tree, step.operation)
            notes.append(f"{step.operation} gains {step.gain:.3f}")
            if step.gain < LARGE_GAIN and request.parents:
                break
        if request.parents and not notes:
            return []
        tree, iou = fit_numbers(tree, request.head, scorer, evaluations=POLISH)
        if scorer.is_plain(tree):
            tree = without_weakest_lines(tree, request.head, scorer, most=most, lists=MAX_LISTS, loss=MIN_LOSS)
            iou = scorer.plain_iou(tree, request.head)
        if iou < before + MIN_LOSS:
            return []
        return [proposal(tree, "; ".join(notes))]


@dataclass(frozen=True)
class Step:
    """A line to append.

    Attributes:
        operation: what follows `weights` in it.
        gain: how much it raises the mean IoU on the sample.
    """

    operation: str
    gain: float


def best_step(tree: ast.Module, head: int, scorer: FitScorer, rng: np.random.Generator) -> Step | None:
    """The line that raises a head's IoU most, or None where none does on most texts."""
    adding = True
    try:
        weights = scorer.weights(tree)
    except Unsupported:
        # Predictions have lost the scale of the weights, which what multiplies them does not need.
        prediction = scorer.prediction(tree)
        if prediction is None:
            return None
        weights, adding = prediction, False
    sample, dictionary = scorer.sample, dictionary_of(scorer)
    line = _Line(weights, head, scorer)
    tried: list[tuple[float, int, Pattern, np.ndarray, float]] = []
    for pattern in dictionary.search(weights, head, rng, limit=SEARCHED, adding=adding):
        values = scorer.evaluator.pattern(pattern.source)
        if pattern.times:
            grid: tuple[float, ...] = FACTORS
        else:
            share = float((sample.row_sums(values) / np.maximum(sample.row_sums(weights), 1e-12)).mean())
            grid = tuple(s / (1 - s) / max(share, 1e-9) for s in SHARES)
        iou, at = max((line.iou(values, c, pattern.times), place) for place, c in enumerate(grid))
        tried.append((iou, -len(tried), pattern, values, grid[at]))
    tried.sort(key=lambda t: t[:2], reverse=True)
    best: tuple[float, Step] | None = None
    for iou, _, pattern, values, c in tried[:REFINED]:
        iou, c = line.refine(values, c, iou, pattern.times)
        gains = line.iou_texts(values, c, pattern.times) - line.base
        if gains.mean() < max(MIN_GAIN, 1.5 * gains.std() / np.sqrt(len(gains))):
            continue
        value = gains.mean() - PRICE * len(pattern.source)
        if best is None or value > best[0]:
            best = value, Step(step_source(pattern.source, c, times=pattern.times), float(gains.mean()))
    return best[1] if best else None


class _Line:
    """IoU along one pattern."""

    def __init__(self, weights: np.ndarray, head: int, scorer: FitScorer) -> None:
        self.weights, self.head, self.sample = weights, head, scorer.sample
        self.base = self.sample.iou_texts(self.sample.predict(weights), head)

    def iou_texts(self, values: np.ndarray, c: float, times: bool) -> np.ndarray:
        scaled = np.float32(c) * values
        weights = self.weights * (1 + scaled) if times else self.weights + scaled
        return self.sample.iou_texts(self.sample.predict(weights), self.head)

    def iou(self, values: np.ndarray, c: float, times: bool) -> float:
        return float(self.iou_texts(values, c, times).mean())

    def refine(self, values: np.ndarray, c: float, iou: float, times: bool) -> tuple[float, float]:
        factor = 1.8
        for _ in range(3):
            for moved in (c * factor, c / factor):
                moved = max(moved, -1.0) if times else moved
                got = self.iou(values, moved, times)
                if got > iou:
                    iou, c = got, moved
                    break
            factor = factor**0.6
        return iou, c


def _start(head: int, scorer: FitScorer, rng: np.random.Generator) -> ast.Module:
    """A program of one pattern: most often the best one, at times one of the next."""
    dictionary, sample = dictionary_of(scorer), scorer.sample
    sources = [*dictionary.pair_sources, *FADING]
    ious = [sample.iou(sample.predict(scorer.evaluator.pattern(source)), head) for source in sources]
    order = np.argsort(-np.array(ious), kind="stable")
    return program_tree(sources[order[min(int(rng.geometric(0.6)) - 1, 3)]])

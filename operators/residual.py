"""Explains what a program leaves unexplained: a sparse regression of a head's attention on patterns of the text.

A program is the exponential of a sum of patterns (`operators.shared.log_linear`). Patterns are added where the gradient
of the IoU on the fit split is largest, several at a time, and all coefficients are fitted anew; then those that move
the prediction least are taken out again. That is orthogonal matching pursuit (Pati, Rezaiifar and Krishnaprasad 1993)
with backward steps (Zhang 2008), on the IoU in place of the squared error.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

import numpy as np

from fitness.scoring.fit_view import FitView
from operators.protocol import Proposal, Request
from operators.shared.docstrings import proposal
from operators.shared.fit_scoring import FitScorer, fit_scorer
from operators.shared.log_linear import LogLinear, Term, read, summed, write
from operators.shared.patterns import dictionary_of
from operators.shared.syntax_trees import append_line, can_append, changing_lines, tree_of
from operators.shared.tree_evaluation import Unsupported

# Terms of a program that is begun afresh: drawn anew for every one.
LENGTHS = (8, 16, 24, 30)
ADDED = 3
# What most heads do in part, to begin with: rest on the first token, look near, at the last token and at themselves.
SKELETON = (
    "text.is_first",
    "text.is_first * text.log_position[:, None]",
    "text.log_distance",
    "text.distance == 0",
    "text.distance == 1",
)
# Rounds of terms that may gain nothing before growing ends.
PATIENCE = 2
# Terms grown beyond the length that is asked for, for pruning to choose from.
SURPLUS = 1.3
STEP_EVALUATIONS = 10
LAST_EVALUATIONS = 30
# IoU that a round of terms has to bring in, for each of them.
MIN_GAIN = 0.0004
# Of programs extended, so many begin afresh all the same; the others lose a part of their terms first.
FRESH = 0.25
DROPPED = 0.35
MAX_TERMS = 33
FACTOR_TERMS = 3
MAX_LINES = 8
MIN_IMPROVEMENT = 0.0005


class Residual:
    """Proposes programs of patterns that are chosen and fitted together; extends parents, or begins afresh."""

    name = "residual"
    n_parents = 3

    def propose(self, request: Request, view: FitView) -> list[Proposal]:
        """A program, and a shorter one where it is long; nothing where no pattern gains anything."""
        scorer = fit_scorer(view)
        rng = np.random.default_rng(request.seed)
        if not request.parents:
            return _afresh(request.head, scorer, rng)
        place = min(int(rng.geometric(0.6)), len(request.parents)) - 1
        tree = tree_of(request.parents[place].program)
        terms = read(tree)
        if rng.random() < FRESH and _runs(tree, scorer):
            return _afresh(request.head, scorer, rng)
        if terms is not None and _runs(tree, scorer):
            return _varied(terms, request.head, scorer, rng)
        return _multiplied(tree, request.head, scorer, rng)


def grow(model: LogLinear, length: int, scorer: FitScorer, rng: np.random.Generator) -> None:
    """Adds patterns, a few at a time, until there are so many or none gains enough."""
    dictionary = dictionary_of(scorer)
    failed = 0
    while len(model) < length and failed < PATIENCE:
        iou, slope, prediction = model.state()
        wanted = min(ADDED, length - len(model))
        found = dictionary.search(slope, prediction, rng, limit=wanted, known=model.sources)
        if not found:
            return
        before, kept = model.coefficients.copy(), len(model)
        model.add(found)
        if model.fit(STEP_EVALUATIONS) < iou + MIN_GAIN * len(found):
            model.keep(np.arange(kept))
            model.coefficients = before
            failed += 1


def prune(model: LogLinear, length: int) -> None:
    """Takes out terms that move the prediction least, a few at a time, until there are so many."""
    while len(model) > length:
        left = max(length, int(len(model) * 0.8))
        model.keep(np.sort(np.argsort(-model.importance(), kind="stable")[:left]))
        model.fit(STEP_EVALUATIONS)


def _afresh(head: int, scorer: FitScorer, rng: np.random.Generator) -> list[Proposal]:
    length = int(rng.choice(LENGTHS))
    model = LogLinear(scorer, head)
    model.add(list(SKELETON))
    model.fit(STEP_EVALUATIONS)
    grow(model, int(SURPLUS * length) + 1, scorer, rng)
    prune(model, length)
    found = _finished(model, "begun afresh")
    if length > 2 * LENGTHS[0]:
        prune(model, length // 2)
        found += _finished(model, "begun afresh, then shortened")
    return found


def _varied(terms: Sequence[Term], head: int, scorer: FitScorer, rng: np.random.Generator) -> list[Proposal]:
    """Some terms go, others come; as many as before, or a few more."""
    model = LogLinear(scorer, head, terms)
    before = model.state()[0]
    weight = 1 / (1e-6 + model.importance())
    gone = rng.choice(len(model), max(1, int(DROPPED * len(model))), replace=False, p=weight / weight.sum())
    model.keep(np.setdiff1d(np.arange(len(model)), gone))
    length = min(MAX_TERMS, len(terms) + int(rng.integers(0, 4)))
    grow(model, int(SURPLUS * length) + 1, scorer, rng)
    prune(model, length)
    if model.fit(LAST_EVALUATIONS) < before + MIN_IMPROVEMENT:
        return []
    return _finished(model, f"{len(gone)} of {len(terms)} terms out, {length - len(terms) + len(gone)} in")


def _multiplied(tree: ast.Module, head: int, scorer: FitScorer, rng: np.random.Generator) -> list[Proposal]:
    """A program of another style, multiplied by an exponential of a few terms."""
    if not can_append(tree) or len(changing_lines(tree)) >= MAX_LINES:
        return []
    try:
        weights = scorer.weights(tree)
    except Unsupported:
        # Predictions have lost the scale of the weights, which what multiplies them does not need.
        prediction = scorer.prediction(tree)
        if prediction is None:
            return []
        weights = prediction
    with np.errstate(divide="ignore"):
        model = LogLinear(scorer, head, base=np.log(weights))
    before = model.state()[0]
    grow(model, FACTOR_TERMS, scorer, rng)
    if not len(model) or model.fit(LAST_EVALUATIONS) < before + MIN_IMPROVEMENT:
        return []
    terms = model.terms()
    return [proposal(append_line(tree, f"* np.exp({summed(terms)})"), f"multiplied by {len(terms)} terms")]


def _finished(model: LogLinear, note: str) -> list[Proposal]:
    iou = model.fit(LAST_EVALUATIONS)
    terms = model.terms()
    return [proposal(write(terms), f"{len(terms)} terms, fit IoU {iou:.3f}; {note}")] if terms else []


def _runs(tree: ast.Module, scorer: FitScorer) -> bool:
    """Whether the program runs at all; one that does not is no parent of anything."""
    return scorer.is_plain(tree) or scorer.prediction(tree) is not None

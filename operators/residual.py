"""Explains what a program leaves unexplained: a sparse regression of a head's attention on patterns of the text.

A program is an exponential of a sum of patterns, in one of two forms (`operators.shared.log_linear`). They are added
where the gradient of the IoU on the fit split is largest, several at a time, and all coefficients are fitted anew; then
those that move the prediction least are taken out again. That is orthogonal matching pursuit (Pati, Rezaiifar and
Krishnaprasad 1993) with backward steps (Zhang 2008), on the IoU in place of the squared error. Terms are chosen on a
part of the queries; what is proposed is fitted on all of them.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fitness.scoring.fit_view import FitView
from operators.protocol import Proposal, Request
from operators.shared.docstrings import proposal
from operators.shared.fit_scoring import FitScorer, coarse_scorer, fit_scorer
from operators.shared.log_linear import ALWAYS, LogLinear, Term, read, summed, write
from operators.shared.patterns import dictionary_of
from operators.shared.price import IOU_PER_BIT, price
from operators.shared.syntax_trees import append_line, can_append, changing_lines, expression, tree_of
from operators.shared.tree_evaluation import Unsupported

# Terms of a program that is begun afresh: drawn anew for every one.
LENGTHS = (20, 30, 40)
ADDED = 4
# What most heads do in part, to begin with: rest on the first token, look near, at themselves and one token back.
NEAR = (Term("text.log_distance", 0.0), Term("text.distance == 0", 0.0), Term("text.distance == 1", 0.0))
APART = (Term(ALWAYS, 0.0, sink=True), Term("text.log_position", 0.0, sink=True))
JOINT = (Term("text.is_first", 0.0), Term("text.is_first * text.log_position[:, None]", 0.0))
# IoU by which the joint form has to lead.
JOINT_LEAD = 0.015
# Rounds of terms that may gain nothing before growing ends.
PATIENCE = 2
# Terms grown beyond the length that is asked for, for pruning to choose from.
SURPLUS = 1.3
STEP_EVALUATIONS = 12
LAST_EVALUATIONS = 20
# Terms with which the form of a program is chosen.
PROBED = 9
# Bits of a coefficient in two digits.
NUMBER_BITS = 10.0
# Share of the slots that begin afresh all the same: where the parent is of this kind, and where it is of another.
FRESH, FRESH_BESIDE_OTHERS = 0.25, 0.7
# Of a parent's terms so many go first.
DROPPED = 0.35
MAX_TERMS = 40
FACTOR_TERMS = 3
MAX_LINES = 8
MIN_IMPROVEMENT = 0.0005


class Residual:
    """Proposes programs of patterns that are chosen and fitted together; extends parents, or begins afresh."""

    name = "residual"
    n_parents = 3

    def propose(self, request: Request, view: FitView) -> list[Proposal]:
        """A program, and a shorter one where it is begun afresh; nothing where no pattern gains anything."""
        task = _Task(request.head, coarse_scorer(view), fit_scorer(view), np.random.default_rng(request.seed))
        if not request.parents:
            return task.afresh()
        place = min(int(task.rng.geometric(0.6)), len(request.parents)) - 1
        tree = tree_of(request.parents[place].program)
        terms = read(tree)
        if not _runs(tree, task.coarse):
            return []
        if task.rng.random() < (FRESH_BESIDE_OTHERS if terms is None else FRESH):
            return task.afresh()
        return task.varied(terms) if terms else task.multiplied(tree)


def grow(model: LogLinear, length: int, scorer: FitScorer, rng: np.random.Generator) -> None:
    """Adds patterns, a few at a time, until there are so many or none gains enough."""
    dictionary = dictionary_of(scorer)
    failed = 0
    while len(model) < length and failed < PATIENCE:
        iou, by_score, by_sink, prediction = model.state()
        wanted = min(ADDED, length - len(model))
        known = [term.source for term in model.terms if not term.sink]
        found = [Term(s, 0.0) for s in dictionary.search(by_score, prediction, rng, limit=wanted, known=known)]
        if by_sink.any():
            known = [term.source for term in model.terms if term.sink]
            share = scorer.sample.first_keys(prediction)
            found += [Term(s, 0.0, True) for s in dictionary.search_sink(by_sink, share, rng, limit=1, known=known)]
        if not found:
            return
        before = list(model.terms)
        model.add(found)
        if model.fit(STEP_EVALUATIONS) < iou + cost(found):
            model.keep(range(len(before)))
            model.coefficients = np.array([term.coefficient for term in before])
            failed += 1


def cost(terms: Sequence[Term]) -> float:
    """IoU that terms have to bring in for what it takes to write them; listed tokens cost most."""
    return sum(price(expression(term.source)) + IOU_PER_BIT * NUMBER_BITS for term in terms)


def prune(model: LogLinear, length: int) -> None:
    """Takes out terms that move the prediction least, a few at a time, until there are so many."""
    while len(model) > length:
        left = max(length, int(len(model) * 0.8))
        model.keep(np.sort(np.argsort(-model.importance(), kind="stable")[:left]))
        model.fit(STEP_EVALUATIONS)


@dataclass(frozen=True)
class _Task:
    """One head, and where terms are chosen for it (`coarse`) and fitted in the end (`full`)."""

    head: int
    coarse: FitScorer
    full: FitScorer
    rng: np.random.Generator

    def afresh(self) -> list[Proposal]:
        """A program begun from nothing, and one of half its length."""
        length = int(self.rng.choice(LENGTHS))
        model = self._begun(int(SURPLUS * length) + 1)
        prune(model, length)
        found = self._finished(model, "begun afresh")
        prune(model, length // 2)
        return found + self._finished(model, "begun afresh, then shortened")

    def _begun(self, length: int) -> LogLinear:
        """Terms of the form that suits a head: the joint one only where it is clearly ahead.

        On texts of one kind the two are often as good as each other; on texts of another the joint one loses more.
        """
        found = []
        for form in (APART, JOINT):
            model = _model(self.coarse, self.head, form + NEAR)
            model.fit(STEP_EVALUATIONS)
            grow(model, PROBED, self.coarse, self.rng)
            found.append((model.state()[0], model))
        (apart, first), (joint, second) = found
        model = second if joint > apart + JOINT_LEAD else first
        grow(model, length, self.coarse, self.rng)
        return model

    def varied(self, terms: Sequence[Term]) -> list[Proposal]:
        """Some terms go, others come; as many as before, or a few more."""
        model = _model(self.coarse, self.head, terms)
        before = model.state()[0]
        weight = 1 / (1e-6 + model.importance())
        gone = self.rng.choice(len(model), max(1, int(DROPPED * len(model))), replace=False, p=weight / weight.sum())
        model.keep(np.setdiff1d(np.arange(len(model)), gone))
        length = min(MAX_TERMS, len(terms) + int(self.rng.integers(0, 4)))
        grow(model, int(SURPLUS * length) + 1, self.coarse, self.rng)
        prune(model, length)
        after = model.fit(LAST_EVALUATIONS)
        if after - cost(model.terms) < before - cost(terms) + MIN_IMPROVEMENT:
            return []
        return self._finished(model, f"{len(gone)} of {len(terms)} terms out, {length - len(terms) + len(gone)} in")

    def multiplied(self, tree: ast.Module) -> list[Proposal]:
        """A program of another style, multiplied by an exponential of a few terms."""
        if not can_append(tree) or len(changing_lines(tree)) >= MAX_LINES:
            return []
        try:
            weights = self.coarse.weights(tree)
        except Unsupported:
            # Predictions have lost the scale of the weights, which what multiplies them does not need.
            prediction = self.coarse.prediction(tree)
            if prediction is None:
                return []
            weights = prediction
        with np.errstate(divide="ignore"):
            model = LogLinear(self.coarse, self.head, base=np.log(weights))
        before = model.state()[0]
        grow(model, FACTOR_TERMS, self.coarse, self.rng)
        if not len(model) or model.fit(LAST_EVALUATIONS) < before + MIN_IMPROVEMENT:
            return []
        terms = model.rounded()
        return [proposal(append_line(tree, f"* np.exp({summed(terms)})"), f"multiplied by {len(terms)} terms")]

    def _finished(self, model: LogLinear, note: str) -> list[Proposal]:
        last = _model(self.full, self.head, model.terms)
        iou = last.fit(LAST_EVALUATIONS)
        terms = last.rounded()
        if not terms:
            return []
        tree = write(terms, causal=not self.full.sample.square)
        return [proposal(tree, f"{len(terms)} terms, fit IoU {iou:.3f}; {note}")]


def _model(scorer: FitScorer, head: int, terms: Sequence[Term]) -> LogLinear:
    """Terms of the joint form where none is the sink's."""
    joint = not any(term.sink for term in terms)
    base = np.zeros(len(scorer.sample.row), dtype=np.float32) if joint else None
    return LogLinear(scorer, head, terms, base)


def _runs(tree: ast.Module, scorer: FitScorer) -> bool:
    """Whether the program runs at all; one that does not is no parent of anything."""
    return scorer.is_plain(tree) or scorer.prediction(tree) is not None

"""Scores programs on the fit split while an operator is still choosing: plain ones at once, others in the sandbox."""

from __future__ import annotations

import ast
from functools import lru_cache

import numpy as np

from fitness.program import Program, ProgramError
from fitness.scoring.fit_view import FitView
from fitness.text.view import Text
from operators.shared.fit_sample import MAX_ELEMENTS, FitSample
from operators.shared.tree_evaluation import Evaluator, Unsupported

CHECKED_TOKENS = 24
# Enough to choose patterns on; their coefficients are fitted on more in the end.
COARSE_ELEMENTS = 30_000


class FitScorer:
    """Tries programs on the fit split of one view.

    Args:
        view: the fit split.
        max_elements: of so many pairs of tokens.

    Attributes:
        sample: the queries that programs are tried on.
        evaluator: evaluates plain programs on them.
        domains: the texts take turns of so many domains.
    """

    def __init__(self, view: FitView, max_elements: int = MAX_ELEMENTS) -> None:
        self._view = view
        self.domains = view.domains
        self.sample = FitSample(view.texts, view.attention, causal=view.causal, max_elements=max_elements)
        self.evaluator = Evaluator(self.sample)
        # The contract checks whole squares, so what a mask hides must be in order as well.
        longest = max(view.texts, key=len)
        short = Text(longest.tokens[:CHECKED_TOKENS], longest.ids[:CHECKED_TOKENS].tolist())
        self._square = Evaluator(FitSample([short], causal=False))

    def weights(self, tree: ast.Module) -> np.ndarray:
        """(N,) float32 weights of a plain program.

        Raises:
            Unsupported: where it is not plain, or breaks the contract.
        """
        self._square.weights(tree)
        return self.evaluator.weights(tree)

    def is_plain(self, tree: ast.Module) -> bool:
        """Whether a program can be tried without the sandbox."""
        try:
            self._square.weights(tree)
        except Unsupported:
            return False
        return True

    def prediction(self, tree: ast.Module) -> np.ndarray | None:
        """(N,) float32 prediction of any program on the sample, or None where it fails."""
        try:
            return self.sample.predict(self.weights(tree))
        except Unsupported:
            pass
        try:
            program = Program.parse(ast.unparse(tree))
        except ProgramError:
            return None
        predictions = self._view.predictions(program)
        return predictions[self.sample.index] if isinstance(predictions, np.ndarray) else None

    def iou(self, tree: ast.Module, head: int) -> float:
        """Mean IoU of any program with a head's attention on the sample, in [0, 1]; -1 where it fails."""
        prediction = self.prediction(tree)
        return -1.0 if prediction is None else self.sample.iou(prediction, head)

    def plain_iou(self, tree: ast.Module, head: int) -> float:
        """The same, but -1 for programs that only the sandbox can run."""
        try:
            return self.sample.iou(self.sample.predict(self.weights(tree)), head)
        except Unsupported:
            return -1.0


@lru_cache(maxsize=2)
def fit_scorer(view: FitView) -> FitScorer:
    """The scorer of a view, set up at the first call."""
    return FitScorer(view)


@lru_cache(maxsize=2)
def coarse_scorer(view: FitView) -> FitScorer:
    """One that looks at fewer queries of every text, for choosing among very many."""
    return FitScorer(view, COARSE_ELEMENTS)

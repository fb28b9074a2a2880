"""A dictionary of attention patterns made from the fields of `Text`, and the search for what a prediction lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fitness.text.view import fields
from operators.shared.fit_scoring import FitScorer
from operators.shared.tree_evaluation import Unsupported

EVERYTHING = "text.distance >= 0"
# Elements looked at for a first ranking; what comes out on top is tried on the whole sample.
SCREENED_ELEMENTS = 25_000
KEPT_PATTERNS = 0.7
PRODUCT_DISCOUNT = 0.97
WORD_LISTS = (2, 4, 6)
FADING = tuple(f"np.exp(-np.abs(text.distance) / {tau})" for tau in (1, 2, 4, 8, 16, 32)) + tuple(
    f"(1 + np.abs(text.distance)) ** -{power}" for power in (0.5, 1.0, 2.0)
)


@dataclass(frozen=True)
class Pattern:
    """A pattern that may explain what a prediction lacks.

    Attributes:
        source: its expression, (n, n) or (n,) as a program writes it.
        times: whether it multiplies the weights, as 1 + c * pattern, instead of being added to them.
    """

    source: str
    times: bool


class Dictionary:
    """Patterns of pairs, of keys and of queries; products of two are made while searching.

    Args:
        scorer: evaluates the patterns.

    Attributes:
        pair_sources: expressions of (n, n) patterns; the first one is everything that a query sees.
        token_sources: expressions of (n,) patterns.
        spellings: the different tokens of the texts.
    """

    def __init__(self, scorer: FitScorer) -> None:
        self.scorer = scorer
        sample = scorer.sample
        stride = int(np.ceil(len(sample.row) / SCREENED_ELEMENTS))
        self._screen = np.flatnonzero(sample.row % stride == 0)
        self.pair_sources, self._pairs = self._evaluated(_pair_sources())
        self.token_sources, keys = self._evaluated(_token_sources())
        queries = [scorer.evaluator.pattern(query_side(source))[self._screen] for source in self.token_sources]
        self._gates = np.concatenate([keys, np.stack(queries)])
        spellings, self._token_type = np.unique(np.array(sample.tokens), return_inverse=True)
        self.spellings = [str(spelling) for spelling in spellings]

    def _evaluated(self, sources: Iterator[str]) -> tuple[list[str], np.ndarray]:
        kept: dict[bytes, tuple[str, np.ndarray]] = {}
        for source in sources:
            try:
                values = self.scorer.evaluator.pattern(source)[self._screen]
            except Unsupported:
                continue
            if values.any():
                kept.setdefault(values.tobytes(), (source, values))
        return [source for source, _ in kept.values()], np.stack([values for _, values in kept.values()])

    def search(
        self,
        weights: np.ndarray,
        head: int,
        rng: np.random.Generator,
        *,
        limit: int,
        adding: bool = True,
    ) -> list[Pattern]:
        """The most promising patterns to add to weights or to multiply them with, in no particular order.

        Args:
            weights: (N,) float32 weights so far.
            head: whose attention to explain.
            rng: leaves out some of the patterns, so that repeated searches differ.
            limit: at most so many of each way.
            adding: whether patterns may be added; weights whose scale is unknown can only be multiplied.
        """
        sample = self.scorer.sample
        gradient = sample.gradient(weights, head)
        sums = sample.row_sums(weights)
        inverse = (1 / np.where(sums > 0, sums, np.inf)).astype(np.float32)[sample.row]
        pairs = np.flatnonzero(rng.random(len(self._pairs)) < KEPT_PATTERNS)
        pairs = np.union1d(pairs, [0])  # all that is seen: what it multiplies stands alone
        found = self._ranked(gradient * weights, inverse * weights, pairs, limit, times=True)
        if adding:
            found += self._ranked(gradient, inverse, pairs, limit, times=False)
        return found + self._words(gradient * weights)

    def _ranked(
        self, gradient: np.ndarray, mass: np.ndarray, pairs: np.ndarray, limit: int, *, times: bool
    ) -> list[Pattern]:
        """Candidates by the first-order gain of IoU, times the part of the moved mass that is gain."""
        gain, spent = self._moments(np.stack([gradient[self._screen], mass[self._screen]]), pairs)
        score = gain * np.abs(gain) / np.maximum(spent, 1e-9)
        if times:
            score = np.abs(score)  # a factor may lower weights as well
        # How sums are rounded depends on how many threads form them; equal patterns must stay equal all the same.
        score = np.round(score / max(float(score.max()), 1e-30), 5)
        found: list[Pattern] = []
        seen: list[tuple[float, float]] = []
        used: Counter[str] = Counter()
        for place in np.argsort(-score, kind="stable")[: 20 * limit].tolist():
            if score[place] <= 0 or len(found) == limit:
                break
            moments = float(gain[place]), float(spent[place])
            parts = self._parts(place, pairs)
            # Several ways of saying the same give equal moments; one idea in many dresses must not fill the list.
            if max(used[part] for part in parts) < 3 and not any(_alike(moments, earlier) for earlier in seen):
                seen.append(moments)
                used.update(set(parts) - {EVERYTHING})
                found.append(Pattern(_product(*parts), times))
        return found

    def _moments(self, values: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        """(2, products) sums of two rows of values under every product.

        Products are the pair patterns, then the pair patterns with each gate, then the keys with each query; a gate is
        a pattern of keys or of queries.
        """
        chosen = self._pairs[pairs]
        count = len(self.token_sources)
        moments = []
        for row in values:
            gated = self._gates * row
            products = [chosen @ row, (chosen @ gated.T).ravel(), (gated[:count] @ self._gates[count:].T).ravel()]
            moments.append(np.concatenate(products))
        result = np.stack(moments).astype(np.float64)
        # The first pair pattern is all that is seen, and its products are single gates.
        result[0, len(pairs) + len(self._gates) :] *= PRODUCT_DISCOUNT
        return result

    def _parts(self, place: int, pairs: np.ndarray) -> tuple[str, str]:
        """Expressions of the two factors of the product at a place among the moments."""
        count = len(self.token_sources)
        if place < len(pairs):
            return EVERYTHING, self.pair_sources[pairs[place]]
        place -= len(pairs)
        if place < len(pairs) * 2 * count:
            pair, gate = divmod(place, 2 * count)
            token = self.token_sources[gate % count]
            return self.pair_sources[pairs[pair]], token if gate < count else query_side(token)
        key, query = divmod(place - len(pairs) * 2 * count, count)
        return self.token_sources[key], query_side(self.token_sources[query])

    def _words(self, gradient: np.ndarray) -> list[Pattern]:
        """Lists of tokens whose keys deserve more, or less, on most texts where they occur."""
        sample = self.scorer.sample
        texts, types = len(sample.texts), len(self.spellings)
        per_token = np.bincount(sample.key, weights=gradient, minlength=len(sample.tokens))
        cell = sample.token_text * types + self._token_type
        gain = np.bincount(cell, weights=per_token, minlength=texts * types).reshape(texts, types)
        seen = np.bincount(cell, minlength=texts * types).reshape(texts, types) > 0
        total = gain.sum(axis=0)
        sure = (np.abs(total) > 1.5 * np.sqrt((gain**2).sum(axis=0))) & (seen.sum(axis=0) >= 3)
        found = []
        for sign in (1, -1):
            order = [int(t) for t in np.argsort(-sign * total, kind="stable") if sure[t] and sign * total[t] > 0]
            for length in sorted({min(length, len(order)) for length in WORD_LISTS} - {0}):
                listed = sorted(self.spellings[t] for t in order[:length])
                found.append(Pattern(f"np.isin(text.tokens, {listed!r})", True))
        return found


def _alike(moments: tuple[float, float], others: tuple[float, float]) -> bool:
    return all(abs(a - b) <= 0.02 * abs(b) for a, b in zip(moments, others, strict=True))


def query_side(source: str) -> str:
    """A pattern of tokens, as a pattern of queries."""
    return f"({source})[:, None]" if " " in source else f"{source}[:, None]"


def _product(left: str, right: str) -> str:
    if left == EVERYTHING:
        return right
    if left in FADING:
        return f"{left} * ({right})" if " " in right else f"{left} * {right}"
    return " & ".join(f"({side})" if " " in side and not side.endswith("[:, None]") else side for side in (left, right))


def _pair_sources() -> Iterator[str]:
    yield EVERYTHING
    yield from (f"text.distance == {k}" for k in range(7))
    yield from (f"text.distance <= {k}" for k in (2, 4, 8, 16))
    yield from FADING
    for field in fields():
        if field.shape == "(n, n)" and field.kind == "bool":
            yield f"text.{field.name}"
            yield f"text.{field.name} & (text.distance > 0)"
        elif field.shape == "(n, n)" and field.name != "distance":
            yield from (f"text.{field.name} == {k}" for k in (0, 1, 2))
        elif field.shape == "(n,)" and field.kind == "bool":
            name = f"text.{field.name}"
            yield f"{name} & (np.cumsum({name}) == np.cumsum({name})[:, None])"


def _token_sources() -> Iterator[str]:
    for field in fields():
        if field.shape == "(n,)" and field.kind == "bool":
            yield f"text.{field.name}"
        elif field.shape == "(n,)":
            # Indices that count from the text's beginning say little beyond it.
            tests = ("== 0", "== 1") if field.name in ("position", "word", "sentence") else ("== 0", "== 1", "> 3")
            yield from (f"text.{field.name} {test}" for test in tests)


@lru_cache(maxsize=2)
def dictionary_of(scorer: FitScorer) -> Dictionary:
    """The dictionary of a scorer, evaluated at the first call."""
    return Dictionary(scorer)

"""A dictionary of attention patterns made from the fields of `Text`, and a search for the one that a prediction lacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fitness.text import fields
from operators.expressions import Unsupported
from operators.trial import Trial

EVERYTHING = "text.distance >= 0"
FADING = tuple(f"np.exp(-np.abs(text.distance) / {tau})" for tau in (1, 2, 4, 8, 16, 32)) + tuple(
    f"(1 + np.abs(text.distance)) ** -{power}" for power in (0.5, 1.0, 2.0)
)


@dataclass(frozen=True)
class Candidate:
    """A pattern that may explain what a prediction lacks.

    Attributes:
        source: its expression, (n, n) or (n,) as a program writes it.
        values: (N,) float32 on the sample.
        times: whether it multiplies the weights, as 1 + c * pattern, instead of being added to them.
        score: how much it promises; higher is better, comparable within one search.
    """

    source: str
    values: np.ndarray
    times: bool
    score: float


class Dictionary:
    """Patterns on one sample: of pairs, of keys and of queries; products of two are made while searching.

    Args:
        trial: evaluates the patterns.

    Attributes:
        pair_sources: expressions of (n, n) patterns; the first one is everything that a query sees.
        pairs: (pair patterns, N) float32.
        token_sources: expressions of (n,) patterns.
        tokens: (token patterns, tokens) float32.
    """

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        sample = trial.sample
        self.pair_sources, self.pairs = self._evaluated(_pair_sources())
        self.token_sources, lifted = self._evaluated(_token_sources())
        first = np.unique(sample.key, return_index=True)[1]
        self.tokens = np.zeros((len(self.token_sources), len(sample.tokens)), dtype=np.float32)
        self.tokens[:, sample.key[first]] = lifted[:, first]
        self._gates = np.concatenate([lifted, self.tokens[:, sample.query]])
        spellings, self.token_type = np.unique(np.array(sample.tokens), return_inverse=True)
        self.spellings = [str(spelling) for spelling in spellings]

    def _evaluated(self, sources: Iterator[str]) -> tuple[list[str], np.ndarray]:
        kept: dict[bytes, tuple[str, np.ndarray]] = {}
        for source in sources:
            try:
                values = self.trial.evaluator.pattern(source)
            except Unsupported:
                continue
            if values.any() and values.tobytes() not in kept:
                kept[values.tobytes()] = source, values
        return [source for source, _ in kept.values()], np.stack([values for _, values in kept.values()])

    def search(
        self, weights: np.ndarray, head: int, rng: np.random.Generator, *, limit: int, adding: bool = True
    ) -> list[Candidate]:
        """The most promising patterns to add to or to multiply into weights, best first.

        A pattern's promise is the first-order gain of IoU, times how much of it is gain rather than moved in vain.

        Args:
            weights: (N,) float32 weights so far.
            head: whose attention to explain.
            rng: leaves out a part of the pairs, so that repeated searches differ.
            limit: at most so many of each way.
            adding: whether patterns may be added; weights whose scale is unknown can only be multiplied.
        """
        sample = self.trial.sample
        gradient = sample.gradient(weights, head)
        chosen = np.flatnonzero(rng.random(len(self.pairs)) < 0.6)
        chosen = np.union1d([0], chosen)
        sums = sample.row_sums(weights)
        inverse = (1 / np.where(sums > 0, sums, np.inf)).astype(np.float32)[sample.row]
        found = []
        if adding:
            found += self._ranked(gradient, inverse, chosen, limit, times=False)
        found += self._ranked(gradient * weights, inverse * weights, chosen, limit, times=True)
        found += self._words(gradient * weights)
        return found

    def _ranked(
        self, gradient: np.ndarray, mass: np.ndarray, chosen: np.ndarray, limit: int, *, times: bool
    ) -> list[Candidate]:
        gain, spent = self._moments(gradient, chosen), self._moments(mass, chosen)
        score = gain * np.abs(gain) / np.maximum(spent, 1e-9)
        # Only what multiplies the weights may be taken away.
        strength = np.abs(score) if times else score
        order = np.argsort(-strength, kind="stable")[:limit]
        return [self._candidate(int(place), chosen, times, float(strength[place])) for place in order]

    def _moments(self, values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Sums of values under every product: pairs x (1, keys, queries), then keys x queries, flattened."""
        pairs = self.pairs[chosen]
        gated = self._gates * values
        count = len(self.token_sources)
        keys_queries = gated[:count] @ self._gates[count:].T
        return np.concatenate([pairs @ values, (pairs @ gated.T).ravel(), keys_queries.ravel()])

    def _candidate(self, place: int, chosen: np.ndarray, times: bool, score: float) -> Candidate:
        count = len(self.token_sources)
        if place < len(chosen):
            pair = chosen[place]
            return Candidate(self.pair_sources[pair], self.pairs[pair], times, score)
        place -= len(chosen)
        if place < len(chosen) * 2 * count:
            pair, gate = chosen[place // (2 * count)], place % (2 * count)
            token = self.token_sources[gate % count]
            source = _product(self.pair_sources[pair], token if gate < count else _query(token))
            return Candidate(source, self.pairs[pair] * self._gates[gate], times, score)
        key, query = divmod(place - len(chosen) * 2 * count, count)
        source = _product(self.token_sources[key], _query(self.token_sources[query]))
        return Candidate(source, self._gates[key] * self._gates[count + query], times, score)

    def _words(self, gradient: np.ndarray) -> list[Candidate]:
        """Lists of tokens whose keys deserve more, or less, on most texts where they occur."""
        sample = self.trial.sample
        texts, types = len(sample.texts), len(self.spellings)
        per_token = np.bincount(sample.key, weights=gradient, minlength=len(sample.tokens))
        cell = sample.token_text * types + self.token_type
        gain = np.bincount(cell, weights=per_token, minlength=texts * types).reshape(texts, types)
        seen = np.bincount(cell, minlength=texts * types).reshape(texts, types) > 0
        total = gain.sum(axis=0)
        spread = np.sqrt((gain**2).sum(axis=0))
        sure = (np.abs(total) > 1.5 * spread) & (seen.sum(axis=0) >= 3)
        found = []
        for sign in (1, -1):
            order = [int(t) for t in np.argsort(-sign * total, kind="stable") if sure[t] and sign * total[t] > 0]
            for length in (2, 4, 8):
                if len(order) >= length:
                    listed = sorted(self.spellings[t] for t in order[:length])
                    source = f"np.isin(text.tokens, {listed!r})"
                    values = np.isin(self.token_type, order[:length]).astype(np.float32)[sample.key]
                    found.append(Candidate(source, values, True, float(abs(total[order[:length]].sum()))))
        return found


def _query(source: str) -> str:
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
            yield from (f"text.{field.name} == {k}" for k in (0, 1))
            yield from (f"text.{field.name} > {k}" for k in (0, 1, 3, 6))


@lru_cache(maxsize=2)
def dictionary_of(trial: Trial) -> Dictionary:
    """The dictionary of a trial, evaluated at the first call."""
    return Dictionary(trial)

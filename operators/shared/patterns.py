"""A dictionary of attention patterns made from the fields of `Text`, and the search for what a prediction lacks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from fitness.text.view import fields
from operators.shared.fit_sample import FitSample
from operators.shared.fit_scoring import FitScorer
from operators.shared.tree_evaluation import Evaluator, Unsupported

EVERYTHING = "text.distance >= 0"
# Elements looked at for a ranking.
SCREENED_ELEMENTS = 16_000
KEPT_PATTERNS = 0.7
# A product has to explain so much more than a pattern alone, for it is longer to read and easier to fit by chance.
PRODUCT_DISCOUNT = 0.7
# Patterns of pairs that are more or less, and not true or false.
FADING = tuple(f"np.exp(-np.abs(text.distance) / {tau})" for tau in (1, 2, 4, 8, 16, 32)) + tuple(
    f"(1 + np.abs(text.distance)) ** -{power}" for power in (0.5, 1.0, 2.0)
)
GRADED_PAIRS = ("text.log_distance", "np.log1p(np.abs(text.word_distance))", "np.sqrt(np.abs(text.distance))")
GRADED_TOKENS = ("text.log_position", "np.sqrt(text.length)", "np.log1p(text.occurrence)")
# What is asked of whole numbers.
TESTS = dict.fromkeys(("word", "sentence", "line"), ("== 0", "== 1")) | {
    "position": ("== 1", "<= 3", "> 15", "> 40"),
    "length": ("== 1", "> 3", "> 6"),
}
# Tokens that may be named by their spelling: at most so many, each in so many texts of two domains.
SHARED_TOKENS, SHARED_TEXTS = 60, 3
# Candidates of one search that may share a part.
SHARING = 2


class Dictionary:
    """Patterns of pairs, of keys and of queries; products of two are made while searching.

    Args:
        sample: queries of the fit split.
        evaluator: evaluates patterns on them.
        domains: the texts take turns of so many domains.

    Attributes:
        pair_sources: expressions of (n, n) patterns; the first one is everything that a query sees.
        token_sources: expressions of (n,) patterns that are true or false.
        spelled_sources: expressions of (n,) patterns, each true of one token; only of tokens that are common to
            domains, so that none speaks of one kind of text.
        spellings: tokens that may be listed: those, or all of the texts where these are of one domain.
    """

    def __init__(self, sample: FitSample, evaluator: Evaluator, domains: int = 1) -> None:
        self._evaluator = evaluator
        stride = int(np.ceil(len(sample.row) / SCREENED_ELEMENTS))
        self._screen = np.flatnonzero(sample.row % stride == 0)
        self.pair_sources, pairs = self._evaluated(_pair_sources())
        graded, graded_pairs = self._evaluated(iter(GRADED_PAIRS))
        shared = shared_tokens(sample, domains)
        self.spelled_sources, spelled = self._evaluated(f"np.isin(text.tokens, [{token!r}])" for token in shared)
        self._pair_sources = [*self.pair_sources, *graded, *self.spelled_sources]
        self._pairs = np.concatenate([pairs, graded_pairs, spelled])
        self.token_sources, keys = self._evaluated(_token_sources())
        graded, graded_keys = self._evaluated(iter(GRADED_TOKENS))
        self._token_sources = [*self.token_sources, *graded]
        queries = [evaluator.pattern(query_side(source))[self._screen] for source in self._token_sources]
        self._gates = np.concatenate([keys, graded_keys, np.stack(queries)])
        self._squares = np.square(self._pairs), np.square(self._gates)
        self._property_sources = [*self._token_sources, *self.spelled_sources]
        self._properties = np.stack(
            [sample.first_keys(evaluator.pattern(query_side(s))) for s in self._property_sources]
        )
        self.spellings = shared if domains > 1 else sorted(set(sample.tokens))

    def _evaluated(self, sources: Iterator[str]) -> tuple[list[str], np.ndarray]:
        kept: dict[bytes, tuple[str, np.ndarray]] = {}
        for source in sources:
            try:
                values = self._evaluator.pattern(source)[self._screen]
            except Unsupported:
                continue
            if values.any():
                kept.setdefault(values.tobytes(), (source, values))
        shape = (len(kept), len(self._screen))
        values = np.array([values for _, values in kept.values()], dtype=np.float32).reshape(shape)
        return [source for source, _ in kept.values()], values

    def search(
        self, slope: np.ndarray, prediction: np.ndarray, rng: np.random.Generator, *, limit: int, known: list[str]
    ) -> list[str]:
        """The patterns whose addition to the exponent promises most, best first.

        All products are scored in a few matrix products: by the square of the first derivative of the IoU over the
        mass that the pattern lies on, which is about what a Newton step would gain.

        Args:
            slope: (N,) derivatives of the IoU by the exponents.
            prediction: (N,) prediction so far.
            rng: leaves out some of the patterns, so that repeated searches differ.
            limit: at most so many.
            known: patterns that are not to be found again.
        """
        pairs = np.flatnonzero(rng.random(len(self._pairs)) < KEPT_PATTERNS)
        pairs = np.union1d(pairs, [0])  # all that is seen: what it multiplies stands alone
        gain = self._moments(slope, self._pairs[pairs], self._gates)
        mass = self._moments(prediction, self._squares[0][pairs], self._squares[1])
        # What lies on next to no mass promises nothing, whatever its ratio.
        score = gain**2 / np.maximum(mass, 1e-3 * max(float(mass.max()), 1e-9))
        score[len(pairs) + len(self._gates) :] *= PRODUCT_DISCOUNT
        score[0] = 0
        # How sums are rounded depends on how many threads form them; equal patterns must stay equal all the same.
        score = np.round(score / max(float(score.max()), 1e-30), 5)
        found: list[str] = []
        seen: list[tuple[float, float]] = []
        used: Counter[str] = Counter()
        for place in np.argsort(-score, kind="stable")[: 30 * limit].tolist():
            if score[place] <= 0 or len(found) == limit:
                break
            moments = float(gain[place]), float(mass[place])
            parts = self._parts(place, pairs)
            source = _product(*parts)
            # Several ways of saying the same give equal moments; one idea in many dresses must not fill the list.
            same = any(_alike(moments, earlier) for earlier in seen)
            if source in known or same or max(used[part] for part in parts) >= SHARING:
                continue
            seen.append(moments)
            used.update(set(parts) - {EVERYTHING})
            found.append(source)
        return found

    def search_sink(
        self, slope: np.ndarray, share: np.ndarray, rng: np.random.Generator, *, limit: int, known: list[str]
    ) -> list[str]:
        """The same for properties of the query that tell how much rests on the first token.

        Args:
            slope: (rows,) derivatives of the IoU by the first token's logit.
            share: (rows,) what rests on it.
            rng: leaves out some of the properties.
            limit: at most so many.
            known: properties that are not to be found again.
        """
        gain = (self._properties @ slope).astype(np.float64)
        mass = (np.square(self._properties) @ (share * (1 - share))).astype(np.float64)
        score = gain**2 / np.maximum(mass, 1e-3 * max(float(mass.max()), 1e-9))
        score[rng.random(len(score)) >= KEPT_PATTERNS] = 0
        score = np.round(score / max(float(score.max()), 1e-30), 5)
        order = [self._property_sources[place] for place in np.argsort(-score, kind="stable") if score[place] > 0]
        return [source for source in order if source not in known][:limit]

    def _moments(self, row: np.ndarray, pairs: np.ndarray, gates: np.ndarray) -> np.ndarray:
        """(products,) float64 sums of (N,) values under every product.

        Products are the pair patterns, then the pair patterns with each gate, then the keys with each query; a gate is
        a pattern of keys or of queries.
        """
        count = len(self._token_sources)
        row = row[self._screen]
        gated = gates * row
        products = [pairs @ row, (pairs @ gated.T).ravel(), (gated[:count] @ gates[count:].T).ravel()]
        return np.concatenate(products).astype(np.float64)

    def _parts(self, place: int, pairs: np.ndarray) -> tuple[str, str]:
        """Expressions of the two factors of the product at a place among the moments."""
        count = len(self._token_sources)
        if place < len(pairs):
            return EVERYTHING, self._pair_sources[pairs[place]]
        place -= len(pairs)
        if place < len(pairs) * 2 * count:
            pair, gate = divmod(place, 2 * count)
            token = self._token_sources[gate % count]
            return self._pair_sources[pairs[pair]], token if gate < count else query_side(token)
        key, query = divmod(place - len(pairs) * 2 * count, count)
        return self._token_sources[key], query_side(self._token_sources[query])


def _alike(moments: tuple[float, float], others: tuple[float, float]) -> bool:
    return all(abs(a - b) <= 0.02 * abs(b) for a, b in zip(moments, others, strict=True))


def query_side(source: str) -> str:
    """A pattern of tokens, as a pattern of queries."""
    return f"({source})[:, None]" if " " in source else f"{source}[:, None]"


def _product(left: str, right: str) -> str:
    if left == EVERYTHING:
        return right
    graded = {*FADING, *GRADED_PAIRS, *GRADED_TOKENS, *(query_side(source) for source in GRADED_TOKENS)}
    sign = "*" if left in graded or right in graded else "&"
    return f" {sign} ".join(
        f"({side})" if " " in side and not side.endswith("[:, None]") else side for side in (left, right)
    )


def _pair_sources() -> Iterator[str]:
    yield EVERYTHING
    yield from (f"text.distance == {k}" for k in range(7))
    yield from (f"text.distance <= {k}" for k in (2, 4, 8, 16))
    yield from FADING
    for field in fields():
        if field.shape == "(n, n)" and field.kind == "bool":
            yield f"text.{field.name}"
            yield f"text.{field.name} & (text.distance > 0)"
        elif field.shape == "(n, n)" and field.kind == "int" and field.name != "distance":
            yield from (f"text.{field.name} == {k}" for k in (0, 1, 2))
        elif field.shape == "(n,)" and field.kind == "bool":
            name = f"text.{field.name}"
            if field.name != "is_first":  # there is no other
                yield f"text.latest({name})"
                yield f"text.latest({name}) & (text.distance > 0)"


def _token_sources() -> Iterator[str]:
    for field in fields():
        if field.shape == "(n,)" and field.kind == "bool":
            yield f"text.{field.name}"
        elif field.shape == "(n,)" and field.kind == "int":
            yield from (f"text.{field.name} {test}" for test in TESTS.get(field.name, ("== 0", "== 1", "> 3")))


def shared_tokens(sample: FitSample, domains: int) -> list[str]:
    """Tokens that several texts of two domains hold, those of most texts first; none where there is one domain."""
    texts: defaultdict[str, set[int]] = defaultdict(set)
    for token, text in zip(sample.tokens, sample.token_text.tolist(), strict=True):
        texts[token].add(text)

    def is_shared(token: str) -> bool:
        by_domain = Counter(text % domains for text in texts[token])
        return sum(count >= SHARED_TEXTS for count in by_domain.values()) >= 2

    return sorted(filter(is_shared, texts), key=lambda token: (-len(texts[token]), token))[:SHARED_TOKENS]


@lru_cache(maxsize=2)
def dictionary_of(scorer: FitScorer) -> Dictionary:
    """The dictionary of a scorer, evaluated at the first call."""
    return Dictionary(scorer.sample, scorer.evaluator, scorer.domains)

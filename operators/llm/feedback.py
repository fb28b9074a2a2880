"""What prompts show of a head and of a program's errors: fit split alone, tokens quoted, numbers rounded."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from functools import lru_cache
from typing import Any

import numpy as np

from fitness.scoring.contract import to_prediction
from fitness.scoring.fit_view import FitView
from fitness.scoring.packing import unpack
from fitness.text.view import Text, fields
from operators.protocol import Failure, Request

# Share of the pairs that counts as strongest, as in the published method.
STRONGEST = 0.025
BANDS = (1.01, 0.75, 0.5, 0.25, 0.0)
PAIRS_A_BAND = 5
FIRST_TOKEN_PAIRS_A_BAND = 2
TEXTS_SHOWN = 3
KEYS_SHOWN = 4
LEAST_SHOWN = 0.03
MAX_QUOTED = 240
CONTEXT_TOKENS = 16
PROFILE_TEXTS = 12
PROFILE_LINES = 8
# Of what is missing, and of what is too much.
LOSS_LINES = 4
# Kinds of message whose quotations name code, never tokens of a text.
_ABOUT_CODE = re.compile(r"^(\w+: )*(name '|Text has no field|module '|'\w+' object|.*unexpected keyword|import )")


def token(text: Text, index: int) -> str:
    """A token with its position, such as `' dog'[7]`."""
    return f"{text.tokens[index]!r}[{index}]"


def strongest_pairs(view: FitView, head: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """The strongest pairs of query and key on a few fit texts, stratified by weight.

    The strongest 2.5 % of all pairs, and of those whose key is not the first token, are sorted into bands of weight,
    and a few of each band are drawn: otherwise one habit, such as attending to the first token, would fill the list.

    Returns:
        One entry per text: `text` (quoted) and `pairs` (lines such as `' it'[9] -> ' dog'[4] (0.83)`, strongest first).
    """
    chosen = np.sort(rng.permutation(len(view.texts))[:TEXTS_SHOWN])
    attention = view.attention(head)
    return [
        {
            "text": quote(view.texts[index].string),
            "pairs": _stratified(view.texts[index], matrix(view, attention, index), view.causal, rng),
        }
        for index in chosen
    ]


def _stratified(text: Text, attention: np.ndarray, causal: bool, rng: np.random.Generator) -> list[str]:
    allowed = np.tril(np.ones_like(attention, dtype=bool)) if causal else np.ones_like(attention, dtype=bool)
    allowed[0] = False  # the first row has nothing to choose from
    shown = _top(attention, allowed) | _top(attention, allowed & (np.arange(text.n) > 0)[None, :])
    queries, keys = np.nonzero(shown)
    weights = attention[queries, keys]
    picked: list[int] = []
    for high, low in itertools.pairwise(BANDS):
        band = rng.permutation(np.nonzero((weights < high) & (weights >= low))[0])
        first = keys[band] == 0
        picked += [*band[first][:FIRST_TOKEN_PAIRS_A_BAND], *band[~first][:PAIRS_A_BAND]]
    picked.sort(key=lambda index: (-weights[index], queries[index], keys[index]))
    return [f"{token(text, queries[p])} -> {token(text, keys[p])} ({weights[p]:.2f})" for p in picked]


def _top(attention: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    weights = attention[allowed]
    if not weights.size:
        return allowed
    count = max(1, round(STRONGEST * weights.size))
    least = np.partition(weights, -count)[-count]
    return allowed & (attention >= least) & (attention > 0)


def profile(view: FitView, head: int) -> list[str]:
    """Where the head's attention goes, in the words of `Text`: the relations that take more of it than their share.

    Returns:
        Lines such as `text.same: 0.41 of the attention, 0.07 of the pairs`, the strongest first, and the mean distance.
    """
    return _profiles(view).lines(head)


def losses(view: FitView, flat: np.ndarray, head: int) -> list[str]:
    """Where a program loses mass or puts too much, in the words of `Text`: the patterns that tell most of it.

    Args:
        view: the fit split.
        flat: packed predictions of the program on it.
        head: flat index of the head.

    Returns:
        Lines such as `text.after_same: 0.31 missing`, in mass of a query, which has 1.00, the largest first.
    """
    return _profiles(view).losses(flat, head)


class _Profiles:
    """Profiles of the heads of a fit split, each computed when it is first asked for.

    Args:
        view: the fit split; its first few texts say enough.
    """

    def __init__(self, view: FitView) -> None:
        self._view = view
        self._texts = [index for index, text in enumerate(view.texts) if text.n > 1][:PROFILE_TEXTS]
        self._relations = {index: _relations(view.texts[index]) for index in self._texts}
        self._uniform = self._shares([_uniform(view.texts[index].n, view.causal) for index in self._texts])
        self._lines: dict[int, list[str]] = {}

    def lines(self, head: int) -> list[str]:
        """The profile of one head."""
        if not self._texts:
            return []
        if head not in self._lines:
            self._lines[head] = self._describe(head)
        return self._lines[head]

    def losses(self, flat: np.ndarray, head: int) -> list[str]:
        """What one program lacks of a head's attention, and what it has beyond it."""
        attention = self._view.attention(head)
        pairs = [(matrix(self._view, attention, index), matrix(self._view, flat, index)) for index in self._texts]
        found: list[tuple[float, str]] = []
        for words, parts in (
            ("missing", [np.maximum(wanted - given, 0) for wanted, given in pairs]),
            ("too much", [np.maximum(given - wanted, 0) for wanted, given in pairs]),
        ):
            shares = self._shares(parts)
            total = sum(float(part[1:].sum()) / (len(part) - 1) for part in parts) / max(1, len(parts))
            # A relation that most pairs have takes most of any loss, and tells nothing.
            above = {name: share - total * self._uniform[name] for name, share in shares.items()}
            ranked = sorted(above, key=lambda name: -above[name])[:LOSS_LINES]
            told = {f"{shares[name]:.2f} {words}": name for name in reversed(ranked) if above[name] > 0}
            found += [(shares[name], f"{name}: {loss}") for loss, name in told.items()]  # of equal ones the first
        return [line for share, line in sorted(found, key=lambda each: -each[0]) if share >= LEAST_SHOWN]

    def _shares(self, matrices: list[np.ndarray]) -> dict[str, float]:
        """Mean mass that each relation takes of the rows but the first, which has nothing to choose from."""
        sums: dict[str, float] = defaultdict(float)
        for index, weights in zip(self._texts, matrices, strict=True):
            for name, relation in self._relations[index].items():
                sums[name] += float(weights[1:][relation[1:]].sum()) / (len(weights) - 1) / len(self._texts)
        return sums

    def _describe(self, head: int) -> list[str]:
        attention = self._view.attention(head)
        matrices = [matrix(self._view, attention, index) for index in self._texts]
        found = self._shares(matrices)
        above = {name: found[name] - self._uniform[name] for name in found}
        ranked = sorted((name for name in above if above[name] > 0), key=lambda name: (-above[name], name))
        lines = [
            f"{name}: {found[name]:.2f} of the attention, {self._uniform[name]:.2f} of the pairs"
            for name in ranked[:PROFILE_LINES]
        ]
        distances = [
            float((weights * np.abs(self._view.texts[index].distance))[1:].sum(axis=1).mean())
            for index, weights in zip(self._texts, matrices, strict=True)
        ]
        return [*lines, f"mean distance attended to: {np.mean(distances):.1f} tokens"]


@lru_cache(maxsize=2)
def _profiles(view: FitView) -> _Profiles:
    return _Profiles(view)


def _uniform(n: int, causal: bool) -> np.ndarray:
    return to_prediction(np.ones((n, n)), causal=causal)


def _relations(text: Text) -> dict[str, np.ndarray]:
    """(n, n) bool for every field of `Text` that says yes or no of a pair or of a key."""
    found = {"text.distance == 0": text.distance == 0, "text.distance == 1": text.distance == 1}
    for field in fields():
        if field.kind == "bool":
            value = getattr(text, field.name)
            pair = field.shape == "(n, n)"
            name = f"text.{field.name}" if pair else f"text.{field.name} (of the key)"
            found[name] = value if pair else np.broadcast_to(value[None, :], (text.n, text.n))
    return found


def matrix(view: FitView, flat: np.ndarray, index: int) -> np.ndarray:
    """(n, n) of one text out of packed arrays laid end to end."""
    part = flat[view.packing.offsets[index] : view.packing.offsets[index + 1]]
    return unpack(part, view.texts[index].n, causal=view.causal)


def row_overlaps(view: FitView, flat: np.ndarray, head: int, index: int) -> np.ndarray:
    """(n,) mass that prediction and attention share in each row of one text, in [0, 1]."""
    return np.minimum(matrix(view, flat, index), matrix(view, view.attention(head), index)).sum(axis=1)


def compared_rows(
    view: FitView, head: int, index: int, rows: np.ndarray, **predictions: np.ndarray
) -> list[dict[str, Any]]:
    """What the head does in some rows of a text, beside what programs predict there.

    Args:
        view: the fit split.
        head: flat index of the head.
        index: which fit text.
        rows: (rows,) int, positions of queries.
        predictions: packed predictions by name.

    Returns:
        One entry per row: `query`, `before` (the tokens up to it, quoted), `wanted` and one entry per prediction, each
        a line of keys with their weights, heaviest first.
    """
    text = view.texts[index]
    flats = {"wanted": view.attention(head)} | predictions
    matrices = {name: matrix(view, flat, index) for name, flat in flats.items()}
    return [
        {"query": token(text, row), "before": _before(text, row)}
        | {name: heaviest(text, weights[row]) for name, weights in matrices.items()}
        for row in rows
    ]


def heaviest(text: Text, weights: np.ndarray) -> str:
    """The heaviest keys of a row, such as `' dog'[4] 0.83, 'Once'[0] 0.10`."""
    order = np.argsort(-weights, kind="stable")[:KEYS_SHOWN]
    shown = [f"{token(text, key)} {weights[key]:.2f}" for key in order if weights[key] >= LEAST_SHOWN]
    return ", ".join(shown) or f"spread over {int((weights > 0).sum())} keys"


def _before(text: Text, row: int) -> str:
    begin = max(0, row + 1 - CONTEXT_TOKENS)
    return ("... " if begin else "") + repr("".join(text.tokens[begin : row + 1]))


def draw(rng: np.random.Generator, ranked: np.ndarray, count: int) -> np.ndarray:
    """Draws some of the first in a ranking, in its order, so that the same parent is not always shown the same.

    Args:
        rng: of the request.
        ranked: (entries,) the ranking.
        count: how many to draw; from twice as many, but no more than the first half where that suffices.
    """
    pool = max(count, min(2 * count, len(ranked) // 2))
    return ranked[np.sort(rng.permutation(min(len(ranked), pool))[:count])]


def quote(text: str, most: int = MAX_QUOTED) -> str:
    """Text as one quoted line, cut where it is long."""
    return repr(text if len(text) <= most else text[:most] + "...")


def quote_error(message: str) -> str:
    """An error message as one line of data: words of texts taken out, cut, quoted."""
    line = " ".join(message.split())
    if not _ABOUT_CODE.match(line):
        line = re.sub(r"'[^']*'|\"[^\"]*\"", "'...'", line)
    return quote(line)


def common_errors(request: Request) -> list[str]:
    """The campaign's most common errors, one quoted line each."""
    return [quote_error(line) for line in request.common_errors]


def repair_values(label: str, source: str, failure: Failure) -> dict[str, Any]:
    """What is said of one failure.

    Args:
        label: name of the head.
        source: what failed; need not be a program.
        failure: how it failed, its message fit to be shown.
    """
    lines = source.split("\n")
    known = failure.line is not None and 0 < failure.line <= len(lines)
    return {
        "label": label,
        "program": source,
        "kind": str(failure.kind),
        "message": quote_error(failure.message) if failure.message else "",
        "line": failure.line if known else None,
        "source_line": lines[failure.line - 1].strip() if known and failure.line else "",
        "sizes": None,
        "common_errors": [],
    }

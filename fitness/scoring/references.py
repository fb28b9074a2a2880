"""What explains a head without a program: tables of its attention by position, fitted on the fit split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fitness.scoring.contract import scale_rows
from fitness.scoring.packing import Packing, packed_size

MEAN, MEDIAN, DISTANCE = "mean_table", "median_table", "distance_table"
KINDS = (MEAN, MEDIAN, DISTANCE)
# A position that fewer fit texts reach is predicted by its distance.
FEWEST_TEXTS = 3
# Distances beyond the longest fit text get the mean of so many of the longest ones.
TAIL = 8
# Numbers of one head's attention that are held at a time while a median is taken.
CHUNK = 20_000_000


class Captured(Protocol):
    """Captured attention, as `fitness.models.capture.Attention` holds it."""

    causal: bool
    labels: tuple[str, ...]

    @property
    def texts(self) -> Sequence[Sized]:
        """The texts; of each, its length in tokens is used."""

    def block(self, text: int) -> np.ndarray:
        """(heads, packed) attention of every head on one text."""

    def sums(self, text: int) -> np.ndarray:
        """(heads,) sums of the block."""


@dataclass(frozen=True, eq=False)
class Tables:
    """Tables of every head of a model.

    A table predicts from positions alone: `mean_table` and `median_table` hold one number per (query, key),
    `distance_table` one per distance and one for the first token. Positions that fewer than three fit texts reach, and
    all beyond the longest, are predicted by distance.

    Attributes:
        causal: whether the model is causal.
        longest: tokens of the longest fit text.
        by_position: kind -> (heads, longest, longest) float32, NaN where too few texts reach.
        by_distance: (heads, distances) float32: mean attention at a distance of query - key from -(longest - 1), or
            from 0 where causal, to longest - 1; keys after the first one.
        on_first: (heads,) float32: mean attention of later queries to the first token.
    """

    causal: bool
    longest: int
    by_position: Mapping[str, np.ndarray]
    by_distance: np.ndarray
    on_first: np.ndarray

    def predict(self, kind: str, head: int, n: int) -> np.ndarray:
        """A table's prediction for a text of n tokens.

        Args:
            kind: one of `KINDS`.
            head: flat index of the head.
            n: number of tokens.

        Returns:
            (n, n) float32, rows sum to 1.
        """
        packing = Packing([n], causal=self.causal)
        return packing.unpack(self.predictions(kind, n, slice(head, head + 1))[0])[0]

    def predictions(self, kind: str, n: int, heads: slice = slice(None)) -> np.ndarray:
        """(heads, packed) float32: a table's predictions of several heads for a text of n tokens."""
        packing = Packing([n], causal=self.causal)
        query = np.repeat(np.arange(n), packing.row_keys)
        key = np.arange(len(query)) - np.repeat(packing.row_starts, packing.row_keys)
        weights = self._distances(query - key, heads)
        weights[:, key == 0] = self.on_first[heads, None]
        if kind != DISTANCE:
            inside = np.flatnonzero(np.maximum(query, key) < self.longest)
            known = self.by_position[kind][heads, query[inside], key[inside]]
            weights[:, inside] = np.where(np.isnan(known), weights[:, inside], known)
        return np.stack([scale_rows(row, packing.row_starts, packing.row_keys) for row in weights])

    def _distances(self, distance: np.ndarray, heads: slice) -> np.ndarray:
        """(heads, elements): the distance table at these distances; beyond its ends the mean of its tail."""
        table = self.by_distance[heads]
        first = 0 if self.causal else 1 - self.longest
        inside = np.clip(distance - first, 0, table.shape[1] - 1)
        values = table[:, inside]
        values[:, distance > self.longest - 1] = table[:, -TAIL:].mean(axis=1, keepdims=True)
        if not self.causal:
            values[:, distance < first] = table[:, :TAIL].mean(axis=1, keepdims=True)
        return values

    def score(self, attention: Captured, texts: Sequence[int]) -> dict[str, np.ndarray]:
        """Kind -> (heads, texts) float32 IoU of each head's table with its attention on these texts."""
        found = {kind: np.empty((len(self.on_first), len(texts)), dtype=np.float32) for kind in KINDS}
        known: dict[tuple[str, int], np.ndarray] = {}
        for column, text in enumerate(texts):
            n = len(attention.texts[text])
            block, sums = np.asarray(attention.block(text), dtype=np.float32), attention.sums(text)
            for kind in KINDS:
                if (kind, n) not in known:
                    known = {key: value for key, value in known.items() if key[1] == n}
                    known[kind, n] = self.predictions(kind, n)
                predicted = known[kind, n]
                shared = np.minimum(predicted, block).sum(axis=1, dtype=np.float64)
                found[kind][:, column] = shared / (predicted.sum(axis=1, dtype=np.float64) + sums - shared)
        return found


@dataclass(frozen=True, eq=False)
class Reference:
    """The best table of each head, chosen on held-out texts.

    Attributes:
        tables: what there is to choose from.
        kinds: the kind chosen for each head, by flat index.
    """

    tables: Tables
    kinds: tuple[str, ...]

    def predict(self, head: int, n: int) -> np.ndarray:
        """(n, n) float32: the prediction of a head's table for a text of n tokens; rows sum to 1."""
        return self.tables.predict(self.kinds[head], head, n)


def choose(tables: Tables, held_out: Mapping[str, np.ndarray]) -> Reference:
    """The kind of the best mean held-out IoU for each head; of equals the first of `KINDS`.

    Args:
        tables: the tables.
        held_out: kind -> (heads, texts) IoU, as `Tables.score` gives it.
    """
    means = np.stack([held_out[kind].mean(axis=1, dtype=np.float64) for kind in KINDS])
    return Reference(tables, tuple(KINDS[best] for best in means.argmax(axis=0)))


def fit_tables(attention: Captured, texts: Sequence[int]) -> Tables:
    """Fits the tables of all heads.

    Args:
        attention: captured attention.
        texts: indices of the fit texts, at least one.
    """
    lengths = np.array([len(attention.texts[text]) for text in texts])
    longest, causal = int(lengths.max()), attention.causal
    heads = len(attention.labels)
    distances = longest if causal else 2 * longest - 1
    by_distance = np.zeros((heads, distances))
    pairs = np.zeros(distances)
    on_first, queries = np.zeros(heads), 0
    for text, n in zip(texts, lengths, strict=True):
        query, key = _positions(int(n), causal=causal)
        block = np.asarray(attention.block(text), dtype=np.float32)
        later = key > 0
        place = (query - key + (0 if causal else longest - 1))[later]
        pairs += np.bincount(place, minlength=distances)
        for head in range(heads):
            by_distance[head] += np.bincount(place, block[head, later], minlength=distances)
        first = (key == 0) & (query > 0)
        on_first += block[:, first].sum(axis=1, dtype=np.float64)
        queries += int(first.sum())
    by_distance /= np.maximum(pairs, 1)
    # The longest distance reaches the first token alone, and no other key.
    by_distance[:, pairs == 0] = by_distance[:, pairs > 0][:, -1:] if (pairs > 0).any() else 0
    mean = np.full((heads, longest, longest), np.nan, dtype=np.float32)
    median = mean.copy()
    for part in _head_chunks(heads, len(texts) * longest * longest):
        _fill(mean[part], median[part], attention, texts, lengths, part)
    return Tables(
        causal,
        longest,
        {MEAN: mean, MEDIAN: median},
        by_distance.astype(np.float32),
        (on_first / max(queries, 1)).astype(np.float32),
    )


def _positions(n: int, *, causal: bool) -> tuple[np.ndarray, np.ndarray]:
    """(packed,) query and key of each element of a packed (n, n) matrix."""
    packing = Packing([n], causal=causal)
    query = np.repeat(np.arange(n), packing.row_keys)
    return query, np.arange(packed_size(n, causal=causal)) - np.repeat(packing.row_starts, packing.row_keys)


def _head_chunks(heads: int, numbers_per_head: int) -> Iterator[slice]:
    step = max(1, CHUNK // max(1, numbers_per_head))
    for begin in range(0, heads, step):
        yield slice(begin, min(heads, begin + step))


def _fill(
    mean: np.ndarray,
    median: np.ndarray,
    attention: Captured,
    texts: Sequence[int],
    lengths: np.ndarray,
    heads: slice,
) -> None:
    """Mean and median by position of some heads, into (heads, longest, longest) of NaN.

    Positions that the same texts reach are taken together: those between two lengths.
    """
    blocks = [np.asarray(attention.block(text)[heads], dtype=np.float32) for text in texts]
    below = 0
    for length in np.unique(lengths):
        reaching = [index for index, n in enumerate(lengths) if n >= length]
        if len(reaching) >= FEWEST_TEXTS:
            values = []
            for index in reaching:
                query, key = _positions(int(lengths[index]), causal=attention.causal)
                outer = np.maximum(query, key)
                band = (outer >= below) & (outer < length)
                values.append(blocks[index][:, band])
            rows, columns = query[band], key[band]
            stacked = np.stack(values)  # (texts, heads, positions)
            mean[:, rows, columns] = stacked.mean(axis=0, dtype=np.float64)
            median[:, rows, columns] = np.median(stacked, axis=0)
        below = int(length)
    # A head may rest elsewhere on each text, so that the median of a row is zero everywhere: its mean says more.
    silent = (np.nan_to_num(median).sum(axis=2) <= 0) & ~np.isnan(median).all(axis=2)
    median[silent] = mean[silent]

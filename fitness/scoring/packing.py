"""Packed matrices: what a model's mask lets through, row by row, one text's alone or several texts' end to end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np


def packed_size(n: int, *, causal: bool) -> int:
    """Numbers that `pack` keeps of an (n, n) matrix."""
    return n * (n + 1) // 2 if causal else n * n


def pack(matrices: np.ndarray, *, causal: bool) -> np.ndarray:
    """Keeps what a model's mask lets through.

    Args:
        matrices: (..., n, n).
        causal: keep the lower triangle with its diagonal; otherwise keep all.

    Returns:
        (..., n (n + 1) / 2) where causal, else (..., n * n); row by row.
    """
    n = matrices.shape[-1]
    flat = matrices.reshape(*matrices.shape[:-2], n * n)
    return flat[..., _triangle(n)] if causal else flat


def unpack(packed: np.ndarray, n: int, *, causal: bool) -> np.ndarray:
    """Inverse of `pack`: (..., n, n), zeros above the diagonal where causal."""
    if not causal:
        return packed.reshape(*packed.shape[:-1], n, n)
    full = np.zeros((*packed.shape[:-1], n * n), dtype=packed.dtype)
    full[..., _triangle(n)] = packed
    return full.reshape(*packed.shape[:-1], n, n)


@lru_cache(maxsize=256)
def _triangle(n: int) -> np.ndarray:
    """Where the lower triangle of an (n, n) matrix lies, row by row."""
    return np.flatnonzero(np.tri(n, dtype=bool))


class Packing:
    """Where texts, rows and elements lie when the packed matrices of several texts are laid end to end.

    N is the number of elements, R the number of rows (queries) of all texts.

    Args:
        lengths: tokens of each text.
        causal: whether tokens see only themselves and what came before.

    Attributes:
        offsets: (texts + 1,) int64: text t lies at `offsets[t]:offsets[t + 1]`.
        row_starts: (R,) int64: where each row begins.
        row_keys: (R,) int64: how many keys each row has.
        text_rows: (texts + 1,) int64: the rows of text t are `text_rows[t]:text_rows[t + 1]`.
    """

    def __init__(self, lengths: Sequence[int], *, causal: bool) -> None:
        self.lengths = tuple(int(n) for n in lengths)
        self.causal = causal
        self.row_keys = np.concatenate([np.arange(1, n + 1) if causal else np.full(n, n) for n in self.lengths])
        self.row_starts = np.cumsum(self.row_keys) - self.row_keys
        self.text_rows = np.concatenate([[0], np.cumsum(self.lengths)])
        self.offsets = np.concatenate([[0], np.cumsum([packed_size(n, causal=causal) for n in self.lengths])])

    @cached_property
    def _index(self) -> np.ndarray:
        begins = np.concatenate([[0], np.cumsum(np.square(self.lengths))])
        return np.concatenate([begin + _triangle(n) for begin, n in zip(begins, self.lengths, strict=False)])

    @cached_property
    def distance(self) -> np.ndarray:
        """(N,) float32: |query - key| of each element."""
        query = np.concatenate([np.arange(n) for n in self.lengths])
        key = np.arange(self.offsets[-1]) - self.spread(self.row_starts)
        return np.abs(self.spread(query) - key).astype(np.float32)

    @cached_property
    def farthest(self) -> np.ndarray:
        """(R,) float64: |query - key| of each row's farthest key."""
        return np.maximum.reduceat(self.distance, self.row_starts).astype(np.float64)

    def pack(self, matrices: Sequence[np.ndarray]) -> np.ndarray:
        """(N,): one (n, n) matrix per text, packed and laid end to end."""
        flat = np.concatenate([matrix.reshape(-1) for matrix in matrices])
        return flat[self._index] if self.causal else flat

    def split(self, flat: np.ndarray) -> list[np.ndarray]:
        """The packed matrices of each text: views of (N,)."""
        return [flat[begin:end] for begin, end in zip(self.offsets[:-1], self.offsets[1:], strict=True)]

    def unpack(self, flat: np.ndarray) -> list[np.ndarray]:
        """Inverse of `pack`: one (n, n) matrix per text."""
        return [unpack(part, n, causal=self.causal) for part, n in zip(self.split(flat), self.lengths, strict=True)]

    def row_sums(self, flat: np.ndarray) -> np.ndarray:
        """(R,) float64: sums of (N,) over the keys of each row."""
        return np.add.reduceat(flat, self.row_starts, dtype=np.float64)

    def text_sums(self, flat: np.ndarray) -> np.ndarray:
        """(texts,) float64: sums of (N,) over each text."""
        return np.add.reduceat(flat, self.offsets[:-1], dtype=np.float64)

    def filled_rows(self, flat: np.ndarray) -> np.ndarray:
        """(texts,) int64: how many rows of each text have an element of (N,) that is not 0."""
        filled = np.logical_or.reduceat(flat != 0, self.row_starts)
        return np.add.reduceat(filled, self.text_rows[:-1], dtype=np.int64)

    def spread(self, rows: np.ndarray) -> np.ndarray:
        """(N,): the value of each element's row, from (R,)."""
        return np.repeat(rows, self.row_keys)

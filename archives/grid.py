"""The MAP-Elites grid: one set of behaviour axes, one elite per cell and head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

BEYOND = 1e-6  # how far float32 may carry a descriptor beyond [0, 1]


class AddStatus(IntEnum):
    """What became of a program; true where it entered the grid."""

    NOT_ADDED = 0
    IMPROVE_EXISTING = 1
    NEW = 2


def bins_of(descriptors: np.ndarray, bins: int | Sequence[int]) -> np.ndarray:
    """(..., axes) int64: the bin of each of (..., axes) descriptors; values outside [0, 1] are clipped.

    Example:
        >>> bins_of(np.array([0.0, 0.5, 1.0]), 5)
        array([0, 2, 4])
    """
    return np.clip((np.asarray(descriptors) * bins).astype(np.int64), 0, np.array(bins) - 1)


@dataclass(frozen=True)
class Axis:
    """One behaviour axis: a descriptor's name and into how many equal bins [0, 1] is cut."""

    name: str
    bins: int


@dataclass(frozen=True)
class AddResult:
    """Outcome of one `Grid.add`.

    Attributes:
        status: NEW where the program opened its cell for some head, else whether it improved an elite.
        cell: the flat index of its cell.
        gain: how much it raised the heads' best IoU, summed over heads.
        improved: how many heads it is the best program for, as of now.
    """

    status: AddStatus
    cell: int
    gain: float
    improved: int

    def __bool__(self) -> bool:
        return bool(self.status)


class Grid:
    """Elites by cell and head, in dense arrays; adding a program is one vectorised comparison.

    A program of higher IoU wins a place; ties go to the shorter source, then to the smaller id, so that the final grid
    does not depend on the order of adding.

    Attributes:
        axes: the behaviour axes.
        best_iou: (cells, heads) float32, -1 where empty.
        elite: (cells, heads) int64 numbers of programs, -1 where empty.
        head_iou: (heads,) float32, the best IoU of any program added, -1 before the first.
        head_best: (heads,) int64, its number, -1 before the first.
        clipped: (axes,) int64, how many descriptors lay outside [0, 1], by more than rounding.
        histogram: one (bins,) int64 array an axis: how many programs were added to each bin.
    """

    def __init__(self, axes: Sequence[Axis], heads: int) -> None:
        self.axes = tuple(axes)
        self.cells = int(np.prod([axis.bins for axis in axes]))
        self.heads = heads
        shape = (self.cells + 1, heads)  # the last row holds the best of all cells, by the same rule
        self._iou = np.full(shape, -1.0, dtype=np.float32)
        self._elite = np.full(shape, -1, dtype=np.int64)
        self._length = np.zeros(shape, dtype=np.int64)
        self._key = np.zeros(shape, dtype=np.uint64)
        self.clipped = np.zeros(len(axes), dtype=np.int64)
        self.histogram = [np.zeros(axis.bins, dtype=np.int64) for axis in axes]

    @property
    def best_iou(self) -> np.ndarray:
        """(cells, heads) float32, -1 where empty."""
        return self._iou[:-1]

    @property
    def elite(self) -> np.ndarray:
        """(cells, heads) int64, -1 where empty."""
        return self._elite[:-1]

    @property
    def head_iou(self) -> np.ndarray:
        """(heads,) float32, best IoU of any program added."""
        return self._iou[-1]

    @property
    def head_best(self) -> np.ndarray:
        """(heads,) int64, number of the best program added."""
        return self._elite[-1]

    def cell_of(self, descriptors: np.ndarray) -> int:
        """Flat index of the cell for (axes,) descriptors; values outside [0, 1] are clipped.

        Raises:
            ValueError: for another number of descriptors than axes, or one that is not finite.
        """
        if np.shape(descriptors) != (len(self.axes),):
            raise ValueError(f"descriptors have shape {np.shape(descriptors)}, expected {(len(self.axes),)}")
        if not np.isfinite(descriptors).all():
            raise ValueError(f"descriptors must be finite, got {descriptors}")
        bins = [axis.bins for axis in self.axes]
        return int(np.ravel_multi_index(tuple(bins_of(descriptors, bins)), bins))

    def add(self, number: int, iou: np.ndarray, descriptors: np.ndarray, *, length: int, key: str) -> AddResult:
        """Offers one program to the grid.

        Args:
            number: the program's number, not negative.
            iou: (heads,) held-out IoU in [0, 1].
            descriptors: (axes,) in [0, 1].
            length: characters of its normalised source.
            key: its id, hexadecimal.

        Raises:
            ValueError: for arrays of another shape, or IoU that is not finite.
        """
        if np.shape(iou) != (self.heads,):
            raise ValueError(f"iou has shape {np.shape(iou)}, expected {(self.heads,)}")
        if not np.isfinite(iou).all():
            raise ValueError("iou must be finite: a failed program never enters the grid")
        cell = self.cell_of(descriptors)
        self.clipped += np.abs(np.asarray(descriptors) - 0.5) > 0.5 + BEYOND
        position = np.unravel_index(cell, [axis.bins for axis in self.axes])
        for histogram, index in zip(self.histogram, position, strict=True):
            histogram[index] += 1
        iou32 = np.asarray(iou, dtype=np.float32)
        before = np.maximum(self.head_iou, 0)
        opened = bool((self._elite[cell] < 0).any())
        entered = self._place(cell, number, iou32, length, np.uint64(int(key, 16)))
        improved = self._place(self.cells, number, iou32, length, np.uint64(int(key, 16)))
        status = AddStatus.NOT_ADDED if not entered else AddStatus.NEW if opened else AddStatus.IMPROVE_EXISTING
        gain = float((np.maximum(self.head_iou, 0) - before).sum(dtype=np.float64))
        return AddResult(status, cell, gain, improved)

    def _wins(self, row: int, iou: np.ndarray, length: int, key: np.uint64) -> np.ndarray:
        best, shortest = self._iou[row], self._length[row]
        tie = (iou == best) & ((length < shortest) | ((length == shortest) & (key < self._key[row])))
        return (iou > best) | tie

    def _place(self, row: int, number: int, iou: np.ndarray, length: int, key: np.uint64) -> int:
        wins = self._wins(row, iou, length, key)
        self._iou[row, wins] = iou[wins]
        self._elite[row, wins] = number
        self._length[row, wins] = length
        self._key[row, wins] = key
        return int(wins.sum())

    def retrieve(self, descriptors: np.ndarray, head: int) -> tuple[int, float] | None:
        """Number and IoU of the elite in the descriptors' cell for a head, or None where the cell is empty."""
        cell = self.cell_of(descriptors)
        number = int(self.elite[cell, head])
        return None if number < 0 else (number, float(self.best_iou[cell, head]))

    def sample_elites(self, head: int, count: int, rng: np.random.Generator) -> list[tuple[int, float, int]]:
        """Different elites of one head, better ones more often: the probability is one over the rank.

        Returns:
            (number, IoU, cell) of at most `count` different programs, best first.
        """
        cells = np.flatnonzero(self.elite[:, head] >= 0)
        _, first = np.unique(self.elite[cells, head], return_index=True)
        cells = cells[first]
        if not len(cells):
            return []
        order = cells[np.lexsort((self._key[cells, head], -self.best_iou[cells, head]))]
        weights = 1 / (1.0 + np.arange(len(order)))
        picked = rng.choice(len(order), size=min(count, len(order)), replace=False, p=weights / weights.sum())
        chosen = order[np.sort(picked)]
        return [(int(self.elite[cell, head]), float(self.best_iou[cell, head]), int(cell)) for cell in chosen]

    def stats(self) -> dict[str, float]:
        """Occupancy and quality, averaged over heads.

        Returns:
            `num_elites` (elites per head), `coverage` (share of cells occupied, [0, 1]), `qd_score` (IoU summed over a
            head's elites), `norm_qd_score` (the same over the number of cells), `obj_max`, `obj_mean` (IoU of elites).
        """
        occupied = self.elite >= 0
        total = float(np.where(occupied, self.best_iou, 0).sum(dtype=np.float64))
        elites = int(occupied.sum())
        return {
            "num_elites": elites / self.heads,
            "coverage": elites / occupied.size,
            "qd_score": total / self.heads,
            "norm_qd_score": total / occupied.size,
            "obj_max": float(max(0.0, self.head_iou.max())),
            "obj_mean": total / elites if elites else 0.0,
        }

    def crowded(self, share: float = 0.9) -> list[str]:
        """Names of axes of which one bin holds more than this share of the programs added: they tell little apart."""
        return [
            axis.name
            for axis, counts in zip(self.axes, self.histogram, strict=True)
            if axis.bins > 1 and counts.sum() > 0 and counts.max() > share * counts.sum()
        ]

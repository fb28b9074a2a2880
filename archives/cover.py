"""Set cover: few, short programs such that every head has one that covers it.

The objective is the number of programs; among covers of equal size, the sum of costs.

Sources: Chvatal 1979 (greedy and its factor 1 + ln n), Beasley 1990 (reverse delete), Jacobs and Brusco 1995, Marchiori
and Steenbeek 2000 (iterated greedy for set covering); in full in docs/library.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

ROUND_BUDGET = 400_000_000  # array elements that iterated greedy may look at: about a second's worth
STEP = 10_000  # array elements that are looked at while one choice is prepared, more or less
MAX_ROUNDS = 2_000
MIN_ROUNDS = 20
DENSE = 50_000  # up to this many elements, a product with the whole matrix is quicker than counting along rows


@dataclass(frozen=True, eq=False)
class Cover:
    """Which program covers which head, in both directions, as compressed sparse rows.

    Heads and programs are numbers. Where two programs are equally good, the smaller number wins: number them in the
    order in which ties are to be broken.

    Attributes:
        head_offsets: (heads + 1,) int64; the programs that cover head h lie at `head_offsets[h]:head_offsets[h + 1]`.
        head_programs: (pairs,) int64, ascending within a head.
        program_offsets: (programs + 1,) int64.
        program_heads: (pairs,) int64, ascending within a program.
    """

    head_offsets: np.ndarray
    head_programs: np.ndarray
    program_offsets: np.ndarray
    program_heads: np.ndarray

    @classmethod
    def from_matrix(cls, covers: np.ndarray) -> Cover:
        """From (heads, programs) bool."""
        covers = np.asarray(covers, dtype=bool)
        heads, programs = covers.shape
        flat = np.flatnonzero(covers)
        turned = np.flatnonzero(np.ascontiguousarray(covers.T))
        return cls(
            _offsets(covers.sum(axis=1)),
            flat % programs if programs else flat,
            _offsets(covers.sum(axis=0)),
            turned % heads if heads else turned,
        )

    @classmethod
    def from_rows(cls, head_offsets: np.ndarray, head_programs: np.ndarray, programs: int) -> Cover:
        """From compressed rows, where a dense matrix would be too large; rows must be ascending."""
        heads = np.repeat(np.arange(len(head_offsets) - 1), np.diff(head_offsets))
        turned = np.argsort(head_programs, kind="stable")
        counts = np.bincount(head_programs, minlength=programs)
        return cls(head_offsets.astype(np.int64), head_programs.astype(np.int64), _offsets(counts), heads[turned])

    @property
    def heads(self) -> int:
        """Number of heads."""
        return len(self.head_offsets) - 1

    @property
    def programs(self) -> int:
        """Number of programs."""
        return len(self.program_offsets) - 1

    @property
    def pairs(self) -> int:
        """Number of pairs of a head and a program that covers it."""
        return len(self.head_programs)

    @cached_property
    def dense(self) -> np.ndarray | None:
        """(heads, programs) float32 of zeros and ones, for small instances."""
        if self.heads * self.programs > DENSE:
            return None
        matrix = np.zeros((self.heads, self.programs), dtype=np.float32)
        matrix[np.repeat(np.arange(self.heads), np.diff(self.head_offsets)), self.head_programs] = 1
        return matrix

    @property
    def coverable(self) -> np.ndarray:
        """(heads,) bool: some program covers the head."""
        return np.diff(self.head_offsets) > 0

    def heads_of(self, program: int) -> np.ndarray:
        """Heads that a program covers, ascending."""
        return self.program_heads[self.program_offsets[program] : self.program_offsets[program + 1]]

    def programs_of(self, head: int) -> np.ndarray:
        """Programs that cover a head, ascending."""
        return self.head_programs[self.head_offsets[head] : self.head_offsets[head + 1]]

    def count(self, heads: np.ndarray) -> np.ndarray:
        """(programs,) int64: how many of these heads each program covers."""
        return np.bincount(_gather(self.head_offsets, self.head_programs, heads), minlength=self.programs)

    def depth(self, selected: np.ndarray) -> np.ndarray:
        """(heads,) int64: how many of the selected programs cover each head."""
        return np.bincount(_gather(self.program_offsets, self.program_heads, selected), minlength=self.heads)


def _offsets(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _gather(offsets: np.ndarray, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Values of several rows, end to end."""
    rows = np.asarray(rows, dtype=np.int64)
    starts = offsets[rows]
    lengths = offsets[rows + 1] - starts
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return values[np.arange(total) + np.repeat(starts - (ends - lengths), lengths)]


class _Repair:
    """State of a cover under construction: open heads, and each program's gain, kept by counting."""

    def __init__(self, cover: Cover, open_heads: np.ndarray) -> None:
        self.cover = cover
        self.open = open_heads
        self.remaining = int(open_heads.sum())
        if cover.dense is not None:
            self.gain = open_heads.astype(np.float32) @ cover.dense
        elif self.remaining == cover.heads:
            self.gain = np.diff(cover.program_offsets)
        else:
            self.gain = cover.count(np.flatnonzero(open_heads))

    def take(self, program: int) -> None:
        """Selects a program: its open heads become covered and no longer count as anyone's gain."""
        heads = self.cover.heads_of(program)
        if self.cover.dense is not None:
            self.remaining -= int(self.gain[program])
            self.open[heads] = False
            self.gain = self.open.astype(np.float32) @ self.cover.dense
            return
        new = heads[self.open[heads]]
        self.open[new] = False
        self.remaining -= len(new)
        if self.remaining:
            rest = np.flatnonzero(self.open) if self.remaining < len(new) else None
            # Whichever is less work: to count the remaining heads anew, or to subtract the new ones.
            self.gain = self.cover.count(rest) if rest is not None else self.gain - self.cover.count(new)


def counting_greedy(cover: Cover, costs: np.ndarray, open_heads: np.ndarray | None = None) -> list[int]:
    """Takes the program of most newly covered heads per cost, until every coverable head is covered.

    Each covering pair is visited once, when its head becomes covered.

    Args:
        cover: the instance.
        costs: (programs,) positive; with equal costs the cover has at most 1 + ln(heads) times the fewest programs.
        open_heads: (heads,) bool, heads still to be covered; all by default.

    Returns:
        the programs in the order of their choice.
    """
    wanted = cover.coverable if open_heads is None else cover.coverable & open_heads
    state = _Repair(cover, wanted.copy())
    chosen: list[int] = []
    while state.remaining:
        program = int(np.argmax(state.gain / costs))
        chosen.append(program)
        state.take(program)
    return chosen


def hardest_first(cover: Cover, costs: np.ndarray) -> list[int]:
    """Covers the heads in the order of how few programs cover them, each by the program of most gain per cost."""
    state = _Repair(cover, cover.coverable.copy())
    chosen: list[int] = []
    for head in np.argsort(np.diff(cover.head_offsets), kind="stable"):
        if state.open[head]:
            candidates = cover.programs_of(int(head))
            program = int(candidates[np.argmax(state.gain[candidates] / costs[candidates])])
            chosen.append(program)
            state.take(program)
    return chosen


def prune_cover(cover: Cover, costs: np.ndarray, selected: list[int]) -> list[int]:
    """Reverse delete: drops, dearest first, programs whose heads are all covered by others; the rest is irredundant."""
    depth = cover.depth(np.array(selected, dtype=np.int64))
    kept = set(selected)
    for program in sorted(selected, key=lambda p: (-costs[p], -p)):
        heads = cover.heads_of(program)
        if (depth[heads] > 1).all():
            depth[heads] -= 1
            kept.discard(program)
    return [program for program in selected if program in kept]


def rounds_for(cover: Cover, size: int) -> int:
    """How many rounds of iterated greedy are about a second's worth, for covers of about this size.

    A function of the instance alone, so that the answer does not depend on the speed of the machine.
    """
    round_work = cover.pairs + size * (cover.programs + STEP)
    return int(np.clip(ROUND_BUDGET // max(round_work, 1), MIN_ROUNDS, MAX_ROUNDS))


def iterated_greedy(
    cover: Cover, costs: np.ndarray, selected: list[int], *, rounds: int, rng: np.random.Generator
) -> list[int]:
    """Drops some programs at random, repairs greedily with a little noise, prunes, and goes on from what is not larger.

    Args:
        cover: the instance.
        costs: (programs,) positive.
        selected: an irredundant cover to begin with.
        rounds: how often.
        rng: source of randomness; the same one gives the same answer.

    Returns:
        the best cover met, never worse than `selected`.
    """
    current = best = sorted(selected)
    best_value = _value(costs, best)
    for _ in range(rounds if len(selected) > 1 else 0):
        share = rng.uniform(0.2, 0.9)
        stays = rng.random(len(current)) >= share
        stays[rng.integers(len(current))] = False
        kept = [program for program, stay in zip(current, stays, strict=True) if stay]
        open_heads = cover.depth(np.array(kept, dtype=np.int64)) == 0
        # The exponent wanders between "most heads" and "most heads per character"; noise lets near ties through.
        noisy = costs ** rng.uniform(0, 0.5) * rng.uniform(1, 1.5, size=cover.programs)
        candidate = prune_cover(cover, costs, kept + counting_greedy(cover, noisy, open_heads))
        value = _value(costs, candidate)
        # Dearer covers of equal size are kept too: they are the way out of a dead end, and the best one is remembered.
        if len(candidate) <= len(current):
            current = sorted(candidate)
        if value < best_value:
            best, best_value = sorted(candidate), value
    return best


def _value(costs: np.ndarray, selected: list[int]) -> tuple[int, float]:
    return len(selected), float(costs[sorted(selected)].sum())


def solve(cover: Cover, costs: np.ndarray, *, seed: int, rounds: int | None = None) -> list[int]:
    """A small cover: the best of three constructions, pruned, then improved by iterated greedy.

    Args:
        cover: the instance, numbered in the order of ties.
        costs: (programs,) positive.
        seed: of the iterated greedy.
        rounds: of it; `rounds_for` by default.

    Returns:
        ascending numbers of programs; every coverable head is covered, no program is redundant.
    """
    equal = np.ones(cover.programs)
    constructions = (counting_greedy(cover, equal), counting_greedy(cover, costs), hardest_first(cover, costs))
    pruned = [prune_cover(cover, costs, selected) for selected in constructions]
    start = min(pruned, key=lambda selected: _value(costs, selected))
    rng = np.random.default_rng(seed)
    rounds = rounds_for(cover, len(start)) if rounds is None else rounds
    return iterated_greedy(cover, costs, start, rounds=rounds, rng=rng)

"""What can stand in a head's place beside its program: controls and ablations, each a source with an id."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fitness.program import Program
from fitness.replacement.override import Head, Source
from fitness.text.view import Text

UNIFORM = Program.parse("def program(text):\n    return np.ones((text.n, text.n))\n")
FIRST_TOKEN = Program.parse("def program(text):\n    return text.is_first * np.ones((text.n, 1))\n")


@dataclass(frozen=True)
class Nothing:
    """No attention at all: the head gives zeros (zero ablation)."""

    id: str = "zero"

    def __call__(self, text: Text) -> np.ndarray:
        """(n, n) zeros."""
        return np.zeros((text.n, text.n), dtype=np.float32)


class Table:
    """Attention by position, whatever the text.

    Attributes:
        id: tells it from others.

    Args:
        name: what is tabled, for the id.
        predict: number of tokens n -> (n, n) float32 weights, rows as they shall count.
        length: the number of tokens by whose prediction the table is known.
    """

    def __init__(self, name: str, predict: Callable[[int], np.ndarray], length: int) -> None:
        self._predict = predict
        self._known = (length, predict(length))
        self.id = content_id(name, self._known[1])

    def __call__(self, text: Text) -> np.ndarray:
        """(n, n) weights; texts of equal length come one after the other, so the last answer is remembered."""
        if self._known[0] != text.n:
            self._known = (text.n, self._predict(text.n))
        return self._known[1]


class OtherText:
    """The head's own attention on another text (resample ablation).

    A text's token ids choose the other text among those at least as long, so that the choice is the same at every call
    and for every head. Of a longer text, the beginning is taken.

    Attributes:
        id: tells it from others.

    Args:
        name: of the head and what the texts are, for the id.
        attention: index of another text -> (m, m) the head's attention there.
        lengths: tokens m of the other texts.
    """

    def __init__(self, name: str, attention: Callable[[int], np.ndarray], lengths: Sequence[int]) -> None:
        self.id = name
        self._attention = attention
        self._lengths = lengths

    def __call__(self, text: Text) -> np.ndarray | None:
        """(n, n) weights, rows sum to 1; None, so that the head keeps its own, where no other text is long enough."""
        fitting = [index for index, length in enumerate(self._lengths) if length >= text.n]
        if not fitting:
            return None
        chosen = fitting[int.from_bytes(hashlib.sha256(text.ids.tobytes()).digest()[:8]) % len(fitting)]
        corner = np.asarray(self._attention(chosen), dtype=np.float32)[: text.n, : text.n]
        total = corner.sum(axis=1, keepdims=True)
        return corner / np.where(total > 0, total, 1)


def content_id(kind: str, array: np.ndarray) -> str:
    """An id that two sources share only if they are alike."""
    return f"{kind}:{hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:24]}"


def source_id(source: Source) -> str:
    """The id of a source, by which measurements of it are found again.

    Raises:
        TypeError: for a bare function, of which nobody can tell what it will return.
    """
    found = getattr(source, "id", None)
    if not isinstance(found, str):
        raise TypeError(f"{source!r} has no id: measurements of it cannot be kept")
    return found


def assignment_id(assignment: Mapping[Head, Source]) -> str:
    """A hash of which heads get what."""
    lines = [f"{layer}.{head} {source_id(source)}" for (layer, head), source in sorted(assignment.items(), key=_head)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _head(item: tuple[Head, Source]) -> Head:
    return item[0]

"""What can stand in a head's place beside its program: controls and ablations, each a source with an id."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from fitness.models.hooks import attention_route, uses_interface
from fitness.program import Program
from fitness.replacement.override import FixedOutput, Head, Source
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


@dataclass(frozen=True, eq=False)
class Table:
    """Attention by (query, key) position, whatever the text.

    Attributes:
        id: tells it from others.
        rows: (L, L) float32 that sum to 1 along rows, masked; L is at least the length of any text to come.
    """

    id: str
    rows: np.ndarray

    def __call__(self, text: Text) -> np.ndarray:
        """(n, n) the table's corner."""
        return self.rows[: text.n, : text.n]


@dataclass(frozen=True, eq=False)
class OtherText:
    """The head's own attention on another text, at least as long (resample ablation).

    Attributes:
        id: tells it from others.
        tables: attention on each of the other texts.
    """

    id: str
    tables: Sequence[Table]

    def __call__(self, text: Text) -> np.ndarray:
        """(n, n) attention on a text that this one's token ids choose, so that it is the same at every call."""
        fitting = [table for table in self.tables if len(table.rows) >= text.n]
        chosen = int.from_bytes(hashlib.sha256(text.ids.tobytes()).digest()[:8]) % len(fitting)
        return fitting[chosen](text)


def content_id(kind: str, array: np.ndarray) -> str:
    """An id that two sources share only if they are alike."""
    return f"{kind}:{hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:24]}"


def mean_outputs(model: PreTrainedModel, texts: Sequence[Text]) -> dict[Head, FixedOutput] | None:
    """Each head's mean output over all tokens of texts (mean ablation); None where outputs are out of reach."""
    if not uses_interface(model):
        return None
    sums: dict[int, np.ndarray] = {}
    tokens = 0

    def add(layer: int, output: torch.Tensor) -> None:
        total = output.double().sum((0, 1)).cpu().numpy()  # (heads, width)
        sums[layer] = sums.get(layer, 0) + total

    with torch.no_grad(), attention_route(model, observe_output=add):
        for text in texts:
            model(input_ids=torch.tensor([text.ids.tolist()], device=model.device))
            tokens += text.n
    means = {layer: (total / tokens).astype(np.float32) for layer, total in sums.items()}
    return {
        Head(layer, head): FixedOutput(content_id("mean_output", vector), vector)
        for layer, vectors in means.items()
        for head, vector in enumerate(vectors)
    }


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

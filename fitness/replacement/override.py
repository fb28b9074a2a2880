"""What takes the place of a layer's heads in the forward pass that is under way: predictions, laid out and masked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from fitness.errors import UserError
from fitness.heads import Head
from fitness.models.hooks import Override
from fitness.program import Program
from fitness.replacement.batch_rows import Row, RowFollower
from fitness.replacement.predictions import PredictionSource
from fitness.text.view import Text

Pattern = Callable[[Text], "np.ndarray | None"]


@dataclass(frozen=True, eq=False)
class FixedOutput:
    """One vector in the place of a head's output, whatever the text: no attention at all.

    Attributes:
        id: tells it from others.
        vector: (width,) float32, what the head gives for every query, before the output projection.
    """

    id: str
    vector: np.ndarray


Source = Program | Pattern | FixedOutput
Assignment = Mapping[Head, Source]


@dataclass
class Replacement:
    """What happened while heads were replaced.

    Attributes:
        kept: head -> number of texts (rows of forward passes) on which its program failed, so that it kept its own
            attention.
        rows: number of rows that the model read.
    """

    kept: Counter[Head] = field(default_factory=Counter)
    rows: int = 0


def by_layer(assignment: Assignment) -> dict[int, dict[int, Source]]:
    """Layer -> head of that layer -> what takes its place, both in rising order."""
    layers: dict[int, dict[int, Source]] = {}
    for (layer, head), source in sorted(assignment.items(), key=lambda item: item[0]):
        layers.setdefault(layer, {})[head] = source
    return layers


def build_override(
    layer: int,
    heads: Mapping[int, Source],
    follower: RowFollower,
    source: PredictionSource,
    shape: tuple[int, int, int, int],
    allowed: torch.Tensor | None,
    like: torch.Tensor,
    record: Replacement,
) -> Override | None:
    """What a layer's heads are replaced by in the pass under way.

    Args:
        layer: the layer.
        heads: head -> what takes its place.
        follower: knows the texts that the model is reading.
        source: gives the programs' predictions.
        shape: batch, heads, queries and keys of the layer's weights.
        allowed: (batch or 1, 1, queries, keys) bool, where the model's mask lets a query look; None for everywhere.
        like: a tensor of the type and device that the weights shall have.
        record: counts where programs fail.

    Returns:
        None where all heads keep their own attention.

    Raises:
        UserError: for a head that the layer does not have, and for keys that were not read here.
    """
    batch, count, queries, keys = shape
    if max(heads) >= count or min(heads) < 0:
        raise UserError(f"there is no head {Head(layer, max(heads)).label}: layer {layer} has {count} heads, from 0")
    if keys > follower.seen or batch != len(follower.rows):
        raise UserError("attention has more keys than the model has read tokens; use a DynamicCache, or none")
    distinct = list(dict.fromkeys(heads.values()))
    texts = [row.text for row in follower.rows]
    predictions = [_predict(program, texts, source) for program in distinct]
    offset = follower.seen - keys
    weights = place(predictions, follower.rows, past=follower.past, offset=offset, size=(queries, keys))
    mass = None
    if offset:
        # Some keys have left the cache, but no row shall lose mass by that.
        whole = place(predictions, follower.rows, past=follower.past, offset=0, size=(queries, follower.seen))
        mass = whole.sum(-1, keepdim=True).to(like.device)
    weights = within_mask(weights.to(like.device), allowed, mass)
    column = [distinct.index(program) for program in heads.values()]
    if len(distinct) == 1:
        weights = weights.expand(-1, len(column), -1, -1)
    elif column != list(range(len(distinct))):
        weights = weights[:, column]
    valid = np.array([[predictions[c][row] is not None for c in column] for row in range(batch)])
    for _, index in np.argwhere(~valid):
        record.kept[Head(layer, list(heads)[index])] += 1
    if not valid.any():
        return None
    return Override(
        list(heads),
        weights.to(like.dtype),
        None if valid.all() else torch.from_numpy(valid).to(like.device),
        _fixed_outputs(list(heads.values()), like),
    )


def _predict(program: Source, texts: Sequence[Text], source: PredictionSource) -> list[np.ndarray | None]:
    if isinstance(program, Program):
        return source(program, texts)
    if isinstance(program, FixedOutput):
        return [np.zeros((text.n, text.n), dtype=np.float32) for text in texts]
    return [program(text) for text in texts]


def _fixed_outputs(sources: Sequence[Source], like: torch.Tensor) -> torch.Tensor | None:
    """(len(sources), width) what is put on top of weights times values, or None where no output is fixed."""
    vectors = [source.vector for source in sources if isinstance(source, FixedOutput)]
    if not vectors:
        return None
    nothing = np.zeros_like(vectors[0])
    rows = [source.vector if isinstance(source, FixedOutput) else nothing for source in sources]
    return torch.from_numpy(np.stack(rows)).to(like)


def place(
    predictions: Sequence[Sequence[np.ndarray | None]],
    rows: Sequence[Row],
    *,
    past: int,
    offset: int,
    size: tuple[int, int],
) -> torch.Tensor:
    """Lays predictions out as attention weights of the forward pass that is under way.

    Args:
        predictions: for each program, for each row, (n, n) or None.
        rows: the rows of the batch.
        past: number of positions whose queries lie in the cache.
        offset: number of positions that the layer's keys no longer reach, as with a sliding window's cache.
        size: number of queries and of keys.

    Returns:
        (batch, programs, queries, keys) float32; zeros for padding and for None.
    """
    if past == 0 and offset == 0 and all(row.text.n == size[1] for row in rows) and size[0] == size[1]:
        blank = None
        batch = []
        for index in range(len(rows)):
            for of_program in predictions:
                matrix = of_program[index]
                if matrix is None:
                    blank = np.zeros(size, dtype=np.float32) if blank is None else blank
                    matrix = blank
                batch.append(torch.from_numpy(np.asarray(matrix, dtype=np.float32)))
        return torch.stack(batch).view(len(rows), len(predictions), *size)
    placed = torch.zeros((len(rows), len(predictions), *size))
    for index, row in enumerate(rows):
        as_query, as_key = np.flatnonzero(row.places >= past), np.flatnonzero(row.places >= offset)
        to_query, to_key = row.places[as_query] - past, row.places[as_key] - offset
        for number, of_program in enumerate(predictions):
            matrix = of_program[index]
            if matrix is not None:
                part = np.asarray(matrix, dtype=np.float32)[np.ix_(as_query, as_key)]
                placed[index, number][np.ix_(to_query, to_key)] = torch.from_numpy(part)
    return placed


def within_mask(weights: torch.Tensor, allowed: torch.Tensor | None, mass: torch.Tensor | None = None) -> torch.Tensor:
    """Takes away what the model's mask forbids, and gives each row back the mass that it loses by that.

    Args:
        weights: (batch, programs, queries, keys), not negative.
        allowed: (batch or 1, 1, queries, keys) bool, or None where everything is allowed.
        mass: (batch, programs, queries, 1) what rows shall sum to; what they sum to now if None.

    Returns:
        weights of the same shape; a row that loses all stays empty.
    """
    if allowed is None:
        if mass is None:
            return weights
        allowed = torch.ones((1, 1, *weights.shape[2:]), dtype=torch.bool, device=weights.device)
    kept = weights * allowed
    before = weights.sum(-1, keepdim=True) if mass is None else mass
    after = kept.sum(-1, keepdim=True)
    if torch.equal(before, after):
        return kept
    kept *= torch.where(after > 0, before / torch.where(after > 0, after, 1.0), 1.0)
    return kept

"""A model run with the attention of chosen heads taken from programs."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from fitness.errors import UserError
from fitness.models.capture import inspect_heads
from fitness.models.hooks import Override, attention_route
from fitness.models.loading import Reader
from fitness.program import Program
from fitness.replacement.batch_rows import Row, RowFollower
from fitness.replacement.predictions import PredictionSource, SandboxPredictions, text_key
from fitness.sandbox import Sandbox
from fitness.text.view import Text

log = logging.getLogger("headscribe")

Head = tuple[int, int]
Pattern = Callable[[Text], "np.ndarray | None"]
Assignment = Mapping[Head, "Program | Pattern"]


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


@contextlib.contextmanager
def replaced(
    model: PreTrainedModel,
    assignment: Assignment,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    source: PredictionSource | None = None,
) -> Iterator[Replacement]:
    """Within the context, the model runs with the attention of chosen heads taken from programs.

    Works with batches, padding on either side, the key-value cache and `generate`, and with any model that
    `fitness.models.hooks` reaches. Predictions are multiplied by the model's own mask, and rows get back the mass
    that they lose by it; a row that loses all falls on the first token that its query may see.

    Args:
        model: the model; call it as ever.
        assignment: (layer, head), both from 0, -> a program, or a function from `Text` to (n, n) weights that are
            taken as they are (None: the head keeps its own attention).
        tokenizer: the model's tokenizer; loaded from where the model came from if None.
        source: gives the programs' predictions; a strict sandbox for the duration of the context if None.

    Yields:
        a record that counts where programs failed; failures are also logged.

    Raises:
        UserError: for heads that the model does not have, and, from the model's forward pass, for what cannot be right:
            beam search with a cache, a cache filled elsewhere, packed texts, embeddings instead of token ids.
    """
    with contextlib.ExitStack() as stack:
        if source is None:
            causal = inspect_heads(model)[2]
            source = stack.enter_context(SandboxPredictions(lambda: Sandbox([]), causal=causal))
        reader = Reader(tokenizer or AutoTokenizer.from_pretrained(model.name_or_path))
        record = stack.enter_context(replacing(model, assignment, reader, source))
        yield record
        for head, count in sorted(record.kept.items()):
            log.warning("L%dH%d kept its own attention on %d of %d texts", *head, count, record.rows)


@contextlib.contextmanager
def replacing(
    model: PreTrainedModel, assignment: Assignment, reader: Reader, source: PredictionSource
) -> Iterator[Replacement]:
    """`replaced` without its conveniences: for callers that replace often and report failures themselves."""
    record = Replacement()
    if not assignment:
        yield record
        return
    follower = RowFollower(reader)
    layers: dict[int, dict[int, Program | Pattern]] = {}
    for (layer, head), program in sorted(assignment.items(), key=lambda item: item[0]):
        layers.setdefault(layer, {})[head] = program
    met: set[int] = set()

    def replace(
        layer: int, shape: tuple[int, int, int, int], allowed: torch.Tensor | None, like: torch.Tensor
    ) -> Override | None:
        met.add(layer)
        if layer not in layers:
            return None
        if max(layers[layer]) >= shape[1] or min(layers[layer]) < 0:
            raise UserError(
                f"there is no head L{layer}H{max(layers[layer])}: layer {layer} has {shape[1]} heads, from 0"
            )
        return _override(layer, layers[layer], follower, source, shape, allowed, like, record)

    def finish(*_: object) -> None:
        record.rows += len(follower.rows)
        if not set(layers) <= met:
            raise UserError(f"there is no layer {max(set(layers) - met)}: the model has {len(met)}, counted from 0")

    with attention_route(model, replace=replace), contextlib.ExitStack() as stack:
        stack.callback(follower.attach(model))
        stack.callback(model.register_forward_hook(finish).remove)
        yield record


def _override(
    layer: int,
    heads: Mapping[int, Program | Pattern],
    follower: RowFollower,
    source: PredictionSource,
    shape: tuple[int, int, int, int],
    allowed: torch.Tensor | None,
    like: torch.Tensor,
    record: Replacement,
) -> Override | None:
    batch, _, queries, keys = shape
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
    if column != list(range(len(distinct))):
        weights = weights[:, column]
    valid = np.array([[predictions[c][row] is not None for c in column] for row in range(batch)])
    for _, index in np.argwhere(~valid):
        record.kept[layer, list(heads)[index]] += 1
    if not valid.any():
        return None
    return Override(
        list(heads), weights.to(like.dtype), None if valid.all() else torch.from_numpy(valid).to(like.device)
    )


def _predict(program: Program | Pattern, texts: Sequence[Text], source: PredictionSource) -> list[np.ndarray | None]:
    return source(program, texts) if isinstance(program, Program) else [program(text) for text in texts]


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
        weights of the same shape; a row that loses all falls on the first key that its query may see.
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
    emptied = ((after == 0) & (before > 0)).squeeze(-1)
    if bool(emptied.any()):
        first = allowed.to(torch.uint8).argmax(-1).expand(emptied.shape)
        b, p, q = torch.nonzero(emptied, as_tuple=True)
        kept[b, p, q, first[b, p, q]] = before[b, p, q, 0]
    return kept


def own_attention(model: PreTrainedModel, texts: Sequence[Text]) -> dict[Head, Pattern]:
    """An assignment that puts each head's own attention in its place, for texts whose attention is captured here.

    Needs heads * n * n * 4 bytes a text: meant for proving identity on a few texts.
    """
    from fitness.models.capture import observe_text

    captured: dict[tuple[int, bytes], np.ndarray] = {}
    layers: dict[int, int] = {}
    for text in texts:

        def keep(layer: int, weights: torch.Tensor, key: bytes = text_key(text)) -> None:
            captured[layer, key] = weights[0].float().cpu().numpy().copy()
            layers[layer] = weights.shape[1]

        observe_text(model, text.ids.tolist(), keep)

    def pattern(layer: int, head: int) -> Pattern:
        return lambda text: captured[layer, text_key(text)][head]

    return {(layer, head): pattern(layer, head) for layer, heads in layers.items() for head in range(heads)}

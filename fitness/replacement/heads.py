"""A model run with the attention of chosen heads taken from programs."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from fitness.errors import UserError
from fitness.models.hooks import Override, attention_route
from fitness.models.loading import Reader
from fitness.models.observe import inspect_heads
from fitness.replacement.batch_rows import RowFollower
from fitness.replacement.override import Assignment, Head, Pattern, Replacement, build_override, by_layer
from fitness.replacement.predictions import PredictionSource, SandboxPredictions, text_key
from fitness.sandbox import Sandbox
from fitness.text.view import Text

log = logging.getLogger("headscribe")


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
    that they lose by it. A row that loses all stays empty: the head gives nothing for that query.

    Args:
        model: the model; call it as ever.
        assignment: (layer, head), both from 0, -> a program, a function from `Text` to (n, n) weights that are taken
            as they are (None: the head keeps its own attention), or a `FixedOutput`.
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
        reader = Reader(tokenizer or AutoTokenizer.from_pretrained(model.name_or_path, trust_remote_code=False))
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
    layers = by_layer(assignment)
    met: set[int] = set()

    def replace(
        layer: int, shape: tuple[int, int, int, int], allowed: torch.Tensor | None, like: torch.Tensor
    ) -> Override | None:
        met.add(layer)
        if layer not in layers:
            return None
        return build_override(layer, layers[layer], follower, source, shape, allowed, like, record)

    def finish(*_: object) -> None:
        record.rows += len(follower.rows)
        if not set(layers) <= met:
            raise UserError(f"there is no layer {max(set(layers) - met)}: the model has {len(met)}, counted from 0")

    with attention_route(model, replace=replace), contextlib.ExitStack() as stack:
        stack.callback(follower.attach(model))
        stack.callback(model.register_forward_hook(finish).remove)
        yield record


def own_attention(model: PreTrainedModel, texts: Sequence[Text]) -> dict[Head, Pattern]:
    """An assignment that puts each head's own attention in its place, for texts whose attention is captured here.

    Needs heads * n * n * 4 bytes per text: meant for proving identity on a few texts.
    """
    from fitness.models.observe import observe_text

    captured: dict[tuple[int, bytes], np.ndarray] = {}
    layers: dict[int, int] = {}
    for text in texts:

        def keep(layer: int, weights: torch.Tensor, key: bytes = text_key(text)) -> None:
            captured[layer, key] = weights[0].float().cpu().numpy().copy()
            layers[layer] = weights.shape[1]

        observe_text(model, text.ids.tolist(), keep)

    def pattern(layer: int, head: int) -> Pattern:
        return lambda text: captured[layer, text_key(text)][head]

    return {Head(layer, head): pattern(layer, head) for layer, heads in layers.items() for head in range(heads)}

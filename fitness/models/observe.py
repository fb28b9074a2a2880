"""Which heads a model has, found out by looking at it run, and how to look."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fitness.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class HeadMap(NamedTuple):
    """The heads of a model.

    Attributes:
        layers: (layer, number of its heads) of each layer with softmax attention, in the order they run.
        left_out: layers without.
        causal: whether no token attends to a later one.
    """

    layers: tuple[tuple[int, int], ...]
    left_out: tuple[int, ...]
    causal: bool

    @property
    def total(self) -> int:
        """Number of heads."""
        return sum(heads for _, heads in self.layers)

    @property
    def first_heads(self) -> dict[int, int]:
        """Layer -> flat index of its first head."""
        first, at = {}, 0
        for layer, heads in self.layers:
            first[layer] = at
            at += heads
        return first


def inspect_heads(model: PreTrainedModel) -> HeadMap:
    """The heads of a model, measured on four tokens.

    Raises:
        UserError: where no attention is met, or a layer shows it twice.
    """
    layers: list[tuple[int, int]] = []
    looks_ahead = []

    def look(layer: int, weights: torch.Tensor) -> None:
        layers.append((layer, weights.shape[1]))
        looks_ahead.append(bool(weights.triu(1).any()))

    observe_batch(model, [[5, 6, 7, 8]], look)
    if not layers:
        raise UserError(
            f"{type(model).__name__} shows no attention: it neither uses transformers' interface nor softmax"
        )
    met = [layer for layer, _ in layers]
    if len(set(met)) < len(met):
        raise UserError(f"{type(model).__name__} computes attention several times in one layer; it is not supported")
    count = max(int(getattr(model.config.get_text_config(), "num_hidden_layers", 0)), max(met) + 1)
    left_out = tuple(layer for layer in range(count) if layer not in met)
    return HeadMap(tuple(layers), left_out, not any(looks_ahead))


def observe_text(model: PreTrainedModel, ids: Sequence[int], observe: Callable[[int, torch.Tensor], None]) -> None:
    """Runs a model on one text and shows each layer's (1, heads, n, n) weights, one after the other."""
    observe_batch(model, [ids], observe)


def observe_batch(
    model: PreTrainedModel, batch: Sequence[Sequence[int]], observe: Callable[[int, torch.Tensor], None]
) -> None:
    """Runs a model on texts of one length and shows each layer's (texts, heads, n, n) weights, one after the other."""
    import torch

    from fitness.models.hooks import attention_route

    ids = torch.tensor([list(map(int, text)) for text in batch], device=_input_device(model))
    with torch.no_grad(), attention_route(model, observe=observe):
        model(input_ids=ids, **forward_options(model))


def forward_options(model: PreTrainedModel) -> dict[str, Any]:
    """What keeps a forward pass from computing more than attention: no cache of keys, logits of one token alone."""
    known = inspect.signature(model.forward).parameters
    options: dict[str, Any] = {"use_cache": False} if "use_cache" in known else {}
    return options | ({"logits_to_keep": 1} if "logits_to_keep" in known else {})


def _input_device(model: PreTrainedModel) -> Any:
    # A model that is spread over devices takes its inputs to where they are needed.
    return "cpu" if getattr(model, "hf_device_map", None) else model.device

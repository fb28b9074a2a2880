"""States of a model's lower layers, computed once for a batch and shared by all conditions that replace heads above."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import torch
from transformers import PreTrainedModel

from fitness.heads import Head
from fitness.models.loading import Reader
from fitness.program import Program
from fitness.replacement.heads import replacing
from fitness.replacement.sources import Nothing
from fitness.text.view import Text

# The output of each layer, from the bottom, as the layer gave it.
States = list[Any]


class LowerLayers:
    """Lets a model begin a forward pass in the middle, where the same batch was read before.

    A layer below the first replaced head gives what it gave in the original pass, so it need not run again. Whether
    this is exact is tried, to the last bit, on one text; where it is not, or where layers cannot be told, every pass
    begins at the bottom.

    Attributes:
        works: whether passes can begin in the middle.

    Args:
        model: the model.
        reader: turns token ids into texts.
        text: a text to try it on.
    """

    def __init__(self, model: PreTrainedModel, reader: Reader, text: Text) -> None:
        self._layers = _stack_of_layers(model)
        self.works = bool(self._layers) and self._is_exact(model, reader, text)

    @contextlib.contextmanager
    def recorded(self) -> Iterator[States]:
        """Within the context, a forward pass leaves the outputs of its layers in the list that is yielded."""
        states: States = []
        layers = self._layers if self.works else []
        hooks = [layer.register_forward_hook(lambda *given: states.append(given[2])) for layer in layers]
        try:
            yield states
        finally:
            for hook in hooks:
                hook.remove()

    @contextlib.contextmanager
    def from_layer(self, first: int, states: States) -> Iterator[None]:
        """Within the context, layers below `first` give what was recorded."""
        skipped = self._layers[:first] if self.works else []
        try:
            for layer, output in zip(skipped, states, strict=False):
                layer.forward = lambda *_, output=output, **__: output
            yield
        finally:
            for layer in skipped:
                layer.__dict__.pop("forward", None)

    def _is_exact(self, model: PreTrainedModel, reader: Reader, text: Text) -> bool:
        self.works = True
        ids = torch.tensor([text.ids.tolist()], device=model.device)
        middle = len(self._layers) // 2
        options = without_cache(model)
        with torch.no_grad():
            with self.recorded() as states:
                model(input_ids=ids, **options)
            if len(states) != len(self._layers):
                return False
            with replacing(model, {Head(middle, 0): Nothing()}, reader, _no_programs):
                expected = model(input_ids=ids, **options).logits
                # Twice: a layer that changes its input in place would spoil the second pass.
                with self.from_layer(middle, states):
                    again = [model(input_ids=ids, **options).logits for _ in range(2)]
        return all(torch.equal(logits, expected) for logits in again)


def without_cache(model: PreTrainedModel) -> dict[str, bool]:
    """Options that keep a forward pass from filling a key-value cache that nobody reads."""
    return {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}


def _stack_of_layers(model: PreTrainedModel) -> list[torch.nn.Module]:
    """The model's layers from the bottom; empty where they cannot be told, or keep no count of their own."""
    count = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList) and len(module) == count]
    if len(lists) != 1 or getattr(model.config.get_text_config(), "num_kv_shared_layers", None):
        return []
    layers = list(lists[0])
    # Attention without an index is counted as it runs, and a skipped layer would put the count out of step.
    counted = [
        any(getattr(part, "layer_idx", None) == index for part in layer.modules()) for index, layer in enumerate(layers)
    ]
    return layers if all(counted) else []


def _no_programs(program: Program, texts: Sequence[Text]) -> NoReturn:
    raise AssertionError("no program stands in a head's place here")

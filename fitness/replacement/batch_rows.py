"""Following what a model reads: which text each row of a batch holds, through padding and the key-value cache."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache

from fitness.errors import UserError
from fitness.models.loading import Reader
from fitness.text.view import Text

REMEMBERED_TEXTS = 4096


@dataclass(frozen=True)
class Row:
    """One row of a batch.

    Attributes:
        text: its tokens so far, without padding.
        places: (n,) where each of them stands among all positions seen, padding included.
    """

    text: Text
    places: np.ndarray


class RowFollower:
    """Knows the rows of the forward pass that is under way.

    Attributes:
        rows: the rows of the batch.
        past: number of positions that lie in the key-value cache.
        seen: number of positions in the cache and in this pass.

    Args:
        reader: turns token ids into texts.
    """

    def __init__(self, reader: Reader) -> None:
        self.rows: list[Row] = []
        self.past = 0
        self.seen = 0
        self._reader = reader
        self._ids = torch.empty(0)
        self._texts: dict[bytes, Text] = {}
        self._read: weakref.WeakKeyDictionary[Cache, torch.Tensor] = weakref.WeakKeyDictionary()

    def attach(self, model: PreTrainedModel) -> Callable[[], None]:
        """Follows a model's forward passes until the function that is returned is called."""
        signature = inspect.signature(model.forward)

        def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._begin(signature.bind_partial(*args, **kwargs).arguments)

        def after(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            given = signature.bind_partial(*args, **kwargs).arguments
            caches = [given.get("past_key_values"), *(output.values() if isinstance(output, dict) else output)]
            for cache in caches:
                if isinstance(cache, Cache):
                    _forbid_reordering(cache)
                    self._read[cache] = self._ids

        hooks = [
            model.register_forward_pre_hook(before, with_kwargs=True),
            model.register_forward_hook(after, with_kwargs=True),
        ]

        def detach() -> None:
            for hook in hooks:
                hook.remove()
            for cache in self._read:
                _allow_reordering(cache)

        return detach

    def _begin(self, given: dict[str, Any]) -> None:
        ids = given.get("input_ids")
        if ids is None:
            raise UserError("programs read token ids; call the model with input_ids, not with embeddings")
        cache = given.get("past_key_values")
        before = self._before(cache, ids)
        self.past, self._ids = before.shape[1], torch.cat([before, ids.detach().cpu()], dim=1)
        self.seen = self._ids.shape[1]
        real = self._real(given)
        self.rows = [self._row(self._ids[index].numpy(), real[index]) for index in range(len(real))]

    def _before(self, cache: Cache | None, ids: torch.Tensor) -> torch.Tensor:
        past = 0 if cache is None else int(cache.get_seq_length())
        if cache is not None and not isinstance(cache, DynamicCache):
            raise UserError(f"heads cannot be replaced with a {type(cache).__name__}; use a DynamicCache, or none")
        if past == 0:
            return torch.empty((ids.shape[0], 0), dtype=torch.long)
        known = self._read.get(cache)
        if known is None or known.shape[0] != ids.shape[0] or known.shape[1] < past:
            raise UserError("the key-value cache holds tokens that were read elsewhere; start the text in this context")
        return known[:, :past]  # a cache that was cropped has forgotten the last tokens

    def _real(self, given: dict[str, Any]) -> np.ndarray:
        """(batch, seen) bool, False for padding."""
        mask, positions = given.get("attention_mask"), given.get("position_ids")
        if mask is None:
            if positions is not None and bool((positions[..., 1:] <= positions[..., :-1]).any()):
                raise UserError("several texts are packed into one row; give each text its own row")
            return np.ones(tuple(self._ids.shape), dtype=bool)
        if not isinstance(mask, torch.Tensor) or tuple(mask.shape) != tuple(self._ids.shape):
            found = tuple(mask.shape) if isinstance(mask, torch.Tensor) else type(mask).__name__
            raise UserError(f"attention_mask is {found}, expected (batch, tokens seen) = {tuple(self._ids.shape)}")
        return mask.detach().cpu().numpy() != 0

    def _row(self, ids: np.ndarray, real: np.ndarray) -> Row:
        places = np.flatnonzero(real)
        if not len(places):
            places = np.arange(1)  # a row of padding alone; nobody reads what comes of it
        kept = ids[places]
        key = kept.tobytes()
        if key not in self._texts:
            if len(self._texts) >= REMEMBERED_TEXTS:
                self._texts.clear()
            self._texts[key] = self._reader.text(kept.tolist())
        return Row(self._texts[key], places)


_REORDERING = ("reorder_cache", "batch_repeat_interleave", "batch_select_indices")


def _forbid_reordering(cache: Cache) -> None:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise UserError(
            "beam search and the like move texts between rows of the cache, where programs cannot follow; "
            "use greedy search or sampling, or use_cache=False"
        )

    for name in _REORDERING:
        setattr(cache, name, refuse)


def _allow_reordering(cache: Cache) -> None:
    for name in _REORDERING:
        cache.__dict__.pop(name, None)

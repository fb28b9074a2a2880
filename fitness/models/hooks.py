"""Reaching into a model's attention, one mechanism for all models: look at it, or put something in its place.

Models that use transformers' attention interface are run with headscribe's own attention function; its mask function
must be registered beside it, or the model would silently stop being causal. Models that do not use the interface
compute a softmax within their attention modules, which is tapped.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

from fitness.errors import UserError

IMPLEMENTATION = "headscribe"


@dataclass(frozen=True)
class Override:
    """What takes the place of attention in one layer.

    Attributes:
        heads: the heads whose attention is replaced.
        weights: (batch, len(heads), queries, keys), rows as they shall count; already masked.
        valid: (batch, len(heads)) bool, False where a head keeps its own attention; None where it never does.
        added: (len(heads), width) what is put on top of weights times values, for every query; None for nothing.
    """

    heads: list[int]
    weights: torch.Tensor
    valid: torch.Tensor | None = None
    added: torch.Tensor | None = None


Observe = Callable[[int, torch.Tensor], None]
Replace = Callable[[int, tuple[int, int, int, int], "torch.Tensor | None", torch.Tensor], "Override | None"]


@dataclass
class Route:
    """What one model's attention is asked for while a route is open.

    Attributes:
        base: name of the model's own attention implementation, `eager` or `sdpa`.
        observe: called with layer and (batch, heads, queries, keys) weights after the softmax, the model's own also
            where others take their place; they are part of the graph that autograd records.
        replace: called with layer, the shape of its weights, what the mask allows ((batch or 1, 1, queries, keys), True
            where a query may look, or None for everywhere) and a tensor whose type and device the weights shall have.
        observe_output: called with layer and (batch, queries, heads, width) what the heads give, before the output
            projection; never called for a model outside transformers' attention interface.
        layers: number of attention layers met so far in the forward pass.
    """

    base: str
    observe: Observe | None = None
    replace: Replace | None = None
    observe_output: Observe | None = None
    layers: itertools.count[int] = field(default_factory=itertools.count)


_CURRENT: ContextVar[Route | None] = ContextVar("headscribe_route", default=None)


@contextlib.contextmanager
def attention_route(
    model: PreTrainedModel,
    *,
    observe: Observe | None = None,
    replace: Replace | None = None,
    observe_output: Observe | None = None,
) -> Iterator[None]:
    """While open, every forward pass of the model shows its attention to `observe`, or asks `replace` for another.

    Layers are counted from 0. With `observe`, weights are computed the eager way; otherwise layers run the way that
    the model was loaded with.

    Raises:
        UserError: for a model that runs neither eager nor sdpa attention, whose attention cannot be reached, or of
            which a route is already open.
    """
    base = model.config._attn_implementation or "eager"
    if base == IMPLEMENTATION:
        raise UserError("this model's attention is already being replaced or captured; leave that context first")
    if base not in ("eager", "sdpa"):
        raise UserError(f"the model runs {base} attention; load it with attn_implementation='eager' or 'sdpa'")
    route = Route(base, observe, replace, observe_output)
    with contextlib.ExitStack() as stack:
        if uses_interface(model):
            AttentionInterface.register(IMPLEMENTATION, _attend)
            AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)
            stack.callback(model.set_attn_implementation, base)
            model.set_attn_implementation(IMPLEMENTATION)
        else:
            _tap(model, stack)
        tokens: list[Any] = []

        def begin(*_: Any) -> None:
            route.layers = itertools.count()
            tokens.append(_CURRENT.set(route))

        def end(*_: Any) -> None:
            if tokens:
                _CURRENT.reset(tokens.pop())

        stack.callback(model.register_forward_pre_hook(begin).remove)
        stack.callback(model.register_forward_hook(end, always_call=True).remove)
        yield


def uses_interface(model: PreTrainedModel) -> bool:
    """Whether the model computes its attention through transformers' attention interface."""
    return bool(model._can_set_attn_implementation())


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The attention function: (batch, queries, heads, width) output, and weights where they were computed.

    The options, `scaling` among them, are passed on by keyword to the modeling file's own function, so that soft caps
    and attention sinks stay right.
    """
    route = _CURRENT.get()
    if route is None:
        raise UserError("only a part of the model was called while its attention is replaced; call the model itself")
    layer = _layer_of(module, route)
    override = None
    if route.replace is not None:
        allowed = None
        if attention_mask is not None:
            mask = attention_mask[:, :1, :, : key.shape[-2]]
            allowed = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
        override = route.replace(layer, (*query.shape[:3], key.shape[-2]), allowed, value)
    whole = override is not None and len(override.heads) == query.shape[1] and override.valid is None
    if override is not None and whole and route.observe is None:
        # Nothing of the layer's own attention is wanted: neither its products of queries and keys nor its softmax.
        return _replaced_output(override, query, value).contiguous(), override.weights
    output, weights = _own(route, module, query, key, value, attention_mask, options)
    if route.observe is not None and weights is not None:
        route.observe(layer, weights)
    if route.observe_output is not None:
        route.observe_output(layer, output)
    if override is None:
        return output, weights
    replaced = _replaced_output(override, query, value)
    output[:, :, override.heads] = _choose(override, replaced, output[:, :, override.heads], heads_axis=2)
    if weights is not None:
        if route.observe is not None:
            weights = weights.clone()  # the observer, and autograd, keep the model's own
        weights[:, override.heads] = _choose(override, override.weights, weights[:, override.heads], heads_axis=1)
    return output, weights


def _replaced_output(override: Override, query: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """(batch, queries, len(override.heads), width) what the replaced heads give."""
    group = query.shape[1] // value.shape[1]
    every = group == 1 and len(override.heads) == query.shape[1]
    values = value if every else value[:, [head // group for head in override.heads]]
    replaced = torch.matmul(override.weights, values).transpose(1, 2)
    return replaced if override.added is None else replaced + override.added


def _choose(override: Override, new: torch.Tensor, own: torch.Tensor, heads_axis: int) -> torch.Tensor:
    if override.valid is None:
        return new
    shape = [1] * new.dim()
    shape[0], shape[heads_axis] = override.valid.shape
    return torch.where(override.valid.view(shape), new, own)


def _layer_of(module: torch.nn.Module, route: Route) -> int:
    known = getattr(module, "layer_idx", None)
    return known if isinstance(known, int) else next(route.layers)


def _eager_of(module: torch.nn.Module) -> Callable[..., Any]:
    function = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    if function is None:
        raise UserError(f"{type(module).__name__} has no eager attention; this model cannot be looked into")
    return function


def _own(
    route: Route,
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    options: dict[str, Any],
) -> tuple[torch.Tensor, torch.Tensor | None]:
    fast = route.base == "sdpa" and route.observe is None
    function = AttentionInterface()["sdpa"] if fast else _eager_of(module)
    return function(module, query, key, value, mask, **options)


# Models outside the interface.


def _tap(model: PreTrainedModel, stack: contextlib.ExitStack) -> None:
    """Hooks every attention module so that the softmax within it goes through the current route."""
    if model.config._attn_implementation not in (None, "eager"):
        raise UserError(
            f"{type(model).__name__} does not use transformers' attention interface; load it with "
            "attn_implementation='eager', so that its softmax can be tapped"
        )
    modules = [(_layer_in(name), m) for name, m in model.named_modules() if _is_attention(m)]
    layers = [layer for layer, _ in modules]
    if not modules or None in layers or len(set(layers)) < len(layers):
        raise UserError(
            f"{type(model).__name__} does not use transformers' attention interface, and its attention modules cannot "
            f"be told apart ({len(modules)} found); choose a model that uses the interface"
        )
    for layer, module in modules:
        assert layer is not None
        open_modes: list[_SoftmaxTap] = []

        def enter(*_: Any, layer: int = layer, open_modes: list[_SoftmaxTap] = open_modes) -> None:
            route = _CURRENT.get()
            if route is not None:
                open_modes.append(_SoftmaxTap(route, layer))
                open_modes[-1].__enter__()

        def leave(*_: Any, open_modes: list[_SoftmaxTap] = open_modes) -> None:
            if open_modes:
                open_modes.pop().__exit__(None, None, None)

        stack.callback(module.register_forward_pre_hook(enter).remove)
        stack.callback(module.register_forward_hook(leave, always_call=True).remove)


def _layer_in(name: str) -> int | None:
    """Layer of a module's name, such as 3 of `transformer.h.3.attn.attention`."""
    found = re.search(r"\.(\d+)\.", f".{name}.")
    return None if found is None else int(found[1])


def _is_attention(module: torch.nn.Module) -> bool:
    def named(m: torch.nn.Module) -> bool:
        return type(m).__name__.endswith("Attention")

    return named(module) and not any(named(child) for child in module.modules() if child is not module)


class _SoftmaxTap(TorchFunctionMode):
    """Hands the softmax over (batch, heads, queries, keys) scores of one layer to a route."""

    def __init__(self, route: Route, layer: int) -> None:
        super().__init__()
        self._route = route
        self._layer = layer

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if function not in (torch.nn.functional.softmax, torch.softmax, torch.Tensor.softmax) or result.dim() != 4:
            return result
        if self._route.observe is not None:
            self._route.observe(self._layer, result)
        if self._route.replace is None:
            return result
        scores = args[0] if args else (kwargs or {})["input"]
        allowed = scores[:, :1] > torch.finfo(scores.dtype).min / 2
        override = self._route.replace(self._layer, tuple(result.shape), allowed, result)
        if override is None:
            return result
        if override.added is not None:
            raise UserError(
                "this model computes its attention out of reach of transformers' interface: a head's attention can be "
                "replaced, but not its output"
            )
        result = result.clone()
        result[:, override.heads] = _choose(override, override.weights, result[:, override.heads], heads_axis=1)
        return result

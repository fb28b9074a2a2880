"""What replacing each head would cost, estimated for all heads at once from backward passes (attribution patching).

The first-order estimate is the gradient of the loss at a head's attention weights times their change, which equals the
gradient at the head's output times the change of that output (Nanda 2023, Attribution Patching; Syed et al. 2023,
Attribution Patching Outperforms Automated Circuit Discovery). A model that was trained to predict is near the bottom of
its loss, where the gradient says little and the curvature says most. So a second term is added: half the change's
square under the Fisher information, from the gradients of tokens that the model itself draws (Amari 1998).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fitness.heads import Head
from fitness.models.hooks import Override, attention_route
from fitness.models.loading import Reader
from fitness.replacement.batch_rows import RowFollower
from fitness.replacement.lower_layers import without_cache
from fitness.replacement.measurements import Measurements
from fitness.replacement.override import Assignment, Replacement, Source, build_override, by_layer
from fitness.replacement.perplexity import Batch, batches_of
from fitness.replacement.predictions import PredictionSource
from fitness.replacement.sources import assignment_id
from fitness.text.view import Text

# Tokens read at once: a graph keeps every activation of every layer.
TOKENS_AT_ONCE = 512
DRAWS = 1


@dataclass(frozen=True)
class Estimates:
    """What replacing each head alone would add to the loss, in nats per token.

    Attributes:
        heads: the heads, in the order of the arrays.
        first: (heads,) first-order estimate.
        second: (heads,) half the change's square under the Fisher information; never negative.
    """

    heads: tuple[Head, ...]
    first: np.ndarray
    second: np.ndarray

    @property
    def cost(self) -> np.ndarray:
        """(heads,) both terms together."""
        return self.first + self.second

    def by_head(self) -> dict[Head, float]:
        """Head -> estimated cost."""
        return dict(zip(self.heads, self.cost.tolist(), strict=True))


class Estimator:
    """Estimates costs of replacing heads of one model on one list of texts.

    Attributes:
        texts: number of texts.

    Args:
        model: a causal or masked language model.
        tokenizer: its tokenizer.
        source: gives the programs' predictions.
        texts: what to estimate on.
        causal: whether the model is causal.
        seed: of the tokens that the model draws.
        kept: where estimates are looked up and kept.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        source: PredictionSource,
        texts: Sequence[Text],
        *,
        causal: bool,
        seed: int,
        kept: Measurements | None = None,
    ) -> None:
        self.texts = len(texts)
        self._model = model
        self._reader = Reader(tokenizer)
        self._source = source
        self._seed = seed
        self._kept = kept or Measurements()
        self._batches = batches_of(texts, tokenizer, causal=causal, rows_at_once=lambda n: max(1, TOKENS_AT_ONCE // n))

    @property
    def batches(self) -> int:
        """Number of batches, each of which costs about as much as `1 + DRAWS` backward passes and a forward pass."""
        return len(self._batches)

    def estimate(
        self,
        options: Mapping[str, Assignment],
        replaced: Assignment | None = None,
        progress: Callable[[], None] | None = None,
    ) -> dict[str, Estimates]:
        """Costs of putting each option's sources in their heads' places, one head at a time.

        Args:
            options: name -> head -> what would take its place.
            replaced: what is in the place of other heads already.
            progress: called after each batch.

        Returns:
            name -> estimates for the option's heads, in rising order.
        """
        contents = "\n".join(assignment_id(option) for option in options.values())
        sums, tokens = {name: np.zeros((2, len(option))) for name, option in options.items()}, 0
        for number, batch in enumerate(self._batches):
            parts = (contents, assignment_id(replaced or {}), f"{self._seed} {DRAWS}")
            key = self._kept.key("estimates", batch.content(), *parts)
            found = self._kept.get(key)
            if found is None:
                changes = self._changes(batch, options, replaced or {}, number)
                terms = [(c[0].sum(1), 0.5 * (c[1:] ** 2).mean(0).sum(1)) for c in changes.values()]
                found = self._kept.put(key, np.concatenate([np.stack(pair) for pair in terms], axis=1))
            ends = np.cumsum([len(option) for option in options.values()])[:-1]
            for name, part in zip(options, np.split(found, ends, axis=1), strict=True):
                sums[name] += part
            tokens += len(batch.owners)
            if progress is not None:
                progress()
        return {name: Estimates(tuple(sorted(option)), *(sums[name] / tokens)) for name, option in options.items()}

    def _changes(
        self, batch: Batch, options: Mapping[str, Assignment], replaced: Assignment, number: int
    ) -> dict[str, np.ndarray]:
        """Name -> (1 + DRAWS, heads, rows): gradients times changes, of the texts' own tokens, then of drawn ones."""
        layers = sorted({layer for option in options.values() for layer, _ in option})
        with _recording(self._model, self._reader, self._source, replaced) as seen:
            read = self._model(input_ids=batch.ids.to(self._model.device), **without_cache(self._model))
            logarithms = torch.log_softmax(read.logits[batch.rows, batch.places].float(), dim=-1)
            targets = [batch.targets, *self._drawn(logarithms, number)]
            weights = [seen.weights[layer] for layer in layers]
            gradients: list[tuple[torch.Tensor, ...]] = []
            for wanted in targets:
                loss = -logarithms.gather(1, wanted.to(logarithms.device)[:, None]).sum()
                gradients.append(torch.autograd.grad(loss, weights, retain_graph=len(gradients) + 1 < len(targets)))
            by_layer = {
                layer: torch.stack(turns) for layer, turns in zip(layers, zip(*gradients, strict=True), strict=True)
            }
            return {name: seen.products(option, by_layer) for name, option in options.items()}

    def _drawn(self, logarithms: torch.Tensor, number: int) -> Iterator[torch.Tensor]:
        generator = torch.Generator().manual_seed(1_000_003 * self._seed + number)
        probabilities = logarithms.detach().exp().cpu()
        for _ in range(DRAWS):
            yield torch.multinomial(probabilities, 1, generator=generator)[:, 0]


class _Seen:
    """What one forward pass showed.

    Attributes:
        weights: layer -> (rows, heads, queries, keys) the model's own weights, in the graph.
        override: layer, what would take the place of its heads -> the override in this pass.
    """

    def __init__(self) -> None:
        self.weights: dict[int, torch.Tensor] = {}
        self.override: dict[int, Callable[[Mapping[int, Source]], Override | None]] = {}

    def products(self, candidates: Assignment, gradients: Mapping[int, torch.Tensor]) -> np.ndarray:
        """Gradients times changes; 0 where a program fails, as the head then keeps its own attention.

        Args:
            candidates: head -> what would take its place.
            gradients: layer -> (turns, rows, heads, queries, keys).

        Returns:
            (turns, candidates, rows) float64.
        """
        parts = []
        for layer, heads in by_layer(candidates).items():
            override, gradient = self.override[layer](heads), gradients[layer]
            turns, rows = gradient.shape[:2]
            if override is None:
                parts.append(torch.zeros((turns, len(heads), rows)))
                continue
            change = override.weights - self.weights[layer][:, override.heads].detach()  # (rows, heads, queries, keys)
            product = torch.einsum("trhqk,rhqk->thr", gradient[:, :, override.heads].float(), change.float())
            parts.append((product if override.valid is None else product * override.valid.T).cpu())
        return torch.cat(parts, dim=1).double().numpy()


@contextmanager
def _recording(
    model: PreTrainedModel, reader: Reader, source: PredictionSource, replaced: Assignment
) -> Iterator[_Seen]:
    """Within the context, forward passes build a graph that begins at the embeddings and leaves its weights here."""
    already = by_layer(replaced)
    seen, follower, record = _Seen(), RowFollower(reader), Replacement()

    def replace(
        layer: int, shape: tuple[int, int, int, int], allowed: torch.Tensor | None, like: torch.Tensor
    ) -> Override | None:
        like = like.detach()

        def override(heads: Mapping[int, Source]) -> Override | None:
            return build_override(layer, heads, follower, source, shape, allowed, like, record)

        seen.override[layer] = override
        return override(already[layer]) if layer in already else None

    def observe(layer: int, weights: torch.Tensor) -> None:
        seen.weights[layer] = weights

    required = [parameter.requires_grad for parameter in model.parameters()]
    with ExitStack() as stack:
        stack.enter_context(attention_route(model, observe=observe, replace=replace))
        stack.callback(follower.attach(model))
        embeddings = model.get_input_embeddings()
        stack.callback(embeddings.register_forward_hook(lambda *given: given[2].requires_grad_()).remove)
        model.requires_grad_(False)
        try:
            with torch.enable_grad():
                yield seen
        finally:
            for parameter, before in zip(model.parameters(), required, strict=True):
                parameter.requires_grad_(before)

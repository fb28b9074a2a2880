"""How well a model predicts text under replacement: likelihood, distance from the original, agreement with it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fitness.errors import UserError
from fitness.models.loading import Reader
from fitness.replacement.heads import replacing
from fitness.replacement.lower_layers import LowerLayers, States, without_cache
from fitness.replacement.measurements import Measurements
from fitness.replacement.override import Assignment
from fitness.replacement.predictions import PredictionSource
from fitness.replacement.sources import assignment_id
from fitness.text.view import Text

# Logits of a batch take at most this many numbers; a forward pass over many short rows is cheaper than many over few.
BATCH_NUMBERS = 2**26
LARGEST_BATCH = 32
# What the model as it is says of batches is remembered up to so many numbers.
REMEMBERED_NUMBERS = 2**28


@dataclass(frozen=True)
class Losses:
    """What a model does on texts, text by text.

    Attributes:
        loss: (texts,) sum over predicted tokens of the negative log-likelihood, in nats.
        tokens: (texts,) number of predicted tokens.
        divergence: (texts,) sum over predicted tokens of the Kullback-Leibler divergence of the model from the original
            model, in nats.
        agreed: (texts,) number of predicted tokens for which the model's best guess is the original's.
    """

    loss: np.ndarray
    tokens: np.ndarray
    divergence: np.ndarray
    agreed: np.ndarray

    @property
    def mean_loss(self) -> float:
        """Nats per token."""
        return float(self.loss.sum() / self.tokens.sum())

    @property
    def perplexity(self) -> float:
        """Exp of the mean loss; pseudo-perplexity for an encoder."""
        return math.exp(min(self.mean_loss, 700.0))

    @property
    def kl(self) -> float:
        """Mean divergence from the original model, in nats per token."""
        return float(self.divergence.sum() / self.tokens.sum())

    @property
    def agreement(self) -> float:
        """Share of tokens in [0, 1] for which the best guess is the original's."""
        return float(self.agreed.sum() / self.tokens.sum())

    def paired_difference(self, other: Losses) -> tuple[float, float]:
        """How much higher the other's loss is, in nats per token, and its standard error over texts."""
        difference = other.loss - self.loss
        mean = difference.sum() / self.tokens.sum()
        count = len(difference)
        residual = difference - mean * self.tokens
        error = math.sqrt(count / max(count - 1, 1) * float((residual**2).sum())) / self.tokens.sum()
        return float(mean), float(error)


@dataclass(frozen=True)
class Batch:
    """Rows that the model reads at once, and what it shall predict.

    Attributes:
        ids: (rows, n) token ids.
        rows: (predictions,) row of each prediction.
        places: (predictions,) position whose logits make the prediction.
        targets: (predictions,) token id that is right.
        owners: (predictions,) index of the text.
    """

    ids: torch.Tensor
    rows: torch.Tensor
    places: torch.Tensor
    targets: torch.Tensor
    owners: np.ndarray

    def distinct_owners(self) -> np.ndarray:
        """(texts,) indices of the texts that this batch holds predictions of, rising."""
        return np.unique(self.owners)

    def content(self) -> bytes:
        """What distinguishes this batch from any other."""
        arrays = (self.ids.numpy(), self.rows.numpy(), self.places.numpy())
        return b"".join(str(array.shape).encode() + array.tobytes() for array in arrays)


class Meter:
    """Measures one model on one list of texts, under as many assignments as wanted.

    A causal model predicts each token from those before it. An encoder predicts each token, special tokens apart, from
    all others, itself masked: what comes of it is called pseudo-perplexity, and compares with nothing else.

    Args:
        model: a causal or masked language model.
        tokenizer: its tokenizer.
        source: gives the programs' predictions.
        texts: what to measure on.
        causal: whether the model is causal.
        kept: where measurements are looked up, and kept as they are finished.
        lower: shares the states of layers below the first replaced head; none are shared if None.

    Raises:
        UserError: for an encoder without a mask token.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        source: PredictionSource,
        texts: Sequence[Text],
        *,
        causal: bool,
        kept: Measurements | None = None,
        lower: LowerLayers | None = None,
    ) -> None:
        if not causal and tokenizer.mask_token_id is None:
            raise UserError(
                "this model is bidirectional, and its tokenizer has no mask token: it has no perplexity of any kind"
            )
        self._model = model
        self._reader = Reader(tokenizer)
        self._source = source
        self._kept = kept or Measurements()
        self._lower = lower if lower is not None and lower.works else None
        self._options = without_cache(model)
        self._texts = len(texts)
        vocabulary = model.config.get_text_config().vocab_size
        self._batches = batches_of(
            texts,
            tokenizer,
            causal=causal,
            rows_at_once=lambda n: max(1, min(LARGEST_BATCH, BATCH_NUMBERS // (vocabulary * n))),
        )
        self._remembered: dict[bytes, _Original] = {}

    def measure(
        self, assignments: Mapping[Any, Assignment], progress: Callable[[int, int], None] | None = None
    ) -> dict[Any, Losses]:
        """Scores of each assignment; what is kept is not measured again, nor what stands under two names twice.

        Texts come in the outer loop, so that predictions and states are needed for one batch at a time.

        Args:
            assignments: name -> what takes the place of which heads; all sources have ids.
            progress: called with the measurements done and all, one for each batch and different assignment.
        """
        ids = {name: assignment_id(assignment) for name, assignment in assignments.items()}
        different = {ids[name]: assignment for name, assignment in assignments.items()}
        totals = {identity: np.zeros((4, self._texts)) for identity in different}
        done, total = 0, len(different) * len(self._batches)
        for batch in self._batches:
            original: _Original | None = None
            for identity, assignment in different.items():
                key = self._kept.key("scores", batch.content(), identity)
                found = self._kept.get(key)
                if found is None:
                    original = original or self._read_original(batch)
                    found = self._kept.put(key, self._score(assignment, batch, original))
                totals[identity][:, batch.distinct_owners()] += found
                done += 1
                if progress is not None:
                    progress(done, total)
        return {name: Losses(*totals[identity]) for name, identity in ids.items()}

    def _read_original(self, batch: Batch) -> _Original:
        content = batch.content()
        if content not in self._remembered:
            states: States = []
            with contextlib.ExitStack() as stack:
                if self._lower is not None:
                    states = stack.enter_context(self._lower.recorded())
                logits = self._logits({}, batch)
            original = _Original.of(logits, batch, states)
            if sum(known.probabilities.numel() for known in self._remembered.values()) > REMEMBERED_NUMBERS:
                self._remembered.clear()
            self._remembered[content] = original
        return self._remembered[content]

    def _score(self, assignment: Assignment, batch: Batch, original: _Original) -> np.ndarray:
        """(4, texts) loss, predictions, divergence and agreement, summed over each of the batch's texts."""
        if not assignment:
            found = original.scores()
        else:
            first = min(layer for layer, _ in assignment)
            with self._lower.from_layer(first, original.states) if self._lower else contextlib.nullcontext():
                found = original.compared_with(self._logits(assignment, batch), batch)
        owners = batch.distinct_owners()
        sums = np.zeros((4, len(owners)))
        np.add.at(sums.T, np.searchsorted(owners, batch.owners), found.T)
        return sums

    def _logits(self, assignment: Assignment, batch: Batch) -> torch.Tensor:
        """(predictions, vocabulary) float32."""
        with torch.no_grad(), replacing(self._model, assignment, self._reader, self._source):
            logits = self._model(input_ids=batch.ids.to(self._model.device), **self._options).logits
        return logits[batch.rows, batch.places].float()


@dataclass(frozen=True)
class _Original:
    """What the model as it is says of a batch.

    Attributes:
        probabilities: (predictions, vocabulary).
        negative_entropy: (predictions,) in nats.
        loss: (predictions,) in nats.
        best: (predictions,) the likeliest token.
        states: outputs of the model's layers, where they are shared.
    """

    probabilities: torch.Tensor
    negative_entropy: torch.Tensor
    loss: torch.Tensor
    best: torch.Tensor
    states: States

    @classmethod
    def of(cls, logits: torch.Tensor, batch: Batch, states: States) -> _Original:
        best = logits.argmax(-1)
        logarithms = torch.log_softmax(logits, dim=-1)
        loss = -logarithms.gather(1, batch.targets.to(logits.device)[:, None])[:, 0]
        probabilities = logarithms.exp()
        return cls(probabilities, torch.linalg.vecdot(probabilities, logarithms), loss, best, states)

    def scores(self) -> np.ndarray:
        return _stacked(self.loss, torch.zeros_like(self.loss), torch.ones_like(self.loss))

    def compared_with(self, logits: torch.Tensor, batch: Batch) -> np.ndarray:
        # Without an array of log-probabilities: the vocabulary is what takes the time here.
        normaliser = torch.logsumexp(logits, dim=-1)
        loss = normaliser - logits.gather(1, batch.targets.to(logits.device)[:, None])[:, 0]
        expected = torch.linalg.vecdot(self.probabilities, logits)
        divergence = (self.negative_entropy - expected + normaliser).clamp(min=0)
        return _stacked(loss, divergence, (logits.argmax(-1) == self.best).float())


def _stacked(loss: torch.Tensor, divergence: torch.Tensor, agreed: torch.Tensor) -> np.ndarray:
    return torch.stack([loss, torch.ones_like(loss), divergence, agreed]).double().cpu().numpy()


def batches_of(
    texts: Sequence[Text],
    tokenizer: PreTrainedTokenizerBase,
    *,
    causal: bool,
    rows_at_once: Callable[[int], int],
) -> list[Batch]:
    """Texts in batches of equal length, so that none is padded.

    Args:
        texts: the texts.
        tokenizer: the model's tokenizer.
        causal: whether each token is predicted from those before it; otherwise each is masked in a row of its own.
        rows_at_once: tokens of a row -> the most rows of that length in a batch.
    """
    return list(_causal(texts, rows_at_once) if causal else _masked(texts, tokenizer, rows_at_once))


def _causal(texts: Sequence[Text], rows_at_once: Callable[[int], int]) -> Iterator[Batch]:
    by_length: dict[int, list[int]] = {}
    for index, text in enumerate(texts):
        by_length.setdefault(text.n, []).append(index)
    for n, indices in sorted(by_length.items()):
        step = rows_at_once(n)
        for begin in range(0, len(indices), step):
            picked = indices[begin : begin + step]
            ids = torch.tensor([texts[index].ids.tolist() for index in picked])
            yield Batch(
                ids,
                torch.arange(len(picked)).repeat_interleave(n - 1),
                torch.arange(n - 1).repeat(len(picked)),
                ids[:, 1:].flatten(),
                np.repeat(picked, n - 1),
            )


def _masked(
    texts: Sequence[Text], tokenizer: PreTrainedTokenizerBase, rows_at_once: Callable[[int], int]
) -> Iterator[Batch]:
    special = torch.tensor(sorted(set(tokenizer.all_special_ids)))
    for index, text in enumerate(texts):
        ids = torch.tensor(text.ids.tolist())
        asked = torch.nonzero(~torch.isin(ids, special))[:, 0]
        step = rows_at_once(text.n)
        for begin in range(0, len(asked), step):
            places = asked[begin : begin + step]
            rows = torch.arange(len(places))
            masked = ids.repeat(len(places), 1)
            masked[rows, places] = tokenizer.mask_token_id
            yield Batch(masked, rows, places, ids[places], np.full(len(places), index))

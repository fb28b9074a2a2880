"""How well a model predicts text under replacement: likelihood, distance from the original, agreement with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fitness.errors import UserError
from fitness.models.loading import Reader
from fitness.replacement.heads import Assignment, replacing
from fitness.replacement.predictions import PredictionSource
from fitness.text.view import Text

# Logits of a batch take at most this many numbers.
BATCH_NUMBERS = 2**25
LARGEST_BATCH = 16


@dataclass(frozen=True)
class Scores:
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
        """Nats a token."""
        return float(self.loss.sum() / self.tokens.sum())

    @property
    def perplexity(self) -> float:
        """Exp of the mean loss; pseudo-perplexity for an encoder."""
        return math.exp(min(self.mean_loss, 700.0))

    @property
    def kl(self) -> float:
        """Mean divergence from the original model, in nats a token."""
        return float(self.divergence.sum() / self.tokens.sum())

    @property
    def agreement(self) -> float:
        """Share of tokens in [0, 1] for which the best guess is the original's."""
        return float(self.agreed.sum() / self.tokens.sum())

    def paired_difference(self, other: Scores) -> tuple[float, float]:
        """How much higher the other's loss is, in nats a token, and its standard error over texts."""
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
    ) -> None:
        if not causal and tokenizer.mask_token_id is None:
            raise UserError(
                "this model looks ahead, and its tokenizer has no mask token: it has no perplexity of any kind"
            )
        self._model = model
        self._reader = Reader(tokenizer)
        self._source = source
        self._texts = texts
        self._batches = list(_causal(texts, _rows_at_once) if causal else _masked(texts, tokenizer, _rows_at_once))

    def measure(
        self, assignments: Mapping[Any, Assignment], progress: Callable[[int, int], None] | None = None
    ) -> dict[Any, Scores]:
        """Scores of each assignment.

        Texts come in the outer loop, so that predictions are needed for one batch at a time.
        """
        totals = {name: np.zeros((4, len(self._texts))) for name in assignments}
        with torch.no_grad():
            for index, batch in enumerate(self._batches):
                original = self._log_probabilities({}, batch)
                for number, (name, assignment) in enumerate(assignments.items()):
                    found = self._log_probabilities(assignment, batch) if assignment else original
                    _add(totals[name], batch, original, found)
                    if progress is not None:
                        progress(index * len(assignments) + number + 1, len(self._batches) * len(assignments))
        return {name: Scores(*total) for name, total in totals.items()}

    def _log_probabilities(self, assignment: Assignment, batch: Batch) -> torch.Tensor:
        with replacing(self._model, assignment, self._reader, self._source):
            logits = self._model(input_ids=batch.ids.to(self._model.device)).logits
        return torch.log_softmax(logits[batch.rows, batch.places].float(), dim=-1)


def _add(total: np.ndarray, batch: Batch, original: torch.Tensor, found: torch.Tensor) -> None:
    loss = -found.gather(1, batch.targets.to(found.device)[:, None])[:, 0]
    divergence = (original.exp() * (original - found)).sum(-1)
    agreed = original.argmax(-1) == found.argmax(-1)
    for row, values in enumerate((loss, torch.ones_like(loss), divergence, agreed)):
        np.add.at(total[row], batch.owners, values.double().cpu().numpy())


def _rows_at_once(n: int) -> int:
    # A vocabulary of 50,000 and 16 rows of 64 tokens make 51 million numbers; shorter rows, more of them.
    return max(1, min(LARGEST_BATCH, BATCH_NUMBERS // (50_000 * n)))


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

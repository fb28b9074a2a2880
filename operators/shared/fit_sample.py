"""The fit split laid flat for operators: queries and keys by index, IoU and its gradient in a few vectorised lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fitness.scoring.contract import scale_rows
from fitness.scoring.iou import iou_of_sums
from fitness.scoring.packing import pack
from fitness.text.view import Text

MAX_ELEMENTS = 200_000


class FitSample:
    """Queries of the fit split with all their keys, as flat arrays; a subset of the queries where there are many.

    Args:
        texts: the texts.
        attention: gives a head's packed attention on all of them, end to end.
        causal: whether the model's tokens see only themselves and what came before.
        max_elements: about how many elements to keep.

    One element is one (query, key) pair that the model's mask lets through, N of them in all; one row is one query.

    Attributes:
        texts: the texts of the fit split.
        tokens: token strings of all texts, end to end; elements speak of them by index.
        token_text: (tokens,) int64, text of each token.
        query: (N,) int64, index of the element's query in `tokens`.
        key: (N,) int64, index of its key.
        row: (N,) int64, which row it belongs to.
        rows: number of rows.
        square: whether elements are whole (n, n) squares, row by row, the part above the diagonal included.
        index: (N,) int64, where the elements lie in the packed arrays of all texts, end to end.
    """

    def __init__(
        self,
        texts: Sequence[Text],
        attention: Callable[[int], np.ndarray] | None = None,
        *,
        causal: bool,
        max_elements: int = MAX_ELEMENTS,
    ) -> None:
        self.texts = tuple(texts)
        self.square = not causal
        self._load = attention
        sizes = [text.n * text.n if self.square else text.n * (text.n + 1) // 2 for text in texts]
        self._offsets = np.concatenate([[0], np.cumsum(sizes)])
        stride = int(np.ceil(self._offsets[-1] / max_elements))
        self._lay_out([np.arange(index % stride % text.n, text.n, stride) for index, text in enumerate(texts)])
        self._heads: dict[int, np.ndarray] = {}

    def _lay_out(self, queries: list[np.ndarray]) -> None:
        self.tokens = tuple(token for text in self.texts for token in text.tokens)
        lengths = np.array([text.n for text in self.texts])
        begins = np.concatenate([[0], np.cumsum(lengths)])
        self.token_text = np.repeat(np.arange(len(self.texts)), lengths)
        counts = [np.full(len(rows), n) if self.square else rows + 1 for rows, n in zip(queries, lengths, strict=True)]
        self._row_keys = np.concatenate(counts)
        self.rows = len(self._row_keys)
        self._starts = np.concatenate([[0], np.cumsum(self._row_keys)[:-1]])
        self.row = np.repeat(np.arange(self.rows), self._row_keys)
        column = np.arange(len(self.row)) - self._starts[self.row]
        row_begin = np.repeat(begins[:-1], [len(rows) for rows in queries])
        row_query = np.concatenate(queries)
        self.query = (row_begin + row_query)[self.row]
        self.key = row_begin[self.row] + column
        row_text = np.repeat(np.arange(len(self.texts)), [len(rows) for rows in queries])
        self._row_text = row_text
        self._text_rows = np.bincount(row_text, minlength=len(self.texts)).astype(np.float64)
        self._text_starts = self._starts[np.searchsorted(row_text, np.arange(len(self.texts)))]
        packed_row = row_query * lengths[row_text] if self.square else row_query * (row_query + 1) // 2
        self.index = (self._offsets[:-1][row_text] + packed_row)[self.row] + column

    def attention(self, head: int) -> np.ndarray:
        """(N,) float32: a head's attention."""
        if head not in self._heads:
            if len(self._heads) >= 64:
                self._heads.clear()
            if self._load is None:
                raise ValueError("this sample has no attention")
            self._heads[head] = self._load(head)[self.index]
        return self._heads[head]

    def pair(self, name: str) -> np.ndarray:
        """(N,) values of an (n, n) field, in its own type but for integers, which are int32."""
        packed = [pack(getattr(text, name), causal=not self.square) for text in self.texts]
        flat = np.concatenate(packed)[self.index]
        return flat.astype(np.int32) if flat.dtype.kind == "i" else flat

    def token(self, name: str) -> np.ndarray:
        """(tokens,) values of a field of one value per token."""
        return np.concatenate([getattr(text, name) for text in self.texts])

    def row_sums(self, flat: np.ndarray) -> np.ndarray:
        """(..., rows) sums of (..., N) over the keys of each row."""
        return np.add.reduceat(flat, self._starts, axis=-1)

    def query_sums(self, flat: np.ndarray) -> np.ndarray:
        """(tokens,) float32 sums of (N,) over the keys of each query, 0 for tokens that are not queries here."""
        sums = np.zeros(len(self.tokens), dtype=np.float32)
        sums[self.query[self._starts]] = self.row_sums(flat)
        return sums

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """(N,) float32 prediction of (N,) weights."""
        return scale_rows(weights, self._starts, self._row_keys)

    def iou_texts(self, prediction: np.ndarray, head: int) -> np.ndarray:
        """(texts,) float64: IoU of a prediction with a head's attention on the queries of this sample."""
        return iou_of_sums(self._shared(prediction, head), self._total(prediction))

    def iou(self, prediction: np.ndarray, head: int) -> float:
        """Mean IoU over texts, in [0, 1]."""
        return float(self.iou_texts(prediction, head).mean())

    def _shared(self, prediction: np.ndarray, head: int) -> np.ndarray:
        return np.add.reduceat(np.minimum(prediction, self.attention(head)), self._text_starts, dtype=np.float64)

    def _total(self, prediction: np.ndarray) -> np.ndarray:
        """(texts,) float64: rows of the attention and rows of a prediction that are not empty, together."""
        filled = np.logical_or.reduceat(prediction != 0, self._starts)
        return self._text_rows + np.bincount(self._row_text, filled, minlength=len(self.texts))

    def iou_and_gradient(self, weights: np.ndarray, head: int) -> tuple[float, np.ndarray]:
        """Mean IoU of weights, and (N,) float32 its derivative by each weight, where a minimum is the prediction's.

        With IoU = m / (t - m), m the sum of minima and t that of both arrays, d IoU / d m = t / (t - m)^2.
        """
        prediction = self.predict(weights)
        shared = self._shared(prediction, head)
        total = self._total(prediction)
        slope = total / np.maximum(total - shared, 1e-12) ** 2 / len(self.texts)
        low = prediction < self.attention(head)
        row_low = self.row_sums(prediction * low)
        sums = self.row_sums(weights)
        scale = (slope[self._row_text] / np.where(sums > 0, sums, 1)).astype(np.float32)
        iou = float(iou_of_sums(shared, total).mean())
        return iou, (low - row_low[self.row]) * scale[self.row]

    def predict_scores(self, scores: np.ndarray) -> np.ndarray:
        """(N,) float32 prediction of exp(scores), whatever their size; -inf is a weight of 0."""
        peak = np.maximum.reduceat(scores, self._starts)
        shifted = scores - np.repeat(np.where(np.isfinite(peak), peak, 0), self._row_keys)
        return self.predict(np.exp(shifted, dtype=np.float32))

    def iou_and_score_gradient(self, scores: np.ndarray, head: int) -> tuple[float, np.ndarray, np.ndarray]:
        """Mean IoU of exp(scores), (N,) float32 its derivative by each score, and the (N,) prediction."""
        prediction = self.predict_scores(scores)
        iou, slope = self._row_slopes(prediction, head)
        kept = prediction * slope
        kept -= prediction * np.repeat(self.row_sums(kept), self._row_keys)
        return iou, kept, prediction

    def iou_and_sink_gradient(
        self, scores: np.ndarray, sinks: np.ndarray, head: int
    ) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """The same where each row puts 1 / (1 + exp(-sink)) on the first token, and the rest as exp(scores) says.

        Args:
            scores: (N,) scores; those of first tokens are not read.
            sinks: (rows,) logits.
            head: flat index of the head.

        Returns:
            Mean IoU; (N,) derivatives by each score, 0 at first tokens; (rows,) derivatives by each logit; (N,)
            prediction.
        """
        scores = scores.copy()
        scores[self._starts] = -np.inf
        rest = self.predict_scores(scores)
        rest[self._starts] = 0  # a row of one key is on it whatever its weight
        share = (1 / (1 + np.exp(-np.clip(sinks, -30, 30)))).astype(np.float32)
        share[self._row_keys == 1] = 1
        prediction = rest * np.repeat(1 - share, self._row_keys)
        prediction[self._starts] = share
        iou, slope = self._row_slopes(prediction, head)
        moved = rest * slope
        inner = self.row_sums(moved)
        by_sink = share * (1 - share) * (slope[self._starts] - inner)
        by_score = (moved - rest * np.repeat(inner, self._row_keys)) * np.repeat(1 - share, self._row_keys)
        return iou, by_score, by_sink, prediction

    def _row_slopes(self, prediction: np.ndarray, head: int) -> tuple[float, np.ndarray]:
        """Mean IoU of a prediction, and (N,) float32 its derivative by each element, sums of rows left free."""
        shared, total = self._shared(prediction, head), self._total(prediction)
        by_text = total / np.maximum(total - shared, 1e-12) ** 2 / len(self.texts)
        by_row = by_text.astype(np.float32)[self._row_text]
        slope = (prediction < self.attention(head)) * np.repeat(by_row, self._row_keys)
        return float(iou_of_sums(shared, total).mean()), slope

    def ious_and_score_gradients(self, scores: np.ndarray, attention: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same for several heads at once, for softmax predictions.

        Args:
            scores: (heads, N) float32.
            attention: (heads, N) float32.

        Returns:
            (heads,) mean IoU, and (heads, N) float32 derivatives by each score.
        """
        weights = np.exp(scores - np.maximum.reduceat(scores, self._starts, axis=1)[:, self.row])
        weights /= self.row_sums(weights)[:, self.row]
        low = weights < attention
        shared = np.add.reduceat(np.where(low, weights, attention), self._text_starts, axis=1, dtype=np.float64)
        total = 2 * self._text_rows
        by_text = (total / np.maximum(total - shared, 1e-12) ** 2 / len(self.texts)).astype(np.float32)
        slope = weights * low * by_text[:, self._row_text][:, self.row]
        slope -= weights * self.row_sums(slope)[:, self.row]
        return iou_of_sums(shared, total).mean(axis=1), slope

    def first_keys(self, flat: np.ndarray) -> np.ndarray:
        """(rows,) values of (N,) at each row's first key."""
        return np.asarray(flat[self._starts])

    def gradient(self, weights: np.ndarray, head: int) -> np.ndarray:
        """(N,) float32: derivative of the mean IoU by each weight."""
        return self.iou_and_gradient(weights, head)[1]

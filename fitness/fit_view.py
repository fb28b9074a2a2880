"""What operators may look at: texts and attention of the fit split, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fitness.contract import to_prediction
from fitness.iou import iou, pack, unpack
from fitness.program import Program
from fitness.sandbox import Outcome, Sandbox
from fitness.text import Text


class FitView:
    """Texts and attention of the fit split, with the means to run a program on them.

    Packed arrays of all texts are laid end to end: text t lies at `offsets[t]:offsets[t + 1]`.

    Attributes:
        texts: the texts of the fit split.
        causal: whether the model is causal; packed arrays hold lower triangles then.
        labels: names of the heads, by flat index.
        offsets: (texts + 1,) int64.
    """

    def __init__(
        self,
        texts: Sequence[Text],
        blocks: Sequence[np.ndarray],
        labels: Sequence[str],
        *,
        causal: bool,
        sandbox: Sandbox,
        indices: Sequence[int],
    ) -> None:
        self.texts = tuple(texts)
        self.causal = causal
        self.labels = tuple(labels)
        self.offsets = np.concatenate([[0], np.cumsum([block.shape[1] for block in blocks])]).astype(np.int64)
        self._blocks = blocks
        self._sandbox = sandbox
        self._indices = tuple(indices)

    def attention(self, head: int) -> np.ndarray:
        """(total packed,) float32: the head's attention on every text."""
        return np.concatenate([np.asarray(block[head], dtype=np.float32) for block in self._blocks])

    def predictions(self, program: Program) -> np.ndarray | Outcome:
        """(total packed,) float32 predictions of a program on every text, or the outcome of its failure."""
        outcome = self._sandbox.run(program, self._indices)
        if not outcome.ok:
            return outcome
        return self.pack_all([to_prediction(weights, causal=self.causal) for weights in outcome.weights])

    def pack_all(self, matrices: Sequence[np.ndarray]) -> np.ndarray:
        """Packs one (n, n) matrix a text and lays them end to end."""
        return np.concatenate([pack(matrix, causal=self.causal) for matrix in matrices])

    def unpack_all(self, flat: np.ndarray) -> list[np.ndarray]:
        """Inverse of `pack_all`."""
        return [
            unpack(flat[begin:end], text.n, causal=self.causal)
            for text, begin, end in zip(self.texts, self.offsets[:-1], self.offsets[1:], strict=True)
        ]

    def iou_texts(self, flat: np.ndarray, head: int) -> np.ndarray:
        """(texts,) float64: IoU of packed predictions with a head's attention, text by text."""
        return np.array(
            [
                iou(flat[begin:end], np.asarray(block[head], dtype=np.float32))
                for block, begin, end in zip(self._blocks, self.offsets[:-1], self.offsets[1:], strict=True)
            ]
        )

    def iou(self, flat: np.ndarray, head: int) -> float:
        """Mean IoU over the fit texts, in [0, 1]."""
        return float(self.iou_texts(flat, head).mean())

"""What operators may look at: texts and attention of the fit split, and nothing else."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from fitness.program import Program
from fitness.sandbox import Outcome, Sandbox
from fitness.scoring.contract import to_predictions
from fitness.scoring.iou import iou
from fitness.scoring.packing import Packing
from fitness.text.view import Text

REMEMBERED_BYTES = 64 << 20


class FitView:
    """Texts and attention of the fit split, with the means to run a program on them.

    Packed arrays of all texts are laid end to end, as `packing` says.

    Args:
        texts: the texts.
        blocks: the heads' attention on each text, (heads, packed) of any float type.
        labels: names of the heads.
        causal: whether the model is causal.
        sandbox: runs programs; None where nothing is to be run.
        indices: the texts' indices in the sandbox.
        domains: the texts take turns of so many domains.

    Attributes:
        texts: the texts of the fit split.
        causal: whether the model is causal; packed arrays hold lower triangles then.
        labels: names of the heads, by flat index.
        packing: where the texts' elements lie.
        domains: the texts take turns of so many domains.
    """

    def __init__(
        self,
        texts: Sequence[Text],
        blocks: Sequence[np.ndarray],
        labels: Sequence[str],
        *,
        causal: bool,
        sandbox: Sandbox | None,
        indices: Sequence[int],
        domains: int = 1,
    ) -> None:
        self.texts = tuple(texts)
        self.domains = domains
        self.causal = causal
        self.labels = tuple(labels)
        self.packing = Packing([text.n for text in texts], causal=causal)
        self._blocks = blocks
        self._sandbox = sandbox
        self._indices = tuple(indices)
        self._remembered: OrderedDict[str, np.ndarray] = OrderedDict()

    def attention(self, head: int) -> np.ndarray:
        """(total packed,) float32: the head's attention on every text."""
        return np.concatenate([np.asarray(block[head], dtype=np.float32) for block in self._blocks])

    def predictions(self, program: Program) -> np.ndarray | Outcome:
        """(total packed,) float32 predictions of a program on every text, read-only, or the outcome of its failure.

        Those of programs that ran are remembered, as elites are asked for again and again.
        """
        known = self._remembered.get(program.id)
        if known is not None:
            self._remembered.move_to_end(program.id)
            return known
        if self._sandbox is None:
            raise ValueError("this view was made without a sandbox: it cannot run a program")
        outcome = self._sandbox.run(program, self._indices)
        if not outcome.ok:
            return outcome
        predictions = to_predictions(self.packing.pack(outcome.weights), self.packing)
        predictions.flags.writeable = False
        self._remembered[program.id] = predictions
        if len(self._remembered) * predictions.nbytes > REMEMBERED_BYTES:
            self._remembered.popitem(last=False)
        return predictions

    def iou_texts(self, flat: np.ndarray, head: int) -> np.ndarray:
        """(texts,) float64: IoU of packed predictions with a head's attention, text by text."""
        return np.array(
            [
                iou(part, np.asarray(block[head], dtype=np.float32))
                for block, part in zip(self._blocks, self.packing.split(flat), strict=True)
            ]
        )

    def iou(self, flat: np.ndarray, head: int) -> float:
        """Mean IoU over the fit texts, in [0, 1]."""
        return float(self.iou_texts(flat, head).mean())

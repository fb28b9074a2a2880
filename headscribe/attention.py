"""Attention of a run's model, indexed the way people think: by head and text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fitness.errors import UserError
from fitness.scoring.packing import unpack
from fitness.text.view import Text
from headscribe.heads import HeadName, label_of
from headscribe.tables import html_table

if TYPE_CHECKING:
    from fitness.models.attention import Attention


class RunAttention:
    """Post-softmax attention of every head on the fit and held-out texts; the test texts stay with the reports.

    Attributes:
        heads: names of the heads.
        texts: the texts, those of the fit split first.
        held_out: where the held-out split begins; texts from here on give programs their score.

    Example:
        >>> run.attention["L2H1", 0].shape == (run.attention.texts[0].n, run.attention.texts[0].n)
        True
        >>> float(run.attention["L2H1", 0][0, 0])
        1.0
    """

    def __init__(self, attention: Attention, fit: int, held_out: int) -> None:
        self._attention = attention
        self.heads = attention.labels
        self.texts: tuple[Text, ...] = attention.texts[: fit + held_out]
        self.held_out = fit

    def __getitem__(self, where: tuple[HeadName, int]) -> np.ndarray:
        """(n, n) float32 attention of a head on a text: row = query token, column = key token, rows sum to 1.

        Args:
            where: the head ("L2H1" or (2, 1)) and the number of the text, from 0.

        Raises:
            UserError: for a head or a text that is not there.
        """
        if not (isinstance(where, tuple) and len(where) == 2 and isinstance(where[1], (int, np.integer))):
            raise UserError('attention is indexed by head and text: attention["L2H1", 0]')
        head, text = where
        if not -len(self.texts) <= text < len(self.texts):
            raise UserError(f"there is no text {text}; the fit and held-out texts are 0 to {len(self.texts) - 1}")
        row = self.heads.index(label_of(head, self.heads))
        number = int(text) % len(self.texts)
        block = np.asarray(self._attention.block(number)[row], dtype=np.float32)
        return unpack(block, self.texts[number].n, causal=self._attention.causal)

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        fit, held_out = self.held_out, len(self.texts) - self.held_out
        return f"RunAttention({len(self.heads)} heads on {fit} fit and {held_out} held-out texts)"

    def _repr_html_(self) -> str:
        split = ["fit"] * self.held_out + ["held-out"] * (len(self.texts) - self.held_out)
        rows = [[number, split[number], text.n, text.string[:80]] for number, text in enumerate(self.texts)]
        return html_table(repr(self), ["text", "split", "tokens", "begins"], rows)

"""The figure of one head: its attention beside a program's prediction. Needs matplotlib (extra `plots`)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

INCHES_PER_TOKEN = 0.14


class HeadFigure(Figure):
    """A matplotlib figure that a notebook shows without further ado, and that no window or pyplot state belongs to."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png", bbox_inches="tight")
        return stream.getvalue()


def head_figure(panels: Sequence[tuple[str, np.ndarray]], tokens: Sequence[str]) -> HeadFigure:
    """Matrices side by side, with the tokens on the axes: queries down, keys across.

    Args:
        panels: title and (n, n) weights in [0, 1] of each.
        tokens: (n,) what the axes say.
    """
    side = max(3.0, INCHES_PER_TOKEN * len(tokens))
    figure = HeadFigure(figsize=(side * len(panels) + 1, side + 1), layout="constrained")
    axes: Any = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    shown = [_visible(token) for token in tokens]
    for ax, (title, weights) in zip(axes, panels, strict=True):
        ax.imshow(weights, vmin=0, vmax=1, cmap="Blues", interpolation="nearest")
        # Tokens are data: a dollar sign in one does not begin a formula.
        ax.set_title(title, fontsize=9, parse_math=False)
        ax.set_xticks(range(len(tokens)), shown, rotation=90, fontsize=6, parse_math=False)
        ax.set_xlabel("key")
    axes[0].set_yticks(range(len(tokens)), shown, fontsize=6, parse_math=False)
    axes[0].set_ylabel("query")
    figure.colorbar(axes[-1].images[0], ax=list(axes), shrink=0.6, label="weight")
    return figure


def _visible(token: str) -> str:
    return token.replace("\n", "\u21b5").replace(" ", "\u00b7")

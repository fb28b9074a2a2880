"""What `show` shows as matplotlib figures: matrices with tokens, and heads by layer. Needs the extra `plots`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from evolve.views.notebook import Panel

INCHES_PER_TOKEN = 0.14
# Of a notebook: what is larger is only cut down again by the cell that shows it.
PNG_DPI = 100


class ShownFigure(Figure):
    """A matplotlib figure that a notebook shows without further ado, and that no window or pyplot state belongs to."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png", bbox_inches="tight", dpi=PNG_DPI)
        return stream.getvalue()


def matrices_figure(panels: Sequence[Panel], tokens: Sequence[str]) -> ShownFigure:
    """Matrices side by side, with the tokens on the axes: queries down, keys across.

    Args:
        panels: the matrices.
        tokens: (n,) what the axes say.
    """
    side = max(3.0, INCHES_PER_TOKEN * len(tokens))
    figure = ShownFigure(figsize=(side * len(panels) + 1, side + 1), layout="constrained")
    axes: Any = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    shown = [_visible(token) for token in tokens]
    scales: dict[bool, list[Any]] = {}
    for ax, panel in zip(axes, panels, strict=True):
        low, colours = (-1, "PuOr") if panel.difference else (0, "Blues")
        ax.imshow(panel.matrix, vmin=low, vmax=1, cmap=colours, interpolation="nearest")
        scales.setdefault(panel.difference, []).append(ax)
        # Tokens are data: a dollar sign in one does not begin a formula.
        ax.set_title(panel.title, fontsize=9, parse_math=False)
        ax.set_xticks(range(len(tokens)), shown, rotation=90, fontsize=6, parse_math=False)
        ax.set_xlabel("key")
    axes[0].set_yticks(range(len(tokens)), shown, fontsize=6, parse_math=False)
    axes[0].set_ylabel("query")
    for difference, beside in scales.items():
        label = "difference of weights" if difference else "weight"
        figure.colorbar(beside[-1].images[0], ax=beside, shrink=0.6, label=label)
    return figure


def heads_figure(values: np.ndarray, measure: str) -> ShownFigure:
    """Heads by layer, coloured by a number each.

    Args:
        values: (layers, heads) in [0, 1]; NaN where there is no such head or no number.
        measure: what the numbers are.
    """
    layers, heads = values.shape
    figure = ShownFigure(figsize=(1.8 + 0.45 * heads, 1.2 + 0.35 * layers), layout="constrained")
    ax: Any = figure.subplots()
    image = ax.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    for (layer, head), value in np.ndenumerate(values):
        if not np.isnan(value):
            ink = "black" if value > 0.55 else "white"
            ax.text(head, layer, f"{value:.2f}".removeprefix("0"), ha="center", va="center", fontsize=7, color=ink)
    ax.set_xticks(range(heads))
    ax.set_yticks(range(layers))
    ax.set(xlabel="head", ylabel="layer")
    figure.colorbar(image, ax=ax, label=measure)
    return figure


def _visible(token: str) -> str:
    return token.replace("\n", "\u21b5").replace(" ", "\u00b7")

"""Plots of a library: coverage against size, distribution of head IoU, excess against size. Needs the extra `plots`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from archives.curves import Point
from archives.library import ReducedLibrary
from fitness.errors import UserError

# Both splits by colour and by line, so that they are told apart without colour.
STYLES: dict[str, dict[str, Any]] = {
    "held_out": {"color": "#8a8f98", "linestyle": "--", "label": "held-out"},
    "test": {"color": "#2171b5", "linestyle": "-", "label": "test"},
}


def save_plots(
    library: ReducedLibrary, curve: Sequence[Point], folder: Path, *, formats: Sequence[str] = ("svg", "png")
) -> list[Path]:
    """Draws `coverage`, `head_iou` and `excess`, one file per format.

    Args:
        library: the library.
        curve: its coverage curve, at least one point.
        folder: where the files go; made where it does not exist.
        formats: file endings that matplotlib knows.

    Returns:
        the files written.

    Raises:
        UserError: where matplotlib is not installed.
        ValueError: for an empty curve.
    """
    if not curve:
        raise ValueError("the curve has no points: nothing was scored")
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("plots need matplotlib: pip install 'headscribe[plots]'") from None
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    # Fixed ids and no date: the same library gives the same file.
    with rc_context({"svg.hashsalt": "headscribe", "svg.fonttype": "none"}):
        for name, draw in (("coverage", _coverage), ("head_iou", _head_iou), ("excess", _excess)):
            figure = Figure(figsize=(6.0, 3.8), layout="constrained")
            axes = figure.subplots()
            draw(axes, library, curve)
            axes.grid(alpha=0.3)
            axes.legend(frameon=False)
            for ending in formats:
                path = folder / f"{name}.{ending}"
                if path.is_symlink():  # not to be drawn through, wherever it leads
                    path.unlink()
                figure.savefig(path, dpi=150, metadata={"Date": None} if ending == "svg" else {})
                written.append(path)
    return written


def _splits(curve: Sequence[Point]) -> list[str]:
    return ["held_out"] if curve[0].mean_test is None else ["held_out", "test"]


def _coverage(axes: Any, library: ReducedLibrary, curve: Sequence[Point]) -> None:
    sizes = [point.k for point in curve]
    for split in _splits(curve):
        within = [getattr(point, f"heads_within_epsilon_{split}") for point in curve]
        axes.plot(sizes, [np.nan if value is None else value for value in within], **STYLES[split])
    chosen = library.held_out if library.test is None else library.test
    if chosen.within_epsilon is not None:
        axes.plot(len(library.members), chosen.within_epsilon, "o", color="black", label="this library")
    axes.axhline(len(library.heads), color="black", linewidth=0.8, linestyle=":")
    axes.set(xlabel="programs", ylabel="heads within epsilon of their best", ylim=(0, len(library.heads) * 1.05))
    axes.xaxis.get_major_locator().set_params(integer=True)


def _head_iou(axes: Any, library: ReducedLibrary, curve: Sequence[Point]) -> None:
    del curve
    axes.ecdf([line.iou_held_out or 0.0 for line in library.heads], **STYLES["held_out"])
    if library.test is not None:
        axes.ecdf([line.iou_test.value if line.iou_test else 0.0 for line in library.heads], **STYLES["test"])
    axes.set(xlabel="IoU of a head with its program", ylabel="share of heads at or below", xlim=(0, 1), ylim=(0, 1.02))


def _excess(axes: Any, library: ReducedLibrary, curve: Sequence[Point]) -> None:
    sizes = [point.k for point in curve]
    for split in _splits(curve):
        excess = [getattr(point, f"excess_{split}") for point in curve]
        axes.plot(sizes, [np.nan if value is None else value for value in excess], **STYLES[split])
    chosen = library.held_out if library.test is None else library.test
    if chosen.excess is not None:
        low, high = chosen.excess.low, chosen.excess.high
        spread = None if low is None or high is None else [[chosen.excess.value - low], [high - chosen.excess.value]]
        axes.errorbar(
            len(library.members),
            chosen.excess.value,
            yerr=spread,
            fmt="o",
            color="black",
            capsize=3,
            label="this library",
        )
    axes.set(xlabel="programs", ylabel="IoU above the best single program")
    axes.xaxis.get_major_locator().set_params(integer=True)

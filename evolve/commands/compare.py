"""`headscribe compare`: any number of runs and seeds, with intervals between seeds beside those over texts."""

from __future__ import annotations

from pathlib import Path

from evolve.results.comparison import Comparison, compare_runs
from evolve.views.comparison import draw_curves


def compare_all(paths: list[Path], *, plot: Path | None) -> Comparison:
    """Compares runs; those that differ in their seed alone are one group.

    Args:
        paths: run directories, finished or not.
        plot: a picture of the curves over programs and seconds is written here.

    Raises:
        UserError: for a directory without a run, and where matplotlib is missing for a picture.
    """
    comparison = compare_runs(paths)
    if plot:
        draw_curves(comparison, plot)
    return comparison

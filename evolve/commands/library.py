"""`headscribe library`: reduces runs or published score tables to a library, and compares the libraries of two runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evolve.results.libraries import Made, make_library
from evolve.results.reduction import Criterion
from evolve.views.stages import StageConsole


def library(paths: Sequence[Path], criterion: Criterion, *, out: Path | None, plots: bool) -> Made:
    """Makes a library and writes it, with progress on stderr.

    Raises:
        UserError: for paths that hold neither runs nor tables, or a mixture of both.
    """
    with StageConsole() as stages:
        return make_library(paths, criterion, out=out, plots=plots, listener=stages)

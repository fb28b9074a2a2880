"""`headscribe library`: reduces runs or published score tables to a library, and compares the libraries of two runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archives.table import is_table
from evolve.results.abroad import config_abroad
from evolve.results.libraries import Made, make_library
from evolve.results.mixes import Mixes, mix_library
from evolve.results.reduction import Criterion
from evolve.session import opened_for_reading
from evolve.store.run_dir import RunDir, write_atomically
from evolve.views.stages import StageConsole
from fitness.errors import UserError

MIXES = "mixes.json"
MOST_MIXED = 16


@dataclass(frozen=True)
class MadeAndMixed:
    """A library made, and mixes of its programs where they were asked for."""

    made: Made
    mixes: Mixes | None

    def as_json(self) -> dict[str, Any]:
        """The numbers of the library, and `mixes`."""
        return self.made.as_json() | ({"mixes": self.mixes.as_json()} if self.mixes else {})


def library(
    paths: Sequence[Path],
    criterion: Criterion,
    *,
    out: Path | None,
    plots: bool,
    mix: int | None = None,
    texts: Sequence[str] = (),
) -> MadeAndMixed:
    """Makes a library and writes it, with progress on stderr.

    Args:
        paths: run directories, or score tables, CSV or Parquet.
        criterion: what the library must reach.
        out: where to write; None is the run.
        plots: draw the curves as well.
        mix: programs that may predict a head together, 2 to 16: fits such mixes, and writes `mixes.json`.
        texts: of other domains, on which mixes are read as well; none takes those of the run's `transfer`.

    Raises:
        UserError: for paths that hold neither runs nor tables, or a mixture of both; for mixes of several runs, or in
            another place than the run.
    """
    if mix is not None:
        if len(paths) != 1 or is_table(paths[0]) or out not in (None, paths[0]):
            raise UserError("library --mix: give one run, and no --out; its programs and texts are what is mixed")
        if not 2 <= mix <= MOST_MIXED:
            raise UserError(f"library --mix: {mix} is out of range; a mix has 2 to {MOST_MIXED} programs at most")
    elif texts:
        raise UserError("library --texts: the texts are those on which mixes are read; give --mix as well")
    with StageConsole() as stages:
        made = make_library(paths, criterion, out=out, plots=plots, listener=stages)
        if mix is None:
            return MadeAndMixed(made, None)
        run_dir = RunDir(paths[0])
        with opened_for_reading(run_dir, stages) as session:
            mixes = mix_library(session, config_abroad(session.config, texts), mix, stages)
    write_atomically(run_dir.file(MIXES), json.dumps(mixes.as_json(), indent=1) + "\n")
    return MadeAndMixed(made, mixes)

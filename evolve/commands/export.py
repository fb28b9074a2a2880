"""`headscribe export`: a run as tables that other tools read."""

from __future__ import annotations

from pathlib import Path

from evolve.results.export import Exported, export_run
from evolve.store.run_dir import RunDir


def export(path: Path, *, folder: Path | None, form: str) -> Exported:
    """Writes the tables of a run and `provenance.json`.

    Raises:
        UserError: as `export_run` does.
    """
    return export_run(RunDir(path), folder, form)

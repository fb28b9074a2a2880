"""`headscribe report`: one self-contained HTML page about a run, and figures for papers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evolve.results.figures import figures_of
from evolve.store.run_dir import RunDir
from evolve.views.figures import write_figures
from evolve.views.report import write_report


def report(directory: Path, figures: Path | None = None) -> dict[str, Any]:
    """Writes `report.html`, also for a campaign that is still running; returns its path and the run's numbers.

    Args:
        directory: the run.
        figures: a folder for figures of all that the run has measured; None draws none. `figures` of the result is
            then `written`, the files, and `left_out`, by name the command that would measure what is missing.

    Raises:
        UserError: where the directory holds no run; for figures, without matplotlib.
    """
    run_dir = RunDir(directory)
    path = write_report(run_dir)
    store = run_dir.open_store()
    try:
        result = store.meta("result")
    finally:
        store.close()
    done: dict[str, Any] = {"report": str(path), "finished": result is not None} | (result or {})
    if figures is not None:
        found = figures_of(run_dir)
        written = [str(file) for file in write_figures(found, figures)]
        done["figures"] = {"written": written, "left_out": dict(found.left_out)}
    return done

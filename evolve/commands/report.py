"""`headscribe report`: one self-contained HTML page about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evolve.store.run_dir import RunDir
from evolve.views.report import write_report


def report(directory: Path) -> dict[str, Any]:
    """Writes `report.html`, also for a campaign that is still running; returns its path and the run's numbers.

    Raises:
        UserError: where the directory holds no run.
    """
    run_dir = RunDir(directory)
    path = write_report(run_dir)
    store = run_dir.open_store()
    try:
        result = store.meta("result")
    finally:
        store.close()
    return {"report": str(path), "finished": result is not None} | (result or {})

"""`headscribe status`: how far a campaign is, once or live."""

from __future__ import annotations

import time
from pathlib import Path

from rich.live import Live

from evolve.results.status import Status, read_status
from evolve.store.run_dir import RunDir
from evolve.views.status import render
from evolve.views.terminal import terminal

REFRESH_SECONDS = 2.0


def status(directory: Path) -> Status:
    """One look at a run, which is not disturbed.

    Raises:
        UserError: where the directory holds no run.
    """
    return read_status(RunDir(directory))


def watch(directory: Path) -> None:
    """Shows the status until Ctrl-C."""
    with Live(render(status(directory)), console=terminal(), auto_refresh=False) as live:
        while True:
            time.sleep(REFRESH_SECONDS)
            live.update(render(status(directory)), refresh=True)

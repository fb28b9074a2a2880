"""The runs below a folder, each with what is quickly known of it: no search is replayed, and nothing is written."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
from pathlib import Path
from typing import Any

from evolve.results.references import reference_held_out
from evolve.store.database import FILE
from evolve.store.run_dir import RunDir
from fitness.errors import UserError

MOST_RUNS = 200
MOST_POINTS = 120
# Of a log's end, enough for its last lines.
TAIL_BYTES = 65_536
_HOLDER = re.compile(r"process (\d+) on (\S+) since ")


def run_dirs(folder: Path) -> dict[str, RunDir]:
    """Name relative to the folder -> run, of the folder itself and two levels below it, at most `MOST_RUNS`."""
    found = sorted({file.parent for pattern in (FILE, f"*/{FILE}", f"*/*/{FILE}") for file in folder.glob(pattern)})
    return {path.relative_to(folder).as_posix(): RunDir(path) for path in found[:MOST_RUNS]}


def list_runs(folder: Path) -> list[dict[str, Any]]:
    """One entry a run: `name` and, where it can be read, its numbers and its curve; else `error`."""
    return [{"name": name} | _summary(run) for name, run in run_dirs(folder).items()]


def _summary(run: RunDir) -> dict[str, Any]:
    try:
        config, store = run.load_config(), run.open_store()
    except (UserError, OSError) as error:
        return {"error": str(error)}
    try:
        summaries, result = store.summaries(), store.meta("result") or {}
        last = summaries[-1] if summaries else None
        every = max(1, len(summaries) // MOST_POINTS)
        return {
            "model": config.model,
            # A run that was resumed has gone on beyond its result.
            "state": _state(
                run, finished=bool(result) and result["programs_evaluated"] >= (last.programs if last else 0)
            ),
            "programs": last.programs if last else 0,
            "failed": last.failed if last else 0,
            "seconds": round(store.seconds()),
            "mean_iou_held_out": last.mean_iou if last else None,
            "reference_iou_held_out": reference_held_out(store),
            "mean_iou_test": result.get("mean_iou_test"),
            "gain_over_reference": result.get("gain_over_reference"),
            "library_size": result.get("library_size"),
            "curve": [[summary.programs, summary.mean_iou] for summary in summaries[::-1][::every][::-1]],
        }
    except UserError as error:
        return {"error": str(error)}
    finally:
        store.close()


def _state(run: RunDir, *, finished: bool) -> str:
    """`running`, `finished`, `stopped` (by somebody, to be resumed) or `crashed` (its process ended without a word).

    The lock itself is not tried: whoever holds it for that moment would keep a campaign from starting.
    """
    holder = _HOLDER.match(_tail(run.file("lock")))
    if holder and (holder[2] != socket.gethostname() or _alive(int(holder[1]))):
        return "running"
    if finished:
        return "finished"
    events = [line.get("event") for line in map(_parsed, _tail(run.log).splitlines())]
    last = next((event for event in events[::-1] if event in ("start", "stop")), None)
    return "stopped" if last == "stop" and not holder else "crashed"


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # somebody else's
    return True


def _tail(path: Path) -> str:
    """The end of a plain file; nothing of what is no plain file, or not there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            return ""
        file.seek(max(0, found.st_size - TAIL_BYTES))
        return file.read().decode(errors="replace")


def _parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

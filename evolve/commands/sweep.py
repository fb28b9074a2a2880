"""`headscribe sweep`: a campaign for every combination of settings and seeds, one directory each, then compared."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from evolve.config import Config, load_config
from evolve.graceful_stop import GracefulStop, graceful_stop
from evolve.listeners import Listeners
from evolve.results.comparison import Comparison, compare_runs
from evolve.running import run_campaign
from evolve.store.run_dir import RunDir
from evolve.views.console import CampaignConsole
from evolve.views.stages import error_console, print_confinement
from evolve.views.words import duration
from fitness.errors import UserError


@dataclass(frozen=True)
class Swept:
    """How a sweep ended.

    Attributes:
        folder: where its runs lie.
        runs: their directories, in order.
        comparison: of all runs; None where the sweep was interrupted and can be resumed.
    """

    folder: Path
    runs: tuple[Path, ...]
    comparison: Comparison | None

    def as_json(self) -> dict[str, Any]:
        """The comparison, or that it was interrupted."""
        if self.comparison is None:
            return {"folder": str(self.folder), "interrupted": True}
        return {"folder": str(self.folder), "runs": [str(run) for run in self.runs], **self.comparison.as_json()}


def sweep(
    name: str,
    vary: list[str],
    overrides: list[str],
    *,
    seeds: int,
    folder: Path | None,
    afterwards: Callable[[Path], None] | None = None,
) -> Swept:
    """Runs campaigns in order, each in a directory of its own; finished ones are kept as they are.

    Args:
        name: configuration file or preset.
        vary: `a.b=1,2,3`: values of a key, each of which is tried; several keys make all combinations.
        overrides: `a.b=c` settings of all campaigns.
        seeds: number of seeds of each combination, counted from the configuration's own.
        folder: where the runs lie; None is `sweeps/` and the configuration's name.
        afterwards: called with the directory of each run that has finished.

    Raises:
        UserError: for anything that the user must change, before the first campaign starts.
    """
    if seeds < 1:
        raise UserError(f"--seeds wants a number of at least 1; got {seeds}")
    folder = folder or Path("sweeps") / Path(name).stem
    runs = dict(_plan(name, vary, overrides, seeds, folder))
    console = error_console()
    console.print(f"{len(runs)} campaigns in {escape(str(folder))}{_longest(runs)}", highlight=False)
    print_confinement(console, next(iter(runs.values())))
    with graceful_stop(console.print) as stop:
        for number, (path, config) in enumerate(runs.items(), 1):
            if not _run(path, config, stop, console, f"{number} of {len(runs)}"):
                console.print("interrupted; the same command resumes", highlight=False)
                return Swept(folder, tuple(runs), None)
            if afterwards is not None:
                afterwards(path)
    return Swept(folder, tuple(runs), compare_runs(list(runs)))


def _plan(name: str, vary: list[str], overrides: list[str], seeds: int, folder: Path) -> Iterator[tuple[Path, Config]]:
    first = load_config(name, overrides).seed
    choices = [_choices(one) for one in vary]
    for settings in itertools.product(*choices):
        place = folder.joinpath(*(setting.replace("/", "_") for setting in settings))
        for seed in range(first, first + seeds):
            yield place / f"seed-{seed}", load_config(name, [*overrides, *settings, f"seed={seed}"])


def _choices(vary: str) -> list[str]:
    key, equals, values = vary.partition("=")
    if not key or not equals or not values:
        raise UserError(f"--vary wants key=value,value, such as splits.fit=8,24,64; got {vary!r}")
    return [f"{key}={value}" for value in values.split(",")]


def _longest(runs: dict[Path, Config]) -> str:
    limits = [config.stop.max_seconds for config in runs.values()]
    known = [limit for limit in limits if limit is not None]
    return f", up to {duration(sum(known))} of searching" if len(known) == len(limits) else ""


def _run(path: Path, config: Config, stop: GracefulStop, console: Console, place: str) -> bool:
    """Runs or resumes one campaign, unless it has finished as it is configured; false where it was interrupted."""
    run_dir = RunDir(path)
    title = f"{place}: {path}"
    if _finished(run_dir, config):
        console.print(f"{escape(title)} has finished before", highlight=False)
        return True
    console.print(escape(title), highlight=False)
    with CampaignConsole(console, title, config.stop) as live:
        ended = run_campaign(config, run_dir, Listeners([live, stop]), interrupted=lambda: stop.asked)
    return ended.result is not None


def _finished(run_dir: RunDir, config: Config) -> bool:
    if not run_dir.database.is_file() or run_dir.load_config() != config:
        return False
    store = run_dir.open_store()
    try:
        return store.meta("result") is not None
    finally:
        store.close()

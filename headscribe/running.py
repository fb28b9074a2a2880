"""Campaigns from Python: begun or resumed with `run`, looked at with `open_run`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evolve.config import Config
from evolve.listeners import Listener
from evolve.running import run_campaign
from evolve.store.records import StepSummary
from evolve.store.run_dir import RunDir
from fitness.errors import UserError
from headscribe.runs import Run
from headscribe.settings import configured

if TYPE_CHECKING:
    from distributed import Client


def run(
    config: str | Path | Mapping[str, Any],
    *,
    run_dir: str | Path | None = None,
    progress: Callable[[StepSummary], None] | Literal[True] | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    llm: Literal["live", "replay"] = "live",
    client: Client | None = None,
    **settings: Any,
) -> Run:
    """Begins a campaign, or resumes the one in its run directory, and returns when a stop condition holds.

    The search is MAP-Elites (Mouret and Clune 2015, arXiv 1504.04909) with one objective per head. It prints nothing,
    sets no signal handler and may run in any thread. Every step is on the disk when it ends: after Ctrl-C, an exception
    or a kill the same call goes on where it was, and comes to the same library as without the interruption.

    Args:
        config: a preset such as "quickstart", a YAML file, or settings as a nested dictionary.
        run_dir: where the run lies; `runs/` and the configuration's name by default.
        progress: called with a summary after every step; True shows progress on stderr as the command line does.
        interrupted: asked between steps, for example `event.is_set` of a `threading.Event`; true ends the call early.
        llm: "live", or "replay" to answer prompts from stored replies alone.
        client: a `distributed.Client`: the workers of its cluster do the work (docs/cluster.md). It stays open.
        settings: changes to the configuration, sections as dictionaries: `stop={"max_programs": 300}`. Sections are
            merged key by key, but `operators`, which are replaced. Operators and descriptors of one's own are given
            as objects in the place of their names (docs/extending.md).

    Returns:
        The run; its `finished` is False where `interrupted` ended it.

    Raises:
        UserError: for whatever is to be changed first, saying what is right.

    Example:
        >>> again = hs.run("quickstart", run_dir=run.path, **tiny)  # all is there already: nothing is evaluated again
        >>> again.finished, again.library == run.library
        (True, True)
    """
    asked, own = configured(config, settings)
    if run_dir is None and isinstance(config, Mapping):
        raise UserError("run: settings have no name of their own; say where the run shall lie with run_dir=...")
    place = RunDir(Path(run_dir) if run_dir is not None else Path("runs") / Path(str(config)).stem)
    with _listening(asked, place, progress) as listener:
        run_campaign(asked, place, listener, llm=llm, interrupted=interrupted, own=own, client=client)
    return open_run(place.path)


def open_run(path: str | Path) -> Run:
    """Opens a run to look at, also while its campaign goes on in another process or thread; nothing is written.

    Args:
        path: the run directory.

    Returns:
        The run. Its properties show what is on the disk when they are asked for.

    Raises:
        UserError: where the directory holds no run.

    Example:
        >>> with hs.open_run(run.path) as seen:
        ...     seen.finished
        True
    """
    return Run(path)


class _Calls(Listener):
    """Passes steps on to a function."""

    def __init__(self, function: Callable[[StepSummary], None]) -> None:
        self._function = function

    def on_step(self, summary: StepSummary) -> None:
        self._function(summary)


@contextmanager
def _listening(
    config: Config, run_dir: RunDir, progress: Callable[[StepSummary], None] | Literal[True] | None
) -> Iterator[Listener | None]:
    if progress is True:
        from evolve.views.console import CampaignConsole
        from evolve.views.stages import error_console

        with CampaignConsole(error_console(), f"{config.model}  {run_dir.path}", config.stop) as console:
            yield console
    else:
        yield None if progress is None else _Calls(progress)

"""`headscribe run`: capture, search, reduce, report; run again on the same directory, it resumes."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape

from evolve.config import Stop, find_config, load_config
from evolve.graceful_stop import graceful_stop
from evolve.listeners import Listeners
from evolve.running import Ended, run_campaign
from evolve.store.run_dir import RunDir, refuse_stored_degraded
from evolve.views.consent import ask_for_keys
from evolve.views.console import CampaignConsole
from evolve.views.stages import error_console, print_confinement
from evolve.views.words import duration


def further(stop: Stop, reason: str, run_dir: RunDir) -> str:
    """The command that takes a finished run on, to twice of what ended it.

    Args:
        stop: when the run was to end.
        reason: why it ended, as `evolve.stopping` says it: a name of `stop` comes first.
        run_dir: where it lies.
    """
    again = f"headscribe run {run_dir.config} --run-dir {run_dir.path}"
    name = reason.partition(":")[0]
    value = getattr(stop, name, None)
    if value is None:
        return again
    return f"{again} --set stop.{name}={'TARGET' if name == 'target_iou' else f'{2 * value:g}'}"


def run(
    name: str,
    directory: Path | None,
    overrides: list[str],
    *,
    llm: str,
    rebinning: bool,
    llm_model: str | None = None,
    llm_url: str | None = None,
    verbose: bool = False,
) -> Ended:
    """Runs or resumes a campaign, with its progress on stderr.

    Args:
        name: configuration file or preset.
        directory: run directory; None is `runs/` and the configuration's name.
        overrides: `a.b=c` settings.
        llm: "live" or "replay".
        rebinning: sort stored programs into changed descriptor axes.
        llm_model: a language model in place of those that the configuration names, if any.
        llm_url: its endpoint.
        verbose: say in full how programs are confined.

    Raises:
        UserError: for anything that the user must change.
    """
    config = load_config(name, overrides, llm_model=llm_model, llm_url=llm_url)
    refuse_stored_degraded(config, find_config(name), overrides)
    run_dir = RunDir(directory or Path("runs") / Path(name).stem)
    console = error_console()
    print_confinement(console, config, verbose=verbose)
    if llm == "live":
        ask_for_keys(console, config)
    with (
        CampaignConsole(console, f"{config.model}  {run_dir.path}", config.stop) as live,
        graceful_stop(console.print) as stop,
    ):
        ended = run_campaign(
            config, run_dir, Listeners([live, stop]), llm=llm, rebinning=rebinning, interrupted=lambda: stop.asked
        )
    if ended.result is None:
        again = f"headscribe run {run_dir.config} --run-dir {run_dir.path}"
        console.print(f"stopped after {ended.programs} programs; resume with:\n  {escape(again)}")
        return ended
    if not ended.new:
        console.print(f"this run had finished; to go on:\n  {escape(further(config.stop, ended.reason, run_dir))}")
    console.print(f"{escape(ended.reason)}, in {duration(ended.seconds)}", highlight=False)
    if ended.crowded:
        console.print(f"note: most programs fall in one bin of {', '.join(ended.crowded)}; it tells little apart")
    return ended

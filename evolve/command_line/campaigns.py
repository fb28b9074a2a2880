"""Commands that run campaigns and look at them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from evolve.command_line.options import (
    INTERRUPTED,
    Json,
    LlmModel,
    LlmUrl,
    Run,
    Runs,
    Settings,
    Verbose,
    app,
    execute,
    shares,
)


@app.command()
def run(
    config: Annotated[str, typer.Argument(help="A YAML file, or a preset such as quickstart.", show_default=False)],
    run_dir: Annotated[Path | None, typer.Option(help="Where to keep the run (default: runs/CONFIG).")] = None,
    settings: Settings = None,
    llm_model: LlmModel = None,
    llm_url: LlmUrl = None,
    llm: Annotated[str, typer.Option(help="live, or replay: from stored replies alone.")] = "live",
    rebin: Annotated[bool, typer.Option("--rebin", help="Sort stored programs into changed descriptor axes.")] = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """The main job: capture, search, reduce, report. Run again on the same directory, it resumes."""
    from evolve.commands.run import run as run_command
    from evolve.views.run import render

    interrupted = False

    def command() -> Any:
        nonlocal interrupted
        ended = run_command(
            config,
            run_dir,
            settings or [],
            llm=llm,
            rebinning=rebin,
            llm_model=llm_model,
            llm_url=llm_url,
            verbose=verbose,
        )
        interrupted = ended.result is None
        return ended

    execute(command, render, as_json=as_json)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


@app.command()
def check(
    config: Annotated[str, typer.Argument(help="A YAML file, or a preset.", show_default=False)],
    settings: Settings = None,
    llm_model: LlmModel = None,
    llm_url: LlmUrl = None,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Validate all, try the LLM endpoint with one tiny call, estimate calls, cost, time and disk; start nothing."""
    from evolve.commands.check import check as check_command
    from evolve.views.estimate import render

    execute(
        lambda: check_command(config, settings or [], llm_model=llm_model, llm_url=llm_url, verbose=verbose),
        render,
        as_json=as_json,
    )


@app.command()
def config(
    preset: Annotated[str | None, typer.Argument(help="A preset, or a YAML file.", show_default=False)] = None,
    schema: Annotated[bool, typer.Option("--schema", help="The JSON schema of configurations instead.")] = False,
    as_json: Json = False,
) -> None:
    """Print a preset, to start a configuration of your own from: headscribe config gpt2 > mine.yaml."""
    from evolve.commands.config import show_config

    execute(lambda: show_config(preset, schema=schema), lambda shown: shown.lines(), as_json=as_json)


@app.command()
def status(
    run: Run,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it, live.")] = False,
    as_json: Json = False,
) -> None:
    """Progress, best, rates, failures by kind, and what each operator gained."""
    from evolve.commands.status import status as status_command
    from evolve.commands.status import watch as watch_command
    from evolve.views.status import render

    def command() -> Any:
        if watch and not as_json:
            watch_command(run)
        return status_command(run)

    execute(command, render, as_json=as_json)


@app.command()
def report(
    run: Run,
    figures: Annotated[
        Path | None, typer.Option(help="Draw figures into this folder: SVG, PDF and CSV (extra `plots`).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one self-contained report.html, and figures for papers."""
    from evolve.commands.report import report as report_command
    from evolve.views.figures import render

    execute(lambda: report_command(run, figures), render, as_json=as_json)


@app.command()
def view(
    folder: Annotated[Path, typer.Argument(help="A folder of run directories, or one of them.", show_default=False)],
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65535)] = 8484,
) -> None:
    """Serve a live local page of the runs in a folder, until Ctrl-C."""
    from evolve.commands.view import view as view_command
    from fitness.printable import printable

    def tell(address: str) -> None:
        typer.echo(printable(address))

    execute(lambda: view_command(folder, port, tell), lambda _: [], as_json=False)


@app.command()
def sweep(
    config: Annotated[str, typer.Argument(help="A YAML file, or a preset.", show_default=False)],
    vary: Annotated[
        list[str] | None, typer.Option(help="Values to try, such as splits.fit=8,24,64; repeatable.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Seeds of each combination.")] = 3,
    folder: Annotated[Path | None, typer.Option("--dir", help="Where the runs lie (default: sweeps/CONFIG).")] = None,
    replace: Annotated[
        str | None, typer.Option(help="Replace these shares of the heads in each run, such as 0.25,0.5.")
    ] = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """A campaign for every combination of settings and seeds, in order and resumable, then compared."""
    from evolve.commands.sweep import Swept
    from evolve.commands.sweep import sweep as sweep_all
    from evolve.views.comparison import render

    ended: list[Swept] = []

    def command() -> Swept:
        then = _replacing(shares(replace, "--replace"))
        ended.append(sweep_all(config, vary or [], settings or [], seeds=seeds, folder=folder, afterwards=then))
        return ended[0]

    execute(command, lambda swept: render(swept.comparison) if swept.comparison else [], as_json=as_json)
    if ended[0].comparison is None:
        raise typer.Exit(INTERRUPTED)


def _replacing(fractions: list[float] | None) -> Callable[[Path], None] | None:
    """What replaces shares of a run's heads, unless that has been done; None where there are none to replace."""
    if not fractions:
        return None
    from evolve.commands.replace import replace
    from evolve.results.compared_files import has_replaced
    from evolve.store.run_dir import RunDir

    def then(path: Path) -> None:
        if not has_replaced(RunDir(path), fractions):
            replace(path, fractions=fractions, only=("fractions",))

    return then


@app.command()
def compare(
    runs: Runs,
    plot: Annotated[Path | None, typer.Option(help="Draw the curves into this file (extra `plots`).")] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Show layer by layer as well; --json always does.")] = False,
    as_json: Json = False,
) -> None:
    """Any number of runs and seeds: numbers, curves, paired differences, with intervals; replacement where measured."""
    from evolve.commands.compare import compare_all
    from evolve.views.comparison import render

    execute(lambda: compare_all(runs, plot=plot), lambda found: render(found, layers=layers), as_json=as_json)

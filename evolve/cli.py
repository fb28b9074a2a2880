"""The command line: options in, and a command's value out as JSON or drawn. Each is imported when called."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="headscribe",
    help="Searches for short Python programs that reproduce the attention heads of language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

INTERRUPTED = 130

Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on stdout.")]
Run = Annotated[Path, typer.Argument(help="A run directory.", show_default=False)]
Runs = Annotated[list[Path], typer.Argument(help="Run directories.", show_default=False)]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Override a config key, a.b=c; repeatable.")]


def execute(command: Callable[[], Any], show: Callable[[Any], Any], *, as_json: bool) -> None:
    """Runs a command and prints its value; errors that the user can mend become one line and exit code 2.

    Args:
        command: gives a plain value, or one that `as_json` turns into one.
        show: what people see of the value: something rich can draw, or a list of such and of lines of markup.
        as_json: print exactly one JSON object instead.
    """
    from evolve.views.terminal import log_to_stderr
    from fitness.errors import UserError
    from fitness.printable import printable

    log_to_stderr()
    for noisy in ("httpx", "openai", "transformers", "datasets"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    try:
        value = command()
    except UserError as error:
        typer.secho(printable(f"headscribe: {error}"), err=True, fg="red")
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.secho("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        os._exit(1)
    if as_json:
        typer.echo(json.dumps(value if isinstance(value, dict) else value.as_json()))
        return
    from evolve.views.printing import print_all

    print_all(show(value))


@app.command()
def run(
    config: Annotated[str, typer.Argument(help="A YAML file, or a preset such as quickstart.", show_default=False)],
    run_dir: Annotated[Path | None, typer.Option(help="Where to keep the run (default: runs/CONFIG).")] = None,
    settings: Settings = None,
    llm: Annotated[str, typer.Option(help="live, or replay: from stored replies alone.")] = "live",
    rebin: Annotated[bool, typer.Option("--rebin", help="Sort stored programs into changed descriptor axes.")] = False,
    as_json: Json = False,
) -> None:
    """The main job: capture, search, reduce, report. Run again on the same directory, it resumes."""
    from evolve.commands.run import run as run_command
    from evolve.views.run import render

    interrupted = False

    def command() -> Any:
        nonlocal interrupted
        ended = run_command(config, run_dir, settings or [], llm=llm, rebinning=rebin)
        interrupted = ended.result is None
        return ended

    execute(command, render, as_json=as_json)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


@app.command()
def check(
    config: Annotated[str, typer.Argument(help="A YAML file, or a preset.", show_default=False)],
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Validate all, try the LLM endpoint with one tiny call, estimate calls, cost, time and disk; start nothing."""
    from evolve.commands.check import check as check_command
    from evolve.views.estimate import render

    execute(lambda: check_command(config, settings or []), render, as_json=as_json)


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
def library(
    runs: Annotated[list[Path], typer.Argument(help="Runs or CSV score tables; two runs are compared as well.")],
    epsilon: Annotated[
        float | None, typer.Option(help="Cover heads within this of their best (default: 0.02).")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Cover heads at this IoU or more.")] = None,
    size: Annotated[int | None, typer.Option(help="The best mean with this many programs.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Ask a solver for the optimum, or a bound.")] = False,
    out: Annotated[Path | None, typer.Option(help="Where to write (default: the run, or library/).")] = None,
    plots: Annotated[bool, typer.Option("--plots", help="Draw coverage, ECDF and excess (extra `plots`).")] = False,
    as_json: Json = False,
) -> None:
    """Reduce what was found to a library: library.json, library.py and coverage.csv."""
    from evolve.commands.library import library as library_command
    from evolve.results.reduction import Criterion
    from evolve.views.library import render

    criterion = Criterion(epsilon, threshold, size, exact)
    execute(lambda: library_command(runs, criterion, out=out, plots=plots), render, as_json=as_json)


@app.command()
def score(
    programs: Annotated[Path, typer.Argument(help="A Python file of programs, or a CSV score table.")],
    model: Annotated[str | None, typer.Option(help="Folder, bundled name or hub name of the model.")] = None,
    texts: Annotated[str, typer.Option(help="Texts to score on.")] = "stories",
    max_tokens: Annotated[int, typer.Option(help="Length to which texts are cut.")] = 64,
    limit: Annotated[int, typer.Option(help="Number of texts.")] = 32,
    sandbox: Annotated[str, typer.Option(help="strict or degraded.")] = "strict",
    workers: Annotated[int, typer.Option(help="Worker processes.")] = 2,
    out: Annotated[Path | None, typer.Option(help="Write the score table as CSV.")] = None,
    as_json: Json = False,
) -> None:
    """Score programs from outside on a model's heads."""
    from evolve.commands.score import score as score_command
    from evolve.views.scores import render

    execute(
        lambda: score_command(
            programs,
            model=model,
            texts=texts,
            max_tokens=max_tokens,
            limit=limit,
            sandbox=sandbox,
            workers=workers,
            out=out,
        ),
        render,
        as_json=as_json,
    )


Fractions = Annotated[str | None, typer.Option(help="Shares of the heads, such as 0,0.25,1 (default: several).")]


@app.command()
def replace(
    run: Run,
    fractions: Fractions = None,
    random_orders: Annotated[int, typer.Option(help="Draws of random orders and of shuffled programs.")] = 5,
    measure_heads: Annotated[
        int | None, typer.Option(help="Heads whose cost is measured, beside its estimate (default: a few).")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Stages: fractions,layers,heads,order (default: all).")] = None,
    as_json: Json = False,
) -> None:
    """Perplexity and agreement with heads replaced by programs, beside ablations and controls; goes on after a kill."""
    from evolve.commands.replace import replace as replace_command
    from evolve.views.replacement import render_perplexity

    execute(
        lambda: replace_command(
            run,
            fractions=_shares(fractions),
            random_orders=random_orders,
            measure_heads=measure_heads,
            only=[stage.strip() for stage in only.split(",")] if only else None,
        ),
        lambda result: [*render_perplexity(result), f"wrote {run / 'replacement.json'}"],
        as_json=as_json,
    )


@app.command()
def transfer(
    run: Run,
    texts: Annotated[
        list[str] | None, typer.Option(help="Texts of another domain; repeatable (default: the run's `transfer`).")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Another model (default: the run's own).")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Another length (default: the run's own).")] = None,
    limit: Annotated[int | None, typer.Option(help="Texts per domain (default: as many as test texts).")] = None,
    choose: Annotated[bool, typer.Option("--choose", help="Choose programs anew, on every other text.")] = False,
    as_json: Json = False,
) -> None:
    """The library's assignment, unchanged, on texts that the search never used, beside tables and the best single."""
    from evolve.commands.transfer import transfer_library
    from evolve.views.transfer import render

    execute(
        lambda: transfer_library(
            run, texts=texts or [], model=model, max_tokens=max_tokens, limit=limit, choose=choose
        ),
        lambda value: render(value.domains),
        as_json=as_json,
    )


@app.command()
def compare(
    runs: Runs,
    plot: Annotated[Path | None, typer.Option(help="Draw the curves into this file (extra `plots`).")] = None,
    as_json: Json = False,
) -> None:
    """Any number of runs and seeds: numbers, curves and paired differences, with intervals."""
    from evolve.commands.compare import compare_all
    from evolve.views.comparison import render

    execute(lambda: compare_all(runs, plot=plot), render, as_json=as_json)


@app.command()
def sweep(
    config: Annotated[str, typer.Argument(help="A YAML file, or a preset.", show_default=False)],
    vary: Annotated[
        list[str] | None, typer.Option(help="Values to try, such as splits.fit=8,24,64; repeatable.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Seeds of each combination.")] = 3,
    folder: Annotated[Path | None, typer.Option("--dir", help="Where the runs lie (default: sweeps/CONFIG).")] = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """A campaign for every combination of settings and seeds, in order and resumable, then compared."""
    from evolve.commands.sweep import Swept
    from evolve.commands.sweep import sweep as sweep_all
    from evolve.views.comparison import render

    ended: list[Swept] = []

    def command() -> Swept:
        ended.append(sweep_all(config, vary or [], settings or [], seeds=seeds, folder=folder))
        return ended[0]

    execute(command, lambda swept: render(swept.comparison) if swept.comparison else [], as_json=as_json)
    if ended[0].comparison is None:
        raise typer.Exit(INTERRUPTED)


@app.command()
def tasks(
    run: Run,
    task: Annotated[list[str], typer.Option(help="A JSON-lines file or hub task such as piqa; repeatable.")],
    fractions: Fractions = None,
    limit: Annotated[int | None, typer.Option(help="The most questions of a task.")] = None,
    as_json: Json = False,
) -> None:
    """Question answering accuracy with heads replaced by programs."""
    from evolve.commands.tasks import tasks as tasks_command
    from evolve.views.replacement import render_tasks

    execute(
        lambda: tasks_command(run, names=task, fractions=_shares(fractions), limit=limit),
        lambda result: [*render_tasks(result), f"wrote {run / 'tasks.json'}"],
        as_json=as_json,
    )


@app.command()
def prompts(
    runs: Runs,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(help="Two templates, asked over the same parents, heads and feedback.")
    ] = None,
    operator: Annotated[str | None, typer.Option(help="Whose templates they are (default: by file name).")] = None,
    pairs: Annotated[int, typer.Option(help="Number of pairs of calls.")] = 20,
    as_json: Json = False,
) -> None:
    """What each prompt, operator and model gained per call, token and dollar."""
    from evolve.commands.prompts import compare_prompts
    from evolve.commands.prompts import prompts as prompts_command
    from evolve.views.prompts import render, render_trial

    if compare:
        execute(lambda: compare_prompts(compare, runs, operator=operator, pairs=pairs), render_trial, as_json=as_json)
    else:
        execute(lambda: prompts_command(runs), render, as_json=as_json)


@app.command()
def report(run: Run, as_json: Json = False) -> None:
    """Write one self-contained report.html."""
    from evolve.commands.report import report as report_command

    execute(lambda: report_command(run), lambda result: [f"wrote {result['report']}"], as_json=as_json)


def _shares(fractions: str | None) -> list[float] | None:
    if fractions is None:
        return None
    try:
        return [float(part) for part in fractions.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"--fractions takes numbers between commas, such as 0,0.25,1; got {fractions}"
        ) from None


def main() -> None:
    """Entry point of the console command."""
    app()


if __name__ == "__main__":
    main()

"""The command line. Commands are thin: each hands its options to a module of its own, imported when it is called."""

from __future__ import annotations

import json
import logging
import os
import sys
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


def call(command: Callable[[], Any], *, as_json: bool) -> None:
    """Runs a command; prints its result and turns errors that the user can mend into one line and exit code 2.

    A command returns what `--json` prints, and has printed its own table by then unless asked for JSON.
    """
    from fitness.errors import UserError

    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.INFO)
    for noisy in ("httpx", "openai", "transformers", "datasets"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    try:
        result = command()
    except UserError as error:
        typer.secho(f"headscribe: {error}", err=True, fg="red")
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.secho("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        os._exit(1)
    if as_json:
        typer.echo(json.dumps(result))


@app.command()
def run(
    config: Annotated[str, typer.Argument(help="A YAML file, or a preset such as quickstart.", show_default=False)],
    run_dir: Annotated[Path | None, typer.Option(help="Where to keep the run (default: runs/CONFIG).")] = None,
    settings: Settings = None,
    llm: Annotated[str, typer.Option(help="live, or replay: from stored replies alone.")] = "live",
    rebin: Annotated[bool, typer.Option("--rebin", help="Sort stored programs into changed descriptor axes.")] = False,
    as_json: Json = False,
) -> None:
    """The main job: capture, search, reduce, report. Run again on the same directory, it continues."""
    from evolve.commands.run import run_campaign

    interrupted = False

    def command() -> Any:
        nonlocal interrupted
        result, interrupted = run_campaign(config, run_dir, settings or [], llm=llm, rebinning=rebin, quiet=as_json)
        return result

    call(command, as_json=as_json)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


@app.command()
def check(
    config: Annotated[str, typer.Argument(help="A YAML file, or a preset.", show_default=False)],
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Validate all, try the LLM endpoint with one tiny call, estimate calls, cost, time and disk; start nothing."""
    from evolve.commands.check import check_config

    call(lambda: check_config(config, settings or [], quiet=as_json), as_json=as_json)


@app.command()
def status(
    run: Run,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it, live.")] = False,
    as_json: Json = False,
) -> None:
    """Progress, best, rates, failures by kind, and what the operators earn."""
    from evolve.commands.status import show_status

    call(lambda: show_status(run, watch=watch, quiet=as_json), as_json=as_json)


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
    from evolve.commands.library import make_library

    call(
        lambda: make_library(
            runs,
            epsilon=epsilon,
            threshold=threshold,
            size=size,
            exact=exact,
            out=out,
            plots=plots,
            quiet=as_json,
        ),
        as_json=as_json,
    )


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
    from evolve.commands.score import score_programs

    call(
        lambda: score_programs(
            programs,
            model=model,
            texts=texts,
            max_tokens=max_tokens,
            limit=limit,
            sandbox=sandbox,
            workers=workers,
            out=out,
            quiet=as_json,
        ),
        as_json=as_json,
    )


Fractions = Annotated[str | None, typer.Option(help="Shares of the heads, such as 0,0.25,1 (default: several).")]


@app.command()
def replace(
    run: Run,
    fractions: Fractions = None,
    random_orders: Annotated[int, typer.Option(help="Seeds of the control with heads in random order.")] = 5,
    as_json: Json = False,
) -> None:
    """Perplexity and agreement with heads replaced by programs, with controls."""
    from evolve.commands.replace import replace_heads

    call(
        lambda: replace_heads(run, fractions=_shares(fractions), random_orders=random_orders, quiet=as_json),
        as_json=as_json,
    )


@app.command()
def tasks(
    run: Run,
    task: Annotated[list[str], typer.Option(help="A JSON-lines file or hub task such as piqa; repeatable.")],
    fractions: Fractions = None,
    limit: Annotated[int | None, typer.Option(help="The most questions of a task.")] = None,
    as_json: Json = False,
) -> None:
    """Question answering accuracy with heads replaced by programs."""
    from evolve.commands.tasks import run_tasks

    call(
        lambda: run_tasks(run, tasks=task, fractions=_shares(fractions), limit=limit, quiet=as_json),
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
    """What each prompt, operator and model earned per call, token and dollar."""
    from evolve.commands.prompts import compare_prompts, show_prompts

    if compare:
        call(
            lambda: compare_prompts(compare, runs, operator=operator, pairs=pairs, quiet=as_json),
            as_json=as_json,
        )
    else:
        call(lambda: show_prompts(runs, quiet=as_json), as_json=as_json)


@app.command()
def report(run: Run, as_json: Json = False) -> None:
    """Write one self-contained report.html."""
    from evolve.commands.report import write_report

    call(lambda: write_report(run, quiet=as_json), as_json=as_json)


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

"""Commands on what campaigns found: libraries, scores, transfer, prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evolve.command_line.options import Json, Run, Runs, app, execute, shares


@app.command()
def library(
    runs: Annotated[list[Path], typer.Argument(help="Runs, or score tables as CSV or Parquet; two runs are compared.")],
    epsilon: Annotated[
        float | None, typer.Option(help="Cover heads within this of their best (default: 0.02).")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Cover heads at this IoU or more.")] = None,
    size: Annotated[int | None, typer.Option(help="The best mean with this many programs.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Ask a solver for the optimum, or a bound.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Where to write (default: the run; tables and several runs are shown only).")
    ] = None,
    plots: Annotated[bool, typer.Option("--plots", help="Draw coverage, ECDF and excess (extra `plots`).")] = False,
    mix: Annotated[int | None, typer.Option(help="Let up to so many programs predict a head together.")] = None,
    texts: Annotated[list[str] | None, typer.Option(help="With --mix: texts of another domain; repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Reduce what was found to a library: library.json, library.py and coverage.csv."""
    from evolve.commands.library import library as library_command
    from evolve.results.reduction import Criterion
    from evolve.views.library import render
    from evolve.views.mixes import render_mixes

    criterion = Criterion(epsilon, threshold, size, exact)
    execute(
        lambda: library_command(runs, criterion, out=out, plots=plots, mix=mix, texts=texts or []),
        lambda value: [*render(value.made), *render_mixes(value.mixes)],
        as_json=as_json,
    )


@app.command()
def export(
    run: Run,
    folder: Annotated[Path | None, typer.Option("--dir", help="Where to write (default: export/ in the run).")] = None,
    form: Annotated[str, typer.Option("--format", help="csv, or parquet (extra `parquet`).")] = "csv",
    as_json: Json = False,
) -> None:
    """Write programs, held-out scores, proposals, LLM calls and steps as tables, with their provenance."""
    from evolve.commands.export import export as export_command
    from evolve.views.export import render

    execute(lambda: export_command(run, folder=folder, form=form), render, as_json=as_json)


@app.command()
def push(
    run: Run,
    name: Annotated[str, typer.Argument(help="Repository on the Hugging Face hub, owner/name.", show_default=False)],
    licence: Annotated[str, typer.Option("--license", help="What the card says of the licence.")] = "mit",
    private: Annotated[bool, typer.Option("--private", help="Make a new repository a private one.")] = False,
    folder: Annotated[Path | None, typer.Option("--dir", help="Write it there instead, and send nothing.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Share the library of a run with a card: never its database, nor its texts."""
    from evolve.commands.push import push as push_command
    from evolve.views.push import render

    execute(
        lambda: push_command(run, name, licence=licence, private=private, folder=folder, dry_run=dry_run),
        render,
        as_json=as_json,
    )


@app.command()
def score(
    programs: Annotated[Path, typer.Argument(help="A Python file of programs, or a score table (CSV, Parquet).")],
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
    perplexity: Annotated[bool, typer.Option("--perplexity", help="Replace heads on these texts, too.")] = False,
    fractions: Annotated[str | None, typer.Option(help="Shares of the heads for that, such as 0.25,0.5.")] = None,
    as_json: Json = False,
) -> None:
    """The library's assignment, unchanged, on texts that the search never used, beside tables and the best single."""
    from evolve.commands.transfer import transfer_library
    from evolve.views.transfer import render, render_replaced

    execute(
        lambda: transfer_library(
            run,
            texts=texts or [],
            model=model,
            max_tokens=max_tokens,
            limit=limit,
            choose=choose,
            perplexity=perplexity,
            fractions=shares(fractions, "--fractions"),
        ),
        lambda value: [*render(value.domains), *render_replaced(value.replaced)],
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

"""Commands that replace heads by programs."""

from __future__ import annotations

from typing import Annotated

import typer

from evolve.command_line.options import Json, Run, app, execute, shares

Fractions = Annotated[str | None, typer.Option(help="Shares of the heads, such as 0,0.25,1 (default: several).")]


@app.command()
def replace(
    run: Run,
    fractions: Fractions = None,
    random_orders: Annotated[int, typer.Option(help="Draws of random orders and of shuffled programs.")] = 5,
    measure_heads: Annotated[
        int | None, typer.Option(help="Heads whose cost is measured, beside its estimate (default: a few).")
    ] = None,
    pairs: Annotated[
        int | None, typer.Option(help="Of these, heads on which another program is measured, too (default: a few).")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Stages: fractions,layers,heads,order (default: all).")] = None,
    as_json: Json = False,
) -> None:
    """Perplexity and agreement with heads replaced by programs, beside ablations and controls; resumes after a kill."""
    from evolve.commands.replace import replace as replace_command
    from evolve.views.replacement import render_perplexity

    execute(
        lambda: replace_command(
            run,
            fractions=shares(fractions, "--fractions"),
            random_orders=random_orders,
            measure_heads=measure_heads,
            pairs=pairs,
            only=[stage.strip() for stage in only.split(",")] if only else None,
        ),
        lambda result: [*render_perplexity(result), f"wrote {run / 'replacement.json'}"],
        as_json=as_json,
    )


@app.command()
def tasks(
    run: Run,
    task: Annotated[list[str], typer.Option(help="A JSON-lines file or hub task such as piqa; repeatable.")],
    fractions: Fractions = None,
    limit: Annotated[int | None, typer.Option(help="The most questions of a task.")] = None,
    conditions: Annotated[
        str | None, typer.Option(help="Controls beside programs, such as mean_table,uniform (default: all).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Question answering accuracy with heads replaced by programs."""
    from evolve.commands.tasks import tasks as tasks_command
    from evolve.views.replacement import render_tasks

    execute(
        lambda: tasks_command(
            run,
            names=task,
            fractions=shares(fractions, "--fractions"),
            limit=limit,
            conditions=[name.strip() for name in conditions.split(",")] if conditions else None,
        ),
        lambda result: [*render_tasks(result), f"wrote {run / 'tasks.json'}"],
        as_json=as_json,
    )

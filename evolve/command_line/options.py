"""The application, the options that commands share, and how a command is executed."""

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
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

INTERRUPTED = 130


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        from fitness.printable import printable

        typer.echo(printable(f"headscribe {version('headscribe')}"))
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Searches for short Python programs that reproduce the attention heads of language models."""


Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on stdout.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Say in full how programs are confined.")]
Run = Annotated[Path, typer.Argument(help="A run directory.", show_default=False)]
Runs = Annotated[list[Path], typer.Argument(help="Run directories.", show_default=False)]
LlmModel = Annotated[
    str | None, typer.Option(help="Let this language model propose programs too; its key from the usual variable.")
]
LlmUrl = Annotated[
    str | None,
    typer.Option(help="Its OpenAI-compatible endpoint, such as http://localhost:11434/v1 (default: OpenAI)."),
]
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

    log_to_stderr()
    for noisy in ("httpx", "httpx2", "openai", "transformers", "datasets", "matplotlib", "fontTools"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    try:
        value = command()
    except UserError as error:
        tell(error)
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


def tell(error: Exception) -> None:
    """Says on stderr, in one line, what the user must change."""
    from fitness.printable import printable

    typer.secho(printable(f"headscribe: {error}"), err=True, fg="red")


def shares(given: str | None, option: str) -> list[float] | None:
    """Numbers between commas as an option takes them; None where it was not given."""
    if given is None:
        return None
    try:
        return [float(part) for part in given.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{option} takes numbers between commas, such as 0,0.25,1; got {given}") from None

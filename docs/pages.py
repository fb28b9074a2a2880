"""Pages of the documentation that are written from the code, whenever the site is built (a hook of MkDocs)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import griffe
import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import headscribe
from evolve.cli import app
from evolve.config.keys import Place, all_places, default_of, meaning, wanted

ROOT = Path(__file__).parents[1]
# Files outside docs/ that are pages of the site all the same.
COPIED = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
# What a command prints with --json, where that is a value with a docstring: title -> its classes.
VALUES = {
    "run": ["evolve.results.finish.RunResult"],
    "status": [f"evolve.results.status.{name}" for name in ("Status", "OperatorRow", "GridStatus", "LlmSpend")],
    "transfer": ["evolve.results.transfer.DomainTransfer"],
}


class Examples(griffe.Extension):
    """Reads the section `Example:` as what it is, which Griffe knows in the plural only."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every object whose docstring may be shown."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"(?m)^Example:$", "Examples:", obj.docstring.value)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are no files of docs/."""
    written = {
        "reference/configuration.md": _configuration(),
        "reference/commands.md": _commands(),
        "reference/json.md": _json(),
        "reference/python.md": _python(),
    }
    for name, page in COPIED.items():
        written[page] = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
    for name, content in written.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to files of the repository that are no pages lead to the repository."""

    def repository(link: re.Match[str]) -> str:
        target = link[1].removeprefix("../")
        name, _, anchor = target.partition("#")
        if name in COPIED:
            return f"]({COPIED[name]}{'#' * bool(anchor)}{anchor})"
        if "://" in target or not (ROOT / name).exists() or not name:
            return link[0]
        return f"]({config.extra['repository']}/blob/main/{target})"

    return re.sub(r"\]\(([^)\s]+)\)", repository, markdown)


def _configuration() -> str:
    lines = [
        "# Configuration",
        "A YAML file, or a preset, has these keys; `--set a.b=c` changes one, and `0` is the first entry of a list. "
        "Unknown keys are refused with the nearest right one. [Models and texts](../models.md), "
        "[language models](../llm.md) and [campaigns](../campaigns.md) show them at work.",
    ]
    sections = [place for place in all_places() if len(place) == 1 and _has_keys(place)]
    lines += _keys("", [place for place in all_places() if len(place) == 1 and place not in sections])
    for section in sections:
        if section != ("transfer",):  # whose entries are those of `texts`
            within = [place for place in all_places(section) if not _has_keys(place)]
            lines += ["", f"## {section[0]}", *_keys(meaning(section), within)]
    return "\n".join(lines)


def _has_keys(place: Place) -> bool:
    return any(other[: len(place)] == place and other != place for other in all_places())


def _keys(about: str, places: Iterable[Place]) -> list[str]:
    lines = ["", about[:1].upper() + about[1:], "", "| key | takes | default | |", "|---|---|---|---|"]
    for place in places:
        default = f"`{default_of(place)}`" if default_of(place) else ""
        lines.append(f"| `{'.'.join(place)}` | {_cell(wanted(place))} | {default} | {_cell(meaning(place))} |")
    return lines


def _commands() -> str:
    lines = [
        "# Command line",
        "Every command but `view` takes `--json`: one object on stdout, all else on stderr. Exit codes: 0 done, "
        "2 something for you to change, 130 interrupted and resumable, 1 an internal error. "
        "`headscribe --install-completion` teaches your shell the commands and options.",
    ]
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        arguments = [option for option in command.params if not option.opts[0].startswith("-")]
        usage = " ".join(argument.name.upper() + "..." * bool(argument.nargs != 1) for argument in arguments)
        lines += ["", f"## {name}", command.help, "", f"    headscribe {name} {usage} [OPTIONS]", ""]
        lines += ["| | default | |", "|---|---|---|"]
        for option in command.params:
            words = ", ".join(f"`{word}`" for word in option.opts) if option not in arguments else option.name.upper()
            plain = option.default in (None, False) or callable(option.default) or not option.show_default
            lines.append(f"| {words} | {'' if plain else f'`{option.default}`'} | {_cell(option.help or '')} |")
    return "\n".join(lines)


def _json() -> str:
    lines = [
        "# JSON",
        "What commands print with `--json`, and what lies in a run's folder. IoU are in [0, 1]; `null` stands for what "
        "was not measured. `library.json` is described with [libraries](../library.md#libraryjson), `replacement.json` "
        "with [replacement](../replacement.md#what-replace-reports), `log.jsonl` with "
        "[campaigns](../campaigns.md#log).",
    ]
    for name, classes in VALUES.items():
        lines += ["", f"## {name}"]
        for value in classes:
            options = "{members: false, heading_level: 3, show_root_heading: true, separate_signature: false}"
            lines += ["", f"::: {value}", f"    options: {options}"]
    return "\n".join(lines)


def _python() -> str:
    lines = ["# Python", "All that `import headscribe as hs` gives; [notebooks and scripts](../api.md) is the way in."]
    for name in headscribe.__all__:
        lines += ["", f"::: {headscribe._HOMES[name]}.{name}"]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

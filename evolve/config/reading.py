"""A configuration read: from YAML or a preset, overridden with `a.b=c`, and every mistake in it told in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

import configs
from evolve.config.keys import Place, meant, wanted
from evolve.config.one_model import with_model
from evolve.config.schema import Config
from fitness.errors import UserError, closest

MOST_BYTES = 1 << 20
PRESETS = Path(configs.__file__).parent
# The most that a message quotes of a value.
MOST_QUOTED = 60


def find_config(name: str) -> Path:
    """A file, or a preset by name.

    Raises:
        UserError: where there is neither.
    """
    path = Path(name)
    if path.is_file():
        return path
    preset = PRESETS / f"{path.stem}.yaml"
    if preset.is_file() and path.parent in (Path(), Path("configs")):
        return preset
    presets = sorted(file.stem for file in PRESETS.glob("*.yaml"))
    meant = closest(path.stem, presets, least=0.7)
    asked = f"did you mean {meant!r}? " if meant else ""
    raise UserError(f"no configuration {name!r}: {asked}give a YAML file or a preset: {', '.join(presets)}")


class _PlainLoader(yaml.SafeLoader):
    """Plain values alone: a few aliases of aliases are a document without end."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node; refuses aliases."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read in configurations; write the value out")
        return super().compose_node(parent, index)


def read_settings(name: str) -> dict[str, Any]:
    """The settings that a configuration file or preset holds, not validated yet.

    Raises:
        UserError: for a missing file, and one that is not YAML or holds no keys.
    """
    path = find_config(name)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path} is longer than {MOST_BYTES} bytes, which no configuration is")
        data = yaml.load(path.read_text(encoding="utf-8"), _PlainLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path} must hold keys such as `model:` and `texts:`")
    return data


def load_config(
    name: str, overrides: Sequence[str] | None = None, *, llm_model: str | None = None, llm_url: str | None = None
) -> Config:
    """Reads a configuration file or preset and applies overrides of the form `a.b=c`.

    Args:
        name: file or preset.
        overrides: applied last.
        llm_model: a language model in place of those that the configuration names, if any.
        llm_url: its endpoint; None is the openai package's default.

    Raises:
        UserError: for a missing file, bad YAML, unknown key or value out of range, with the place and what is right.
    """
    data = with_model(read_settings(name), Config.model_fields["operators"].default, llm_model, llm_url)
    for override in overrides or []:
        _override(data, override)
    path = find_config(name)
    origin = f"preset {path.stem}" if path.parent == PRESETS else str(path)
    return parse_config(data, origin, overrides or ())


def parse_config(data: dict[str, Any], origin: str, overrides: Sequence[str] = ()) -> Config:
    """Validates plain values.

    Args:
        data: the settings.
        origin: where they come from, for messages.
        overrides: those of the form `a.b=c` that were applied, which are named where they are what is wrong.

    Raises:
        UserError: naming every wrong key in one line.
    """
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise UserError("; ".join(_explain(problem, origin, overrides) for problem in error.errors())) from None


def _override(data: Any, override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise UserError(f"--set wants key=value, such as stop.max_programs=500; got {override!r}")
    *sections, last = key.split(".")
    for section in sections:
        child = data[_entry(data, section, override)] if isinstance(data, list) else data.setdefault(section, {})
        if not isinstance(child, dict | list):
            raise UserError(f"--set {override}: {section} is not a section")
        data = child
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        read = value
    data[_entry(data, last, override) if isinstance(data, list) else last] = read


def _entry(entries: list[Any], step: str, override: str) -> int:
    """The number of an entry of a list, counted from 0."""
    if step.isdecimal() and int(step) < len(entries):
        return int(step)
    known = f"0 to {len(entries) - 1}" if entries else "none"
    raise UserError(f"--set {override}: {step!r} is no entry of a list; entries are counted from 0, known: {known}")


def _explain(problem: Any, origin: str, overrides: Sequence[str]) -> str:
    place = tuple(str(part) for part in problem["loc"])
    guilty = next((override for override in reversed(overrides) if _sets(override, place)), None)
    if guilty is not None:
        own = tuple(guilty.partition("=")[0].split("."))
        return f"--set {guilty}: {_what(problem, place, named=place == own)}"
    beside = f" with --set {' '.join(overrides)}" if overrides and not place else ""
    return f"{origin}{beside}: {_what(problem, place)}"


def _sets(override: str, place: Place) -> bool:
    """Whether an override says what stands at a place, or something in the section there."""
    own = tuple(override.partition("=")[0].split("."))
    return bool(place) and (place[: len(own)] == own or own[: len(place)] == place)


def _what(problem: Any, place: Place, *, named: bool = False) -> str:
    """What is wrong in words; a place that is named before is not named again."""
    dotted = ".".join(place)
    kind = problem["type"]
    if kind == "extra_forbidden":
        return f"unknown key {dotted!r}{meant(place)}"
    if kind == "missing":
        return f"missing key {dotted!r}, which is {wanted(place)}"
    subject = "" if named or not place else f"{dotted}: "
    if kind == "value_error":
        return subject + problem["msg"].removeprefix("Value error, ")
    right = f"a list of at least {problem['ctx']['min_length']}" if kind == "too_short" else wanted(place)
    return f"{subject}must be {right}; got {_quoted(problem['input'])}"


def _quoted(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= MOST_QUOTED else f"{shown[:MOST_QUOTED]} ..."

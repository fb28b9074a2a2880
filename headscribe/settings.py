"""From what is written in Python to a configuration: nested settings, and objects in the place of names."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evolve.config import Config, parse_config, read_settings
from fitness.errors import UserError
from fitness.own import Own


def configured(config: str | Path | Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[Config, tuple[Own, ...]]:
    """The configuration that is asked for, and the operators and descriptors that were given as objects.

    Args:
        config: a preset, a YAML file, or settings.
        settings: what to change in it. Sections are merged key by key, but `operators`, which are replaced as a whole.

    Raises:
        UserError: for a missing file, an unknown key or a value out of range, saying what is right.
    """
    if isinstance(config, Mapping):
        data, origin = copy.deepcopy(dict(config)), "settings"
    else:
        data, origin = read_settings(str(config)), str(config)
    _merge(data, settings)
    given: dict[str, Own] = {}
    if isinstance(data.get("operators"), Mapping):
        data["operators"] = {_named(key, given): share for key, share in data["operators"].items()}
    search = data.get("search")
    if isinstance(search, Mapping) and isinstance(search.get("descriptors"), (list, tuple)):
        data["search"] = {**search, "descriptors": [_named(entry, given) for entry in search["descriptors"]]}
    return parse_config(_plain(data), origin), tuple(given.values())


def _merge(data: dict[str, Any], settings: Mapping[str, Any]) -> None:
    for key, value in settings.items():
        below = data.get(key)
        if isinstance(below, dict) and isinstance(value, Mapping) and key != "operators":
            _merge(below, value)
        else:
            data[key] = copy.deepcopy(value) if isinstance(value, dict) and key != "operators" else value


def _named(entry: Any, given: dict[str, Own]) -> str:
    """The name of an operator or descriptor; objects are kept under it."""
    if isinstance(entry, str):
        return entry
    own = Own.of(entry)
    if given.setdefault(own.name, own) != own:
        raise UserError(f"two different objects are named {own.name!r}; give each a class or function of its own")
    return own.name


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value

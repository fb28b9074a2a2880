"""What each key of the configuration takes, in words: for messages to users and for the documentation."""

from __future__ import annotations

import difflib
import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from evolve.config.schema import Config

# How alike a misspelt key must be to one beside it, and to one elsewhere (`difflib.SequenceMatcher.ratio`).
LIKE_BESIDE = 0.6
LIKE_ELSEWHERE = 0.8
# A key elsewhere that is more alike than this is meant although one beside is alike as well.
SURELY_ELSEWHERE = 0.9
MOST_PLACES = 3

Place = tuple[str, ...]


@cache
def _schema() -> dict[str, Any]:
    return Config.model_json_schema()


def _kinds(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a part of the schema may be, behind its references; null is left out."""
    if "$ref" in part:
        return _kinds(_schema()["$defs"][part["$ref"].rsplit("/", 1)[1]])
    if "anyOf" in part:
        return [kind for one in part["anyOf"] if one.get("type") != "null" for kind in _kinds(one)]
    return [part]


def _kinds_at(place: Sequence[str | int]) -> list[Mapping[str, Any]]:
    """What may stand at a place, such as `("llm", "models", 0, "model")`; nothing where there is no such place."""
    kinds = _kinds(_schema())
    for step in place:
        kinds = [below for kind in kinds for below in _below(kind, str(step))]
    return kinds


def _below(kind: Mapping[str, Any], step: str) -> list[Mapping[str, Any]]:
    if kind.get("type") == "array":
        return _kinds(kind["items"]) if step.isdecimal() else []
    if "properties" in kind:
        return _kinds(kind["properties"][step]) if step in kind["properties"] else []
    others = kind.get("additionalProperties")
    return _kinds(others) if isinstance(others, Mapping) else []


def keys_of(place: Sequence[str | int]) -> list[str]:
    """The keys that the section at a place has; none where there is no section."""
    return list(dict.fromkeys(key for kind in _kinds_at(place) for key in kind.get("properties", {})))


def all_places(below: Place = ()) -> Iterator[Place]:
    """Every key that there is, `0` standing for an entry of a list: `("llm", "models", "0", "temperature")`."""
    for key in keys_of(below):
        place = (*below, key)
        yield place
        is_list = any(kind.get("type") == "array" for kind in _kinds_at(place))
        yield from all_places((*place, "0") if is_list else place)


def wanted(place: Sequence[str | int]) -> str:
    """What a key takes, in words.

    Example:
        >>> wanted(["splits", "fit"])
        'a whole number, 1 or more'
        >>> wanted(["stop", "target_iou"])
        'a number above 0, at most 1'
        >>> wanted(["texts_by"])
        "'blank_line' or 'line'"
    """
    return " or ".join(dict.fromkeys(_words(kind) for kind in _kinds_at(place))) or "another value"


def _words(kind: Mapping[str, Any]) -> str:
    if "enum" in kind:
        *others, last = (repr(value) for value in kind["enum"])
        return f"{', '.join(others)} or {last}" if others else last
    match kind.get("type"):
        case "integer":
            return f"a whole number{_bounds(kind)}"
        case "number":
            return f"a number{_bounds(kind)}"
        case "boolean":
            return "true or false"
        case "string":
            return "a path" if kind.get("format") == "path" else "text"
        case "array":
            least = f" of at least {kind['minItems']}" if kind.get("minItems") else ""
            entries = _kinds(kind["items"])
            return f"a list{least}{f', each {_words(entries[0])}' if 'enum' in entries[0] else ''}"
        case "object" if "properties" in kind:
            return f"a section with keys of {', '.join(kind['properties'])}"
        case "object":
            return "a section of names and values"
    return "another value"


def _bounds(part: Mapping[str, Any]) -> str:
    if "exclusiveMinimum" in part:
        least = f" above {part['exclusiveMinimum']:g}"
        return least + (f", at most {part['maximum']:g}" if "maximum" in part else "")
    if "maximum" in part:
        return f" from {part.get('minimum', 0):g} to {part['maximum']:g}"
    return f", {part['minimum']:g} or more" if "minimum" in part else ""


def meant(place: Sequence[str | int]) -> str:
    """A half-sentence that suggests the key meant by an unknown one: beside it, elsewhere, or all there are.

    Example:
        >>> meant(["modle"])
        "; did you mean 'model'?"
        >>> meant(["temperature"])
        "; did you mean 'llm.models.0.temperature'?"
    """
    *section, key = place
    beside = [(_like(str(key), name), (*map(str, section), name)) for name in keys_of(section)]
    elsewhere = [(_like(str(key), other[-1]), other) for other in all_places()]
    best = max(beside, key=lambda found: found[0], default=(0.0, ()))
    further = max((like for like, _ in elsewhere), default=0.0)
    if further >= LIKE_ELSEWHERE and (further > max(best[0], SURELY_ELSEWHERE) or best[0] < LIKE_BESIDE):
        places = list(dict.fromkeys(repr(".".join(other)) for like, other in elsewhere if like == further))
        return f"; did you mean {' or '.join(places[:MOST_PLACES])}?"
    if best[0] >= LIKE_BESIDE:
        return f"; did you mean {best[1][-1]!r}?"
    return f"; known: {', '.join(keys_of(section))}"


def _like(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def meaning(place: Place) -> str:
    """What a key means: its line in the docstring of its section, or the first line of the section that it is.

    Example:
        >>> meaning(("search", "bins"))
        'bins of each descriptor axis.'
        >>> meaning(("search",))
        'The shape of the search.'
    """
    for section in _kinds_at(place[:-1]):
        _, _, attributes = inspect.cleandoc(section.get("description", "")).partition("Attributes:\n")
        for entry in re.split(r"\n(?=    \S)", attributes):
            name, _, text = " ".join(entry.split()).partition(": ")
            if name == place[-1]:
                return text
    return next((str(kind["description"]).splitlines()[0] for kind in _kinds_at(place) if "description" in kind), "")


def default_of(place: Place) -> str:
    """The default of a key as YAML in a line; empty for keys that must be given, and for sections."""
    for section in _kinds_at(place[:-1]):
        part = section.get("properties", {}).get(place[-1], {})
        if "default" in part and not keys_of(place):
            return json.dumps(part["default"])
    return ""

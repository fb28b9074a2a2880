"""`headscribe config`: a preset to start a configuration of one's own from, or the schema of all configurations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rich.markup import escape

from evolve.config import PRESETS, Config, find_config, read_settings
from fitness.errors import UserError


@dataclass(frozen=True)
class ShownConfig:
    """A configuration or schema, as text and as plain values."""

    text: str
    values: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """What `config --json` prints."""
        return self.values

    def lines(self) -> list[str]:
        """The text as it is, comments included, so that it can be kept in a file."""
        return [escape(self.text.rstrip("\n"))]


def show_config(name: str | None, *, schema: bool) -> ShownConfig:
    """A preset or configuration file as it is written, or the JSON schema.

    Raises:
        UserError: where there is no such configuration, or none is named.
    """
    if schema:
        values = Config.model_json_schema()
        return ShownConfig(json.dumps(values, indent=2), values)
    if name is None:
        presets = ", ".join(sorted(file.stem for file in PRESETS.glob("*.yaml")))
        raise UserError(f"config wants a preset to print: {presets}; or --schema")
    values = read_settings(name)
    return ShownConfig(find_config(name).read_text(encoding="utf-8"), values)

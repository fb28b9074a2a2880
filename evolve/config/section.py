"""What the parts of the configuration have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A part of the configuration: read-only, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key.

    Example:
        >>> dotted({"stop": {"max_programs": 300}, "seed": 0})
        {'stop.max_programs': 300, 'seed': 0}
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found

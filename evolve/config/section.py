"""What the parts of the configuration have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A part of the configuration: read-only, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

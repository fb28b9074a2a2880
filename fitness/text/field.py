"""How the fields of `Text` are declared: computed once, frozen, and described where they are defined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np

Shape = Literal["(n, n)", "(n,)"]
Kind = Literal["bool", "int", "float"]


@dataclass(frozen=True)
class Field:
    """One array of `Text`: what a program may use.

    Attributes:
        name: attribute name on `Text`.
        shape: "(n, n)": element [i, j] describes query i and key j. "(n,)": one value per token; used as it is, it
            describes the key, and as `[:, None]` the query.
        kind: type of its elements.
        doc: one line that says what it holds.
    """

    name: str
    shape: Shape
    kind: Kind
    doc: str


class Computed:
    """Descriptor that computes an array once, freezes it and keeps it in the instance's dictionary."""

    def __init__(self, compute: Callable[[Any], np.ndarray], shape: Shape, kind: Kind) -> None:
        self.compute = compute
        self.field = Field(compute.__name__, shape, kind, (compute.__doc__ or "").strip())
        self.__doc__ = f"{shape} {kind}: {self.field.doc}"

    @overload
    def __get__(self, text: None, owner: type[object]) -> Computed: ...

    @overload
    def __get__(self, text: object, owner: type[object]) -> np.ndarray: ...

    def __get__(self, text: object | None, owner: type[object]) -> Computed | np.ndarray:
        if text is None:
            return self
        array = np.ascontiguousarray(self.compute(text))
        array.setflags(write=False)
        text.__dict__[self.field.name] = array
        return array


def field(shape: Shape, kind: Kind) -> Callable[[Callable[[Any], np.ndarray]], Computed]:
    """Decorator that declares a method as a field; its docstring says what the field holds."""
    return lambda compute: Computed(compute, shape, kind)

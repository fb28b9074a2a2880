"""The names that a program finds: stand-ins for modules and builtins that offer what the static check allows."""

from __future__ import annotations

import builtins
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from fitness.sandbox.static_check import BUILTINS, MODULES, allowed_attribute, module_names


class Seeds:
    """Where unseeded random generators of a program get their seeds: from the program and the text alone."""

    def __init__(self) -> None:
        self._sequence = np.random.SeedSequence(0)

    def start(self, entropy: int) -> None:
        """Begins the run on one text."""
        self._sequence = np.random.SeedSequence(entropy)
        np.random.seed(entropy & 0xFFFFFFFF)

    def next(self) -> np.random.SeedSequence:
        """The next seed of this run."""
        return self._sequence.spawn(1)[0]


class _Module(types.ModuleType):
    """A module with some names of a real one."""

    def __init__(self, name: str, names: Mapping[str, object]) -> None:
        super().__init__(name)
        self.__dict__.update(names)


class Namespace:
    """Builds fresh global names for a program.

    Args:
        guarded: give stand-ins; otherwise the real modules and builtins, as a program without the static check meets
            them.
    """

    def __init__(self, *, guarded: bool) -> None:
        self.seeds = Seeds()
        if guarded:
            self._modules = self._stand_ins()
            self._builtins: dict[str, Any] = self._guarded_builtins()
        else:
            self._modules = {}
            self._builtins = vars(builtins)

    def globals(self) -> dict[str, Any]:
        """What a program's module begins with: `np` is there without being imported."""
        return {"__builtins__": self._builtins, "__name__": "program", "np": self._modules.get("numpy", np)}

    def _stand_ins(self) -> dict[str, Any]:
        seeds = self.seeds
        random = dict(module_names("numpy.random"))

        def default_rng(seed: Any = None) -> np.random.Generator:
            return np.random.default_rng(seeds.next() if seed is None else seed)

        def seed(seed: Any = None) -> None:
            np.random.seed(seeds.next().generate_state(1)[0] if seed is None else seed)

        class RandomState(np.random.RandomState):
            def __init__(self, seed: Any = None) -> None:
                super().__init__(int(seeds.next().generate_state(1)[0]) if seed is None else seed)

        random.update(default_rng=default_rng, seed=seed, RandomState=RandomState)
        numpy = dict(module_names("numpy"))
        numpy["random"] = _Module("numpy.random", random)
        for name in ("linalg", "fft"):
            numpy[name] = _Module(f"numpy.{name}", module_names(f"numpy.{name}"))
        modules = {name: _Module(name, module_names(name)) for name in MODULES if name != "numpy"}
        return {"numpy": _Module("numpy", numpy), **modules}

    def _guarded_builtins(self) -> dict[str, Any]:
        names = {name: getattr(builtins, name) for name in BUILTINS}
        names |= {
            "__build_class__": builtins.__build_class__,
            "__import__": self._import,
            "getattr": _guarded_getattr,
            "hasattr": _guarded_hasattr,
            "print": _print,
            "type": _type_of,
        }
        return names

    def _import(
        self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> types.ModuleType:
        if name == "__future__":
            return _Module(name, {"annotations": None})
        outer, _, inner = name.partition(".")
        if level or outer not in self._modules:
            raise ImportError(f"{name} cannot be imported; programs can import {', '.join(MODULES)}")
        module = self._modules[outer]
        return getattr(module, inner) if inner and fromlist else module


def _print(*values: object, **options: object) -> None:
    """Programs that print run, and are not heard."""


def _type_of(value: object) -> type:
    return value.__class__


def _guarded_getattr(value: object, name: str, *default: object) -> object:
    if type(name) is not str or not allowed_attribute(name):
        if default and type(name) is str and not name.startswith("_"):
            return default[0]
        raise AttributeError(f"the attribute {name!r} is not known to programs")
    return getattr(value, name, *default)


def _guarded_hasattr(value: object, name: str) -> bool:
    return type(name) is str and allowed_attribute(name) and hasattr(value, name)

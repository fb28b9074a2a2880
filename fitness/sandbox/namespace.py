"""The names that a program finds: stand-ins for modules and builtins that offer what the static check allows.

What a stand-in gives depends on its arguments and on the text alone, and nothing can be kept in it from text to text.
"""

from __future__ import annotations

import builtins
import contextlib
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fitness.sandbox.allowed import BUILTINS, MODULES, allowed_attribute, module_names
from fitness.sandbox.guards import CALL, OWN, WRITE, OwnClasses, call, checked, plain

_ARRAY_MAKERS = (
    "arange array asanyarray asarray asarray_chkfinite ascontiguousarray asfortranarray astype concatenate eye "
    "fromfunction fromiter full full_like geomspace identity indices linspace logspace ones ones_like require stack "
    "tri zeros zeros_like"
).split()
_PLAIN_TYPES = frozenset(
    {bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, slice, type(None)}
)
_HASHED = (bool, int, float, complex, str, bytes, range, np.generic)


class Seeds:
    """Where unseeded random generators of a program get their seeds: from the program and the text alone."""

    def __init__(self) -> None:
        self._sequence = np.random.SeedSequence(0)
        self._entropy: Callable[[], int] | None = None

    def start(self, entropy: Callable[[], int]) -> None:
        """Begins the run on one text; most programs never ask for the number."""
        self._entropy = entropy

    def ready(self) -> None:
        """Seeds the generators, once per text."""
        if self._entropy is not None:
            entropy, self._entropy = self._entropy(), None
            self._sequence = np.random.SeedSequence(entropy)
            np.random.seed(entropy & 0xFFFFFFFF)

    def next(self) -> np.random.SeedSequence:
        """The next seed of this run."""
        return self._sequence.spawn(1)[0]


class _Module(types.ModuleType):
    """A module with some names of a real one; none of them can be changed."""

    def __init__(self, name: str, names: Mapping[str, object]) -> None:
        super().__init__(name)
        self.__dict__.update(names)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"`{self.__name__}` cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"`{self.__name__}` cannot be changed")


class Namespace:
    """Builds fresh global names for a program, one text after another.

    Args:
        guarded: give stand-ins; otherwise the real modules and builtins, as a program without the static check meets
            them.
    """

    def __init__(self, *, guarded: bool) -> None:
        self.seeds = Seeds()
        self._guarded = guarded
        self._own = OwnClasses()
        if guarded:
            self._modules = self._stand_ins()
            self._builtins: dict[str, Any] = self._guarded_builtins()
        else:
            self._modules = {}
            self._builtins = vars(builtins)

    def globals(self, entropy: Callable[[], int]) -> dict[str, Any]:
        """What a program's module begins with on one text: `np` is there without being imported.

        Args:
            entropy: what random numbers depend on.
        """
        self._own.forget()
        np.seterr(all="ignore")
        self.seeds.start(entropy)
        if not self._guarded:
            self.seeds.ready()
        return {"__builtins__": self._builtins, "__name__": "program", "np": self._modules.get("numpy", np)}

    def _stand_ins(self) -> dict[str, Any]:
        random = _Module("numpy.random", dict(module_names("numpy.random")) | _seeded(self.seeds))
        ready = self.seeds.ready

        class Numpy(_Module):
            @property
            def random(self) -> _Module:
                ready()
                return random

        numpy = dict(module_names("numpy")) | {name: checked(getattr(np, name)) for name in _offered(_ARRAY_MAKERS)}
        numpy |= _filled() | _quiet() | {"ndarray": _Array}
        numpy |= {name: _Module(f"numpy.{name}", module_names(f"numpy.{name}")) for name in ("linalg", "fft")}
        modules = {name: _Module(name, module_names(name)) for name in MODULES if name != "numpy"}
        return {"numpy": Numpy("numpy", {k: v for k, v in numpy.items() if k != "random"}), **modules}

    def _guarded_builtins(self) -> dict[str, Any]:
        names = {name: getattr(builtins, name) for name in BUILTINS}
        names |= {
            "__build_class__": self._own.build,
            "__import__": self._import,
            WRITE: self._own.write,
            OWN: self._own.own,
            CALL: call,
            "getattr": _guarded_getattr,
            "hasattr": _guarded_hasattr,
            "hash": self._hash,
            "print": _print,
            "type": self._type,
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

    def _type(self, value: object) -> type:
        kind = type(value)
        if isinstance(value, np.ndarray):
            return _Array
        known = kind in _PLAIN_TYPES or self._own.owns(value) or isinstance(value, (Exception, np.generic))
        if not known or isinstance(value, type):
            raise TypeError("`type` can be asked for plain values and a program's own objects; use isinstance")
        return kind

    def _hash(self, value: Any) -> int:
        if type(value) in (tuple, frozenset):
            return hash(type(value)(map(self._hash, value)))
        if value is None:
            return 0
        if isinstance(value, _HASHED) or (self._own.owns(value) and not isinstance(value, type)):
            return hash(value)
        raise TypeError(f"the hash of {type(value).__name__} depends on where it lies in memory, not on the text")


def _offered(names: list[str]) -> list[str]:
    return [name for name in names if name in module_names("numpy")]


def _seeded(seeds: Seeds) -> dict[str, Any]:
    """What of `numpy.random` would ask the system for a seed."""

    class RandomState(np.random.RandomState):
        def __init__(self, seed: Any = None) -> None:
            super().__init__(int(seeds.next().generate_state(1)[0]) if seed is None else seed)

        def seed(self, seed: Any = None) -> None:
            super().seed(int(seeds.next().generate_state(1)[0]) if seed is None else seed)

    def seed(seed: Any = None) -> None:
        np.random.seed(seeds.next().generate_state(1)[0] if seed is None else seed)

    def seeded(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(seed: Any = None, **options: Any) -> Any:
            return make(seeds.next() if seed is None else seed, **options)

        return made

    def sequence(entropy: Any = None, **options: Any) -> np.random.SeedSequence:
        return seeds.next() if entropy is None else np.random.SeedSequence(entropy, **options)

    kinds = "default_rng MT19937 PCG64 PCG64DXSM Philox SFC64".split()
    found: dict[str, Any] = {name: seeded(getattr(np.random, name)) for name in kinds}
    return found | {"seed": seed, "RandomState": RandomState, "SeedSequence": sequence}


class _Arrays(type):
    """Lets arrays pass for objects of the stand-in, which makes them of zeros."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, np.ndarray)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return subclass is cls or issubclass(subclass, np.ndarray)

    def __call__(cls, shape: Any, dtype: Any = float, **options: Any) -> np.ndarray:
        return plain(np.zeros(shape, dtype))


class _Array(metaclass=_Arrays):
    """What programs know as `np.ndarray`."""


def _filled() -> dict[str, Any]:
    """Functions of numpy that would give memory as they find it."""

    def pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> np.ndarray:
        if mode == "empty":
            raise ValueError("pad with mode='constant'; 'empty' leaves what was in memory before")
        return np.pad(array, pad_width, mode, **options)

    def nditer(op: Any, *arguments: Any, **options: Any) -> np.nditer:
        operands = op if isinstance(op, (list, tuple)) else [op]
        if any(operand is None for operand in operands):
            raise ValueError("np.nditer needs an array for every operand; None leaves what was in memory before")
        return np.nditer(op, *arguments, **options)

    def vectorize(pyfunc: Any, otypes: Any = None, **options: Any) -> np.vectorize:
        for kind in otypes or ():
            plain(np.dtype(kind))
        return np.vectorize(pyfunc, otypes, **options)

    def dtype(value: Any, *arguments: Any, **options: Any) -> np.dtype[Any]:
        return plain(np.dtype(value, *arguments, **options))

    empty, empty_like = checked(np.zeros), checked(np.zeros_like)
    functions = (pad, nditer, vectorize, dtype)
    return {function.__name__: function for function in functions} | {"empty": empty, "empty_like": empty_like}


def _quiet() -> dict[str, Any]:
    """Settings that would outlive the text."""

    def set_printoptions(*arguments: Any, **options: Any) -> None: ...

    def printoptions(*arguments: Any, **options: Any) -> Any:
        return contextlib.nullcontext()

    return {"set_printoptions": set_printoptions, "printoptions": printoptions}


def _print(*values: object, **options: object) -> None:
    """Programs that print run, and are not heard."""


def _guarded_getattr(value: object, name: str, *default: object) -> object:
    if type(name) is not str or not allowed_attribute(name):
        if default and type(name) is str and not name.startswith("_"):
            return default[0]
        raise AttributeError(f"the attribute {name!r} is not known to programs")
    return getattr(value, name, *default)


def _guarded_hasattr(value: object, name: str) -> bool:
    return type(name) is str and allowed_attribute(name) and hasattr(value, name)

"""Objects of the user's own: named `package.module:Name` in a configuration, or given in Python and sent to workers."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

import cloudpickle

from fitness.errors import UserError


@dataclass(frozen=True)
class Own:
    """An object given in Python.

    Attributes:
        name: what a configuration calls it, `package.module:Name`.
        pickled: the object by cloudpickle, by value where it was defined in a notebook or script.
        folder: where its module is imported from: workers may have been started before that was a place to look in.
    """

    name: str
    pickled: bytes = field(repr=False)
    folder: str = ""

    @classmethod
    def of(cls, thing: object) -> Own:
        """Wraps a function, a class, or an instance, which goes by the name of its class.

        Raises:
            UserError: for an object that cannot be pickled.
        """
        named: Any = thing if hasattr(thing, "__qualname__") else type(thing)
        name = f"{named.__module__}:{named.__qualname__}"
        try:
            return cls(name, cloudpickle.dumps(thing), _folder(named.__module__))
        except Exception as error:  # whatever the object's own pickling raises
            raise UserError(f"{name} cannot be sent to worker processes: {type(error).__name__}: {error}") from error


def is_own(name: str) -> bool:
    """Whether a name has the form `package.module:Name`."""
    module, colon, attribute = name.partition(":")
    return bool(colon and module and attribute)


def find_own(name: str, own: Iterable[Own] = ()) -> Any:
    """The object of a name: one of those given, else imported.

    Raises:
        UserError: saying what was looked for, and where.
    """
    for given in own:
        if given.name == name:
            return _load(given)
    module_name, _, attribute = name.partition(":")
    if module_name == "__main__" or "<locals>" in attribute:
        raise UserError(
            f"{name!r} was given in a notebook, script or function and cannot be imported: give the object again, or "
            "move it to a module of its own"
        )
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise UserError(
            f"{name!r}: looked for a module {module_name!r} and could not import it ({error}); install it, or put its "
            "folder on PYTHONPATH"
        ) from None
    try:
        return attrgetter(attribute)(module)
    except AttributeError:
        place = getattr(module, "__file__", None) or "built in"
        raise UserError(
            f"{name!r}: looked for {attribute!r} in the module {module_name!r} ({place}), which has no such name"
        ) from None


def _folder(module: str) -> str:
    top = module.partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None or top == "__main__":
        return ""
    path = Path(file)
    return str(path.parents[1] if path.stem == "__init__" else path.parent)


@lru_cache(maxsize=64)
def _load(own: Own) -> Any:
    if own.folder and own.folder not in sys.path:
        sys.path.append(own.folder)
    return cloudpickle.loads(own.pickled)

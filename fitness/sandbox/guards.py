"""Guards within a program that passed the static check: what only running it can tell is asked as it runs.

They stand in the syntax tree under names that programs cannot speak, and hold what the check promises where it sees no
value: attributes are written to a program's own objects alone, arrays hold plain values and no memory left by others.
"""

from __future__ import annotations

import ast
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np

WRITE, OWN, CALL = "__write__", "__own__", "__guarded__"
_METHODS = frozenset({"astype", "view"})
_KEYWORDS = frozenset({"where", "dtype", "otypes", None})
# An array may be given another shape in place, where it is the program's.
_ARRAY_ATTRIBUTES = frozenset({"shape", "real", "imag", "flat"})
_PLAIN_KINDS = "biufcSU"
# They hand options on to functions that they are given.
_CALLING = (np.apply_along_axis, np.apply_over_axes, np.fromfunction, np.piecewise)


def guard_write(node: ast.Attribute) -> None:
    """Has the object asked whether an attribute of it may be written."""
    _wrap(node, WRITE, [node.value, ast.Constant(node.attr)])


def guard_own(node: ast.Attribute) -> None:
    """Has the object asked whether it is of a class of the program."""
    _wrap(node, OWN, [node.value, ast.Constant(node.attr)])


def _wrap(node: ast.Attribute, name: str, arguments: list[ast.expr]) -> None:
    call = ast.Call(ast.Name(name, ast.Load()), arguments, [])
    node.value = ast.fix_missing_locations(ast.copy_location(call, node.value))


def needs_guard(node: ast.Call) -> bool:
    """Whether a call may make an array of any type, or one that is left unfilled in part."""
    function = node.func
    named = isinstance(function, ast.Attribute) and function.attr in _METHODS
    return named or any(keyword.arg in _KEYWORDS for keyword in node.keywords)


def guard_call(node: ast.Call) -> None:
    """Has a call made by `call`."""
    node.args = [node.func, *node.args]
    node.func = ast.copy_location(ast.Name(CALL, ast.Load()), node.args[0])


def plain(value: Any) -> Any:
    """The value itself.

    Raises:
        TypeError: where it is an array or a type of array elements other than numbers, truth values and strings.
    """
    dtype = (
        value if isinstance(value, np.dtype) else value.dtype if isinstance(value, (np.ndarray, np.generic)) else None
    )
    if dtype is not None and (dtype.kind not in _PLAIN_KINDS or dtype.names):
        raise TypeError("arrays can hold numbers, truth values and strings, nothing else")
    return value


def call(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """A call whose result is checked; where a ufunc leaves out elements, they are zero."""
    owner = getattr(function, "__self__", None)
    ufunc = function if isinstance(function, np.ufunc) else owner if isinstance(owner, np.ufunc) else None
    if "where" in options and (_inner(function) in _CALLING or isinstance(function, np.vectorize)):
        raise TypeError("`where` cannot be handed on to another function; call it directly")
    filled = function is ufunc or getattr(function, "__name__", "") == "outer"
    if ufunc and filled and "where" in options and options.get("out") is None and len(arguments) <= ufunc.nin:
        options.pop("out", None)
        mask = options.pop("where")
        whole = function(*arguments, **options)
        parts = whole if isinstance(whole, tuple) else (whole,)
        masked = tuple(plain(np.where(mask, part, np.zeros((), np.asarray(part).dtype))[()]) for part in parts)
        return masked if isinstance(whole, tuple) else masked[0]
    return plain(function(*arguments, **options))


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of numpy whose arrays must be plain."""

    def made(*arguments: Any, **options: Any) -> Any:
        return plain(function(*arguments, **options))

    _INNER[made] = function
    return made


def _inner(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        return _INNER.get(function, function)
    except TypeError:  # not hashable
        return function


_INNER: dict[Any, Any] = {}


class OwnClasses:
    """Classes that a program defines, and what may be done with objects of theirs.

    Such objects are told apart by the order in which that is first asked, not by where they lie in memory.
    """

    def __init__(self) -> None:
        self._classes: set[type] = set()
        self._numbers = 0

    def forget(self) -> None:
        """Begins anew, for the next text."""
        self._classes.clear()
        self._numbers = 0

    def build(self, body: Any, name: str, *bases: Any) -> type:
        """`__build_class__`."""
        for base in bases:
            if base not in self._classes and base not in _BASES and not _is_given(base):
                raise TypeError("classes can inherit from a program's own, exceptions, and Python's containers")
        built: type = _BUILD(body, name, *bases)
        if built.__hash__ in (object.__hash__, BaseException.__hash__):
            setattr(built, "__hash__", lambda value: self.number(value))  # noqa: B010
        if built.__repr__ is object.__repr__:
            setattr(built, "__repr__", _name_of)  # noqa: B010
        self._classes.add(built)
        return built

    def number(self, value: Any) -> int:
        """An object's place in the order in which objects were asked for theirs."""
        known = vars(value)
        if "__number__" not in known:
            self._numbers += 1
            known["__number__"] = self._numbers
        return int(known["__number__"])

    def owns(self, value: object) -> bool:
        """Whether a value is one of the classes, or an object of one."""
        return type(value) in self._classes or (isinstance(value, type) and value in self._classes)

    def write(self, value: Any, name: str) -> Any:
        """The value itself, where a program may write this attribute of it."""
        array = isinstance(value, np.ndarray) and value.flags.writeable and name in _ARRAY_ATTRIBUTES
        if self.owns(value) or (isinstance(value, types.FunctionType) and value.__module__ == "program") or array:
            return value
        raise AttributeError(f"attributes can be written on a program's own objects alone, not `{name}` here")

    def own(self, value: Any, name: str) -> Any:
        """The value itself, where it is a program's own."""
        if self.owns(value):
            return value
        raise AttributeError(f"the attribute {name!r} is not known to programs")


_BUILD = __build_class__
_BASES = frozenset({dict, list, tuple, set, frozenset, str, int, float, Counter, OrderedDict, defaultdict, deque})


def _name_of(value: object) -> str:
    """How objects of a program's classes are shown, which else tells where they lie."""
    return f"<{type(value).__name__}>"


def _is_given(base: object) -> bool:
    """Whether it is a built-in exception, or a class that `namedtuple` made."""
    if not isinstance(base, type):
        return False
    return (issubclass(base, Exception) and base.__module__ == "builtins") or (
        issubclass(base, tuple) and hasattr(base, "_fields")
    )

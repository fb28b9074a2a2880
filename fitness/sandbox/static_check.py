"""The allow-list on a program's syntax tree: quick, clear rejections. A guard rail; the sandbox is the boundary."""

from __future__ import annotations

import ast
import builtins
import collections
import itertools
import math
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache

import numpy as np

from fitness.errors import closest
from fitness.failures import FailureKind
from fitness.program import ProgramError, parse_tree
from fitness.text.tokenizer_view import ENCODED, Encoding, Ids, TokenizerView
from fitness.text.view import Text

MODULES = ("numpy", "math", "re", "collections", "itertools", "string")
_SUBMODULES = ("numpy.random", "numpy.linalg", "numpy.fft")

BUILTINS = frozenset(
    "abs all any ascii bin bool bytearray bytes callable chr complex dict divmod enumerate filter float format "
    "frozenset getattr hasattr hash hex int isinstance issubclass iter len list map max min next oct ord pow print "
    "range repr reversed round set slice sorted str sum tuple type zip True False None NotImplemented Ellipsis "
    "ArithmeticError AssertionError AttributeError Exception FloatingPointError IndexError KeyError LookupError "
    "NameError NotImplementedError OverflowError RecursionError RuntimeError StopIteration TypeError UnicodeError "
    "ValueError Warning ZeroDivisionError".split()
)

# What numpy offers beyond computing: files, other memory, arbitrary objects, its own internals.
_NUMPY_DENIED = frozenset(
    "DataSource asmatrix bmat broadcast char core ctypeslib dtypes exceptions f2py from_dlpack frombuffer fromfile "
    "frompyfunc fromregex fromstring genfromtxt get_include getbufsize info lib load loadtxt ma mat matlib matrix "
    "memmap nested_iters object_ polynomial rec recarray record save savetxt savez savez_compressed seterrcall "
    "setbufsize show_config show_runtime strings test testing typing void".split()
)
_RANDOM_DENIED = frozenset("get_state set_state get_bit_generator set_bit_generator test bit_generator mtrand".split())
_RE_DENIED = frozenset("template Scanner purge".split())
_STRING_ALLOWED = frozenset(
    "ascii_letters ascii_lowercase ascii_uppercase capwords digits hexdigits octdigits printable punctuation "
    "whitespace".split()
)
_COLLECTIONS_ALLOWED = frozenset("ChainMap Counter OrderedDict defaultdict deque namedtuple".split())

# Names that lead from a value to the interpreter, to raw memory or to files, and could pass for a program's own.
_ATTRIBUTES_DENIED = frozenset(
    "ag_await ag_code ag_frame base builtins byteswap co_code cr_await cr_code cr_frame cr_origin ctypes data dump "
    "dumps f_back f_builtins f_code f_globals f_locals format_map func_code func_globals getfield gi_code gi_frame "
    "gi_yieldfrom mro newbyteorder setfield setflags strides tb_frame tb_lasti tb_next tofile with_traceback".split()
)
_KNOWN_TYPES = (
    *(Text, TokenizerView, Encoding, Ids, np.ndarray, np.dtype, np.generic, np.float64, np.int64, np.str_, np.bool_),
    *(np.random.Generator, np.random.RandomState, np.finfo, np.iinfo, np.nditer, np.ufunc, np.vectorize, np.poly1d),
    *(str, bytes, bytearray, list, tuple, dict, set, frozenset, int, float, complex, range, slice),
    *(re.Pattern, re.Match, collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque),
    *(collections.ChainMap, itertools.chain),
)

# Names that are bound before a program begins.
_GIVEN = {"np": "numpy"}

_FORBIDDEN_NODES: dict[type[ast.AST], str] = {
    ast.AsyncFunctionDef: "async functions",
    ast.AsyncFor: "async loops",
    ast.AsyncWith: "async blocks",
    ast.Await: "await",
    ast.MatchClass: "class patterns in `match`",
    ast.TryStar: "except*",
}
_BINDING_NODES = frozenset(
    {ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.arg, ast.alias, ast.Global, ast.Nonlocal, ast.ImportFrom}
    | {ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping}
)
# Nothing is to be said of them, only of what is in them.
_HARMLESS_NODES = frozenset(
    {ast.Module, ast.arguments, ast.Assign, ast.AugAssign, ast.Return, ast.For, ast.While, ast.If, ast.Expr, ast.IfExp}
    | {ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Subscript, ast.Slice, ast.Tuple, ast.List, ast.Dict}
    | {ast.ListComp, ast.comprehension, ast.JoinedStr, ast.FormattedValue}
)


@cache
def module_names(module: str) -> Mapping[str, object]:
    """What a program may use of a module that it may import, by name.

    Args:
        module: one of `MODULES`, or `numpy.random`, `numpy.linalg`, `numpy.fft`.
    """
    tests: dict[str, tuple[object, Callable[[str], bool]]] = {
        "numpy": (np, lambda name: name in np.__all__ and name not in _NUMPY_DENIED),
        "numpy.random": (np.random, lambda name: name in np.random.__all__ and name not in _RANDOM_DENIED),
        "numpy.linalg": (np.linalg, lambda name: name in np.linalg.__all__),
        "numpy.fft": (np.fft, lambda name: name in np.fft.__all__),
        "math": (math, lambda name: True),
        "re": (re, lambda name: name in re.__all__ and name not in _RE_DENIED),
        "collections": (collections, lambda name: name in _COLLECTIONS_ALLOWED),
        "itertools": (itertools, lambda name: True),
        "string": (string, lambda name: name in _STRING_ALLOWED),
    }
    source, allowed = tests[module]
    return {name: getattr(source, name) for name in dir(source) if not name.startswith("_") and allowed(name)}


@cache
def known_attributes() -> frozenset[str]:
    """Public attribute names of everything that a program can come to hold, the forbidden ones taken out."""
    names = {name for known in _KNOWN_TYPES for name in dir(known)} | {"args", *ENCODED}
    text = Text(["a"])
    names.update([*vars(text), *vars(text.tokenizer)])
    for module in (*MODULES, *_SUBMODULES):
        names.update(module_names(module))
    return frozenset(name for name in names if not name.startswith("_")) - _ATTRIBUTES_DENIED


def allowed_attribute(name: str, own: frozenset[str] = frozenset()) -> bool:
    """Whether a program may speak of an attribute; `own` are names that it defines itself."""
    return not name.startswith("_") and name not in _ATTRIBUTES_DENIED and (name in known_attributes() or name in own)


def check_source(source: str | ast.Module) -> None:
    """Checks a program before anything of it is run.

    Args:
        source: source text or its syntax tree.

    Raises:
        ProgramError: "syntax" where it does not parse, "rejected" where it uses what programs cannot have; with line.
    """
    if isinstance(source, str):
        source = parse_tree(source)
    _Checker(source).check()


class _Checker:
    """One walk over a tree, sparing with code and memory: it runs again in every fresh fork of the server."""

    def __init__(self, tree: ast.Module) -> None:
        self._bound: set[str] = set()
        self._own: set[str] = set()
        self._loads: list[ast.Name] = []
        self._attributes: list[ast.Attribute] = []
        self._others: list[ast.AST] = []
        self._unread: set[int] = set()
        self._lazy_annotations = False
        self._offences: list[tuple[int, str]] = []
        self._collect(tree)
        self._modules = _module_aliases(self._others, self._bound)

    def _collect(self, tree: ast.Module) -> None:
        stack: list[ast.AST] = [tree]
        while stack:
            node = stack.pop()
            kind = type(node)
            if kind is ast.Name:
                if type(node.ctx) is ast.Load:  # type: ignore[attr-defined]
                    self._loads.append(node)  # type: ignore[arg-type]
                else:
                    self._bind(node, [node.id])  # type: ignore[attr-defined]
                continue
            if kind is ast.Constant:
                continue
            if kind is ast.Attribute:
                self._attributes.append(node)  # type: ignore[arg-type]
                if type(node.ctx) is not ast.Load:  # type: ignore[attr-defined]
                    self._own.add(node.attr)  # type: ignore[attr-defined]
            elif kind not in _HARMLESS_NODES:
                self._others.append(node)
                if kind in _BINDING_NODES:
                    self._bind(node, list(_new_names(node)))
            for field in node._fields:
                value = getattr(node, field, None)
                if type(value) is list:
                    stack.extend([item for item in value if isinstance(item, ast.AST)])
                elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
                    if field in ("annotation", "returns"):
                        self._unread.update(map(id, ast.walk(value)))
                    stack.append(value)

    def _bind(self, node: ast.AST, names: list[str]) -> None:
        self._bound.update(names)
        for name in names:
            if name.startswith("__") and name != "__init__":
                self._offences.append((node.lineno, _dunder_message(name)))  # type: ignore[attr-defined]
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            self._lazy_annotations = True
        elif isinstance(node, ast.ClassDef):
            for inner in ast.walk(node):
                self._own.update(_new_names(inner))
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                    self._own.add(inner.id)

    def check(self) -> None:
        """Raises a `ProgramError` for the first offence, by line."""
        for node in self._others:
            self._offences += [(getattr(node, "lineno", 0), message) for message in self._messages(node)]
        known, own = known_attributes(), frozenset(self._own) - _ATTRIBUTES_DENIED
        unread = self._unread if self._lazy_annotations else set()
        for attribute in self._attributes:
            value = attribute.value
            if id(attribute) in unread:
                continue
            of_module = type(value) is ast.Attribute or (type(value) is ast.Name and value.id in self._modules)
            if of_module or attribute.attr not in known:
                self._offences += [(attribute.lineno, each) for each in self._attribute_messages(attribute, own)]
        for name in self._loads:
            known_name = name.id in self._bound or name.id in BUILTINS or name.id in _GIVEN
            if not known_name and id(name) not in unread:
                self._offences.append((name.lineno, self._name_message(name.id)))
        if self._offences:
            line, message = min(self._offences)
            raise ProgramError(FailureKind.REJECTED, message, line or None)

    def _messages(self, node: ast.AST) -> Iterator[str]:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from _import_messages(node)
        elif isinstance(node, ast.Call):
            self._own.update(_named_tuple_fields(node))
            yield from _call_messages(node)
        elif isinstance(node, ast.ClassDef) and node.keywords:
            yield "a class cannot have keywords such as metaclass"
        elif isinstance(node, ast.keyword) and node.arg == "dtype" and _is_object_dtype(node.value):
            yield "arrays of objects cannot be made"
        elif type(node) in _FORBIDDEN_NODES:
            yield f"{_FORBIDDEN_NODES[type(node)]} cannot be used"

    def _name_message(self, name: str) -> str:
        if name.startswith("__"):
            return _dunder_message(name)
        exists = "cannot be used in programs" if hasattr(builtins, name) else "is not defined"
        return f"`{name}` {exists}{_nearest(name, BUILTINS | self._bound)}"

    def _attribute_messages(self, node: ast.Attribute, own: frozenset[str]) -> Iterator[str]:
        name = node.attr
        module = _module_of(node.value, self._modules)
        if name.startswith("_"):
            yield f"the attribute `{name}` begins with an underscore, which programs cannot use"
        elif module:
            names = module_names(module)
            if type(node.ctx) is not ast.Load:
                yield f"`{module}` cannot be changed"
            elif name not in names and f"{module}.{name}" not in _SUBMODULES:
                yield f"`{module}` offers programs no `{name}`{_nearest(name, names)}"
        elif name not in known_attributes() and name not in own:
            yield f"the attribute `{name}` is not known to programs{_nearest(name, known_attributes())}"


def _dunder_message(name: str) -> str:
    return f"the name `{name}` begins with two underscores, which programs cannot use"


def _import_messages(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    allowed = f"programs can import {', '.join(MODULES)}"
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name not in MODULES and alias.name not in _SUBMODULES:
                yield f"`{alias.name}` cannot be imported; {allowed}"
        return
    if node.module == "__future__":
        if any(alias.name != "annotations" for alias in node.names):
            yield "only `annotations` can be imported from `__future__`"
        return
    if node.level or node.module not in (*MODULES, *_SUBMODULES):
        yield f"`{'.' * node.level}{node.module or ''}` cannot be imported; {allowed}"
        return
    names = module_names(node.module)
    for alias in node.names:
        if alias.name == "*":
            yield f"name what is wanted from `{node.module}` instead of *"
        elif alias.name not in names and f"{node.module}.{alias.name}" not in _SUBMODULES:
            yield f"`{node.module}` offers programs no `{alias.name}`{_nearest(alias.name, names)}"


def _call_messages(node: ast.Call) -> Iterator[str]:
    function = node.func
    if isinstance(function, ast.Attribute) and function.attr in ("astype", "view") and node.args:
        if _is_object_dtype(node.args[0]):
            yield "arrays of objects cannot be made"
    elif isinstance(function, ast.Name) and function.id in ("getattr", "hasattr") and len(node.args) >= 2:
        name = node.args[1]
        if isinstance(name, ast.Constant) and isinstance(name.value, str) and name.value.startswith("_"):
            yield f"the attribute `{name.value}` begins with an underscore, which programs cannot use"
    if isinstance(function, ast.Attribute) and function.attr == "format":
        template = function.value
        if not (isinstance(template, ast.Constant) and isinstance(template.value, str)):
            yield "`format` can be called on a string literal only; an f-string does the same"
        elif re.search(r"\{[^{}]*[.\[][^{}]*\}", re.sub(r":[^{}]*\}", "}", template.value)):
            yield "`format` cannot read attributes or elements; an f-string can"


def _is_object_dtype(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Constant) and isinstance(node.value, str) and ("O" in node.value or "object" in node.value)
    )


def _new_names(node: ast.AST) -> Iterator[str]:
    """Names that a node other than an assignment binds."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).split(".")[0]
    elif isinstance(node, (ast.Global, ast.Nonlocal)):
        yield from node.names
    elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest


def _named_tuple_fields(node: ast.Call) -> Iterator[str]:
    """Names in the string arguments of a call of `namedtuple`, which become attributes."""
    if getattr(node.func, "id", getattr(node.func, "attr", "")) == "namedtuple":
        for inner in ast.walk(node):
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                yield from inner.value.replace(",", " ").split()


def _module_aliases(nodes: list[ast.AST], bound: set[str]) -> dict[str, str]:
    """Local name -> module."""
    aliases = {name: module for name, module in _GIVEN.items() if name not in bound}
    for node in nodes:
        for alias in node.names if isinstance(node, ast.Import) else ():
            outer = alias.name.split(".")[0]
            aliases[alias.asname or outer] = alias.name if alias.asname else outer
    return {name: module for name, module in aliases.items() if module in (*MODULES, *_SUBMODULES)}


def _module_of(node: ast.expr, modules: dict[str, str]) -> str | None:
    """The module that an expression names, such as `np.random`, or None."""
    if isinstance(node, ast.Name):
        return modules.get(node.id)
    if isinstance(node, ast.Attribute):
        outer = _module_of(node.value, modules)
        return f"{outer}.{node.attr}" if outer and f"{outer}.{node.attr}" in _SUBMODULES else None
    return None


def _nearest(name: str, known: Iterable[str]) -> str:
    found = closest(name, known, least=0.75)
    return f"; did you mean `{found}`?" if found else ""

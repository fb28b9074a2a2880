"""The allow-list on a program's syntax tree: quick, clear rejections. A guard rail; the sandbox is the boundary."""

from __future__ import annotations

import ast
import builtins
import re
import string
from collections.abc import Iterable, Iterator

from fitness.errors import closest
from fitness.failures import FailureKind
from fitness.program import ProgramError, parse_tree
from fitness.sandbox.allowed import (
    ATTRIBUTES_DENIED,
    BUILTINS,
    CALLED_ONLY,
    LITERAL_ONLY,
    MODULES,
    OWN_ATTRIBUTES,
    SUBMODULES,
    known_attributes,
    module_names,
)
from fitness.sandbox.guards import guard_call, guard_own, guard_write, needs_guard

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
# Builtins that ask for an attribute by its name.
_ASKING = frozenset({"getattr", "hasattr"})
_SPECIAL = CALLED_ONLY | LITERAL_ONLY
# Nothing is to be said of them, only of what is in them.
_HARMLESS_NODES = frozenset(
    {ast.Module, ast.arguments, ast.Assign, ast.AugAssign, ast.Return, ast.For, ast.While, ast.If, ast.Expr, ast.IfExp}
    | {ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Subscript, ast.Slice, ast.Tuple, ast.List, ast.Dict}
    | {ast.ListComp, ast.comprehension, ast.JoinedStr, ast.FormattedValue}
)


def check_source(source: str | ast.Module, *, guard: bool = False) -> None:
    """Checks a program before anything of it is run.

    Args:
        source: source text or its syntax tree.
        guard: put guards into the tree, once it has passed, where only running it can tell: `fitness.sandbox.guards`.

    Raises:
        ProgramError: "syntax" where it does not parse, "rejected" where it uses what programs cannot have; with line.
    """
    if isinstance(source, str):
        source = parse_tree(source)
    checker = _Checker(source)
    checker.check()
    if guard:
        checker.guard()


class _Checker:
    """One walk over a tree, sparing with code and memory: it runs again in every fresh fork of the server."""

    def __init__(self, tree: ast.Module) -> None:
        self._bound: set[str] = set()
        self._own: set[str] = set()
        self._loads: list[ast.Name] = []
        self._attributes: list[ast.Attribute] = []
        self._others: list[ast.AST] = []
        self._unread: set[int] = set()
        # Nodes that are called, and not only named.
        self._called: set[int] = set()
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
        known = known_attributes()
        unread = self._unread if self._lazy_annotations else set()
        for attribute in self._attributes:
            value = attribute.value
            if id(attribute) in unread:
                continue
            of_module = type(value) is ast.Attribute or (type(value) is ast.Name and value.id in self._modules)
            if of_module or attribute.attr not in known or attribute.attr in _SPECIAL:
                self._offences += [(attribute.lineno, each) for each in self._attribute_messages(attribute)]
        for name in self._loads:
            known_name = name.id in self._bound or name.id in BUILTINS or name.id in _GIVEN
            if name.id in _ASKING and id(name) not in self._called:
                self._offences.append(
                    (name.lineno, f"`{name.id}` can be called only, with an attribute's name in quotes")
                )
            if not known_name and id(name) not in unread:
                self._offences.append((name.lineno, self._name_message(name.id)))
        if self._offences:
            line, message = min(self._offences)
            raise ProgramError(FailureKind.REJECTED, message, line or None)

    def guard(self) -> None:
        """Puts guards where an attribute is written, an array of any type made, or a name used for two things."""
        own = self._own & OWN_ATTRIBUTES
        for attribute in self._attributes:
            if type(attribute.ctx) is not ast.Load:
                guard_write(attribute)
            elif attribute.attr in own:
                guard_own(attribute)
        for node in self._others:
            if isinstance(node, ast.Call) and needs_guard(node):
                guard_call(node)

    def _messages(self, node: ast.AST) -> Iterator[str]:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from _import_messages(node)
        elif isinstance(node, ast.Call):
            self._own.update(_named_tuple_fields(node))
            self._called.add(id(node.func))
            yield from self._call_messages(node)
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

    def _attribute_messages(self, node: ast.Attribute) -> Iterator[str]:
        name = node.attr
        module = _module_of(node.value, self._modules)
        if name.startswith("_"):
            yield f"the attribute `{name}` begins with an underscore, which programs cannot use"
        elif module:
            names = module_names(module)
            if type(node.ctx) is not ast.Load:
                yield f"`{module}` cannot be changed"
            elif name not in names and f"{module}.{name}" not in SUBMODULES:
                yield f"`{module}` offers programs no `{name}`{_nearest(name, names)}"
        elif name in LITERAL_ONLY and id(node) not in self._called:
            yield f"`{name}` can be called only, on a string literal; an f-string does the same"
        elif name in CALLED_ONLY and id(node) not in self._called:
            yield f"`{name}` can be called only"
        elif name not in known_attributes() and not self._is_own(name):
            yield f"the attribute `{name}` is not known to programs{_nearest(name, known_attributes())}"

    def _is_own(self, name: str) -> bool:
        return name in self._own and (name not in ATTRIBUTES_DENIED or name in OWN_ATTRIBUTES)

    def _call_messages(self, node: ast.Call) -> Iterator[str]:
        function = node.func
        if isinstance(function, ast.Name) and function.id in _ASKING:
            name = node.args[1] if len(node.args) >= 2 else None
            if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
                yield f"`{function.id}` takes the name of an attribute in quotes, not a computed one"
            elif name.value.startswith("_"):
                yield f"the attribute `{name.value}` begins with an underscore, which programs cannot use"
            elif function.id == "getattr" and (name.value in ATTRIBUTES_DENIED | CALLED_ONLY | LITERAL_ONLY):
                yield f"the attribute `{name.value}` cannot be asked for by `getattr`"
        elif isinstance(function, ast.Attribute) and function.attr == "format":
            template = function.value
            if not (isinstance(template, ast.Constant) and isinstance(template.value, str)):
                yield "`format` can be called on a string literal only; an f-string does the same"
            elif _reads_attributes(template.value):
                yield "`format` cannot read attributes or elements; an f-string can"
        elif isinstance(function, ast.Attribute) and function.attr in CALLED_ONLY and _names_objects(node.args):
            yield "arrays of objects cannot be made"


def _reads_attributes(template: str) -> bool:
    """Whether a field of a format string, or one within it, is more than a number or a name."""
    try:
        fields = list(string.Formatter().parse(template))
    except ValueError:
        return False
    return any(
        (field is not None and re.search(r"[.\[]", field)) or (spec and _reads_attributes(spec))
        for _, field, spec, _ in fields
    )


def _dunder_message(name: str) -> str:
    return f"the name `{name}` begins with two underscores, which programs cannot use"


def _import_messages(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    allowed = f"programs can import {', '.join(MODULES)}"
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name not in MODULES and alias.name not in SUBMODULES:
                yield f"`{alias.name}` cannot be imported; {allowed}"
        return
    if node.module == "__future__":
        if any(alias.name != "annotations" for alias in node.names):
            yield "only `annotations` can be imported from `__future__`"
        return
    if node.level or node.module not in (*MODULES, *SUBMODULES):
        yield f"`{'.' * node.level}{node.module or ''}` cannot be imported; {allowed}"
        return
    names = module_names(node.module)
    for alias in node.names:
        if alias.name == "*":
            yield f"name what is wanted from `{node.module}` instead of *"
        elif alias.name not in names and f"{node.module}.{alias.name}" not in SUBMODULES:
            yield f"`{node.module}` offers programs no `{alias.name}`{_nearest(alias.name, names)}"


def _names_objects(arguments: list[ast.expr]) -> bool:
    return any(map(_is_object_dtype, arguments))


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
    return {name: module for name, module in aliases.items() if module in (*MODULES, *SUBMODULES)}


def _module_of(node: ast.expr, modules: dict[str, str]) -> str | None:
    """The module that an expression names, such as `np.random`, or None."""
    if isinstance(node, ast.Name):
        return modules.get(node.id)
    if isinstance(node, ast.Attribute):
        outer = _module_of(node.value, modules)
        return f"{outer}.{node.attr}" if outer and f"{outer}.{node.attr}" in SUBMODULES else None
    return None


def _nearest(name: str, known: Iterable[str]) -> str:
    found = closest(name, known, least=0.75)
    return f"; did you mean `{found}`?" if found else ""

"""A program's source as one function of another name, so that many programs can live in one file."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable

from fitness.failures import FailureKind
from fitness.program import ENTRY, Program, ProgramError, parse_tree
from fitness.sandbox.static_check import check_source

INDENT = "    "
MODULES = {"numpy": "np", "math": "math", "re": "re", "collections": "collections", "itertools": "itertools"}
MODULES |= {"string": "string"}


def as_function(source: str, name: str, docstring: str) -> tuple[str, frozenset[str]]:
    """Writes a program as one function, from its syntax tree: no line of its text is copied.

    A program that is a single function stays one; only its name and docstring change. Where there is more (helpers,
    constants, imports under other names), all of it moves inside the new function: it cannot meet what another program
    defines, and it starts afresh at every call, as it does when it is scored. Importing the function runs nothing.

    Args:
        source: a program's source.
        name: name of the new function.
        docstring: its docstring.

    Returns:
        the source of the function, without a line break at its end, and those of `MODULES` that it needs imported.

    Raises:
        ProgramError: where the source is not a program, or uses what would run at import or without the sandbox do
            something else than within it.
    """
    tree = parse_tree(source)
    entries = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == ENTRY]
    if not entries:
        raise ProgramError(FailureKind.REJECTED, f"defines no function `{ENTRY}(text)`")
    check_source(copy.deepcopy(tree))
    check_export(tree)
    entry = entries[-1]
    imported = {module for node in tree.body for module in _plain_imports(node)}
    others = [n for n in tree.body if n is not entry and not _is_docstring(n) and not _plain_imports(n)]
    names_itself = any(
        (isinstance(n, ast.Name) and n.id == ENTRY) or isinstance(n, (ast.Global, ast.Nonlocal))
        for n in ast.walk(entry)
    )
    if others or names_itself:
        return _wrapped(tree, name, docstring), frozenset()
    return _unparsed(entry, name, docstring), frozenset(imported)


def alone(source: str, modules: Iterable[str], name: str, identity: str) -> Program:
    """A written function as a program again, to be run beside the one that it was written from.

    Args:
        source: of the function, as `as_function` gives it.
        modules: those that it needs imported.
        name: of the function.
        identity: id of the program; random numbers follow from it.
    """
    imports = "".join(f"import {module}\n" for module in sorted(set(modules) - {"numpy"}))
    return Program(f"{imports}{source}\n\n\ndef {ENTRY}(text):\n    return {name}(text)\n", identity)


# Builtins and names of numpy that are other things outside the sandbox: unguarded, unseeded, unfilled.
_NOT_EXPORTED = frozenset({"getattr", "hasattr", "type", "hash", "print"})
_NOT_EXPORTED_NUMPY = frozenset({"empty", "empty_like", "ndarray", "nditer", "random", "set_printoptions", "seterr"})


def check_export(tree: ast.Module) -> None:
    """Refuses what would run on import, or be another thing where no stand-ins are.

    Raises:
        ProgramError: of kind "rejected", with the line.
    """
    for node in ast.walk(tree):
        message = _not_exported(node)
        if message:
            line = next((each.lineno for each in ast.walk(node) if isinstance(each, (ast.expr, ast.stmt))), None)
            raise ProgramError(FailureKind.REJECTED, message, line)


def _not_exported(node: ast.AST) -> str:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.decorator_list:
        return "has a decorator, which runs where it is defined"
    if isinstance(node, ast.arguments):
        defaults = [*node.defaults, *(default for default in node.kw_defaults if default)]
        if not all(map(_is_constant, defaults)):
            return "has a default that is more than a constant: it runs where it is defined, and may be kept"
    if isinstance(node, (ast.Name, ast.Attribute)):
        name = node.id if isinstance(node, ast.Name) else node.attr
        if isinstance(node, ast.Name) and name in _NOT_EXPORTED:
            return f"uses `{name}`, which is guarded in the sandbox alone"
        if isinstance(node, ast.Attribute) and name in _NOT_EXPORTED_NUMPY:
            return f"uses `{name}`, which is seeded or filled in the sandbox alone"
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load) and not _is_self(node.value):
            return f"writes the attribute `{name}` of something else than self"
    if isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} & _NOT_EXPORTED_NUMPY:
        return "imports what is seeded or filled in the sandbox alone"
    if isinstance(node, ast.ImportFrom) and node.module == "numpy.random":
        return "imports what is seeded or filled in the sandbox alone"
    if isinstance(node, ast.Import) and any(alias.name == "numpy.random" for alias in node.names):
        return "imports what is seeded or filled in the sandbox alone"
    if isinstance(node, ast.Call):
        named = {keyword.arg for keyword in node.keywords}
        if None in named or ("where" in named and "out" not in named):
            return "leaves elements of an array unfilled, or hands on options unseen"
    return ""


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _is_constant(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.operand, ast.Constant)
    if isinstance(node, ast.Tuple):
        return all(map(_is_constant, node.elts))
    return isinstance(node, ast.Constant)


def literal(docstring: str, indent: str) -> str:
    """A docstring as it stands in source, first line unindented, the others behind `indent`."""
    plain = docstring.strip().replace("\\", "\\\\")
    if '"""' in plain:
        plain = plain.replace('"', '\\"')
    elif plain.endswith('"'):
        plain = plain[:-1] + '\\"'
    plain = "".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode() for c in plain)
    first, *rest = plain.split("\n")
    if not rest:
        return f'"""{first}"""'
    lines = [f"{indent}{line}".rstrip() for line in rest]
    return "\n".join(['"""' + first, *lines, f'{indent}"""'])


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _plain_imports(node: ast.stmt) -> list[str]:
    """Modules of an import that binds nothing but the usual names, such as `import numpy as np, math`."""
    if not isinstance(node, ast.Import):
        return []
    usual = [MODULES.get(alias.name) == (alias.asname or alias.name) for alias in node.names]
    return [alias.name for alias in node.names] if all(usual) else []


def _unparsed(function: ast.FunctionDef, name: str, docstring: str) -> str:
    shown = copy.copy(function)
    shown.name = name
    # What stands first gives way to the docstring.
    shown.body = [ast.Pass(), *(function.body[1:] if _is_docstring(function.body[0]) else function.body)]
    place = f":\n{INDENT}pass"
    written = ast.unparse(shown).replace(place, f":\n{INDENT}{literal(docstring, INDENT)}", 1)
    read = ast.parse(written).body[0]
    assert isinstance(read, ast.FunctionDef)
    read.body = [ast.Pass(), *read.body[1:]]
    if ast.dump(read) != ast.dump(shown):
        raise ProgramError(FailureKind.REJECTED, "cannot be written as one function that reads back the same")
    return written


def _wrapped(tree: ast.Module, name: str, docstring: str) -> str:
    argument = "text"
    while argument in _bound(tree):
        argument += "_"
    returned = ast.Return(ast.Call(ast.Name(ENTRY, ast.Load()), [ast.Name(argument, ast.Load())], []))
    body = [*_inside(tree).body, returned]
    arguments = ast.arguments(posonlyargs=[], args=[ast.arg(argument)], kwonlyargs=[], kw_defaults=[], defaults=[])
    function = ast.FunctionDef(name=name, args=arguments, body=body, decorator_list=[])
    return _unparsed(ast.fix_missing_locations(function), name, docstring)


def _bound(tree: ast.Module) -> set[str]:
    """Names that the module itself binds, outside its functions and classes."""
    names: set[str] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif not isinstance(node, ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))
    return names


class _Inside(ast.NodeTransformer):
    """`global` becomes `nonlocal`, for the module's names are now those of the function around."""

    def visit_Global(self, node: ast.Global) -> ast.Nonlocal:
        return ast.copy_location(ast.Nonlocal(names=node.names), node)


def _inside(tree: ast.Module) -> ast.Module:
    declared = {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    unbound = sorted(declared - _bound(tree))
    body: list[ast.stmt] = [
        ast.Assign(targets=[ast.Name(name, ast.Store())], value=ast.Constant(None)) for name in unbound
    ]
    for node in tree.body:
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if not future and not (node is tree.body[0] and _is_docstring(node)) and not isinstance(node, ast.Global):
            body.append(node)
    return ast.fix_missing_locations(_Inside().visit(ast.Module(body=body, type_ignores=[])))

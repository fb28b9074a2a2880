"""A program's source as one function of another name, so that many programs can live in one file."""

from __future__ import annotations

import ast
import copy
import re
import textwrap

from fitness.failures import FailureKind
from fitness.program import ENTRY, ProgramError

INDENT = "    "
MODULES = {"numpy": "np", "math": "math", "re": "re", "collections": "collections", "itertools": "itertools"}
MODULES |= {"string": "string"}


def as_function(source: str, name: str, docstring: str) -> tuple[str, frozenset[str]]:
    """Rewrites a program as one function.

    A program that is a single function keeps its text and its comments; only its name and docstring change. Where
    there is more (helpers, constants, imports under other names), all of it moves inside the new function: it cannot
    meet what another program defines, and it starts afresh at every call, as it does when it is scored.

    Args:
        source: a program's source.
        name: name of the new function.
        docstring: its docstring.

    Returns:
        the source of the function, without a line break at its end, and those of `MODULES` that it needs imported.

    Raises:
        ProgramError: where the source is not a program.
    """
    tree = ast.parse(source)
    entries = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == ENTRY]
    if not entries:
        raise ProgramError(FailureKind.REJECTED, f"defines no function `{ENTRY}(text)`")
    entry = entries[-1]
    imported = {module for node in tree.body for module in _plain_imports(node)}
    others = [n for n in tree.body if n is not entry and not _is_docstring(n) and not _plain_imports(n)]
    names_itself = any(
        (isinstance(n, ast.Name) and n.id == ENTRY) or isinstance(n, (ast.Global, ast.Nonlocal))
        for n in ast.walk(entry)
    )
    if others or names_itself:
        return _wrapped(source, tree, name, docstring), frozenset()
    return _renamed(source, entry, name, docstring), frozenset(imported)


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


def _renamed(source: str, entry: ast.FunctionDef, name: str, docstring: str) -> str:
    lines = source.splitlines()
    first = entry.body[0]
    old = first if _is_docstring(first) else None
    begins = min([first.lineno, *(d.lineno for d in getattr(first, "decorator_list", []))])
    indent = lines[begins - 1][: len(lines[begins - 1]) - len(lines[begins - 1].lstrip())]
    alone = lines[begins - 1].encode()[: first.col_offset].strip() == b"" and first.lineno > entry.lineno
    if old is not None:
        alone = alone and lines[(old.end_lineno or 0) - 1].encode()[old.end_col_offset :].strip() == b""
    renamed, count = re.subn(rf"\bdef(\s+){ENTRY}\b", rf"def\g<1>{name}", lines[entry.lineno - 1], count=1)
    if not alone or not count or not indent:
        return _unparsed(entry, name, docstring)
    top = min([entry.lineno, *(decorator.lineno for decorator in entry.decorator_list)])
    before = [*lines[top - 1 : entry.lineno - 1], renamed, *lines[entry.lineno : begins - 1]]
    after = lines[(begins if old is None else (old.end_lineno or 0) + 1) - 1 : entry.end_lineno]
    return "\n".join([*before, indent + literal(docstring, indent), *after]).rstrip()


def _unparsed(entry: ast.FunctionDef, name: str, docstring: str) -> str:
    body = entry.body[1:] if _is_docstring(entry.body[0]) else entry.body
    shown = copy.copy(entry)
    shown.name, shown.body = name, body or [ast.Pass()]
    header, _, rest = ast.unparse(shown).partition(":\n" + INDENT)
    return f"{header}:\n{INDENT}{literal(docstring, INDENT)}\n{INDENT}{rest}"


def _wrapped(source: str, tree: ast.Module, name: str, docstring: str) -> str:
    argument = "text"
    while argument in _bound(tree):
        argument += "_"
    body = _indented(source, tree)
    if body is None:
        body = textwrap.indent(ast.unparse(_inside(tree)), INDENT)
    return "\n".join(
        [
            f"def {name}({argument}):",
            INDENT + literal(docstring, INDENT),
            "",
            body,
            "",
            f"{INDENT}return {ENTRY}({argument})",
        ]
    )


def _indented(source: str, tree: ast.Module) -> str | None:
    """The text of a module moved to the right, or None where that would change what it does."""
    docstrings = {id(n.body[0].value) for n in ast.walk(tree) if _has_docstring(n)}  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        if isinstance(node, (ast.Global, ast.ImportFrom)) and getattr(node, "module", "__future__") == "__future__":
            return None
        long = isinstance(node, (ast.Constant, ast.JoinedStr)) and (node.end_lineno or 0) > node.lineno
        if long and id(node) not in docstrings:
            return None
    if _is_docstring(tree.body[0]) or "\f" in source:
        return None
    return textwrap.indent(source.strip("\n"), INDENT)


def _has_docstring(node: ast.AST) -> bool:
    kinds = (ast.Module, ast.FunctionDef, ast.ClassDef)
    return isinstance(node, kinds) and bool(node.body) and _is_docstring(node.body[0])


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

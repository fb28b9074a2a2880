"""A program's source as one function of another name, so that many programs can live in one file."""

from __future__ import annotations

import ast
import re
import textwrap

from fitness.program import ENTRY, ProgramError

MODULES = {"numpy": "np", "math": "math", "re": "re", "collections": "collections", "itertools": "itertools"}
MODULES |= {"string": "string"}


def as_function(source: str, name: str, docstring: str) -> tuple[str, dict[str, str]]:
    """Rewrites a program as one function.

    A program that is a single function keeps its text and its comments; only its name and docstring change. Where
    there is more (helpers, constants, imports under other names), all of it moves inside the new function: nothing of
    it can then meet what another program defines, and it starts afresh at every call, as it does when it is scored.

    Args:
        source: a program's source.
        name: name of the new function.
        docstring: its docstring.

    Returns:
        the source of the function, ending without a line break, and the modules that must be imported at the top, as
        module -> name.

    Raises:
        ProgramError: where the source is no program.
    """
    tree = ast.parse(source)
    entries = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == ENTRY]
    if not entries:
        raise ProgramError("rejected", f"defines no function `{ENTRY}(text)`")
    hoisted, rest = _split_imports(tree)
    others = [node for node in rest if node is not entries[-1] and not _is_docstring(node)]
    calls_itself = any(isinstance(node, ast.Name) and node.id == ENTRY for node in ast.walk(entries[-1]))
    rebound = _bound_names(tree) & set(hoisted.values())
    if others or calls_itself or rebound or _has_globals(tree):
        return _wrapped(tree, name, docstring), hoisted
    return _renamed(source, entries[-1], name, docstring), hoisted | _free_modules(entries[-1], hoisted)

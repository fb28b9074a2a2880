"""`headscribe_text.py`: what a library's programs are called with, as one file for numpy alone beside `library.py`.

It is joined from headscribe's own modules, so that a field of `Text` and the row rule are defined once.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from types import ModuleType

FILE = "headscribe_text.py"
# In the order in which one needs another.
MODULES = (
    "fitness.text.field",
    "fitness.text.word_classes",
    "fitness.text.token_classes",
    "fitness.text.tokenizer_view",
    "fitness.text.view",
    "fitness.failures",
    "fitness.scoring.packing",
    "fitness.scoring.contract",
)
_DOCSTRING = '''\
"""What programs of a headscribe library see of a text, and how their weights become a prediction; numpy alone.

`Text(tokens)` takes the tokens as the model sees them: leading spaces kept, the begin token first where it has one.
`to_prediction(weights, causal=...)` masks an (n, n) array where the model is causal, and scales its rows to sum 1.

Written by headscribe from its own modules. MIT licence, copyright the headscribe authors.
"""
'''


def text_module() -> str:
    """Source of `headscribe_text.py`.

    Raises:
        ValueError: where two of the joined modules define one name.
    """
    imports: dict[str, None] = {}
    parts: list[str] = []
    defined: set[str] = set()
    for name in MODULES:
        module = import_module(name)
        source = _source(module)
        tree = ast.parse(source)
        names = {each for node in tree.body for each in _bound(node)}
        if names & defined:
            raise ValueError(f"{name} defines {sorted(names & defined)} a second time")
        defined |= names
        own, rest = _divided(source, tree)
        imports |= dict.fromkeys(own)
        parts.append(f"# {name}: {(module.__doc__ or '').splitlines()[0]}\n\n{rest}")
    future = "from __future__ import annotations\n"
    return f"{_DOCSTRING}\n{future}\n{chr(10).join(_sorted(imports))}\n\n" + "\n\n\n".join(parts) + "\n"


def _source(module: ModuleType) -> str:
    assert module.__file__ is not None
    return Path(module.__file__).read_text(encoding="utf-8")


def _bound(node: ast.stmt) -> list[str]:
    """Names that a statement at a module's top defines, imports apart."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        return [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    return []


def _divided(source: str, tree: ast.Module) -> tuple[list[str], str]:
    """Imports of others than headscribe, and the source without its docstring and any import at its top."""
    lines = source.splitlines()
    imports: list[str] = []
    for node in tree.body:
        docstring = node is tree.body[0] and isinstance(node, ast.Expr)
        if not docstring and not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        for number in range(node.lineno - 1, node.end_lineno or node.lineno):
            lines[number] = ""
        if isinstance(node, ast.Import):
            imports.append(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] not in ("fitness", "__future__"):
            imports += [f"from {node.module} import {ast.unparse(alias)}" for alias in node.names]
    return imports, "\n".join(lines).strip("\n")


def _sorted(imports: dict[str, None]) -> list[str]:
    """Imports of the standard library, then numpy."""
    standard = sorted(line for line in imports if "numpy" not in line)
    return [*standard, "", *sorted(line for line in imports if "numpy" in line)]

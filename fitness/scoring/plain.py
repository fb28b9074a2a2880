"""Programs that are pure by construction: assignments of elementwise arithmetic on the fields of a text.

What they may do is listed here, and nothing in the list can tell one run from another. Anything else may be pure as
well, and is run a second time to see (`fitness.scoring.purity`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from fitness.program import ENTRY, parse_tree
from fitness.text.view import fields

# Functions of numpy that work element by element.
ELEMENTWISE = frozenset(
    "abs absolute exp expm1 log log1p log2 sqrt square power minimum maximum where logical_and logical_or logical_not "
    "equal not_equal less less_equal greater greater_equal add subtract multiply divide".split()
)
# Other functions of numpy, of one argument.
OF_ONE_ARRAY = frozenset({"cumsum", "tril"})
_FIELDS = frozenset(field.name for field in fields())
_OPERATORS = (
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.Mod, ast.FloorDiv, ast.BitAnd, ast.BitOr, ast.BitXor),
    *(ast.USub, ast.Invert, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE),
)
_INDICES = (":, None", "None, :", "None")


def is_plain(source: str) -> bool:
    r"""Whether a program is straight-line arithmetic on the fields of its text, so that nothing else can show in it.

    Example:
        >>> is_plain("def program(text):\n    near = text.distance <= 2\n    return np.exp(1.5 * near)\n")
        True
        >>> is_plain("def program(text):\n    return np.empty((text.n, text.n))\n")
        False
    """
    functions = [node for node in parse_tree(source).body if not _says_nothing(node)]
    if len(functions) != 1 or not isinstance(functions[0], ast.FunctionDef):
        return False
    entry = functions[0]
    if entry.name != ENTRY or entry.decorator_list or ast.unparse(entry.args) != "text":
        return False
    return all(_plain_statement(statement) for statement in entry.body)


def _says_nothing(node: ast.stmt) -> bool:
    return _docstring(node) or (isinstance(node, ast.Import) and ast.unparse(node) == "import numpy as np")


def _docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _plain_statement(node: ast.stmt) -> bool:
    if _docstring(node):
        return True
    if isinstance(node, ast.Return):
        return node.value is not None and _plain(node.value)
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        return _local(node.targets[0]) and _plain(node.value)
    return isinstance(node, ast.AugAssign) and _local(node.target) and _plain(node.op) and _plain(node.value)


def _local(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id not in ("text", "np", ENTRY)


def _all_plain(nodes: Iterable[ast.AST]) -> bool:
    return all(_plain(node) for node in nodes)


def _plain(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (bool, int, float))
    if isinstance(node, ast.Attribute):
        return ast.unparse(node.value) == "text" and node.attr in _FIELDS
    if isinstance(node, ast.Subscript):
        return _plain(node.value) and ast.unparse(node.slice).strip("()") in _INDICES
    if isinstance(node, ast.Call):
        return _plain_call(node)
    if isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Compare)):
        return _all_plain(child for child in ast.iter_child_nodes(node))
    return isinstance(node, _OPERATORS) or (isinstance(node, ast.Name) and _local(node))


def _plain_call(node: ast.Call) -> bool:
    function, arguments = node.func, node.args
    if not isinstance(function, ast.Attribute):
        return False
    if function.attr == "sum" and not arguments:
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        return keywords == {"axis": "1", "keepdims": "True"} and _plain(function.value)
    if node.keywords:
        return False
    called = ast.unparse(function)
    if called == "np.isin":
        return len(arguments) == 2 and ast.unparse(arguments[0]) == "text.tokens" and _strings(arguments[1])
    if called == "text.latest" or (called.startswith("np.") and function.attr in OF_ONE_ARRAY):
        return len(arguments) == 1 and _plain(arguments[0])
    return called == f"np.{function.attr}" and function.attr in ELEMENTWISE and _all_plain(arguments)


def _strings(node: ast.expr) -> bool:
    return isinstance(node, (ast.List, ast.Tuple)) and all(
        isinstance(element, ast.Constant) and isinstance(element.value, str) for element in node.elts
    )

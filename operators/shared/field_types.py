"""The fields of `Text` in syntax trees: their types, and which expressions of them are conditions."""

from __future__ import annotations

import ast

from fitness.text.view import fields

# Name of a field -> (shape, type of its elements).
FIELD_TYPES = {field.name: (field.shape, field.kind) for field in fields()}


def is_condition(node: ast.expr) -> bool:
    """Whether an expression is plainly true or false element by element."""
    if isinstance(node, ast.Attribute):
        return is_field(node) and FIELD_TYPES[node.attr][1] == "bool"
    if isinstance(node, ast.Subscript):
        return is_condition(node.value)
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) == "np.isin"
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr)):
        return is_condition(node.left) and is_condition(node.right)
    return isinstance(node, ast.Compare)


def is_field(node: ast.Attribute) -> bool:
    """Whether an expression is a field of `Text`, such as `text.same`."""
    return isinstance(node.value, ast.Name) and node.value.id == "text" and node.attr in FIELD_TYPES

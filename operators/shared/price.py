"""What the length of a program costs: bits, at so much IoU each, so that what is written earns more than it costs.

Two-part description length (Rissanen 1978), with the IoU on fit in place of the likelihood. A listed token costs what
it takes to choose it from a vocabulary, where a field of `Text` stands for a whole class of tokens at once.
"""

from __future__ import annotations

import ast

# Of a name, operator or number; of a token or another string that is listed.
PART_BITS, TOKEN_BITS = 4.0, 15.0
IOU_PER_BIT = 1.2e-5


def bits(node: ast.AST) -> float:
    """Bits that a piece of source takes; docstrings are free.

    Example:
        >>> bits(ast.parse("text.is_name")) < bits(ast.parse("np.isin(text.tokens, [' Tom', ' Mia'])"))
        True
    """
    free = {id(each.value) for each in ast.walk(node) if isinstance(each, ast.Expr)}
    total = 0.0
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            total += 0.0 if id(part) in free else TOKEN_BITS
        elif isinstance(part, (ast.Attribute, ast.Constant, ast.operator, ast.cmpop, ast.unaryop, ast.Call)):
            total += PART_BITS
    return total


def price(node: ast.AST) -> float:
    """IoU that a piece of source has to bring in."""
    return IOU_PER_BIT * bits(node)

"""Syntax trees of programs: taking them apart, adding a line, and printing them so that a person can read them."""

from __future__ import annotations

import ast
import textwrap
from dataclasses import dataclass
from typing import TypeVar

from fitness.program import ENTRY, Program

Node = TypeVar("Node", bound=ast.AST)

NAME = "weights"
DOC_WIDTH = 100


def tree_of(program: Program) -> ast.Module:
    """A fresh syntax tree of a program, docstring included."""
    return ast.parse(program.source)


def copy_of(tree: Node) -> Node:
    """A deep copy of the code; of where it stood in its source only the lines of statements."""
    copy = type(tree)()
    for name, value in ast.iter_fields(tree):
        if isinstance(value, list):
            value = [copy_of(item) if isinstance(item, ast.AST) else item for item in value]
        setattr(copy, name, copy_of(value) if isinstance(value, ast.AST) else value)
    if isinstance(tree, ast.stmt):
        copy.lineno = getattr(tree, "lineno", 0)  # type: ignore[attr-defined]
    return copy


def length_of(tree: ast.Module) -> int:
    """Characters of the code without its docstring: what a program costs."""
    return sum(len(ast.unparse(node)) for node in entry(tree).body if not _is_text(node))


def drop_idle_lines(tree: ast.Module) -> ast.Module:
    """The same tree without lines such as `weights = weights`, and without values that are never read."""
    body = entry(tree).body
    body[:] = [node for node in body if not _is_idle(node)]
    if all(isinstance(node, (ast.Assign, ast.Return)) or _is_text(node) for node in body):
        needed: set[str] = set()
        for node in reversed(list(body)):
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            if isinstance(target, ast.Name):
                if target.id not in needed:
                    body.remove(node)
                    continue
                needed.discard(target.id)
            read = node.value if isinstance(node, (ast.Assign, ast.Return)) else None
            if read is not None:
                needed |= {part.id for part in ast.walk(read) if isinstance(part, ast.Name)}
    return tree


def _is_idle(node: ast.stmt) -> bool:
    if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.value, ast.Name)):
        return False
    return isinstance(node.targets[0], ast.Name) and node.targets[0].id == node.value.id


def changing_lines(tree: ast.Module) -> list[ast.stmt]:
    """Lines of the form `weights = weights ...`: those that a program still makes sense without."""
    return [node for node in entry(tree).body if isinstance(node, ast.Assign) and _operation(node) is not None]


def _operation(node: ast.Assign) -> ast.BinOp | None:
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Name) and isinstance(value, ast.BinOp) and isinstance(value.left, ast.Name):
        return value if value.left.id == target.id else None
    return None


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def entry(tree: ast.Module) -> ast.FunctionDef:
    """The function `program` of a module.

    Raises:
        ValueError: where it has none.
    """
    for node in reversed(tree.body):
        if isinstance(node, ast.FunctionDef) and node.name == ENTRY:
            return node
    raise ValueError(f"no function `{ENTRY}`")


def expression(source: str) -> ast.expr:
    """Syntax tree of one expression."""
    return ast.parse(source, mode="eval").body


@dataclass(frozen=True)
class Place:
    """A place in a syntax tree that holds one expression, and can hold another.

    Attributes:
        holder: the node whose child it is.
        name: the holder's field.
        index: index where that field is a list, else None.
    """

    holder: ast.AST
    name: str
    index: int | None = None

    @property
    def node(self) -> ast.expr:
        """What it holds now."""
        value = getattr(self.holder, self.name)
        return value if self.index is None else value[self.index]

    def put(self, node: ast.expr) -> None:
        """Holds another expression from now on."""
        if self.index is None:
            setattr(self.holder, self.name, node)
        else:
            getattr(self.holder, self.name)[self.index] = node


def places_of(tree: ast.AST) -> list[Place]:
    """Every place of a tree that holds an expression which is read, outer ones before inner ones."""
    found = []
    for holder in ast.walk(tree):
        for name, value in ast.iter_fields(holder):
            children = enumerate(value) if isinstance(value, list) else [(None, value)]
            found += [
                Place(holder, name, index)
                for index, child in children
                if isinstance(child, ast.expr) and not isinstance(getattr(child, "ctx", None), ast.Store)
            ]
    return found


def program_tree(start: str) -> ast.Module:
    """A program that returns one expression, as a tree."""
    return ast.parse(f"def {ENTRY}(text):\n    {NAME} = {start}\n    return {NAME}\n")


def step_source(pattern: str, coefficient: float, *, times: bool) -> str:
    """What follows `weights` in a line that adds a pattern, or multiplies by 1 + coefficient * pattern."""
    term = f"{spell(abs(coefficient))} * {_in_brackets(pattern)}"
    if times:
        return f"* (1 {'-' if coefficient < 0 else '+'} {term})"
    return f"+ {term}"


def can_append(tree: ast.Module) -> bool:
    """Whether a program ends in the only `return` that it has, with a value."""
    last = entry(tree).body[-1]
    returns = sum(isinstance(node, ast.Return) for node in ast.walk(entry(tree)))
    return isinstance(last, ast.Return) and last.value is not None and returns == 1


def append_line(tree: ast.Module, operation: str) -> ast.Module:
    """A copy in which one more line changes the weights before they are returned.

    Args:
        tree: a program whose last statement returns its weights.
        operation: what follows `weights` in the new line, such as `+ 0.3 * text.is_comma`.

    Raises:
        ValueError: where the program does not end in the only `return` that it has.
    """
    changed = copy_of(tree)
    body = entry(changed).body
    last = body[-1]
    if not can_append(changed) or not isinstance(last, ast.Return) or last.value is None:
        raise ValueError("the program does not end in its only return")
    if isinstance(last.value, ast.Name):
        name = last.value.id
        new = []
    else:
        name = NAME
        new = [ast.Assign([ast.Name(NAME, ast.Store())], last.value)]
    line = ast.parse(f"{name} = {name} {operation}").body[0]
    body[-1:] = [*new, line, ast.Return(ast.Name(name, ast.Load()))]
    return ast.fix_missing_locations(changed)


def lines_of(tree: ast.Module) -> list[str]:
    """What follows the name in every line that changes a variable by an operator, as `append_line` takes it.

    Lines that need other variables of their program are left out.
    """
    found = []
    for node in changing_lines(tree):
        value = _operation(node) if isinstance(node, ast.Assign) else None
        assert value is not None
        assert isinstance(value.left, ast.Name)
        if {part.id for part in ast.walk(value.right) if isinstance(part, ast.Name)} <= {"text", "np"}:
            found.append(ast.unparse(value).removeprefix(f"{value.left.id} "))
    return found


def spell(number: float, digits: int = 2) -> str:
    """A number to so many significant digits, without an exponent where that is short."""
    text = f"{number:.{digits}g}"
    return text if "e" not in text else f"{float(text):.6f}".rstrip("0").rstrip(".") if abs(number) > 1e-5 else text


def rounded(number: float, digits: int = 2) -> float:
    """The number that `spell` writes."""
    return float(spell(number, digits))


def to_source(tree: ast.Module, doc: str | None = None) -> str:
    """Source text of a program.

    Args:
        tree: the program; left unchanged.
        doc: a new docstring; None keeps the one it has.
    """
    if doc is None:
        return ast.unparse(ast.fix_missing_locations(tree)) + "\n"
    changed = copy_of(tree)
    function = entry(changed)
    if _is_text(function.body[0]):
        del function.body[0]
    lines = textwrap.wrap(doc, DOC_WIDTH)
    text = lines[0] if len(lines) == 1 else "\n    ".join(lines) + "\n    "
    function.body.insert(0, ast.Expr(ast.Constant(text)))
    return ast.unparse(ast.fix_missing_locations(changed)) + "\n"


def _in_brackets(source: str) -> str:
    node = expression(source)
    simple = isinstance(node, (ast.Attribute, ast.Subscript, ast.Call, ast.Name, ast.Constant))
    product = isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Pow))
    return source if simple or product else f"({source})"

"""A program: source text of one function, with an identity that ignores names of no consequence to what it does."""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass
from functools import cached_property

from fitness.failures import FailureKind

ENTRY = "program"
MAX_CHARACTERS = 100_000


class ProgramError(ValueError):
    """Source text that is no program.

    Attributes:
        kind: `SYNTAX` (does not parse) or `REJECTED` (parses, but breaks the contract).
        line: 1-based line, or None.
    """

    def __init__(self, kind: FailureKind, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.line = line


@dataclass(frozen=True)
class Program:
    """Source of one program and what follows from it.

    Attributes:
        source: the text as it was written, docstring and comments kept.
        id: first 16 hexadecimal digits of the SHA-256 of `normalised`; equal for programs that differ in layout only.
    """

    source: str
    id: str

    @classmethod
    def parse(cls, source: str) -> Program:
        """Reads source text; nothing of it is run.

        Raises:
            ProgramError: where it does not parse, is too long or too deeply nested, or defines no function `program` of
                one argument.
        """
        if len(source) > MAX_CHARACTERS:
            raise ProgramError(FailureKind.REJECTED, f"{len(source)} characters long, {MAX_CHARACTERS} are allowed")
        tree = parse_tree(source)
        entry = _entries(tree)
        if not entry:
            raise ProgramError(FailureKind.REJECTED, f"defines no function `{ENTRY}(text)`")
        arguments = entry[-1].args
        required = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
        if required > 1 or not (arguments.posonlyargs or arguments.args):
            raise ProgramError(FailureKind.REJECTED, f"`{ENTRY}` must take one argument, the text", entry[-1].lineno)
        docstring = ast.get_docstring(entry[-1]) or ""
        try:
            normalised = ast.unparse(_without_docstrings(tree))
        except (ValueError, RecursionError, MemoryError) as error:  # huge numbers, deep nesting
            raise ProgramError(FailureKind.REJECTED, str(error) or "nested too deeply") from None
        program = cls(source.strip() + "\n", hashlib.sha256(normalised.encode()).hexdigest()[:16])
        vars(program).update(normalised=normalised, docstring=docstring)
        return program

    @cached_property
    def normalised(self) -> str:
        """The same code without docstrings and comments, in one spelling (`ast.unparse`)."""
        return ast.unparse(_without_docstrings(parse_tree(self.source)))

    @cached_property
    def length(self) -> int:
        """Characters of the normalised source: the cost of a program in a library."""
        return len(self.normalised)

    @cached_property
    def docstring(self) -> str:
        """Docstring of the function, empty where it has none."""
        return ast.get_docstring(_entries(parse_tree(self.source))[-1]) or ""


def parse_tree(source: str) -> ast.Module:
    """Syntax tree of source text.

    Raises:
        ProgramError: of kind "syntax", with the line, where the text does not parse or nests too deeply.
    """
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise ProgramError(FailureKind.SYNTAX, error.msg, error.lineno) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ProgramError(FailureKind.SYNTAX, str(error) or "nested too deeply") from None


def _entries(tree: ast.Module) -> list[ast.FunctionDef]:
    return [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == ENTRY]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    # Definitions are statements: their expressions, which are most of a tree, need not be walked.
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, name, None)
            waiting.extend(inner if isinstance(inner, list) else ())
    return tree

"""A program: source text of one function, with an identity that ignores names of no consequence to what it does."""

from __future__ import annotations

import ast
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from html import escape

from fitness.failures import FailureKind
from fitness.printable import printable

ENTRY = "program"
# Whatever reads a program - the parser, operators, the export - takes time and memory by these numbers.
MAX_CHARACTERS = 100_000
MAX_NODES = 20_000
MAX_DEPTH = 200
# Operators write a program's lines as one expression; lines such as `w = w + w` double it each time.
MAX_WRITTEN_OUT = 1_000_000
# The parser takes memory by the square of the length of a dotted name.
_DOTTED = re.compile(r"(?:\.[\s\\]*\w+[\s\\]*){50}")


class ProgramError(ValueError):
    """Source text that is not a program.

    Attributes:
        kind: `SYNTAX` (does not parse) or `REJECTED` (parses, but breaks the contract).
        line: 1-based line, or None.
    """

    def __init__(self, kind: FailureKind, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.line = line


@dataclass(frozen=True, repr=False)
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
            ProgramError: where it does not parse, is too long, too large or too deeply nested, holds text that UTF-8
                cannot, or defines no function `program` of one argument.
        """
        tree = parse_tree(source)
        _check_size(tree)
        entry = _entries(tree)
        if not entry:
            raise ProgramError(FailureKind.REJECTED, f"defines no function `{ENTRY}(text)`")
        arguments = entry[-1].args
        required = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
        if required > 1 or not (arguments.posonlyargs or arguments.args):
            raise ProgramError(FailureKind.REJECTED, f"`{ENTRY}` must take one argument, the text", entry[-1].lineno)
        size, line = written_out(entry[-1])
        if size > MAX_WRITTEN_OUT:
            message = f"comes to more than {MAX_WRITTEN_OUT} operations when its variables are written out"
            raise ProgramError(FailureKind.REJECTED, message, line)
        docstring = ast.get_docstring(entry[-1]) or ""
        try:
            docstring.encode()
            normalised = ast.unparse(_without_docstrings(tree))
            identity = hashlib.sha256(normalised.encode()).hexdigest()[:16]
        except UnicodeEncodeError:
            raise ProgramError(FailureKind.REJECTED, "holds half of a surrogate pair: not a character") from None
        except (ValueError, RecursionError, MemoryError) as error:  # huge numbers, deep nesting
            raise ProgramError(FailureKind.REJECTED, str(error) or "nested too deeply") from None
        program = cls(source.strip() + "\n", identity)
        vars(program).update(normalised=normalised, docstring=docstring)
        return program

    def __str__(self) -> str:
        return self.source.rstrip()

    def __repr__(self) -> str:
        return printable(f"# program {self.id}\n{self}", lines=True)

    def _repr_html_(self) -> str:
        return f'<pre style="text-align:left">{escape(self.source)}</pre>'

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


def parse_tree(source: str, most: int = MAX_CHARACTERS) -> ast.Module:
    """Syntax tree of source text.

    Args:
        source: the text; nothing of it is run.
        most: characters that it may have.

    Raises:
        ProgramError: "syntax", with the line, where the text does not parse or nests too deeply; "rejected" where it is
            too long for the parser's time and memory, or holds text that UTF-8 cannot.
    """
    if len(source) > most:
        raise ProgramError(FailureKind.REJECTED, f"{len(source)} characters long, {most} are allowed")
    dotted = _DOTTED.search(source)
    if dotted:
        line = source.count("\n", 0, dotted.start()) + 1
        raise ProgramError(FailureKind.REJECTED, "a name of more than 50 parts between dots", line)
    try:
        source.encode()
        return ast.parse(source)
    except SyntaxError as error:
        raise ProgramError(FailureKind.SYNTAX, error.msg, error.lineno) from None
    except UnicodeEncodeError:
        raise ProgramError(FailureKind.REJECTED, "holds half of a surrogate pair: not a character") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ProgramError(FailureKind.SYNTAX, str(error) or "nested too deeply") from None


def _check_size(tree: ast.Module) -> None:
    count, level, depth = 0, [tree], 0
    while level:
        count, depth = count + len(level), depth + 1
        if count > MAX_NODES or depth > MAX_DEPTH:
            excess = f"nested deeper than {MAX_DEPTH}" if depth > MAX_DEPTH else f"more than {MAX_NODES} parts"
            raise ProgramError(FailureKind.REJECTED, f"{excess}, which is too large for a program")
        level = [child for node in level for child in ast.iter_child_nodes(node)]  # type: ignore[misc]


def written_out(function: ast.FunctionDef) -> tuple[int, int]:
    """What the lines of a function come to when each variable is replaced by the expression that it stands for.

    Returns:
        parts of its largest line, words in lists not counted, and the number of that line.
    """
    sizes: dict[str, int] = {}
    most = (0, function.lineno)
    for statement in function.body:
        value = getattr(statement, "value", None)
        if not isinstance(statement, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return)) or value is None:
            continue
        size = sum(
            sizes.get(node.id, 1) if isinstance(node, ast.Name) else 1
            for node in ast.walk(value)
            if isinstance(node, ast.expr) and not isinstance(node, ast.Constant)
        )
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if isinstance(statement, ast.AugAssign):
            size += sum(sizes.get(name, 1) for name in names)
        most = max(most, (size, statement.lineno), key=lambda found: found[0])
        sizes.update(dict.fromkeys(names, size))
    return most


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

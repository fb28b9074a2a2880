"""Reads files of programs from outside: `program(text)` functions, or published `(sentence, tokenizer)` functions."""

from __future__ import annotations

import ast
import copy
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fitness.failures import FailureKind
from fitness.program import ENTRY, Program, ProgramError, parse_tree

MAX_FILE_CHARACTERS = 4_000_000
_LAZY = "from __future__ import annotations\n"


def adapt(source: str) -> dict[str, Program]:
    """Makes one program of every suitable function in a file.

    Suitable are functions of one argument `text`, and functions `(sentence, tokenizer)` that return a matrix or
    `(name, matrix)`. A program takes along what its function uses of the file: helpers, constants and imports, by the
    nearest definition above it, so that files that define one name many times work. Imports that only annotations
    need are left out; any other import that programs cannot have stays, and is rejected when run. A file with the one
    function `program(text)` is a program as it stands.

    Args:
        source: text of a Python file; nothing of it is run.

    Returns:
        Name -> program, in the order of the file; a function name that comes again gets `_2`, `_3`, ...

    Raises:
        ProgramError: where the file does not parse, or holds no such function.
    """
    pieces = _pieces(source)
    chosen = _entries(pieces)
    if not chosen:
        message = f"the file holds no function `{ENTRY}(text)` and none `(sentence, tokenizer)`"
        raise ProgramError(FailureKind.REJECTED, message)
    if [piece.name for piece in chosen] == [ENTRY] and not _takes_tokenizer(chosen[0].node):
        return {ENTRY: Program.parse(source)}
    programs: dict[str, Program] = {}
    bindings, counts, characters = _Bindings(pieces), Counter[str](), 0
    for piece in chosen:
        counts[piece.name] += 1
        name = piece.name if counts[piece.name] == 1 else f"{piece.name}_{counts[piece.name]}"
        needed = bindings.needed(piece)
        # Every program takes along what it uses, so a file of helpers that use each other grows by its square.
        characters += sum(len(each.text) for each in [piece, *needed])
        if characters > MAX_FILE_CHARACTERS:
            raise ProgramError(FailureKind.REJECTED, f"its programs come to more than {MAX_FILE_CHARACTERS} characters")
        programs[name] = Program.parse(_assemble(piece, needed))
    return programs


@dataclass(frozen=True)
class _Piece:
    """One statement at the top level of a file.

    Attributes:
        position: its place in the file.
        node: its syntax tree.
        text: its source.
        binds: names that it defines.
        uses: names that it reads, outside annotations.
    """

    position: int
    node: ast.stmt
    text: str
    binds: frozenset[str]
    uses: frozenset[str]

    @property
    def name(self) -> str:
        """Name of the function, if it is one."""
        return getattr(self.node, "name", "")


def _pieces(source: str) -> list[_Piece]:
    # Lines as the parser counts them, which knows fewer line breaks than `splitlines`.
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    body = [single for node in parse_tree(source, MAX_FILE_CHARACTERS).body for single in _split_import(node)]
    shared = Counter(line for node in body for line in {node.lineno, node.end_lineno or 0})
    pieces: list[_Piece] = []
    for node in body:
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
        alone = shared[node.lineno] == 1 and (node.end_lineno == node.lineno or shared[node.end_lineno or 0] == 1)
        if alone and not isinstance(node, (ast.Import, ast.ImportFrom)):
            text = "\n".join(lines[first - 1 : node.end_lineno])
        else:
            text = ast.unparse(node)
        binds, uses = frozenset(_binds(node)), frozenset(_uses(node))
        pieces.append(_Piece(len(pieces), node, text + "\n", binds, uses))
    return pieces


def _split_import(node: ast.stmt) -> Iterator[ast.stmt]:
    """An import of several names as one statement per name, so that each can be kept or left out."""
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        return
    if not isinstance(node, (ast.Import, ast.ImportFrom)):
        yield node
        return
    for alias in node.names:
        single = (
            ast.Import([alias]) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, [alias], node.level)
        )
        yield ast.copy_location(single, node)


def _entries(pieces: list[_Piece]) -> list[_Piece]:
    """The functions that are programs: those of `(sentence, tokenizer)`, `program`, or else all of `(text)`."""
    functions = [piece for piece in pieces if isinstance(piece.node, ast.FunctionDef)]
    published = [piece for piece in functions if _takes_tokenizer(piece.node)]
    named = [piece for piece in functions if piece.name == ENTRY and piece not in published]
    if not named:
        used = {name for piece in functions for name in piece.uses - {piece.name}}
        named = [piece for piece in functions if _required(piece.node) == ["text"] and piece.name not in used]
    return sorted(
        [piece for piece in published + named if not piece.name.startswith("_")], key=lambda piece: piece.position
    )


def _required(node: ast.stmt) -> list[str]:
    """Names of the arguments that a function must be given by position."""
    assert isinstance(node, ast.FunctionDef)
    positional = [*node.args.posonlyargs, *node.args.args]
    return [argument.arg for argument in positional[: len(positional) - len(node.args.defaults)]]


def _takes_tokenizer(node: ast.stmt) -> bool:
    names = _required(node)
    return len(names) == 2 and names[1].lower().startswith("tok")


class _Bindings:
    """Where each name of a file is defined."""

    def __init__(self, pieces: list[_Piece]) -> None:
        self._pieces = pieces
        self._positions: dict[str, list[int]] = {}
        for piece in pieces:
            for name in piece.binds:
                self._positions.setdefault(name, []).append(piece.position)

    def nearest(self, name: str, position: int) -> _Piece | None:
        """The nearest definition above a place in the file, or else the first one below."""
        positions = self._positions.get(name, [])
        index = bisect_left(positions, position)
        if index:
            return self._pieces[positions[index - 1]]
        below = [found for found in positions[index : index + 2] if found != position]
        return self._pieces[below[0]] if below else None

    def needed(self, entry: _Piece) -> list[_Piece]:
        """What a function uses of its file, directly or not, in the order of the file."""
        found: dict[int, _Piece] = {}
        waiting = [entry]
        while waiting:
            piece = waiting.pop()
            for name in sorted(piece.uses - {piece.name}):
                other = self.nearest(name, piece.position)
                if other and other.position not in found and other is not entry:
                    found[other.position] = other
                    waiting.append(other)
        return [found[position] for position in sorted(found)]


def _assemble(entry: _Piece, needed: list[_Piece]) -> str:
    node = entry.node
    assert isinstance(node, ast.FunctionDef)
    before = "".join(_spaced(piece) for piece in needed)
    text = _spaced(entry)
    used = set().union(entry.uses, *(piece.uses for piece in needed))
    lazy = _LAZY if any(_annotations(piece.node) for piece in [entry, *needed]) else ""
    if not _takes_tokenizer(node):
        # Under its own name, a function is a program without being wrapped.
        if entry.name != ENTRY and entry.name not in used:
            text = re.sub(rf"\bdef\s+{re.escape(entry.name)}\b", f"def {ENTRY}", text, count=1)
            return f"{lazy}{before}{text}"
        wrapper = f"\n\ndef {ENTRY}(text):\n    return {entry.name}(text)\n" if entry.name != ENTRY else ""
        return f"{lazy}{before}{text}{wrapper}"
    name = entry.name
    if name == ENTRY:
        name = "original"
        text = "\n\n" + ast.unparse(_Renamed(name).visit(copy.deepcopy(node))) + "\n"
    body = f'    """{_title(node)}"""\n'
    call = f"{name}(text.string, text.tokenizer)"
    pairs = {_is_pair(each.value) for each in _returns(node)}
    if pairs == {True}:
        body += f"    return {call}[1]\n"
    else:
        body += f"    result = {call}\n    return result[1] if isinstance(result, tuple) else result\n"
    return f"{lazy}{before}{text}\n\ndef {ENTRY}(text):\n{body}"


class _Renamed(ast.NodeTransformer):
    """A function, and its own mentions of itself, by another name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = self._name if node.name == ENTRY else node.name
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._name if node.id == ENTRY else node.id
        return node


def _spaced(piece: _Piece) -> str:
    defines = isinstance(piece.node, (ast.FunctionDef, ast.ClassDef))
    return f"\n\n{piece.text}" if defines else piece.text


def _title(node: ast.FunctionDef) -> str:
    """What the function says of itself: its docstring's first line, the name it returns, or its own name."""
    docstring = (ast.get_docstring(node) or "").strip()
    names = [
        each.value.elts[0].value
        for each in _returns(node)
        if isinstance(each.value, ast.Tuple) and each.value.elts and isinstance(each.value.elts[0], ast.Constant)
    ]
    title = docstring.splitlines()[0] if docstring else str(names[0]) if names else node.name.replace("_", " ")
    title = " ".join("".join(c if c.isprintable() and c not in '"\\' else " " for c in title).split())
    return title if title.endswith((".", "!", "?")) else f"{title}."


def _returns(node: ast.FunctionDef) -> list[ast.Return]:
    """The function's own return statements, not those of functions within it."""
    found: list[ast.Return] = []
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, ast.Return):
            found.append(each)
        elif not isinstance(each, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            waiting.extend(ast.iter_child_nodes(each))
    return found


def _is_pair(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Tuple) and len(value.elts) == 2


def _annotations(node: ast.AST) -> list[ast.expr]:
    roots = [getattr(each, field, None) for each in ast.walk(node) for field in ("annotation", "returns")]
    return [root for root in roots if isinstance(root, ast.expr)]


def _uses(node: ast.stmt) -> Iterator[str]:
    unread = {id(inner) for root in _annotations(node) for inner in ast.walk(root)}
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load) and id(each) not in unread:
            yield each.id


def _binds(node: ast.stmt) -> Iterable[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    return [each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)]

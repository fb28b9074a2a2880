"""Two domains that every machine has: functions, and docstrings, of Python's own standard library."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from fitness.errors import UserError

BUILT_IN = ("python-code", "python-docs")

# Short ones would be cut nowhere and say little; long ones are generated tables.
CODE_CHARACTERS = (300, 4000)
DOC_CHARACTERS = (250, 4000)
# One file in this many is read, chosen by the hash of its name: parsing all takes seconds.
ONE_FILE_IN = 2
# What distributions patch, split into packages of their own, or generate.
LEFT_OUT = frozenset(
    "test tests idle_test idlelib tkinter turtledemo turtle lib2to3 distutils ensurepip venv pydoc_data site sysconfig "
    "sitecustomize site-packages dist-packages __pycache__ lib-dynload __phello__".split()
)


def read_standard_library(domain: str) -> list[str]:
    """Texts of a domain in the order of their hashes: the same on every machine of one Python version.

    Args:
        domain: `python-code`, functions and methods without their docstrings; or `python-docs`, docstrings.

    Raises:
        UserError: where this Python comes without the sources of its standard library.
    """
    extract = _functions if domain == "python-code" else _docstrings
    shortest, longest = CODE_CHARACTERS if domain == "python-code" else DOC_CHARACTERS
    texts = {text for source in _sources() for text in extract(source) if shortest <= len(text) <= longest}
    if not texts:
        raise UserError(f"texts: {domain} needs the sources of Python's standard library, which are not installed here")
    return sorted(texts, key=_digest)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _sources() -> Iterator[str]:
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        parts = {*name.parts[:-1], name.stem}
        if parts & LEFT_OUT or name.stem.startswith("_sysconfigdata") or name.parts[0].startswith("config-"):
            continue
        if int.from_bytes(_digest(name.as_posix())[:4], "big") % ONE_FILE_IN:
            continue
        try:
            yield path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue  # a few sources are Latin-1 on purpose


def _functions(source: str) -> Iterator[str]:
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            kept = lines[node.lineno - 1 : node.end_lineno]
            first = node.body[0]
            if ast.get_docstring(node, clean=False) is not None and first.end_lineno is not None:
                begin, end = first.lineno - node.lineno, first.end_lineno - node.lineno + 1
                kept = kept[:begin] + kept[end:] if begin else []
            yield "\n".join(line[node.col_offset :] if not line[: node.col_offset].strip() else line for line in kept)


def _docstrings(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text:
                yield inspect.cleandoc(text)

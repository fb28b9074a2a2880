"""The plan of the house, DESIGN in one test each: who may import whom."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from operators.registry import LLM_OPERATORS, OFFLINE_OPERATORS

ROOT = Path(__file__).resolve().parents[1]
# Each may import itself and what stands before it.
LAYERS = ["configs", "fitness", "archives", "operators", "evolve", "headscribe"]
OPERATORS = [module for module, _ in (OFFLINE_OPERATORS | LLM_OPERATORS).values()]


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Modules that a file imports anywhere, also within functions and for type checking alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize(("package", "above"), [(low, LAYERS[at + 1 :]) for at, low in enumerate(LAYERS[:-1])])
def test_nothing_imports_upwards(package: str, above: list[str]):
    upwards = [(str(path), name) for path in sources(package) for name in imported(path) if name.split(".")[0] in above]
    assert not upwards


def test_the_layers_are_found_and_do_import_downwards():
    found = {low: {name.split(".")[0] for path in sources(low) for name in imported(path)} for low in LAYERS}
    assert all("fitness" in found[package] for package in ("archives", "operators", "evolve"))
    assert all(sources(package) for package in LAYERS[:-1])


@pytest.mark.parametrize("module", OPERATORS)
def test_no_operator_imports_another(module: str):
    others = [other for other in OPERATORS if other != module]
    found = set(imported(ROOT / f"{module.replace('.', '/')}.py"))
    assert not [(name, other) for name in found for other in others if within(name, other)]


def test_what_operators_share_imports_no_operator():
    for path in sources("operators/shared"):
        assert not [name for name in imported(path) if any(within(name, operator) for operator in OPERATORS)], path


def test_the_client_knows_no_operator_and_no_template():
    client = "operators.llm.client"
    for path in sources("operators/llm/client"):
        known = [name for name in imported(path) if within(name, "operators")]
        assert all(within(name, client) for name in known), path


def test_only_commands_and_views_print_or_draw():
    rooms = ROOT / "evolve" / "commands", ROOT / "evolve" / "views"
    drawing = {path for low in LAYERS for path in sources(low) if any(within(name, "rich") for name in imported(path))}
    assert drawing, "rich is imported somewhere"
    assert not [str(path) for path in drawing if not any(path.is_relative_to(room) for room in rooms)]
    calls = {
        path
        for path in sources("evolve")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert not calls


def test_only_the_command_line_imports_commands():
    importing = {
        path
        for low in LAYERS
        for path in sources(low)
        if any(within(name, "evolve.commands") for name in imported(path))
    }
    assert importing
    assert all(path.parent == ROOT / "evolve" / "command_line" for path in importing)


def public_names(path: Path) -> Iterator[tuple[str, bool]]:
    """Functions and classes that a file defines at its top, and whether each is a class."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node.name, isinstance(node, ast.ClassDef)


def test_no_public_name_is_defined_in_two_modules():
    """But for what is named by where it stands.

    The command line and the public face call a function by the name that users know, and every view has a `render`.
    """
    places: dict[str, list[str]] = defaultdict(list)
    for package in LAYERS:
        for path in sources(package):
            name = path.relative_to(ROOT).as_posix()
            face = name.startswith("evolve/command_line/") or package == "headscribe"
            for defined, is_class in public_names(path):
                view = name.startswith("evolve/views/") and defined == "render"
                if is_class or not (face or view or defined == "main"):
                    places[defined].append(name)
    assert not {defined: found for defined, found in places.items() if len(found) > 1}


def test_files_and_functions_stay_small():
    long_files, long_functions = [], []
    for path in (path for package in LAYERS for path in sources(package)):
        text = path.read_text(encoding="utf-8")
        name, lines = path.relative_to(ROOT).as_posix(), text.count("\n")
        if lines > 350:
            long_files.append(f"{name}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > 60:
                    long_functions.append(f"{name}: {node.name} has {length} lines")
    assert not long_files
    assert not long_functions


def test_the_map_in_contributing_leads_to_lines_that_are_there():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| `([\w/]+)` \| (.+) \|$", page, flags=re.MULTILINE)
    assert len(rows) >= 10
    for question, room, line in rows:
        paths = [ROOT / path for path in re.findall(r"`([\w./]+\.(?:py|md))`", line)]
        assert paths, question
        assert all(path.is_file() for path in paths), question
        assert paths[0].parent == ROOT / room, question
        name = re.match(r"`(\w+)` in ", line)
        if name:
            defined = {
                getattr(node, "name", None) for node in ast.walk(ast.parse(paths[0].read_text(encoding="utf-8")))
            }
            assert name[1] in defined, question

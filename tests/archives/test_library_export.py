import ast
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archives.build_library import build_library
from archives.compare import compare_libraries, read_library_json
from archives.curves import coverage_curve, curve_order
from archives.export import function_names, library_json, library_json_text
from archives.function_source import as_function, literal
from archives.library_py import library_py
from archives.plots import save_plots
from archives.reduce import reduce
from archives.table import ScoreTable
from fitness.errors import UserError
from fitness.program import Program, ProgramError
from fitness.scoring.agreement import agree
from fitness.text.view import Text

WRITTEN = '''\
=== plain
import numpy as np
def program(text):
    """Looks at the previous token.

    And more."""
    # one back
    return np.where(text.distance == 1, 1.0, 0)  # the rest is zero
=== one line
def program(text): return text.same * 1
=== one line with docstring
def program(text): "Same."; return text.same * 1
=== docstring and code on one line
def program(text):
    "Same."; return text.same * 1
=== no docstring, nested function first
def program(text):
    def f(x):
        return x + 1
    return f(text.same)
=== only docstring after imports
"""Module."""
import math, re

def program(text):

    x = math.pi
    return text.same * x
=== helpers
import math
K = 3
def helper(a):
    return a * K
def program(text):
    return helper(text.same) * math.e
=== other helpers
K = 5
def helper(a):
    return a * K
def program(text):
    return helper(text.same)
=== imports under other names
from math import sqrt as root
import numpy
def program(text):
    return numpy.full((text.n, text.n), root(2))
=== calls itself
def program(text, depth=0):
    return program(text, 1) if depth == 0 else text.same * 2
=== globals
from __future__ import annotations
CALLS = 0
def program(text):
    global CALLS, OTHER
    OTHER = 1
    CALLS += OTHER
    return text.same * CALLS
=== long string in a helper
S = """a
b"""
def program(text):
    return text.same * len(S)
=== long string
def program(text):
    s = """a
b"""
    return text.same * len(s)
=== argument of another name
WORDS = {'a', 'the'}
text = 3
def program(t):
    return t.same * text * len(WORDS)
=== class
class Box:
    size = 2
def program(text):
    return text.same * Box.size
=== annotated and spread out
def program(
    text,
    k: int = 2,
):
    # first
    return text.same * k
=== tabs
def program(text):
\t"""Tabs."""
\treturn text.same * 7
=== defined twice
def program(text):
    return text.same
def program(text):
    return text.same * 4
=== module docstring with helpers
"""About."""
K = 2
def program(text):
    return text.same * K
'''
SOURCES = dict(part.split("\n", 1) for part in WRITTEN.split("=== ")[1:])
DOCSTRING = 'Says "so", costs \\d,\n\nand """more""".'


def run_original(source, text):
    names = {"np": np}
    exec(compile(source, "original", "exec"), names)
    return np.asarray(names["program"](text))


@pytest.mark.parametrize("name", SOURCES)
def test_a_renamed_program_does_the_same_at_every_call(name):
    source, modules = as_function(SOURCES[name], "program_01_it", DOCSTRING)
    tree = ast.parse(source)
    assert [type(node) for node in tree.body] == [ast.FunctionDef]
    assert tree.body[0].name == "program_01_it"
    names = {"np": np} | {module: __import__(module) for module in modules if module != "numpy"}
    exec(compile(source, "renamed", "exec"), names)
    text = Text(["the", " cat", " the"])
    for _ in range(2):
        np.testing.assert_array_equal(names["program_01_it"](text), run_original(SOURCES[name], text))
    assert names["program_01_it"].__doc__.split() == DOCSTRING.split()


def test_source_without_the_function_is_refused():
    with pytest.raises(ProgramError, match="defines no function"):
        as_function("x = 1\n", "f", "New.")


@given(st.text(alphabet='ab"\\\n \x07é\ud800', max_size=12))
@settings(max_examples=300, deadline=None)
def test_docstring_literals_read_back(text):
    source = "def f():\n    " + literal(text, "    ") + "\n"
    read = ast.get_docstring(ast.parse(source).body[0])
    assert (read or "").split() == text.split()


def library_of(seed=0, sources=SOURCES, heads=20, test=True, **options):
    rng = np.random.default_rng(seed)
    programs = {program.id: program for program in map(Program.parse, sources.values())}
    labels = tuple(f"L{row // 4}H{row % 4}" for row in range(heads))
    base = rng.random((heads, len(programs), 1))
    tables = [
        ScoreTable(np.clip(base + rng.normal(0, 0.05, (heads, len(programs), 5)), 0, 1), labels, tuple(programs))
        for _ in range(2)
    ]
    costs = [program.length for program in programs.values()]
    result = reduce(tables[0], costs=costs, rounds=20, **(options or {"epsilon": 0.0}))
    library = build_library(
        tables[0],
        result,
        test=tables[1] if test else None,
        programs=programs,
        costs=costs,
        signatures=[f"b-{name}" for name in sources],
        descriptors=rng.random((len(programs), 2)),
        descriptor_names=["reach", "focus"],
        resamples=50,
    )
    return library, tables


def test_library_py_imports_with_numpy_alone_and_holds_every_program_under_a_name_of_its_own(tmp_path):
    library, _ = library_of()
    path = tmp_path / "library.py"
    path.write_text(library_py(library, agree), encoding="utf-8")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import numpy; before = {m.split('.')[0] for m in sys.modules}\n"
        "import library\n"
        "new = {m.split('.')[0] for m in sys.modules} - before - set(sys.stdlib_module_names)\n"
        "assert new == {'library'}, new\n"
        "print(len(set(library.PROGRAMS.values())), len(library.HEADS))\n"
        "assert set(library.HEADS.values()) <= set(library.PROGRAMS)\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert shown.stdout.split() == [str(len(library.members)), "20"]


def test_library_py_does_what_the_programs_do_and_says_for_whom():
    library, _ = library_of()
    names: dict = {}
    exec(compile(library_py(library, agree), "library.py", "exec"), names)
    text = Text(["the", " cat", " the"])
    for member in library.members:
        function = names["PROGRAMS"][member.id]
        np.testing.assert_array_equal(function(text), run_original(member.program.source, text))
        assert all(f"{head} " in function.__doc__ for head in member.heads)
        assert f"{member.iou_test.value:.3f}" in function.__doc__
        assert "reach" in function.__doc__
    assert names["HEADS"] == {line.label: line.program for line in library.heads}
    assert "from headscribe_text import Text" in names["__doc__"]


def test_function_names_are_readable_valid_and_different():
    library, _ = library_of()
    names = function_names(library)
    assert len(set(names.values())) == len(library.members)
    assert all(name.isidentifier() and name.isascii() for name in names.values())
    plain = Program.parse(SOURCES["plain"]).id
    assert names.get(plain, "program_00_looks_previous_token").endswith("_looks_previous_token")


def test_library_json_holds_the_keys_that_scripts_rely_on():
    library, _ = library_of()
    loaded = json.loads(library_json_text(library))
    for key in ("library_size", "mean_iou_test", "full_mean_iou_test", "heads_covered", "lower_bound", "optimal"):
        assert loaded[key] is not None
    assert loaded["library_size"] == len(loaded["programs"]) == len(library.members)
    assert set(loaded["assignment"]) == {line.label for line in library.heads}
    assert [head for program in loaded["programs"] for head in program["heads"]].__len__() == 20
    blind, _ = library_of(test=False)
    assert library_json(blind)["mean_iou_test"] is None


def test_table_without_sources_makes_json_but_no_python():
    table = ScoreTable([[0.5, 0.2]], ("L0H0",), ("a name", "b"))
    library = build_library(table, reduce(table))
    assert json.loads(library_json_text(library))["programs"][0]["source"] is None
    with pytest.raises(ValueError, match="has no source"):
        library_py(library, agree)


def test_all_missing_makes_an_empty_library_that_can_be_written():
    table = ScoreTable(np.full((2, 1), np.nan), ("L0H0", "L0H1"), ("p",))
    library = build_library(table, reduce(table), test=table)
    assert json.loads(library_json_text(library))["library_size"] == 0
    names: dict = {}
    exec(library_py(library, agree), names)
    assert names["PROGRAMS"] == {}


def test_comparing_a_library_with_itself_shows_no_change():
    library, _ = library_of()
    result = compare_libraries(library_json(library), library_json(library))
    assert (result.won, result.lost, result.even) == ((), (), 20)
    assert len(result.common) == len(library.members)
    assert not result.programs_gone
    assert not result.programs_new


def test_heads_won_and_lost_are_told_apart_and_turn_round():
    one, two = library_json(library_of()[0]), library_json(library_of(size=3)[0])
    there, back = compare_libraries(one, two), compare_libraries(two, one)
    assert there.lost
    assert [c.head for c in there.lost] == [c.head for c in back.won]
    assert [c.head for c in there.won] == [c.head for c in back.lost]
    for change in there.lost:
        expected = two["assignment"][change.head]["iou_test"] - one["assignment"][change.head]["iou_test"]
        assert change.difference == pytest.approx(expected)
        assert change.difference < -0.02
    shown = str(there)
    assert f"heads won {len(there.won)}, lost {len(there.lost)}" in shown
    assert f"- {there.lost[0].head} " in shown


def test_programs_are_in_common_by_behaviour_though_their_sources_differ():
    one = library_json(library_of()[0])
    two = json.loads(json.dumps(one))
    two["programs"][0]["id"] = "another"
    assert len(compare_libraries(one, two).common) == len(one["programs"])
    two["programs"][0]["behaviour"] = "another"
    assert len(compare_libraries(one, two).common) == len(one["programs"]) - 1
    measured = {program["id"]: "same" for program in one["programs"][:1]} | {"another": "same"}
    assert len(compare_libraries(one, two, signatures=measured).common) == len(one["programs"])


def test_heads_of_one_library_only_are_listed():
    one, two = library_json(library_of(heads=20)[0]), library_json(library_of(heads=16)[0])
    assert compare_libraries(one, two).heads_gone == ("L4H0", "L4H1", "L4H2", "L4H3")
    assert compare_libraries(two, one).heads_new == ("L4H0", "L4H1", "L4H2", "L4H3")


def test_library_json_is_read_back_or_refused(tmp_path):
    library, _ = library_of()
    path = tmp_path / "library.json"
    with pytest.raises(UserError, match="cannot be read"):
        read_library_json(path)
    path.write_text(library_json_text(library), encoding="utf-8")
    assert read_library_json(path) == library_json(library)
    path.write_text("{")
    with pytest.raises(UserError, match=r"is not a library\.json"):
        read_library_json(path)
    path.write_text('{"format": 0}')
    with pytest.raises(UserError, match="library format 0, expected 1"):
        read_library_json(path)


def test_plots_are_written_and_repeat_byte_by_byte(tmp_path):
    pytest.importorskip("matplotlib")
    library, (held_out, test) = library_of()
    curve = coverage_curve(held_out, library.reduction, curve_order(held_out, library.reduction, 6), test=test)
    once, again = (save_plots(library, curve, tmp_path / name, formats=("svg",)) for name in ("one", "two"))
    assert [path.name for path in once] == ["coverage.svg", "head_iou.svg", "excess.svg"]
    for one, two in zip(once, again, strict=True):
        assert one.read_bytes() == two.read_bytes()
        assert b"this library" in one.read_bytes() or one.name == "head_iou.svg"


def test_plots_without_matplotlib_say_what_to_install(tmp_path, monkeypatch):
    library, (held_out, _) = library_of(test=False)
    curve = coverage_curve(held_out, library.reduction, curve_order(held_out, library.reduction, 3))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match="headscribe\\[plots\\]"):
        save_plots(library, curve, tmp_path)
    with pytest.raises(ValueError, match="no points"):
        save_plots(library, [], tmp_path)

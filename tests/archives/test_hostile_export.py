"""Programs whose text is made to become other code when it is written to a file that people import."""

from __future__ import annotations

import ast
import subprocess
import sys

import numpy as np
import pytest

from archives.build_library import build_library
from archives.function_source import alone, as_function
from archives.library_py import library_py
from archives.reduce import reduce
from archives.table import ScoreTable
from fitness.program import Program, ProgramError
from fitness.scoring.agreement import agree

BREAKS = {
    **{"VT": "\x0b", "FF": "\x0c", "FS": "\x1c", "GS": "\x1d", "RS": "\x1e"},
    **{"NEL": "\x85", "LS": "\u2028", "PS": "\u2029"},
}
PWNED = 'open("PWNED","w")'
Q = "'" * 3


def body(line, more=""):
    return f'def program(text):\n    """Looks."""\n    {line}\n    return text.same * 1.0{more}\n'


EQUAL = {f"{name} in a comment": body(f"x = 1  # x{mark}{PWNED}") for name, mark in BREAKS.items()}
EQUAL |= {f"{name} in a string": body(f"x = len('a{mark}b')", " * x") for name, mark in BREAKS.items()}
EQUAL |= {
    f"{name} in a docstring": body("pass").replace("Looks.", f"Looks.{mark}{PWNED}") for name, mark in BREAKS.items()
}
EQUAL |= {
    "carriage returns": body("x = 2").replace("\n", "\r\n"),
    "f-string of lines": body(f"x = len(f{Q}a\n  {{1}}\n{Q})", " * x"),
    "f-string of escapes": body("x = len(f'a\\n{1}\\t')", " * x"),
    "string of lines": body(f"x = len({Q}a\n\tb\n{Q})", " * x"),
    "quotes in a docstring": body("pass").replace("Looks.", 'Looks \\"\\"\\" here.\\\\'),
    "helper with a string of lines": f"S = {Q}a\n  b{Q}\n" + body("x = len(S)", " * x"),
    "helper with a docstring of lines": f"def f():\n    {Q}a\n  b{Q}\n    return 3\n\n" + body("x = f()", " * x"),
    "nonlocal": body("n = 0\n    def f():\n        nonlocal n\n        n += 1\n    f()", " * n"),
    "global": "N = 2\n" + body("global N\n    N += 1", " * N"),
    "two definitions": "def program(text):\n    return text.same * 2.0\n\n" + body("pass"),
    "constant default": body("pass").replace("(text)", "(text, k=-3, m=(1, 2), s='a')"),
    "class": "class A:\n    k = 3\n\n    def __init__(self, n):\n        self.n = n\n\n"
    + body("a = A(2)", " * a.n * a.k"),
    "imports": "import math as m\nfrom collections import Counter\n" + body("c = Counter('aab')", " * m.pi * c['a']"),
    "names of other letters": body("\u03b1 = 2.0", " * \u03b1"),
    "lambda and comprehension": body("f = lambda x, k=2: x * k", " * sum(f(i) for i in range(3))"),
    "match": body("match text.n:\n        case 1:\n            k = 1\n        case _:\n            k = 2", " * k"),
}
CHAIN = 'getattr(getattr(getattr(np, "f2" + "py", 0), "o" + "s", 0), "sys" + "tem", len)("touch PWNED")'
REFUSED = {
    "computed getattr in a default": body("pass").replace("(text)", f"(text, k={CHAIN})"),
    "call in a default": body("pass").replace("(text)", "(text, k=len('a'))"),
    "mutable default": body("pass").replace("(text)", "(text, k=[])"),
    "mutable default of a helper": "def f(k={}):\n    return k\n\n" + body("f()"),
    "decorator": "def d(f):\n    return f\n\n@d\n" + body("pass"),
    "decorator of a helper": "def d(f):\n    return f\n\n@d\ndef g():\n    return 1\n\n" + body("g()"),
    "literal getattr": body("x = getattr(text, 'n')"),
    "type": body("x = type(1)"),
    "print": body("print('\\x1b[2J')"),
    "unseeded": body("x = np.random.rand()"),
    "unseeded by import": "from numpy.random import rand\n" + body("x = rand()"),
    "unseeded module": "import numpy.random as r\n" + body("x = r.rand()"),
    "not filled": body("x = np.empty((2, 2))"),
    "not filled by import": "from numpy import empty\n" + body("x = empty((2, 2))"),
    "left unfilled": body("x = np.divide(1, text.same, where=text.same)"),
    "options": body("x = dict(**{'a': 1})"),
    "writes to numpy": body("m = np\n    m.exp = len"),
    "writes to a function": body("f = np.tril\n    f.count = 1"),
    "file": body(PWNED),
    "numpy's modules": body("x = np.emath"),
}


@pytest.mark.parametrize("name", EQUAL)
def test_what_is_written_of_a_program_gives_what_the_program_gives(name):
    program = Program.parse(EQUAL[name])
    source, modules = as_function(program.source, "program_01_it", "Ours.")
    assert [type(node) for node in ast.parse(source).body] == [ast.FunctionDef]
    assert PWNED not in source
    assert agree([(program, alone(source, modules, "program_01_it", program.id))]) == [True]


def test_thirty_odd_programs_are_tried():
    assert len(EQUAL) >= 30


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_something_else_without_the_sandbox_is_refused(name):
    with pytest.raises(ProgramError) as caught:
        as_function(Program.parse(REFUSED[name]).source, "program_01_it", "Ours.")
    assert caught.value.line is not None


def written(sources, by=agree):
    programs = {program.id: program for program in map(Program.parse, sources)}
    # Each program is the best one of a head.
    heads = tuple(f"L0H{row}" for row in range(len(programs)))
    table = ScoreTable(0.2 + 0.7 * np.eye(len(programs)), heads, tuple(programs))
    library = build_library(table, reduce(table, epsilon=0.0), programs=programs)
    return library, library_py(library, by)


def test_importing_a_library_of_hostile_programs_runs_nothing(tmp_path):
    library, source = written([*EQUAL.values(), *REFUSED.values()])
    (tmp_path / "library.py").write_text(source, encoding="utf-8")
    script = "import library; print(len(library.PROGRAMS), len(set(library.HEADS.values())))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert not (tmp_path / "PWNED").exists()
    count, used = map(int, done.stdout.split())
    # Programs that differ in comments alone are one.
    assert count == used
    assert 14 <= count <= len(library.members) - len(REFUSED) + 1
    assert "Left out" in source


def test_a_program_that_reads_differently_as_written_is_left_out():
    library, source = written([EQUAL["nonlocal"], EQUAL["class"]], by=lambda pairs: [False, *[True] * (len(pairs) - 1)])
    names: dict = {}
    exec(compile(source, "library.py", "exec"), names)
    assert library.members[0].id not in names["PROGRAMS"]
    assert set(names["HEADS"].values()) <= set(names["PROGRAMS"])
    assert "gives other weights" in names["__doc__"]

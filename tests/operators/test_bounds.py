"""Sources and replies made to stall or end a campaign outside the sandbox, held within the memory and CPU of a test."""

import contextlib
import resource
import subprocess
import sys

import pytest
from fit_scene import make_view

from fitness.adapter import adapt
from fitness.program import MAX_DEPTH, MAX_NODES, Program, ProgramError
from operators.llm.replies import MAX_REPLY_CHARACTERS, read_reply
from operators.protocol import Parent, Request
from operators.registry import OFFLINE_OPERATORS, get_operator


def lines(*body, first="1.0 * (text.distance == 1)"):
    return f"def program(text):\n    w = {first}\n" + "".join(f"    {line}\n" for line in body) + "    return w\n"


TOO_LARGE = {
    "doubled lines": (lines(*["w = w + w"] * 25), "written out"),
    "doubled by assignment": (lines(*["w += w"] * 25), "written out"),
    "a dotted import": (f"import a{'.b' * 48_000}\n" + lines(), "between dots"),
    "a dotted import over lines": ("from a" + ".b\\\n" * 20_000 + " import c\n" + lines(), "between dots"),
    "a long source": ("#" * 200_000 + "\n" + lines(), "characters long"),
    "many parts": (lines(first="[" + "1," * (MAX_NODES + 1) + "]"), "parts"),
    "a deep sum": (lines(first="+".join(["w"] * (MAX_DEPTH + 1))), "deeper"),
    "half a surrogate pair": (lines(first="'\ud800'"), "surrogate"),
    "half a surrogate pair in a docstring": ('def program(text):\n    "\\ud800"\n    return 1\n', "surrogate"),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_exceeds_the_bounds_is_a_failure_of_the_program(name):
    source, words = TOO_LARGE[name]
    with pytest.raises(ProgramError, match=words) as caught:
        Program.parse(source)
    assert caught.value.kind == "rejected"
    assert str(caught.value).isprintable()


def test_ordinary_programs_are_within_the_bounds():
    Program.parse(lines(*["w = np.where(text.same, w, 0.5 * w)"] * 12))
    Program.parse(lines(*[f"w = w + 0.{i} * text.is_first" for i in range(1, 300)]))
    Program.parse(lines(first="np.isin(text.tokens, [" + ", ".join(f"' w{i}'" for i in range(3000)) + "]) * 1.0"))


LARGE = {
    "doubled lines": lines(*["w = w + w"] * 15),
    "a sum of 160 lines": lines(*["w = w + 0.5 * text.is_first"] * 160),
    "a product of 160 lines": lines(*["w = w * (1 + 0.3 * text.is_first)"] * 160),
    "a sum of 150 terms": lines(first=" + ".join(["0.5 * text.is_first"] * 150)),
    "choices": lines(*["w = np.where(text.same, w, 0.5 * w)"] * 14),
}
FILES = {
    "chain of helpers": "\n".join(f"def f{i}(text):\n    return f{i - 1}(text)" for i in range(3000)),
    "many statements on a line": ";".join(f"x{i}=x{i - 1}" for i in range(20_000)) + "\ndef f(text):\n    return x9\n",
    "one name many times": "\n".join(f"def f(sentence, tokenizer):\n    return {i}" for i in range(3000)),
}
REPLIES = {
    "a fence that nearly is one": "```" + " " * 300_000 + "`",
    "a language without end": "```" + "a" * 300_000 + "`",
    "fences": "```\n" * 90_000,
    "programs": "```\ndef program(text):\n    return 1\n```\n" * 9000,
    "broken programs": "def program(text):\n  return 1 1\n" * 9000,
    "thoughts": "<think>" * 50_000,
    "spaces": "def" + " " * (MAX_REPLY_CHARACTERS - 10) + "program",
}
# Seconds of CPU and bytes of memory for all of them: minutes and gigabytes each without the bounds.
CPU, MEMORY = 120, 3 << 30


def walk_everything():
    """Has all operators, the adapter and the reader of replies walk what was made to stall them."""
    view, close = make_view()
    for source in LARGE.values():
        parent = Parent(Program.parse(source), 0.3, 0)
        for name in OFFLINE_OPERATORS:
            operator = get_operator(name)
            operator.propose(Request(0, "L0H0", (parent,) * max(1, operator.n_parents), (0, 1)), view)
    close.close()
    for source in FILES.values():
        with contextlib.suppress(ProgramError):
            adapt(source)
    for reply in REPLIES.values():
        for finish in ("stop", "length"):
            assert read_reply(reply, finish)


@pytest.mark.slow
def test_large_programs_files_and_replies_are_walked_within_bounds():
    def limit():
        resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    command = [sys.executable, "-c", "import test_bounds; test_bounds.walk_everything()"]
    environment = {"PYTHONPATH": ":".join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]

from __future__ import annotations

import ast

import pytest
from sandbox_attacks import ATTACKS
from sandbox_evasions import BY_VALUE

from fitness.program import ProgramError
from fitness.sandbox.static_check import check_source, known_attributes, module_names
from fitness.scoring.baselines import baselines
from fitness.text.view import fields

ACCEPTED = {
    "numpy loops": """
import numpy as np

def program(text):
    out = np.zeros((text.n, text.n), dtype=np.float64)
    for i, token in enumerate(text.tokens):
        for j in range(i + 1):
            out[i, j] += 1.0 if token.strip().lower() == text.tokens[j].strip().lower() else 0.0
    out = out / np.maximum(out.sum(axis=1, keepdims=True), 1e-9)
    return out.clip(0, None).astype(float)
""",
    "random numbers": """
def program(text):
    np.random.seed(0)
    rng = np.random.default_rng(3)
    state = np.random.RandomState(text.n)
    return rng.random((text.n, text.n)) + np.random.rand(text.n, text.n) + state.uniform(size=(text.n, text.n))
""",
    "collections and re": """
import re
from collections import Counter, defaultdict, deque, namedtuple, OrderedDict

Span = namedtuple("Span", "begin end")
WORD = re.compile(r"\\w+", re.IGNORECASE)

def program(text):
    counts = Counter(text.tokens).most_common(3)
    groups = defaultdict(list)
    queue = deque(maxlen=4)
    for match in WORD.finditer(text.string):
        span = Span(match.start(), match.end())
        groups[match.group(0)].append(span.begin + span.end)
        queue.append(span)
    return text.distance * 0 + len(counts) + len(groups) + len(queue)
""",
    "nested functions, lambda, generators": """
import math, itertools, string

def helper(values, key=lambda v: -v):
    def inner(x):
        nonlocal total
        total += x
        return total
    total = 0
    return sorted((inner(v) for v in values), key=key)

def program(text):
    pairs = list(itertools.combinations(range(3), 2))
    marks = {c for c in string.punctuation if c not in ".,"}
    a, *rest = helper([1, 2, 3])
    name = f"{a:>{4}} {len(rest)!r}" + "{}-{:.2f}".format(a, math.pi) + "%d" % a
    if (n := text.n) > 3 and any(c in marks for c in name):
        pass
    return np.ones((n, n)) * sum(x for x, _ in pairs)
""",
    "try, with, match, class": """
class Decay:
    def __init__(self, rate):
        self.rate = rate

    def weights(self, distance):
        return np.exp(-self.rate * distance)

def program(text):
    try:
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.nan_to_num(np.log(text.position))
    except (ValueError, ZeroDivisionError) as error:
        value = len(error.args)
    match text.tokens:
        case [first, *rest] if len(rest) > 2:
            rate = 1.0
        case {"a": x, **others}:
            rate = 2.0
        case _:
            rate = 3.0
    assert isinstance(rate, float) and hasattr(text, "n") and getattr(text, "n") == text.n
    return Decay(rate).weights(np.abs(text.distance)) + 0 * value
""",
    "annotations left unread": """
from __future__ import annotations
import numpy as np

def helper(x: List[int], y: Optional[torch.Tensor] = None) -> Tuple[str, np.ndarray]:
    return x

def program(text: Text) -> np.ndarray:
    return helper(text.same * 1.0)
""",
    "numpy's submodules": """
import numpy
import numpy.linalg as la
from numpy.linalg import norm
from numpy import exp, newaxis

def program(text):
    x = exp(-numpy.abs(text.distance)) + la.norm(text.position) + norm(text.position)
    return np.abs(np.fft.fft(x, axis=1)) + np.linalg.det(np.eye(2)) + x[newaxis, :, :][0]
""",
    "underscores as names": """
def _helper(_x):
    return [_ for _ in range(_x)]

def program(text):
    return text.distance * 0 + len(_helper(3))
""",
    "the tokenizer": """
def program(text):
    toks = text.tokenizer([text.string], return_tensors="pt")
    ids = toks.input_ids[0]
    words = text.tokenizer.convert_ids_to_tokens(ids)
    return np.ones((len(ids), len(words)))
""",
}

REJECTED = [
    ("import os", 1, "`os` cannot be imported; programs can import numpy, math"),
    ("x = 1\nimport torch.nn", 2, "`torch.nn` cannot be imported"),
    ("from typing import List", 1, "`typing` cannot be imported"),
    ("from numpy import *", 1, "instead of *"),
    ("from numpy import load", 1, "`numpy` offers programs no `load`"),
    ("from numpy import lib", 1, "`numpy` offers programs no `lib`"),
    ("from __future__ import division", 1, "only `annotations`"),
    ("x = np.load('a')", 1, "`numpy` offers programs no `load`"),
    ("x = np.expp(1)", 1, "did you mean `exp"),
    ("x = np.random.rnad(1)", 1, "did you mean `rand`"),
    ("np.exp = 1", 1, "`numpy` cannot be changed"),
    ("x = 1\ny = open('a')", 2, "`open` cannot be used in programs"),
    ("x = undefined", 1, "`undefined` is not defined"),
    ("lenght = 1\nx = lenhgt", 2, "did you mean `lenght`"),
    ("x = ().__class__", 1, "begins with an underscore"),
    ("x = y = 1\nx._secret", 2, "begins with an underscore"),
    ("x = __builtins__", 1, "begins with two underscores"),
    ("def __import__(): pass", 1, "begins with two underscores"),
    ("x = getattr(1, '__class__')", 1, "begins with an underscore"),
    ("x = '{0.real}'.format(1)", 1, "f-string"),
    ("x = 'a'\ny = x.format(1)", 2, "string literal"),
    ("x = np.array([1], dtype=object)", 1, "`object` cannot be used"),
    ("x = np.array([1], dtype='O')", 1, "arrays of objects"),
    ("x = np.array([1]).astype('object')", 1, "arrays of objects"),
    ("async def f(): pass", 1, "async"),
    ("match 1:\n    case int(x): pass", 2, "class patterns"),
    ("class A(metaclass=int): pass", 1, "keywords"),
    ("x = (y for y in [])\nx.gi_frame", 2, "`gi_frame` is not known"),
    ("x = 1\nx.is_puncuation", 2, "did you mean `is_punctuation`"),
    ("x = 1\nx.ctypes", 2, "`ctypes` is not known"),
]


@pytest.mark.parametrize("name", ACCEPTED)
def test_ordinary_research_code_is_accepted(name):
    check_source(ACCEPTED[name])
    check_source(ast.parse(ACCEPTED[name]))


def test_baselines_and_every_field_are_accepted():
    for program in baselines().values():
        check_source(program.source)
    for field in fields():
        check_source(f"def program(text):\n    return text.{field.name}\n")


@pytest.mark.parametrize(("source", "line", "words"), REJECTED)
def test_what_programs_cannot_have_is_named_with_its_line(source, line, words):
    with pytest.raises(ProgramError) as caught:
        check_source(source)
    assert caught.value.kind == "rejected"
    assert caught.value.line == line
    assert words in str(caught.value)


def test_the_first_offence_is_reported():
    with pytest.raises(ProgramError, match="`first`"):
        check_source("def program(text):\n    x = first\n    import os\n    return open\n")


def test_text_that_does_not_parse_is_a_syntax_error():
    with pytest.raises(ProgramError) as caught:
        check_source("def program(text):\n    return (\n")
    assert caught.value.kind == "syntax"


# These reach something that is there for the taking by running, so the stand-ins refuse them, not the tree.
REFUSED_WHEN_RUN = {"evasions: type of three"}


@pytest.mark.parametrize(
    "attack",
    [a for a in ATTACKS if a.group == "evasions" and a.source not in BY_VALUE.values()],
    ids=lambda attack: attack.name,
)
def test_evasions_are_seen_in_the_tree_or_refused_when_run(attack):
    if attack.name in REFUSED_WHEN_RUN:
        check_source(attack.source)
        return
    with pytest.raises(ProgramError):
        check_source(attack.source)


def test_stand_ins_offer_nothing_that_reads_or_writes_files():
    offered = set(module_names("numpy")) | known_attributes()
    for name in (
        "load",
        "save",
        "savetxt",
        "fromfile",
        "memmap",
        "tofile",
        "dump",
        "ctypes",
        "lib",
        "ctypeslib",
        "f2py",
    ):
        assert name not in offered
    assert {"exp", "zeros", "where", "random", "linalg"} <= offered
    assert not any(name.startswith("_") for name in offered)

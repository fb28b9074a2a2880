"""200 varied programs, good and failing, and a way to run them in a plain process for comparison.

PYTHONHASHSEED=0 python tests/fitness/varied_programs.py RESULTS.npz runs them bare and stores what they gave.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fitness.program import Program
from fitness.sandbox.buffer import Report
from fitness.sandbox.child import Runner
from fitness.sandbox.namespace import Namespace
from fitness.text.view import Text, fields

WORDS = (
    'Once upon a time , there was a little girl named Lily . She said , " I am 3 years old ! " and the dog barked . '
    "Then Lily and the dog went to the park , where they found a red ball under the big tree . The dog was happy ."
).split()

_LOOP = """import {module}

def program(text):
    weights = np.zeros((text.n, text.n))
    for i in range(text.n):
        for j in range(i + 1):
            if text.tokens[i].strip().lower() == text.tokens[j].strip().lower() or j % {k} == 0:
                weights[i, j] = 1 / (1 + i - j) ** {power}
    return weights + 1e-4
"""
_COUNTS = """from collections import Counter, defaultdict

def program(text):
    counts = Counter(token.strip().lower() for token in text.tokens)
    rare = {{token for token, count in counts.items() if count <= {k}}}
    groups = defaultdict(list)
    for i, token in enumerate(rare):
        groups[token[:1]].append(i)
    weights = np.exp(-text.distance.clip(0) / {scale})
    for j, token in enumerate(text.tokens):
        weights[:, j] *= 1 + len(groups[token.strip().lower()[:1]]) + {power}
    return weights
"""
_RANDOM = """def program(text):
    rng = np.random.default_rng()
    return np.random.rand(text.n, text.n) * {scale} + rng.random((text.n, text.n)) + np.random.RandomState().rand()
"""
_REGEX = """import re, math

def program(text):
    marks = np.array([bool(re.search(r"[{letters}]", token)) for token in text.tokens])
    return {scale} * marks[None, :] + np.tril(np.full((text.n, text.n), math.pi)) @ np.diag(1.0 + marks)
"""
_SETS = """def program(text):
    order = list({{token.strip() for token in text.tokens}})
    place = np.array([order.index(token.strip()) for token in text.tokens])
    return np.exp(-np.abs(place[:, None] - place[None, :]) / {scale}) * (text.distance >= {k})
"""
_FAILURES = (
    "def program(text):\n    return text.distance\n",
    "def program(text):\n    x = 0\n    return 1 / x\n",
    "def program(text):\n    return np.log(text.is_first - 1.0)\n",
    "def program(text):\n    return np.ones(text.n)\n",
    "def program(text):\n    return text.is_puncuation\n",
    "import os\n\ndef program(text):\n    return 1\n",
    "def program(text):\n    return [1, 2][5]\n",
    "def program(text):\n    return program(text)\n",
    "def program(text):\n    raise ValueError(f'n is {text.n}')\n",
    "def program(text):\n    return {'a': 1}\n",
    "def program(text):\n    return np.ones((text.n, text.n), dtype=complex)\n",
    "def program(text):\n    if text.n > 20:\n        return np.ones((3, 3))\n    return np.ones((text.n, text.n))\n",
    "def program(text):\n    yield 1\n",
    "def program(text):\n    return undefined_name\n",
    "def program(text):\n    return np.exp(800.0 * text.is_first) * np.ones((text.n, text.n))\n",
    "def program(text):\n    break\n",
)


def texts() -> list[Text]:
    """Texts of different lengths."""
    return [
        Text([WORDS[0], *(f" {word}" for word in WORDS[start : start + n])]) for start, n in ((1, 40), (9, 12), (0, 1))
    ]


def programs() -> list[Program]:
    """200 programs, the same every time."""
    rng = np.random.default_rng(7)
    sources = list(_FAILURES)
    arrays = [field for field in fields() if field.shape == "(n, n)"]
    flags = [field.name for field in fields() if field.shape == "(n,)"]
    while len(sources) < 200:
        scale, power, k = round(float(rng.uniform(0.5, 20)), 3), int(rng.integers(1, 4)), int(rng.integers(1, 5))
        field, flag = arrays[rng.integers(len(arrays))].name, flags[rng.integers(len(flags))]
        other = flags[rng.integers(len(flags))]
        letters = "".join(rng.choice(list("abcdeLOT.,"), 3))
        values = {
            "scale": scale,
            "power": power,
            "k": k,
            "letters": letters,
            "module": rng.choice(["math", "itertools"]),
        }
        template = [
            f"def program(text):\n    return np.abs(text.{field}) * {scale} + (text.{flag} == {k}) + 0.0\n",
            f"def program(text):\n    fade = np.exp(-(text.distance % {k + 1}) / {scale})\n"
            f"    return fade * (1.0 + text.{flag}[:, None])\n",
            f"def program(text):\n    a = np.cumsum(text.{flag} * 1.0)\n"
            f"    return np.abs(np.subtract.outer(a, a)) ** {power} / {scale}\n",
            f"def program(text):\n    a = text.{flag} * 1.0\n    b = text.{other} * 1.0\n"
            f"    scores = np.outer(a, b) - text.distance / {scale}\n    return np.exp(scores)\n",
            *(each.format(**values) for each in (_LOOP, _COUNTS, _RANDOM, _REGEX, _SETS)),
        ]
        sources.append(template[rng.integers(len(template))])
    return [Program.parse(source) for source in sources]


def run_bare(program: Program, inputs: list[Text], namespace: Namespace) -> tuple[Report, list[np.ndarray]]:
    """Runs a program in this process, as a child of the sandbox would."""
    stored: list[np.ndarray] = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        report = Runner(program.source, program.id, namespace, static=True).run(
            inputs, lambda position, weights: stored.append(weights)
        )
    return report, stored


def main() -> None:
    """Stores the reports and weights of all programs."""
    inputs, namespace = texts(), Namespace(guarded=True)
    results = {}
    for number, program in enumerate(programs()):
        report, stored = run_bare(program, inputs, namespace)
        results[f"{number}"] = np.array(json.dumps(vars(report)))
        results.update({f"{number}.{position}": weights for position, weights in enumerate(stored)})
    np.savez(sys.argv[1], **results)


if __name__ == "__main__":
    main()

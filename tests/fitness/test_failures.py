import subprocess
import sys

import pytest

from fitness.failures import FailureKind

# What a prompt may say of every kind of failure that was met on held-out texts, whatever the message holds.
SECRET = "unicorn"
TOLD = {
    "syntax": SECRET,
    "rejected": SECRET,
    "exception": "",
    "bad shape": "",
    "bad values": "",
    "memory": SECRET,
    "timeout": SECRET,
    "early exit": "",
    "crash": "",
    "impure": SECRET,
    "degenerate": SECRET,
    "too long": SECRET,
    "cut off": SECRET,
    "empty": SECRET,
    "refusal": SECRET,
    "no program": SECRET,
    "no code": SECRET,
    "echo": SECRET,
    "call timeout": "",
    "connection": "",
    "server error": "",
    "rate limit": "",
    "bad reply": "",
    "bad request": "",
    "refused key": "",
    "stopped": "",
    "budget spent": "",
    "endpoint down": "",
    "none": "",
    "internal error": "",
}


def test_every_kind_says_what_a_prompt_may_quote():
    assert {str(kind): kind.told(SECRET) for kind in FailureKind} == TOLD


def test_failures_of_programs_are_repairable_and_no_others():
    kinds = {"bad shape", "bad values", "early exit", "syntax", "rejected", "exception", "memory", "timeout"}
    assert {str(kind) for kind in FailureKind if kind.repairable} == kinds | {"impure", "degenerate"}


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("KeyError: ' unicorn'", "KeyError"),
        ("ZeroDivisionError", "ZeroDivisionError"),
        ("unicorn: a type that the program named after a token", ""),
        ("KeyErrorunicorn", ""),
    ],
)
def test_of_an_exception_only_a_name_that_every_python_knows_is_told(message: str, told: str):
    assert FailureKind.EXCEPTION.told(message) == told


def test_databases_of_earlier_versions_are_understood():
    assert FailureKind("ours") is FailureKind.INTERNAL
    with pytest.raises(ValueError, match="timeot"):
        FailureKind("timeot")


@pytest.mark.slow
def test_mypy_rejects_a_kind_that_does_not_exist(tmp_path):
    program = """
from fitness.failures import FailureKind
from fitness.sandbox import Outcome

Outcome(FailureKind.TIMEOT)
Outcome("timeout")
Outcome(FailureKind.TIMEOUT)
"""
    path = tmp_path / "misspelt.py"
    path.write_text(program)
    options = ["--no-incremental", "--follow-imports=silent", "--ignore-missing-imports"]
    found = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(path)], capture_output=True, text=True, check=False
    )
    assert [line.split(":")[1] for line in found.stdout.splitlines() if "error" in line and "misspelt" in line] == [
        "5",
        "6",
    ]

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox_attacks import ATTACKS
from sandbox_scene import LAYERS, Result, Scene, table, try_all

from fitness.program import Program
from fitness.sandbox import Layers, Limits, Sandbox
from fitness.sandbox.seccomp import ALLOWED_CALLS
from fitness.text.view import Text

GROUPS = {
    *("endless", "memory", "processes", "files", "environment", "network", "processes of others", "limits"),
    *("descriptors", "exit and crash", "stale results", "targets in memory", "patching", "values", "evasions"),
}


def held(results: list[Result]) -> list[str]:
    return [f"{result.attack}: {result.kind} {result.message}: {result.breach}" for result in results if result.breach]


def test_the_bank_covers_every_group():
    assert {attack.group for attack in ATTACKS} == GROUPS
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 40


@pytest.mark.slow
@pytest.mark.parametrize("layers", LAYERS)
def test_every_attack_is_held_and_the_next_program_unharmed(layers, capsys):
    results = try_all(layers)
    with capsys.disabled():
        print(f"\n{table(results)}")
    assert len(results) == len(ATTACKS)
    assert held(results) == []


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root, to be somebody else")
@pytest.mark.parametrize(
    "user", [["--map-user=1000", "--map-group=1000"], ["--map-root-user"]], ids=["ordinary", "root"]
)
def test_attacks_are_held_for_another_user(user):
    script = Path(__file__).with_name("sandbox_scene.py")
    command = ["unshare", "--user", *user, sys.executable, str(script), "--json", "--quick"]
    command += ["--layers", "kernel alone"]
    done = subprocess.run(command, capture_output=True, text=True)
    if "unshare" in done.stderr:
        pytest.skip(done.stderr.strip())
    results = [Result(**each) for each in json.loads(done.stdout)]
    assert len(results) > 100
    assert held(results) == []


def test_a_breach_would_be_seen():
    with Scene(Layers()) as scene:
        assert scene.damage() == []
        (scene.folder / "pwned").write_text("x")
        scene.signals.append(10)
        assert scene.damage() == ["files changed", "a signal arrived"]


EVERY_CALL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)

def program(text):
    passed = []
    for number in [n for n in range(600) if n not in ENDING]:
        ctypes.set_errno(0)
        libc.syscall(number, -1, -1, -1, -1, -1, -1)
        if ctypes.get_errno() != 1:
            passed.append(number)
    raise ValueError(repr(passed))
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")
def test_the_kernel_refuses_all_but_the_listed_calls():
    with Sandbox([Text(["a"])], layers=Layers(static=False), limits=Limits(cpu_seconds=5)) as sandbox:
        # exit and exit_group do not return; uretprobe and uprobe are the kernel's own, which it puts through every
        # filter and refuses by itself.
        ending = [60, 231]
        message = sandbox.run(Program.parse(EVERY_CALL.replace("ENDING", repr([*ending, 335, 336])))).message
    passed = set(json.loads(message.removeprefix("ValueError: ")))
    free = {11, 12, 25, 96, 228, 318}
    assert passed == free
    # mmap, mprotect, madvise and futex pass with harmless arguments only.
    assert len(free) + len(ending) + 4 == ALLOWED_CALLS


def test_a_foreign_interface_of_the_kernel_ends_the_program():
    source = "import ctypes\n\ndef program(text):\n    ctypes.CDLL(None).syscall(0x40000000 + 39)\n"
    with Sandbox([Text(["a"])], layers=Layers(static=False)) as sandbox:
        outcome = sandbox.run(Program.parse(source))
    assert (outcome.kind, outcome.message) == ("crash", "ended by SIGSYS")

"""A place with something to steal, break and kill, where attacks are tried; run it to print the table of outcomes.

python tests/fitness/sandbox_scene.py [--json] [--quick] [--only GROUP] [--layers NAME]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from sandbox_attacks import ATTACKS, Attack

from fitness.program import Program, ProgramError
from fitness.sandbox import Layers, Limits, Outcome, Sandbox
from fitness.text.view import Text

LAYERS = {
    "all layers": Layers(),
    "kernel alone": Layers(static=False),
    "static and limits": Layers(kernel=False),
}
BENIGN = Program.parse("def program(text):\n    return np.exp(-np.abs(text.distance) / 3.0) + 0.25 * text.is_first\n")
WORDS = "Once upon a time there was a cat and a dog and they sat on the mat".split()
MARK = 42.0


@dataclass(frozen=True)
class Result:
    """What came of one attack under some layers; `breach` is empty where it was held."""

    attack: str
    group: str
    layers: str
    kind: str
    message: str
    breach: str


class Scene:
    """Canaries around one sandbox, and the checks that they all live."""

    def __init__(self, layers: Layers, limits: Limits = Limits(cpu_seconds=0.2, memory_mb=128)) -> None:  # noqa: B008
        self.layers = layers
        self.secret = f"CANARY-{secrets.token_hex(16)}"
        self._stack = contextlib.ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.folder.chmod(0o777)
        self.key = self.folder / "key.txt"
        self.key.write_text(self.secret)
        self.key.chmod(0o666)
        (self.folder / "planted.py").write_text("")
        self._files = self._listing()
        self._listen()
        self.signals: list[int] = []
        for number in (signal.SIGUSR1, signal.SIGTERM):
            previous = signal.signal(number, lambda got, frame: self.signals.append(got))
            self._stack.callback(signal.signal, number, previous)
        os.environ["HEADSCRIBE_TEST_KEY"] = self.secret
        self._stack.callback(os.environ.pop, "HEADSCRIBE_TEST_KEY", None)
        self.texts = [Text(WORDS), Text([f" {word}" for word in WORDS[:9]])]
        self.sandbox = self._stack.enter_context(Sandbox(self.texts, limits=limits, layers=layers))
        self._server = self.sandbox.server_pid
        self._self = self._own_state()
        self._expected = [np.exp(-np.abs(text.distance) / 3.0) + 0.25 * text.is_first for text in self.texts]

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _listen(self) -> None:
        self._tcp = self._stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = self._tcp.getsockname()[1]
        self._udp = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._udp.bind(("127.0.0.1", self.port))
        self._unix = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        self._unix.bind(str(self.folder / "socket"))
        (self.folder / "socket").chmod(0o777)
        self._unix.listen()
        self._files = self._listing()
        for listener in (self._tcp, self._udp, self._unix):
            listener.setblocking(False)

    def _listing(self) -> dict[str, int]:
        return {path.name: path.lstat().st_mode for path in self.folder.iterdir()}

    def _own_state(self) -> tuple[object, ...]:
        limits = tuple(resource.getrlimit(which) for which in range(10))
        affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        return limits, affinity, os.getpriority(os.PRIO_PROCESS, 0)

    def fill_in(self, source: str) -> str:
        """The source with this scene's names."""
        named = {"KEYFILE": self.key, "FOLDER": self.folder, "PORT": self.port, "OWNER": os.getpid()}
        for name, value in named.items():
            source = source.replace(name, str(value))
        return source

    def attack(self, attack: Attack) -> Result:
        """Tries an attack, then looks for damage and runs a benign program."""
        try:
            outcome = self.sandbox.run(Program.parse(self.fill_in(attack.source)))
        except ProgramError as error:
            outcome = Outcome(error.kind, str(error))
        breaches = [*self._gain(attack, outcome), *self.damage()]
        return Result(attack.name, attack.group, self._name(), outcome.kind, outcome.message, "; ".join(breaches))

    def _name(self) -> str:
        return next(name for name, layers in LAYERS.items() if layers == self.layers)

    def _gain(self, attack: Attack, outcome: Outcome) -> list[str]:
        found = []
        marked = outcome.ok and any((weights == MARK).any() for weights in outcome.weights)
        if (outcome.ok and attack.any_result) or (marked and (attack.group != "evasions" or self.layers.static)):
            found.append("it got what it wanted")
        if outcome.kind == "internal error":
            found.append("it passed for a internal error")
        if not outcome.message.isprintable() or len(outcome.message) > 400:
            found.append("its message is not clean")
        if self.secret in outcome.message:
            found.append("it told the secret")
        return found

    def damage(self) -> list[str]:
        """What is not as it was."""
        found = []
        if self._listing() != self._files or self.key.read_text() != self.secret:
            found.append("files changed")
        if self.signals:
            found.append("a signal arrived")
        if self._own_state() != self._self:
            found.append("limits of the owner changed")
        if self.sandbox.server_pid != self._server:
            found.append("the server was killed")
        for listener in (self._tcp, self._unix):
            with contextlib.suppress(BlockingIOError):
                listener.accept()
                found.append("a connection arrived")
        with contextlib.suppress(BlockingIOError):
            self._udp.recv(10)
            found.append("a datagram arrived")
        if children(self._server):
            found.append("a process was left behind")
        outcome = self.sandbox.run(BENIGN)
        if not outcome.ok or not all(map(np.array_equal, outcome.weights, self._expected)):
            found.append(f"the next program suffered: {outcome.kind} {outcome.message}")
        return found


def children(pid: int) -> list[int]:
    """Process ids of a process's children."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(folder.name))
    return found


def try_all(layers: str, groups: Collection[str] = ()) -> list[Result]:
    """Tries every attack, or those of some groups, under some layers."""
    with Scene(LAYERS[layers]) as scene:
        return [scene.attack(attack) for attack in ATTACKS if not groups or attack.group in groups]


def table(results: list[Result]) -> str:
    """Outcomes by attack and layers, and how many were held."""
    names = list(dict.fromkeys(result.layers for result in results))
    by_attack: dict[str, dict[str, Result]] = {}
    for result in results:
        by_attack.setdefault(result.attack, {})[result.layers] = result
    width = max(map(len, by_attack))
    lines = [f"{'attack':{width}}  " + "".join(f"{name:20}" for name in names)]
    for attack, row in by_attack.items():
        cells = [
            f"{'BREACH' if row[name].breach else row[name].kind:20}" if name in row else " " * 20 for name in names
        ]
        lines.append(f"{attack:{width}}  {''.join(cells)}".rstrip())
    for name in names:
        own = [result for result in results if result.layers == name]
        lines.append(f"{name}: {sum(not result.breach for result in own)} of {len(own)} held")
    return "\n".join(lines)


def main() -> int:
    """Prints the table; 1 where an attack got through all layers or the kernel's alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON list of results instead of the table")
    parser.add_argument("--quick", action="store_true", help="without the attacks that run until their time is up")
    parser.add_argument("--only", default="", help="attacks of one group")
    parser.add_argument("--layers", choices=list(LAYERS), action="append", help="these layers; all sets by default")
    arguments = parser.parse_args()
    groups = {attack.group for attack in ATTACKS if arguments.only in ("", attack.group)}
    if arguments.quick:
        groups -= {"endless", "memory"}
    results = [result for layers in arguments.layers or LAYERS for result in try_all(layers, groups)]
    if arguments.json:
        print(json.dumps([vars(result) for result in results]))
    else:
        print(f"user {os.geteuid()}, {platform.system()} {platform.release()}, {platform.machine()}")
        print(table(results))
        for result in results:
            if result.breach:
                print(f"{result.layers}: {result.attack}: {result.kind} {result.message}: {result.breach}")
    return int(any(result.breach and result.layers != "static and limits" for result in results))


if __name__ == "__main__":
    sys.exit(main())

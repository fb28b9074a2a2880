"""The self-test before anything is run: programs run, and are held."""

from __future__ import annotations

import numpy as np

from fitness.program import Program
from fitness.sandbox.client import Sandbox
from fitness.sandbox.outcome import NOT_STOPPED, Layers, Limits, Mode, SandboxUnavailable
from fitness.text.view import Text

_KNOWN = "def program(text):\n    return text.distance + 2.0 * text.is_first + text.n\n"
_EXPECTED = np.array([[5, 2, 1], [6, 3, 2], [7, 4, 3]], dtype=np.float32)
_OPENS = "def program(text):\n    open('/etc/hostname')\n"


def probe(mode: Mode) -> str:
    """Runs a program whose result is known, and one that must be stopped.

    Args:
        mode: "strict" or "degraded".

    Returns:
        One line that says how programs run.

    Raises:
        SandboxUnavailable: where programs cannot be run as asked; the message says what can be done.
    """
    try:
        return _probe(mode)
    except OSError as error:
        raise SandboxUnavailable(f"the self-test failed: {error}; it needs two processes and little memory") from None


def _probe(mode: Mode) -> str:
    text = Text(["One", " two", "."])
    with Sandbox([text], mode=mode, limits=Limits(cpu_seconds=10)) as sandbox:
        known = sandbox.run(Program.parse(_KNOWN))
        if not known.ok or not np.array_equal(known.weights[0], _EXPECTED):
            raise SandboxUnavailable(
                f"the self-test failed: a known program gave {known.kind} {known.message}".rstrip()
            )
        description = sandbox.description
    # In strict mode the kernel alone has to stop it; the static check promises nothing.
    layers = Layers(static=mode == "degraded")
    with Sandbox([text], mode=mode, limits=Limits(cpu_seconds=10), layers=layers) as sandbox:
        opened = sandbox.run(Program.parse(_OPENS))
    wanted = "PermissionError" if mode == "strict" else "`open`"
    if opened.ok or wanted not in opened.message:
        raise SandboxUnavailable(f"the self-test failed: opening a file gave {opened.kind} {opened.message}".rstrip())
    if mode == "degraded":
        return f"programs are NOT confined by the kernel: {description}; {NOT_STOPPED}"
    return f"programs run confined: {description}; no files, no network, no other process"

"""One fork server as its owner sees it: the process, the connection to it and the memory shared with it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fitness.sandbox.buffer import Buffer, create, size_for
from fitness.sandbox.outcome import Limits, SandboxUnavailable
from fitness.sandbox.wire import RECORD, Closed, receive_exactly, receive_message, send_message
from fitness.text.view import Text

START_SECONDS = 120
MINIMUM_BYTES = 1 << 16
_BOOT = (
    "import sys; sys.path += sys.argv[3:]; from fitness.sandbox import server; server.main(*map(int, sys.argv[1:3]))"
)
# Equal programs must iterate over sets in the same order everywhere, so hashes are not salted; one thread computes.
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}
# Without them an interpreter may not find its own libraries.
_KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME")

_HELP = (
    "Run on Linux 3.17 or newer (x86-64 or ARM), in a container whose profile lets programs install seccomp filters "
    "(Docker's and Podman's defaults do), or in WSL2; or set sandbox.mode=degraded, at your own risk: programs are "
    "then held by a static check and limits alone"
)


class ServerProcess:
    """Starts a server at once.

    Args:
        kernel: whether its children are confined by the kernel layers.

    Attributes:
        description: what confines its children, for people.
        pid: its process id.
        owner: id of the process that started it.
        closed: whether it was ended.

    Raises:
        SandboxUnavailable: where it cannot be started or cannot confine.
    """

    def __init__(self, *, kernel: bool) -> None:
        if not hasattr(os, "fork"):
            raise SandboxUnavailable(f"programs cannot be run on {sys.platform}, which has no fork. Use Linux or WSL2")
        self.owner = os.getpid()
        self.closed = False
        self._texts = 0
        self._buffer: Buffer | None = None
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._process = self._spawn(theirs.fileno(), kernel=kernel)
        self.pid = self._process.pid
        self.description = self._greeting()

    def _spawn(self, descriptor: int, *, kernel: bool) -> subprocess.Popen[bytes]:
        folders = [str(Path(module).resolve().parents[1]) for module in (str(Path(__file__).parent), str(np.__file__))]
        command = [sys.executable, "-s", "-S", "-P", "-B", "-c", _BOOT, str(descriptor), str(int(kernel)), *folders]
        environment = _ENVIRONMENT | {name: os.environ[name] for name in _KEPT if name in os.environ}
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[descriptor],
            env=environment,
            cwd="/",
            # Ctrl-C in a terminal is for the campaign to answer.
            start_new_session=True,
        )

    def _greeting(self) -> str:
        assert self._process.stderr is not None
        self._connection.settimeout(START_SECONDS)
        try:
            greeting = receive_message(self._connection)[0]
        except Closed as error:
            self._process.kill()
            printed = self._process.stderr.read().decode("utf-8", "replace").strip().splitlines()
            self.close()
            reason = printed[-1] if printed else str(error)
            raise SandboxUnavailable(f"the process that runs programs did not start: {reason}") from None
        if "error" in greeting:
            self.close()
            raise SandboxUnavailable(f"programs cannot be confined here: {greeting['error']}. {_HELP}")
        self._process.stderr.close()
        return str(greeting["ready"])

    def run(
        self, request: dict[str, Any], texts: Sequence[Text], lengths: Sequence[int], limits: Limits
    ) -> tuple[int, bool, float]:
        """Has a program run, and waits for its end.

        Args:
            request: what the server needs to know of the program.
            texts: all texts of the sandbox; those that are new are sent first.
            lengths: tokens of each text asked for; room for their results is made and zeroed.
            limits: of the run.

        Returns:
            Wait status of the child, whether its time on the clock was up, and seconds of CPU time it used.

        Raises:
            Closed: where the server is gone.
        """
        descriptor = self._make_room(size_for(lengths))
        try:
            self.buffer.clear()
            new = [(text.tokens, text.ids.tolist(), text.string) for text in texts[self._texts :]]
            self._connection.settimeout(limits.wall_seconds + START_SECONDS)
            send_message(self._connection, request | {"texts": new}, descriptor)
            self._texts = len(texts)
            status, killed, seconds = RECORD.unpack(receive_exactly(self._connection, RECORD.size))
        except BaseException as error:
            # An answer that is still to come must not be taken for that to the next request.
            self.close()
            if isinstance(error, TimeoutError):
                raise Closed("it does not answer") from None
            raise
        finally:
            if descriptor is not None:
                os.close(descriptor)
        return status, killed, seconds

    @property
    def buffer(self) -> Buffer:
        """The memory that results come in."""
        assert self._buffer is not None
        return self._buffer

    def _make_room(self, size: int) -> int | None:
        """Descriptor of a new buffer for the server, where the one shared so far is too small."""
        if self._buffer is not None and self._buffer.size >= size:
            return None
        descriptor = create(max(size, MINIMUM_BYTES))
        if self._buffer is not None:
            self._buffer.close()
        self._buffer = Buffer(descriptor)
        return descriptor

    def close(self) -> None:
        """Ends the server and its child; in a forked copy of the owner, only lets go of them."""
        self.closed = True
        self._connection.close()
        if self._process.stderr is not None:
            self._process.stderr.close()
        if self._buffer is not None:
            self._buffer.close()
            self._buffer = None
        if os.getpid() != self.owner:
            return
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()

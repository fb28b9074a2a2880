"""The fork server: holds the texts and nothing else, and starts one confined child for every program."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import select
import signal
import socket
import sys
import time
import unicodedata  # noqa: F401 - the parser asks for it where names are not ASCII, and a child cannot import it
import warnings
from typing import Any

import numpy as np

from fitness.posix import fcntl
from fitness.sandbox.buffer import Buffer
from fitness.sandbox.child import Job, Runner, run_child
from fitness.sandbox.confine import Confinement, address_space
from fitness.sandbox.namespace import Namespace
from fitness.sandbox.outcome import Layers, Limits
from fitness.sandbox.wire import RECORD, Closed, receive_message, send_message
from fitness.text.view import Text, fields

_LIBC = ctypes.PyDLL(None, use_errno=True)

# Run once in the server, so that children find caches filled and code specialised.
_WARM_UP = """
import math

def program(text):
    weights = np.zeros((text.n, text.n))
    for i in range(text.n):
        for j in range(i + 1):
            weights[i, j] = math.exp(-abs(i - j)) if text.tokens[i] != text.tokens[j] else 1.0
    return weights + 0.5 * (text.distance == 1) + 0.1 * text.is_first
"""
# Matrices of texts are computed ahead up to this size; beyond it, forking costs more than computing them does.
AHEAD_BYTES = 24 << 20
# Address space that a child gives back when it has no more, so that there is enough to say so.
BALLAST_BYTES = 4 << 20


def main(descriptor: int, kernel: int) -> None:
    """Serves one trusted process until it goes away.

    Args:
        descriptor: this side of the connection.
        kernel: 1 where children are confined by the kernel layers, else 0.
    """
    os.environ.clear()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A low number, so that children can close all there are by closing few.
    connection = socket.socket(fileno=fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3))
    os.close(descriptor)
    with contextlib.suppress(Closed):
        try:
            confinement = Confinement(kernel=bool(kernel))
            server = Server(connection, confinement)
            confinement.enter_server()
            confinement.rehearse(kernel=bool(kernel))
        except OSError as error:
            send_message(connection, {"error": str(error)})
            return
        send_message(connection, {"ready": server.confinement.description})
        _forget_streams()
        server.warm_up()
        server.serve()


def _forget_streams() -> None:
    """Whatever is printed from here on goes nowhere."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)
    sys.stdin = sys.stdout = sys.stderr = None


class Server:
    """Holds texts, forks children, and reports how they ended."""

    def __init__(self, connection: socket.socket, confinement: Confinement) -> None:
        self.confinement = confinement
        self._connection = connection
        self._texts: list[Text] = []
        self._ahead = 0
        self._memory = 0
        self._buffer: Buffer | None = None
        # Private: what a child writes there must not reach the children after it.
        self._ballast = mmap.mmap(-1, BALLAST_BYTES, flags=mmap.MAP_PRIVATE)
        self._namespaces = {True: Namespace(guarded=True), False: Namespace(guarded=False)}
        self._wakeup, wakeup = socket.socketpair()
        for end in (self._wakeup, wakeup):
            end.setblocking(False)
        self._wakeup_sender = wakeup
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._waiting = [self._wakeup, connection]
        with contextlib.suppress(OSError, AttributeError):
            # A copy of the connection may outlive its owner in a fork of it; the owner's death does not go unnoticed.
            self._owner = os.pidfd_open(os.getppid())
            self._waiting.append(self._owner)  # type: ignore[arg-type]

    def warm_up(self) -> None:
        """Runs a trusted program here."""
        text = Text(["One", " two", " three", "."] * 4)
        for static, namespace in self._namespaces.items():
            Runner(_WARM_UP, "", namespace, static=static).run([text] * 8, lambda position, weights: None)
        np.random.seed(0)

    def serve(self) -> None:
        """Answers messages until the connection or its owner is gone."""
        gc.collect()
        gc.freeze()
        gc.disable()
        # Collecting what a short program leaves behind costs more than its process, which ends anyway.
        gc.set_threshold(20_000, 20, 20)
        waiting = self._waiting[1:]
        while True:
            ready = select.select(waiting, [], [])[0]
            if self._connection not in ready:
                raise Closed("the owner is gone")
            message, descriptor = receive_message(self._connection)
            if descriptor is not None:
                if self._buffer:
                    self._buffer.close()
                self._buffer = Buffer(descriptor)
                os.close(descriptor)
            for tokens, ids, string in message.get("texts", ()):
                self._add(Text(tokens, ids, string))
            if descriptor is not None or message.get("texts"):
                self._memory = address_space()
            if "source" in message:
                self._connection.sendall(RECORD.pack(*self._run(message)))

    def _add(self, text: Text) -> None:
        for field in fields():
            if field.shape == "(n,)":
                getattr(text, field.name)
        for field in fields():
            if field.shape == "(n, n)":
                size = text.n * text.n * (1 if field.kind == "bool" else 8)
                if self._ahead + size <= AHEAD_BYTES:
                    getattr(text, field.name)
                    self._ahead += size
                else:
                    text.__dict__.pop(field.name, None)
        self._texts.append(text)
        gc.freeze()

    def _run(self, message: dict[str, Any]) -> tuple[int, bool, float]:
        assert self._buffer is not None
        limits = Limits(message["cpu_seconds"], message["memory_mb"])
        job = Job(
            message["source"],
            message["seed"],
            [self._texts[index] for index in message["indices"]],
            bytes.fromhex(message["nonce"]),
            limits,
            Layers(message["static"], message["kernel"]),
            self._memory,
            message["shuffle"],
        )
        server = os.getpid()
        child = _fork()
        if child == 0:
            try:
                signal.set_wakeup_fd(-1)
                gc.enable()
                namespace = self._namespaces[job.layers.static]
                run_child(job, self._buffer, self._ballast, self.confinement, namespace, server)
            finally:
                os._exit(1)
        return self._wait(child, limits.wall_seconds)

    def _wait(self, child: int, seconds: float) -> tuple[int, bool, float]:
        """Waits for a child; ends it when its time is up or when nobody waits for its results any more."""
        deadline = time.monotonic() + seconds
        killed = False
        while True:
            ready = select.select(self._waiting, [], [], max(0.0, deadline - time.monotonic()))[0]
            if self._wakeup in ready:
                with contextlib.suppress(BlockingIOError):
                    self._wakeup.recv(64)
                pid, status, usage = os.wait4(child, os.WNOHANG)
                if pid:
                    return status, killed, usage.ru_utime + usage.ru_stime
            if len(ready) > (self._wakeup in ready):
                # Nothing is sent while a program runs, so this is the end of the connection or of its owner.
                _kill(child)
                os.waitpid(child, 0)
                raise Closed("nobody waits")
            if not ready:
                _kill(child)
                killed = True
                deadline = time.monotonic() + 60


def _fork() -> int:
    """Forks without what Python does around `os.fork`.

    That readies locks, threads and random numbers for use in the child, which touches, and so copies, pages that take
    as long as a short program. Here one thread runs, holding Python's lock all along, and no child starts another.
    """
    child = int(_LIBC.fork())
    if child < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return child


def _kill(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)

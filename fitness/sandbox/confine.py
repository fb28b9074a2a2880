"""What a child gives up before a program exists in it."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import signal
import sys

from fitness.posix import resource
from fitness.sandbox.landlock import Landlock
from fitness.sandbox.outcome import Limits
from fitness.sandbox.seccomp import ALLOWED_CALLS, Seccomp

_NOBODY = 65534
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_CAPABILITY_VERSION_3 = 0x20080522
STACK_BYTES = 8 << 20
# The server has about ten open; a small limit makes closing them all quick.
MAX_DESCRIPTORS = 64


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class Confinement:
    """Everything that can be prepared once, in the server, for all of its children.

    Args:
        kernel: whether children are confined by seccomp and Landlock.

    Raises:
        OSError: where the kernel layers are asked for and cannot be had.
    """

    def __init__(self, *, kernel: bool) -> None:
        self._linux = sys.platform == "linux"
        if kernel and not self._linux:
            raise OSError(f"seccomp is a part of Linux, this is {sys.platform}")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._seccomp = Seccomp() if kernel else None
        self._landlock = Landlock() if kernel else None

    @property
    def description(self) -> str:
        """The layers that hold in this process and its children, for people."""
        if self._seccomp is None or self._landlock is None:
            return "static check, a process each, limits on CPU time and memory"
        landlock = f"Landlock (ABI {self._landlock.abi})" if self._landlock.abi else "no Landlock in this kernel"
        user = "user nobody, " if os.geteuid() == _NOBODY else ""
        return f"seccomp ({ALLOWED_CALLS} system calls allowed), {landlock}, {user}no capabilities, static check"

    def enter_server(self) -> None:
        """Gives up, in the server and so in all its children, what the server does not need either.

        Raises:
            OSError: where the kernel refuses.
        """
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        self._drop_privileges()
        for name, value in (("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0), ("RLIMIT_MEMLOCK", 0), ("RLIMIT_MSGQUEUE", 0)):
            self._limit(name, value)
        self._limit("RLIMIT_STACK", STACK_BYTES)
        self._limit("RLIMIT_NOFILE", MAX_DESCRIPTORS)
        if self._linux:
            self._prctl(_PR_SET_DUMPABLE, 0)
            self._prctl(_PR_SET_NO_NEW_PRIVS, 1)

    def enter_child(self, server: int, limits: Limits, *, memory: int, kernel: bool) -> None:
        """Confines this process, a fork of the server; there is no way back.

        Args:
            server: process id of the server.
            limits: what the program may use.
            memory: bytes of address space that the server has.
            kernel: whether the kernel layers are wanted.

        Raises:
            OSError: where a layer that is wanted does not hold.
        """
        if self._linux:
            self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != server:
                raise OSError("the server is gone")
        if kernel and self._landlock:
            self._landlock.apply()
        self._limit("RLIMIT_NPROC", 0)
        self._limit("RLIMIT_NOFILE", 0)
        self._limit("RLIMIT_AS", memory + (limits.memory_mb << 20))
        # The timer counts hundredths of a second; the limit, in whole seconds, is its backstop.
        self._limit("RLIMIT_CPU", math.ceil(limits.cpu_seconds) + 1)
        signal.setitimer(signal.ITIMER_PROF, limits.cpu_seconds)
        os.closerange(0, MAX_DESCRIPTORS)
        if kernel and self._seccomp:
            self._seccomp.apply()

    def rehearse(self, *, kernel: bool) -> None:
        """Has a child confine itself and do nothing else.

        Raises:
            OSError: where it could not.
        """
        server = os.getpid()
        child = os.fork()
        if child == 0:
            code = 255
            try:
                self.enter_child(server, Limits(), memory=address_space(), kernel=kernel)
                code = 0
            except OSError as error:
                code = error.errno or 255
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            raise OSError(code, f"a rehearsal failed: {os.strerror(code) if code > 0 else f'signal {-code}'}")

    def _prctl(self, option: int, value: int) -> None:
        if self._libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"prctl {option}: {os.strerror(code)}")

    def _drop_privileges(self) -> None:
        if os.geteuid() != 0:
            return
        # A container may know no user but root; then the capabilities go alone.
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
        if self._linux:
            header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
            if self._libc.capset(ctypes.byref(header), (ctypes.c_uint32 * 6)()) != 0:
                raise OSError(ctypes.get_errno(), "capset")

    def _limit(self, name: str, value: int) -> None:
        which = getattr(resource, name, None)
        if which is None:
            return
        hard = resource.getrlimit(which)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        try:
            resource.setrlimit(which, (value, value))
        except (OSError, ValueError):
            if self._linux:
                raise  # elsewhere some limits cannot be set at all


def address_space() -> int:
    """Bytes of address space that this process has now; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - cheaper, once for every program
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0

"""The allow-list of system calls, as a BPF program for the kernel's seccomp filter."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

_EPERM = 0x00050000 | errno.EPERM
_KILL = 0x80000000
_ALLOW = 0x7FFF0000

_LOAD, _JUMP_EQUAL, _JUMP_SET, _JUMP_AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x54, 0x06
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_ARGUMENTS = 0, 4, 16

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_PROT_EXEC = 4
_FUTEX_COMMAND_MASK, _FUTEX_WAKE = 127, 1
_MADV_DONTNEED, _MADV_FREE, _MADV_HUGEPAGE = 4, 8, 14

# Calls that a program needs in order to compute and to end; none of them names a file, a process or an address on a
# network, none waits or yields the processor, which is how CPU time can be hidden, and none touches signals, so that
# limits cannot be blocked. Numbers: (x86-64, AArch64).
_FREE = {
    "brk": (12, 214),
    "clock_gettime": (228, 113),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "getrandom": (318, 278),
    "gettimeofday": (96, 169),
    "mremap": (25, 216),
    "munmap": (11, 215),
}
# Calls allowed for some arguments only.
_MMAP, _MPROTECT, _MADVISE, _FUTEX = (9, 222), (10, 226), (28, 233), (202, 98)

# machine -> (column of the tables above, AUDIT_ARCH, number of seccomp(2))
_MACHINES = {
    "x86_64": (0, 0xC000003E, 317),
    "amd64": (0, 0xC000003E, 317),
    "aarch64": (1, 0xC00000B7, 277),
    "arm64": (1, 0xC00000B7, 277),
}
ALLOWED_CALLS = len(_FREE) + 4


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _statement(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _argument(index: int) -> bytes:
    """Loads the low half of an argument; these machines are little-endian."""
    return _statement(_LOAD, _OFFSET_ARGUMENTS + 8 * index)


def _only_for(number: int, checks: list[bytes]) -> list[bytes]:
    """Runs the checks, which end in a verdict, for one call and skips them for all others."""
    return [_statement(_JUMP_EQUAL, number, 0, len(checks)), *checks]


def build_filter(machine: str) -> bytes:
    """The BPF instructions, eight bytes each: allowed calls pass, others get EPERM, foreign ABIs are killed.

    Raises:
        OSError: for a machine whose system calls are not listed here.
    """
    if machine.lower() not in _MACHINES:
        raise OSError(errno.ENOSYS, f"no system call table for {machine}")
    column, architecture, _ = _MACHINES[machine.lower()]
    allow, refuse = _statement(_RETURN, _ALLOW), _statement(_RETURN, _EPERM)
    code = [
        _statement(_LOAD, _OFFSET_ARCH),
        _statement(_JUMP_EQUAL, architecture, 1, 0),
        _statement(_RETURN, _KILL),
        _statement(_LOAD, _OFFSET_NUMBER),
        # The x32 ABI shares the architecture and numbers its calls from here.
        _statement(_JUMP_AT_LEAST, 0x40000000, 0, 1),
        _statement(_RETURN, _KILL),
    ]
    for call in (_MMAP, _MPROTECT):
        checks = [_argument(2), _statement(_JUMP_SET, _PROT_EXEC, 0, 1), refuse, allow]
        code += _only_for(call[column], checks)
    # As root, madvise could poison pages that other processes use.
    advice = [_statement(_JUMP_EQUAL, good, 3 - i, 0) for i, good in enumerate((_MADV_DONTNEED, _MADV_FREE))]
    advice += [_statement(_JUMP_EQUAL, _MADV_HUGEPAGE, 1, 0), refuse, allow]
    code += _only_for(_MADVISE[column], [_argument(2), *advice])
    # Waking is what an uncontended lock may ask for; waiting would stall the run at no cost in CPU time.
    command = [_argument(1), _statement(_AND, _FUTEX_COMMAND_MASK), _statement(_JUMP_EQUAL, _FUTEX_WAKE, 1, 0)]
    code += _only_for(_FUTEX[column], [*command, refuse, allow])
    for numbers in _FREE.values():
        code += _only_for(numbers[column], [allow])
    return b"".join([*code, refuse])


class Seccomp:
    """A filter that is ready to be put on the calling process, for good.

    Raises:
        OSError: where this kernel or machine has none.
    """

    def __init__(self) -> None:
        instructions = build_filter(platform.machine())
        self._code = ctypes.create_string_buffer(instructions, len(instructions))
        self._program = _Program(len(instructions) // 8, ctypes.addressof(self._code))
        self._number = _MACHINES[platform.machine().lower()][2]
        self._libc = ctypes.CDLL(None, use_errno=True)

    def apply(self) -> None:
        """Confines this process and whatever it might start.

        Raises:
            OSError: where the kernel refuses.
        """
        if self._libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            _raise("no_new_privs")
        pointer = ctypes.byref(self._program)
        if self._libc.syscall(ctypes.c_long(self._number), _SECCOMP_SET_MODE_FILTER, 0, pointer) != 0:
            _raise("seccomp")


def _raise(name: str) -> None:
    code = ctypes.get_errno()
    raise OSError(code, f"{name}: {os.strerror(code)}")

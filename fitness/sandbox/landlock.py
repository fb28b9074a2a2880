"""Landlock: the kernel's second lock on files and, where it is new enough, on networks and signals."""

from __future__ import annotations

import ctypes
import os
import struct

_CREATE, _RESTRICT = 444, 446  # the same on every machine
_VERSION_FLAG = 1

# ABI -> number of rights on files known since; all of them are handled, and no path is ever allowed.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NETWORK_RIGHTS = 0b11
_SCOPES = 0b11


class Landlock:
    """An empty rule set: nothing is allowed of what it governs.

    Attributes:
        abi: version of the kernel's interface; 0 where it has none, and `apply` does nothing.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.abi = max(0, self._call(_CREATE, None, 0, _VERSION_FLAG))
        self._rules = -1
        if self.abi:
            rights = (1 << _FILE_RIGHTS[min(self.abi, max(_FILE_RIGHTS))]) - 1
            fields = [rights]
            if self.abi >= 4:
                fields.append(_NETWORK_RIGHTS)
            if self.abi >= 6:
                fields.append(_SCOPES)
            attributes = struct.pack(f"{len(fields)}Q", *fields)
            self._rules = self._call(_CREATE, attributes, len(attributes), 0)
            if self._rules < 0:
                self.abi = 0

    def _call(self, number: int, *arguments: object) -> int:
        return int(self._libc.syscall(ctypes.c_long(number), *arguments))

    def apply(self) -> None:
        """Confines this process; needs no_new_privs or privilege, and the rule set's descriptor still open.

        Raises:
            OSError: where the kernel refuses though it made the rule set.
        """
        if self.abi and self._call(_RESTRICT, self._rules, 0) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"Landlock: {os.strerror(code)}")

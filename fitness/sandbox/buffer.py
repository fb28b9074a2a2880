"""The memory that a child writes its results into: raw numbers, of a size that nobody can change."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from fitness.failures import FailureKind
from fitness.posix import fcntl
from fitness.sandbox.outcome import CHILD_ENDS

# nonce, kind, text (-1: unknown), line (0: unknown), bytes of message
HEADER = struct.Struct("<16sIiII")
MESSAGE_BYTES = 1600
HEADER_BYTES = 2048


@dataclass(frozen=True)
class Report:
    """What a child says of its run; written by untrusted code, so every field is only a claim.

    Attributes:
        failure: one of `CHILD_ENDS`; None where it says that all went well.
        message: any text.
        line: 1-based, or None.
        text: position within the texts asked for, or None.
    """

    failure: FailureKind | None = None
    message: str = ""
    line: int | None = None
    text: int | None = None


def size_for(lengths: Sequence[int]) -> int:
    """Bytes needed for the results of texts of these lengths."""
    return HEADER_BYTES + 8 * sum(n * n for n in lengths)


def create(size: int) -> int:
    """Descriptor of new anonymous memory, sealed against growing and shrinking where the system can seal.

    A file that shrank would end the reader with SIGBUS.
    """
    if not hasattr(os, "memfd_create"):
        import tempfile

        with tempfile.TemporaryFile() as file:
            os.ftruncate(file.fileno(), size)
            return os.dup(file.fileno())
    descriptor = os.memfd_create("headscribe", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    return descriptor


class Buffer:
    """One mapping of the memory behind a descriptor; the descriptor is the caller's to close."""

    def __init__(self, descriptor: int) -> None:
        self.size = os.fstat(descriptor).st_size
        self._map = mmap.mmap(descriptor, self.size)
        self._bytes: np.ndarray = np.frombuffer(self._map, dtype=np.uint8)

    def clear(self) -> None:
        """Zeroes everything, so that no program finds or passes for another."""
        self._bytes[:] = 0

    def writer(self, lengths: Sequence[int]) -> Callable[[int, np.ndarray], None]:
        """What stores the (n, n) weights, as float64, of the text at a position of those asked for."""
        ends = list(accumulate(n * n for n in lengths))
        flat = self._bytes[HEADER_BYTES : size_for(lengths)].view(np.float64)

        def write(position: int, weights: np.ndarray) -> None:
            flat[ends[position] - weights.size : ends[position]].reshape(weights.shape)[:] = weights

        return write

    def read_weights(self, lengths: Sequence[int]) -> np.ndarray:
        """A copy of the weights of all texts, float64 and unchecked, end to end and row by row."""
        return self._bytes[HEADER_BYTES : size_for(lengths)].view(np.float64).copy()

    def write_report(self, nonce: bytes, report: Report) -> None:
        """Stores what a child has to say; the nonce tells this run's report from anything else."""
        message = report.message[:MESSAGE_BYTES].encode("utf-8", "replace")[:MESSAGE_BYTES]
        text = -1 if report.text is None else report.text
        kind = CHILD_ENDS.index(report.failure)
        self._map[HEADER.size : HEADER.size + len(message)] = message
        self._map[: HEADER.size] = HEADER.pack(nonce, kind, text, report.line or 0, len(message))

    def read_report(self, nonce: bytes) -> Report | None:
        """The child's report, or None where it left none for this run or one that makes no sense."""
        found, kind, text, line, length = HEADER.unpack(self._map[: HEADER.size])
        if found != nonce or kind >= len(CHILD_ENDS) or length > MESSAGE_BYTES:
            return None
        message = self._map[HEADER.size : HEADER.size + length].decode("utf-8", "replace")
        return Report(CHILD_ENDS[kind], message, line or None, None if text < 0 else text)

    def close(self) -> None:
        """Gives the mapping back."""
        del self._bytes
        self._map.close()

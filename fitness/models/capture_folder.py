"""A folder of the attention cache while it is made: one process at a time, and what is finished stays finished.

cache/.making-KEY/attention.f16   blocks of texts, each at its place, in the order their batches are done
cache/.making-KEY/done.jsonl      one line for every batch that is whole: its texts, and a hash of their blocks
cache/KEY/                        the folder's name when all is written
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from fitness.errors import UserError
from fitness.models.attention import DATA, block_offsets
from fitness.posix import fcntl

log = logging.getLogger("headscribe")

DONE = "done.jsonl"
ABANDONED_SECONDS = 7 * 24 * 3600
BYTES = 2  # of a float16


@contextlib.contextmanager
def folder_in_the_making(folder: Path) -> Iterator[Path | None]:
    """A folder to write into, which takes its name at the end; None where another process made it meanwhile.

    Interrupted, it stays with the batches that are finished; the next process goes on from there.

    Raises:
        UserError: where it cannot be written.
    """
    making = folder.parent / f".making-{folder.name}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent, but=making)
        lock = _locked(making)
    except OSError as error:
        raise _unwritable(folder.parent, error) from None
    try:
        if folder.exists():
            shutil.rmtree(making, ignore_errors=True)
            yield None
            return
        yield making
        (making / DONE).unlink()
        making.replace(folder)
    except OSError as error:
        raise _unwritable(folder.parent, error) from error
    finally:
        if making.exists() and not (making / DONE).exists():
            shutil.rmtree(making, ignore_errors=True)
        os.close(lock)


def _locked(making: Path) -> int:
    """A descriptor of the folder, locked for this process alone."""
    while True:
        making.mkdir(exist_ok=True)
        descriptor = os.open(making, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            log.warning("another process captures the same attention; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Whoever held it before may have finished, and given the folder its name, or removed it.
        with contextlib.suppress(OSError):
            if os.fstat(descriptor).st_ino == making.stat().st_ino:
                return descriptor
        os.close(descriptor)


def _sweep(cache: Path, but: Path) -> None:
    """Removes what was left unfinished a week ago and is nobody's."""
    for leftover in cache.glob(".making-*"):
        if leftover == but or time.time() - leftover.stat().st_mtime < ABANDONED_SECONDS:
            continue
        with contextlib.suppress(OSError):
            descriptor = os.open(leftover, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(leftover, ignore_errors=True)
            finally:
                os.close(descriptor)


def _unwritable(cache: Path, error: OSError) -> UserError:
    return UserError(f"attention cache: cannot write to {cache}: {error.strerror or error}; choose another")


class FinishedBatches:
    """The data file in the making, and the list of batches in it that are whole.

    Args:
        folder: where both lie.
        lengths: tokens of each text.
        heads: number of heads.
        causal: whether blocks hold lower triangles.
    """

    def __init__(self, folder: Path, lengths: list[int], heads: int, *, causal: bool) -> None:
        self._folder = folder
        self._offsets = block_offsets(lengths, heads, causal=causal)
        self._heads = heads
        self._whole: set[tuple[int, ...]] = set()

    def __enter__(self) -> FinishedBatches:
        self._data = os.open(self._folder / DATA, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self._data, int(self._offsets[-1]) * BYTES)
        self._done = (self._folder / DONE).open("a+", encoding="utf-8")
        self._done.seek(0)
        for line in self._done:
            with contextlib.suppress(ValueError, KeyError, IndexError):  # a line that was cut short by a kill
                entry = json.loads(line)
                if self._hash(entry["texts"]) == entry["sha256"]:
                    self._whole.add(tuple(entry["texts"]))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._data)
        self._done.close()
        if not self._whole:
            (self._folder / DONE).unlink()

    def holds(self, batch: Sequence[int]) -> bool:
        """Whether a batch was finished, now or by a process before."""
        return tuple(batch) in self._whole

    def write(self, text: int, first_head: int, rows: np.ndarray) -> None:
        """Writes (heads, packed) float16 of some heads in a row of one text."""
        packed = (self._offsets[text + 1] - self._offsets[text]) // self._heads
        place = int(self._offsets[text] + first_head * packed) * BYTES
        left = memoryview(rows.tobytes())
        while left:
            written = os.pwrite(self._data, left, place)
            left, place = left[written:], place + written

    def note(self, batch: Sequence[int]) -> None:
        """Says that all of a batch is written."""
        entry = {"texts": list(batch), "sha256": self._hash(batch)}
        self._done.write(json.dumps(entry) + "\n")
        self._done.flush()
        self._whole.add(tuple(batch))

    def _hash(self, batch: Sequence[int]) -> str:
        digest = hashlib.sha256()
        for text in batch:
            begin, end = int(self._offsets[text]) * BYTES, int(self._offsets[text + 1]) * BYTES
            digest.update(os.pread(self._data, end - begin, begin))
        return digest.hexdigest()

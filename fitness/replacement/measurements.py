"""Measurements kept as they are finished, so that an interrupted study goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import IO, Any

import numpy as np

from fitness.errors import UserError

FORMAT = 1


class Measurements:
    """Arrays by what was measured; on disk where there is a file, one JSON line each.

    A measurement is found again by a hash of all that decides its value (the model, the token ids, what stands in which
    head's place), so a study of other fractions finds what an earlier one has measured. Numbers come back to the last
    bit. A line that was cut short by a kill is left out.

    Args:
        path: the file, made as needed; None to remember nothing after this object.
        scope: what distinguishes this model, at this precision, from any other.
    """

    def __init__(self, path: Path | None = None, scope: str = "") -> None:
        self._scope = f"{FORMAT}\n{scope}"
        self._known: dict[str, np.ndarray] = {}
        self._path = path
        self._file: IO[str] | None = None
        if path is not None and path.is_file():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                with_key = _parse(line)
                if with_key is not None:
                    self._known[with_key[0]] = with_key[1]

    def key(self, *parts: str | bytes) -> str:
        """The name under which something is kept, from all that decides its value."""
        digest = hashlib.sha256(self._scope.encode())
        for part in parts:
            raw = part.encode() if isinstance(part, str) else part
            digest.update(len(raw).to_bytes(8) + raw)
        return digest.hexdigest()[:32]

    def get(self, key: str) -> np.ndarray | None:
        """What was measured, or None."""
        return self._known.get(key)

    def put(self, key: str, values: np.ndarray) -> np.ndarray:
        """Keeps float64 numbers of any shape, and returns them."""
        values = np.asarray(values, dtype=np.float64)
        self._known[key] = values
        if self._path is not None:
            if self._file is None:
                # A line that a kill cut short must not swallow the next one.
                torn = self._path.is_file() and not self._path.read_bytes().endswith(b"\n")
                self._file = _opened_here(self._path)
                self._file.write("\n" * torn)
            self._file.write(json.dumps({"key": key, "values": values.tolist()}) + "\n")
            self._file.flush()
        return values


def _opened_here(path: Path) -> IO[str]:
    """A file opened for writing at its end; a link in its place, which may lead anywhere, is not followed."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise UserError(f"{path} is a link or no plain file; remove it")
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    return os.fdopen(descriptor, "a", encoding="utf-8")


def _parse(line: str) -> tuple[str, np.ndarray] | None:
    try:
        entry: dict[str, Any] = json.loads(line)
        return entry["key"], np.asarray(entry["values"], dtype=np.float64)
    except (ValueError, KeyError, TypeError):
        return None

"""Captured attention on disk: packed, memory-mapped, checked; reading it needs no torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from fitness.errors import UserError
from fitness.heads import head_labels
from fitness.scoring.packing import packed_size
from fitness.text.view import Text

DATA, TEXTS, SUMS, META = "attention.f16", "texts.json", "sums.npy", "meta.json"
# What reading files that somebody else made, or half made, can raise.
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


class CorruptCacheError(Exception):
    """A folder of the attention cache that is incomplete or damaged."""


class Attention:
    """Attention of every head on every text, memory-mapped.

    Texts lie one after the other, each as a (heads, packed) block of float16 in the layout of
    `fitness.scoring.packing.pack`.

    Attributes:
        folder: where it lies.
        model: the model as the user named it.
        quantised: how its weights are quantised, such as "GGUF Q4_1"; None where they are not.
        dtype: type that it computed in, such as "float32".
        causal: whether tokens see only themselves and what came before; then blocks hold lower triangles.
        layers: (layer, number of its heads) of each layer that was captured; layers need be neither all nor alike.
        left_out: layers without softmax attention, of which nothing was captured.
        texts: the texts, in the order of the corpus.
        labels: names of the heads by flat index, layer after layer: "L0H0", "L0H1", ...
        truncated: how many texts were cut to the length limit.

    Raises:
        CorruptCacheError: where the folder is incomplete or of unexpected size.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        try:
            self._read()
        except _DAMAGE as error:
            raise CorruptCacheError(f"{self.folder}: {type(error).__name__}: {error}") from None

    def _read(self) -> None:
        for name in (DATA, TEXTS, SUMS, META):
            if not (self.folder / name).is_file():
                raise ValueError(f"{name} is missing, or no plain file")
        meta = json.loads((self.folder / META).read_text())
        texts = json.loads((self.folder / TEXTS).read_text(encoding="utf-8"))
        # Mapped, so that a file is as long as it says that it is before there is memory for it.
        self._sums = np.array(np.load(self.folder / SUMS, mmap_mode="r"))
        self._data = np.memmap(self.folder / DATA, dtype=np.float16, mode="r")
        self.model: str = meta["model"]
        self.quantised: str | None = meta["quantised"]
        self.dtype: str = meta["dtype"]
        self.causal: bool = meta["causal"]
        self.layers = tuple((int(layer), int(heads)) for layer, heads in meta["layers"])
        self.left_out = tuple(int(layer) for layer in meta["left_out"])
        self.truncated: int = meta["truncated"]
        # Before anything is made for so many heads.
        if min(heads for _, heads in self.layers) < 1 or self._sums.shape != (
            len(texts),
            sum(h for _, h in self.layers),
        ):
            raise ValueError(f"{SUMS} has shape {self._sums.shape}, not one of texts and heads")
        self.texts = tuple(Text(text["tokens"], text["ids"], text["string"]) for text in texts)
        self.labels = head_labels(self.layers)
        self._offsets = block_offsets([text.n for text in self.texts], len(self.labels), causal=self.causal)
        if self._data.size != self._offsets[-1]:
            raise ValueError(f"{DATA} holds {self._data.size} numbers, expected {self._offsets[-1]}")

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the model that was measured, in sentences: that it is quantised, and layers left out."""
        notes = []
        if self.quantised:
            notes.append(f"the weights are quantised ({self.quantised}): what was measured is the quantised model")
        if self.left_out:
            layers = ", ".join(map(str, self.left_out))
            notes.append(f"without softmax attention, and left out: layer{'s' * (len(self.left_out) > 1)} {layers}")
        return tuple(notes)

    def __len__(self) -> int:
        return len(self.texts)

    def block(self, text: int) -> np.ndarray:
        """(heads, packed) float16: a read-only view of every head's packed attention on one text."""
        begin, end = self._offsets[text], self._offsets[text + 1]
        return self._data[begin:end].reshape(len(self.labels), -1)

    def sums(self, text: int) -> np.ndarray:
        """(heads,) float64: sums of `block(text)` along its last axis."""
        return self._sums[text]

    def verify(self) -> None:
        """Compares all files with the checksums that were taken when they were written.

        Raises:
            CorruptCacheError: where one differs.
        """
        checksums = json.loads((self.folder / META).read_text())["sha256"]
        for name, expected in checksums.items():
            if checksum(self.folder / name) != expected:
                raise CorruptCacheError(f"{self.folder / name} is damaged")


def open_attention(folder: Path) -> Attention:
    """Opens what `fitness.models.capture.capture` wrote.

    Raises:
        UserError: where the folder is not a complete attention cache.
    """
    try:
        return Attention(folder)
    except CorruptCacheError as error:
        raise UserError(
            f"attention cache unreadable: {error}; delete the folder, and it will be captured again"
        ) from None


def block_offsets(lengths: list[int], heads: int, *, causal: bool) -> np.ndarray:
    """(texts + 1,) int64: text t's numbers are `offsets[t]:offsets[t + 1]` of the data file."""
    sizes = [packed_size(n, causal=causal) for n in lengths]
    return heads * np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def checksum(file: Path) -> str:
    """SHA-256 of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

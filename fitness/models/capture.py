"""Attention of a model over a corpus, on disk: packed, memory-mapped, found again by what it was made of."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fitness.errors import UserError
from fitness.heads import head_labels
from fitness.models.loading import ModelSource, Reader, context_length, load_model, locate
from fitness.scoring.packing import pack, packed_size
from fitness.text.view import Text

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

log = logging.getLogger("headscribe")

FORMAT = 1
DATA, TEXTS, SUMS, META = "attention.f16", "texts.json", "sums.npy", "meta.json"
ABANDONED_SECONDS = 24 * 3600


class CorruptCacheError(Exception):
    """A folder of the attention cache that is incomplete or damaged."""


class Attention:
    """Attention of every head on every text, memory-mapped; needs no torch.

    Texts lie one after the other, each as a (heads, packed) block of float16 in the layout of
    `fitness.scoring.packing.pack`.

    Attributes:
        folder: where it lies.
        model: the model as the user named it.
        causal: whether tokens see only themselves and what came before; then blocks hold lower triangles.
        layers: number of layers.
        heads_per_layer: number of heads in each layer.
        texts: the texts, in the order of the corpus.
        labels: names of the heads by flat index, layer * heads_per_layer + head: "L0H0", "L0H1", ...
        truncated: how many texts were cut to the length limit.

    Raises:
        CorruptCacheError: where the folder is incomplete or of unexpected size.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        try:
            meta = json.loads((self.folder / META).read_text())
            texts = json.loads((self.folder / TEXTS).read_text(encoding="utf-8"))
            self._sums = np.load(self.folder / SUMS)
            self._data = np.memmap(self.folder / DATA, dtype=np.float16, mode="r")
        except (OSError, ValueError) as error:
            raise CorruptCacheError(f"{self.folder}: {error}") from None
        self.model: str = meta["model"]
        self.causal: bool = meta["causal"]
        self.layers: int = meta["layers"]
        self.heads_per_layer: int = meta["heads_per_layer"]
        self.truncated: int = meta["truncated"]
        self.texts = tuple(Text(text["tokens"], text["ids"], text["string"]) for text in texts)
        self.labels = head_labels(self.layers, self.heads_per_layer)
        sizes = [packed_size(text.n, causal=self.causal) for text in self.texts]
        self._offsets = len(self.labels) * np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        if self._data.size != self._offsets[-1] or self._sums.shape != (len(self.texts), len(self.labels)):
            raise CorruptCacheError(
                f"{self.folder}: {DATA} holds {self._data.size} numbers, expected {self._offsets[-1]}"
            )

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
        for name, checksum in checksums.items():
            if _checksum(self.folder / name) != checksum:
                raise CorruptCacheError(f"{self.folder / name} is damaged")


def open_attention(folder: Path) -> Attention:
    """Opens what `capture` wrote.

    Raises:
        UserError: where the folder is not a complete attention cache.
    """
    try:
        return Attention(folder)
    except CorruptCacheError as error:
        raise UserError(
            f"attention cache unreadable: {error}; delete the folder, and it will be captured again"
        ) from None


def capture(
    model: str | ModelSource,
    strings: Sequence[str],
    *,
    max_tokens: int,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Attention:
    """Attention of every head of a model on every text, taken from the cache where it was captured before.

    The cache is keyed by the content of the model's files (or its hub revision), the texts and `max_tokens`. Layers are
    written as they are computed, one text at a time: neither all layers nor all texts are ever held in memory.

    Args:
        model: what `fitness.models.loading.locate` takes or returns.
        strings: the texts; each is cut to `max_tokens` tokens, special tokens included.
        max_tokens: the most tokens of a text.
        cache: folder that holds one folder for every model, corpus and length.
        progress: called with the number of texts done and of all texts.

    Raises:
        UserError: for a model that cannot be loaded or looked into, texts that are too short, too long for the model,
            or none, and a cache that cannot be written.
    """
    if not strings:
        raise UserError("texts: there are none to capture attention on")
    source = locate(model) if isinstance(model, str) else model
    wanted = json.dumps([FORMAT, source.identity, list(strings), max_tokens])
    folder = Path(cache) / hashlib.sha256(wanted.encode()).hexdigest()[:24]
    if folder.exists():
        try:
            attention = Attention(folder)
            attention.verify()
            return attention
        except CorruptCacheError as error:
            log.warning("discarding a damaged attention cache, which is captured again: %s", error)
            shutil.rmtree(folder, ignore_errors=True)
    with _folder_in_the_making(folder) as making:
        _capture_into(making, source, strings, max_tokens, progress)
    return Attention(folder)


@contextlib.contextmanager
def _folder_in_the_making(folder: Path) -> Iterator[Path]:
    """A temporary folder that takes its name when all is written, and is removed when anything fails."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for leftover in folder.parent.glob(".making-*"):
            if time.time() - leftover.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)
        making = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    except OSError as error:
        raise UserError(f"attention cache: cannot write to {folder.parent}: {error.strerror}; choose another") from None
    try:
        yield making
        try:
            making.replace(folder)
        except OSError:
            if not folder.exists():  # otherwise another process captured the same meanwhile
                raise
    except OSError as error:
        raise UserError(f"attention cache: cannot write to {folder.parent}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _capture_into(
    folder: Path,
    source: ModelSource,
    strings: Sequence[str],
    max_tokens: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    model, tokenizer = load_model(source)
    texts, truncated = read_all(Reader(tokenizer), strings, max_tokens)
    longest, context = max(text.n for text in texts), context_length(model, tokenizer)
    if context is not None and longest > context:
        raise UserError(
            f"max_tokens: a text has {longest} tokens, but the model takes {context}; set at most {context}"
        )
    if truncated:
        log.info("%d of %d texts are longer than %d tokens and were cut", truncated, len(texts), max_tokens)
    layers, heads, causal = inspect_heads(model)
    sums = np.zeros((len(texts), layers * heads))
    with (folder / DATA).open("wb") as data:
        for index, text in enumerate(texts):
            sums[index] = _write_text(model, text, data, layers, heads, causal=causal)
            if progress is not None:
                progress(index + 1, len(texts))
    np.save(folder / SUMS, sums)
    rows = [{"tokens": text.tokens, "ids": text.ids.tolist(), "string": text.string} for text in texts]
    (folder / TEXTS).write_text(json.dumps(rows), encoding="utf-8")
    meta: dict[str, Any] = {
        "format": FORMAT,
        "model": source.path,
        "revision": source.revision,
        "max_tokens": max_tokens,
    }
    meta |= {"causal": causal, "layers": layers, "heads_per_layer": heads, "truncated": truncated}
    meta["sha256"] = {file: _checksum(folder / file) for file in (DATA, TEXTS, SUMS)}
    (folder / META).write_text(json.dumps(meta, indent=1))


def read_all(reader: Reader, strings: Sequence[str], max_tokens: int) -> tuple[list[Text], int]:
    """Texts of strings, and how many of them were cut to `max_tokens`.

    Raises:
        UserError: where texts have fewer than two tokens, for which attention says nothing.
    """
    encoded = [reader.encode(string, max_tokens) for string in strings]
    short = [string for string, (ids, _) in zip(strings, encoded, strict=True) if len(ids) < 2]
    if short:
        raise UserError(
            f"texts: {len(short)} of {len(strings)} have fewer than two tokens, the first is {short[0][:40]!r}; "
            "remove them, or raise max_tokens to at least 2"
        )
    return [reader.text(ids) for ids, _ in encoded], sum(cut for _, cut in encoded)


def _write_text(model: PreTrainedModel, text: Text, data: Any, layers: int, heads: int, *, causal: bool) -> np.ndarray:
    """Appends one text's (layers * heads, packed) block to the file, and returns the sums of its rows."""
    sums = np.zeros((layers, heads))
    seen: list[int] = []

    def write(layer: int, weights: torch.Tensor) -> None:
        packed = pack(weights[0].float().cpu().numpy(), causal=causal).astype(np.float16)
        data.write(packed.tobytes())
        sums[layer] = packed.sum(axis=1, dtype=np.float64)
        seen.append(layer)

    observe_text(model, text.ids, write)
    if seen != list(range(layers)):
        raise UserError(f"the model computed attention in layers {seen}, expected 0 to {layers - 1} in order")
    return sums.ravel()


def observe_text(model: PreTrainedModel, ids: Sequence[int], observe: Callable[[int, torch.Tensor], None]) -> None:
    """Runs a model on one text and shows each layer's (1, heads, n, n) weights, one after the other."""
    import inspect

    import torch

    from fitness.models.hooks import attention_route

    options = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}
    with torch.no_grad(), attention_route(model, observe=observe):
        model(input_ids=torch.tensor([list(map(int, ids))], device=model.device), **options)


def inspect_heads(model: PreTrainedModel) -> tuple[int, int, bool]:
    """Number of layers, number of heads in each layer, and whether the model is causal, measured on four tokens.

    Raises:
        UserError: where no attention is met, or layers differ in their number of heads.
    """
    heads: dict[int, int] = {}
    looks_ahead = []

    def look(layer: int, weights: torch.Tensor) -> None:
        heads[layer] = weights.shape[1]
        looks_ahead.append(bool(weights.triu(1).any()))

    observe_text(model, [5, 6, 7, 8], look)
    if not heads:
        raise UserError(
            f"{type(model).__name__} shows no attention: it neither uses transformers' interface nor softmax"
        )
    if sorted(heads) != list(range(len(heads))):
        raise UserError(f"only layers {sorted(heads)} of this model have attention with a softmax; it is not supported")
    if len(set(heads.values())) > 1:
        raise UserError("the layers of this model differ in their number of heads; it is not supported")
    return len(heads), heads[0], not any(looks_ahead)


def _checksum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

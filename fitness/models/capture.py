"""Captures a model's attention over a corpus into a cache: batch by batch, resumed where it was interrupted."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fitness.errors import UserError
from fitness.models.attention import DATA, META, SUMS, TEXTS, Attention, CorruptCacheError, block_offsets, checksum
from fitness.models.capture_folder import FinishedBatches, folder_in_the_making
from fitness.models.loading import Loaded, Reader, context_length, load
from fitness.models.observe import HeadMap, inspect_heads, observe_batch
from fitness.models.source import ModelSource, locate
from fitness.scoring.packing import pack
from fitness.text.view import Text

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

log = logging.getLogger("headscribe")

FORMAT = 2
# Tokens of a batch at the most: beyond it a forward pass gains nothing more on two cores, and memory grows.
BATCH_TOKENS = 768

Progress = Callable[[int, int], None]


def capture(
    model: str | ModelSource,
    strings: Sequence[str],
    *,
    max_tokens: int,
    cache: Path,
    progress: Progress | None = None,
) -> Attention:
    """Attention of every head of a model on every text, taken from the cache where it was captured before.

    The cache is keyed by the content of the model's files (or its hub revision), its dtype, the texts and `max_tokens`.
    Texts of equal length run together; layers are written as they are computed: neither all layers nor all texts are
    ever held in memory. A batch's size changes weights in the last bits of float32 alone. What is interrupted
    resumes after the last batch that was finished.

    Args:
        model: what `fitness.models.source.locate` takes or returns.
        strings: the texts; each is cut to `max_tokens` tokens, special tokens included.
        max_tokens: the most tokens of a text.
        cache: folder that holds one folder for every model, corpus and length.
        progress: called with the number of texts done and of all texts: with 0 before and after the model is loaded,
            then after every batch.

    Raises:
        UserError: for a model that cannot be loaded or looked into, texts that are too short, too long for the model,
            or none, and a cache that cannot be written.
    """
    if not strings:
        raise UserError("texts: there are none to capture attention on")
    source = locate(model) if isinstance(model, str) else model
    wanted = json.dumps([FORMAT, source.identity, list(strings), max_tokens])
    folder = Path(cache) / hashlib.sha256(wanted.encode()).hexdigest()[:24]
    known = _known(folder)
    if known is not None:
        return known
    with folder_in_the_making(folder) as making:
        if making is not None:
            _capture_into(making, source, strings, max_tokens, progress or (lambda done, total: None))
    return Attention(folder)


def _known(folder: Path) -> Attention | None:
    if not folder.exists():
        return None
    try:
        attention = Attention(folder)
        attention.verify()
        return attention
    except CorruptCacheError as error:
        log.warning("discarding a damaged attention cache, which is captured again: %s", error)
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _capture_into(
    folder: Path, source: ModelSource, strings: Sequence[str], max_tokens: int, progress: Progress
) -> None:
    progress(0, len(strings))
    loaded = load(source)
    model, tokenizer = loaded.model, loaded.tokenizer
    texts, truncated = read_all(Reader(tokenizer), strings, max_tokens)
    longest, context = max(text.n for text in texts), context_length(model, tokenizer)
    if context is not None and longest > context:
        raise UserError(
            f"max_tokens: a text has {longest} tokens, but the model takes {context}; set at most {context}"
        )
    with all_cores():
        found = inspect_heads(model)
        progress(0, len(texts))
        capture_batches(folder, model, texts, found, progress)
    _write_facts(folder, source, loaded, texts, found, {"max_tokens": max_tokens, "truncated": truncated})


@contextlib.contextmanager
def all_cores() -> Iterator[None]:
    """Within the context torch computes on all cores that this process may use, unless OMP_NUM_THREADS says less."""
    import torch

    before = torch.get_num_threads()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or cores))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def batches(lengths: Sequence[int], most_tokens: int = BATCH_TOKENS) -> list[list[int]]:
    """Indices of texts that run together: equally long, in the order of the first of each, none too many tokens."""
    by_length: dict[int, list[int]] = {}
    for index, n in enumerate(lengths):
        by_length.setdefault(n, []).append(index)
    found = []
    for n, indices in by_length.items():
        size = max(1, most_tokens // n)
        found += [indices[begin : begin + size] for begin in range(0, len(indices), size)]
    return sorted(found)


def capture_batches(
    folder: Path, model: PreTrainedModel, texts: Sequence[Text], found: HeadMap, progress: Progress
) -> None:
    """Writes all texts' blocks that are not there yet.

    Args:
        folder: the folder in the making.
        model: the model.
        texts: all texts, in the order of their blocks.
        found: the model's heads.
        progress: called with the number of texts done and of all texts, after every batch.
    """
    done = 0
    with FinishedBatches(folder, [text.n for text in texts], found.total, causal=found.causal) as finished:
        for batch in batches([text.n for text in texts]):
            if not finished.holds(batch):
                _write_batch(model, [texts[index] for index in batch], batch, found, finished)
                finished.note(batch)
            done += len(batch)
            progress(done, len(texts))


def _write_batch(
    model: PreTrainedModel, texts: Sequence[Text], indices: Sequence[int], found: HeadMap, finished: FinishedBatches
) -> None:
    """Writes the (heads, packed) blocks of texts of one length, layer by layer."""
    first = found.first_heads
    seen: list[int] = []

    def write(layer: int, weights: torch.Tensor) -> None:
        packed = pack(weights.float().cpu().numpy(), causal=found.causal).astype(np.float16)  # (B, heads, packed)
        for index, rows in zip(indices, packed, strict=True):
            finished.write(index, first[layer], rows)
        seen.append(layer)

    observe_batch(model, [text.ids for text in texts], write)
    expected = [layer for layer, _ in found.layers]
    if seen != expected:
        raise UserError(f"the model computed attention in layers {seen}, expected {expected} in this order")


def _write_facts(
    folder: Path,
    source: ModelSource,
    loaded: Loaded,
    texts: Sequence[Text],
    found: HeadMap,
    facts: dict[str, Any],
) -> None:
    """Writes all files but the data."""
    data = np.memmap(folder / DATA, dtype=np.float16, mode="r")
    offsets = block_offsets([text.n for text in texts], found.total, causal=found.causal)
    blocks = [data[begin:end].reshape(found.total, -1) for begin, end in pairwise(offsets)]
    np.save(folder / SUMS, np.stack([block.sum(axis=1, dtype=np.float64) for block in blocks]))
    rows = [{"tokens": text.tokens, "ids": text.ids.tolist(), "string": text.string} for text in texts]
    (folder / TEXTS).write_text(json.dumps(rows), encoding="utf-8")
    meta = facts | {"format": FORMAT, "model": source.name, "revision": source.revision}
    meta |= {"quantised": loaded.quantised, "dtype": str(loaded.model.dtype).removeprefix("torch.")}
    meta |= {"causal": found.causal, "layers": found.layers, "left_out": found.left_out}
    meta["sha256"] = {file: checksum(folder / file) for file in (DATA, TEXTS, SUMS)}
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

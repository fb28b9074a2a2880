"""What happens in a Dask worker: its machine is tested, attention is found there, and tasks run one at a time.

It covers neither who gets which task nor what becomes of a lost one: the scheduler knows.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from fitness.models.attention import DATA, META, SUMS, TEXTS, Attention, CorruptCacheError
from fitness.sandbox import Mode, SandboxUnavailable, probe
from fitness.scoring.cluster.software import difference, software_here
from fitness.scoring.threads import one_thread
from fitness.scoring.worker import WorkerSpec

FILES = (DATA, TEXTS, SUMS, META)
# A worker's scratch folder is emptied when it ends; the next worker of the machine shall find attention beside it.
_FOLDER = "headscribe-attention"
# Sandboxes and what workers remember are not made for threads, of which Dask may give a worker several.
_turn = threading.Lock()


@dataclass(frozen=True)
class Refuses:
    """The answer of a machine where programs cannot be run as asked.

    Attributes:
        address: the worker's.
        reason: why, in words.
    """

    address: str
    reason: str


@dataclass(frozen=True)
class Lacks:
    """The answer of a worker that cannot get at the attention of a task.

    Attributes:
        address: the worker's.
        folder: where the campaign has it.
        content: its `content_of`.
    """

    address: str
    folder: str
    content: str


def content_of(folder: Path) -> str:
    """Hash of an attention cache's content: of the file that holds the checksums of all others."""
    return hashlib.sha256((folder / META).read_bytes()).hexdigest()


def attend(function: Callable[..., Any], arguments: tuple[Any, ...], content: str, software: Mapping[str, str]) -> Any:
    """Runs one task of a pool.

    Args:
        function: of the task.
        arguments: of the task; the attention of a `WorkerSpec` among them is looked for on this machine.
        content: `content_of` the attention.
        software: `software_here` of the campaign.

    Returns:
        What the function gives, or a `Refuses` or `Lacks`.
    """
    from distributed import get_worker

    here = get_worker()
    with _turn, one_thread():
        placed = list(arguments)
        for index, argument in enumerate(arguments):
            if isinstance(argument, WorkerSpec):
                reason = refusal(argument.sandbox, software)
                if reason:
                    return Refuses(here.address, reason)
                folder = find(argument.attention, content, here)
                if folder is None:
                    return Lacks(here.address, argument.attention, content)
                placed[index] = replace(argument, attention=str(folder))
        return function(*placed)


async def tested(mode: Mode, software: Mapping[str, str]) -> str:
    """`refusal` beside the worker's own talk with its scheduler, which must not wait for seconds."""
    return await asyncio.to_thread(refusal, mode, software)


def refusal(mode: Mode, software: Mapping[str, str]) -> str:
    """Why this machine does not serve, empty where it does; found out once per process."""
    differs = difference(software, software_here())
    if differs:
        return f"other software is installed: {differs}; install the same"
    return _unconfined(mode)


@lru_cache(maxsize=2)
def _unconfined(mode: Mode) -> str:
    try:
        probe(mode)
    except SandboxUnavailable as error:
        return str(error)
    return ""


def find(folder: str, content: str, dask_worker: Any) -> Path | None:
    """Attention of this content: where the campaign has it, if that is seen from here, else what was sent here."""
    for place in (Path(folder), _kept(content, dask_worker)):
        if (place / META).is_file() and content_of(place) == content:
            return place
    return None


def receive(part: str, name: str, offset: int, data: bytes, dask_worker: Any) -> None:
    """Writes a piece of a file that is being sent here.

    Args:
        part: name of what is being sent, its own for each sending.
        name: one of `FILES`.
        offset: where in the file the piece begins.
        data: the piece.
        dask_worker: the worker, given by Dask.
    """
    if name not in FILES or Path(part).name != part:
        raise ValueError(f"{part}/{name} is no file of an attention cache")
    folder = _kept(part, dask_worker)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / name).open("r+b" if offset else "wb") as file:
        file.seek(offset)
        file.write(data)


async def complete(part: str, content: str, dask_worker: Any) -> bool:
    """Whether what was sent here is whole, by its checksums; from then on `find` finds it."""
    return await asyncio.to_thread(_complete, part, content, dask_worker)


def _complete(part: str, content: str, dask_worker: Any) -> bool:
    folder = _kept(part, dask_worker)
    try:
        if content_of(folder) == content:
            Attention(folder).verify()
            folder.rename(_kept(content, dask_worker))
    except (OSError, CorruptCacheError):  # incomplete, or another sending was quicker
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return find("", content, dask_worker) is not None


def _kept(name: str, dask_worker: Any) -> Path:
    return Path(dask_worker.local_directory).parent / _FOLDER / name

"""Tasks on the workers of a Dask scheduler: what they lack is sent, and what is lost runs again."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path
from typing import Any

from fitness.errors import UserError
from fitness.scoring.cluster.at_worker import FILES, Lacks, Refuses, attend, complete, content_of, find, receive
from fitness.scoring.cluster.connection import Cluster, refuse
from fitness.scoring.cluster.software import ROOMS, software_here
from fitness.scoring.pool import ATTEMPTS, Pool, Task
from fitness.scoring.worker import WorkerSpec

log = logging.getLogger("headscribe")

# Below Dask's limit for a warning about large messages.
PIECE_BYTES = 8_000_000
WAIT_SECONDS = 30


class DaskPool(Pool):
    """Runs batches of pure tasks on a cluster and returns their results in the order of the tasks.

    Args:
        cluster: whose workers.
        on_incident: called with a sentence when something was lost and is done again.
    """

    def __init__(self, cluster: Cluster, on_incident: Callable[[str], None] = log.warning) -> None:
        self._cluster = cluster
        self._on_incident = on_incident
        self._contents: dict[str, str] = {}

    @property
    def workers(self) -> int:
        """Number of worker processes at the moment, at least 1."""
        return self._cluster.workers

    def run(self, tasks: Sequence[Task]) -> list[Any]:
        """Results of all tasks, in their order.

        The scheduler gives the tasks of a lost worker to others. Where it gives them up, or is lost itself, they run
        again, up to three times.

        Raises:
            UserError: naming a worker that cannot be used, and where no scheduler answers any more.
        """
        from distributed import KilledWorker

        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._run(tasks)
            except (KilledWorker, CancelledError, OSError) as error:  # a lost connection is an OSError
                lost = "the Dask scheduler was" if isinstance(error, CancelledError) else "Dask workers were"
                reason = "" if isinstance(error, CancelledError) else f" ({' '.join(str(error).split())[:200]})"
                self._on_incident(f"{lost} lost{reason}; tasks run again, attempt {attempt}")
                if attempt == ATTEMPTS:
                    raise
                self._cluster.renew()
        raise AssertionError("unreachable")

    def _run(self, tasks: Sequence[Task]) -> list[Any]:
        results: list[Any] = [None] * len(tasks)
        left, sent = list(range(len(tasks))), set()
        while left:
            lacking: dict[Lacks, None] = {}
            again = []
            for index, answer in zip(left, self._answers([tasks[index] for index in left]), strict=True):
                if isinstance(answer, Refuses):
                    refuse(answer.address, answer.reason)
                elif isinstance(answer, Lacks):
                    lacking[answer] = None
                    again.append(index)
                else:
                    results[index] = answer
            for missed in lacking:
                if missed in sent:
                    refuse(missed.address, "the attention that was sent there is gone; give it `--local-directory`")
                self._send(missed)
                sent.add(missed)
            left = again
        return results

    def _answers(self, tasks: Sequence[Task]) -> list[Any]:
        """What `attend` gives for each task."""
        client = self._cluster.client
        futures = []
        for function, arguments in tasks:
            content = ""
            for argument in arguments:
                if isinstance(argument, WorkerSpec):
                    content = self._content(argument.attention)
            placed = tuple(map(_absolute, arguments))
            futures.append(client.submit(attend, function, placed, content, software_here(), pure=False))
        self._wait(futures)
        try:
            return list(client.gather(futures))
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ROOMS:
                raise
            raise UserError(f"a Dask worker has no headscribe ({error}); install the same version there") from None

    def _wait(self, futures: Sequence[Any]) -> None:
        """Waits for all, and says so where no worker is there that could do anything."""
        from distributed import wait

        said = False
        while True:
            try:
                with self._cluster.client.as_current():
                    wait(futures, timeout=WAIT_SECONDS)
                return
            except TimeoutError:
                if not said and not self._cluster.client.nthreads():
                    self._on_incident("no Dask worker is there: waiting for one")
                    said = True

    def _content(self, folder: str) -> str:
        if folder not in self._contents:
            self._contents[folder] = content_of(Path(folder))
        return self._contents[folder]

    def _send(self, missed: Lacks) -> None:
        """Sends attention to a worker's machine, unless another worker has just got it there."""
        if self._at(missed.address, find, missed.folder, missed.content) is not None:
            return
        part = f"{missed.content}.{secrets.token_hex(4)}"
        for name in FILES:
            with (Path(missed.folder) / name).open("rb") as file:
                offset = 0
                while (data := file.read(PIECE_BYTES)) or not offset:
                    self._at(missed.address, receive, part, name, offset, data)
                    offset += len(data)
                    if not data:
                        break
        if not self._at(missed.address, complete, part, missed.content):
            refuse(missed.address, "the attention that was sent there did not arrive whole")

    def _at(self, address: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function at a worker, beside its tasks; it is given the worker as `dask_worker`."""
        return self._cluster.client.run(function, *arguments, workers=[address])[address]


def _absolute(argument: Any) -> Any:
    """A worker's folder of work is another."""
    if isinstance(argument, WorkerSpec):
        return replace(argument, attention=str(Path(argument.attention).resolve()))
    return argument

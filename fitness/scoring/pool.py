"""Tasks in parallel through joblib, surviving the loss of a worker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from itertools import pairwise
from typing import Any, TypeVar

import joblib
from joblib.parallel import BACKENDS

from fitness.errors import UserError
from fitness.program import Program
from fitness.scoring.threads import one_thread
from fitness.scoring.worker import Evaluation, SplitName, WorkerSpec, agree_chunk, evaluate_chunk, pure_chunk

log = logging.getLogger("headscribe")

Item = TypeVar("Item")
Task = tuple[Callable[..., Any], tuple[Any, ...]]
ATTEMPTS = 3


class Pool:
    """Runs batches of pure tasks and returns their results in the order of the tasks.

    Args:
        workers: number of processes; 1 runs in this process.
        backend: a joblib backend, `loky` unless there is a reason.
        on_incident: called with a sentence when a worker was lost and its batch is run again.

    Raises:
        UserError: for a backend that joblib does not know.
    """

    def __init__(self, workers: int, backend: str = "loky", on_incident: Callable[[str], None] = log.warning) -> None:
        if backend not in BACKENDS:
            raise UserError(
                f"parallel.backend: joblib has no backend {backend!r}; known: {', '.join(sorted(BACKENDS))}"
            )
        self._workers = workers
        self._backend = backend
        self._on_incident = on_incident

    @property
    def workers(self) -> int:
        """Number of processes."""
        return self._workers

    def run(self, tasks: Sequence[Task]) -> list[Any]:
        """Results of all tasks, in their order.

        A worker that dies (killed, out of memory) breaks joblib's whole pool; as tasks are pure, they are run again in
        a fresh one, up to three times.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                parallel = joblib.Parallel(
                    n_jobs=self._workers, backend=self._backend, batch_size=1, pre_dispatch="all"
                )
                # What runs in this process shall sum like what runs in a worker, which is limited for good.
                with one_thread():
                    return list(parallel(joblib.delayed(function)(*arguments) for function, arguments in tasks))
            except BrokenProcessPool as error:  # loky's TerminatedWorkerError is one
                reason = (str(error).splitlines() or ["no reason given"])[0]
                self._on_incident(f"a worker process was lost ({reason}); its tasks run again, attempt {attempt}")
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def evaluate(self, spec: WorkerSpec, programs: Sequence[Program], split: SplitName) -> list[Evaluation]:
        """Evaluates programs on a split, in their order."""
        chunks = split_evenly(programs, 2 * self.workers)
        results = self.run([(evaluate_chunk, (spec, chunk, split)) for chunk in chunks])
        return [evaluation for result in results for evaluation in result]

    def pure(self, spec: WorkerSpec, programs: Sequence[Program]) -> list[bool]:
        """Whether each program gives the same weights again in a second server, on all held-out texts."""
        chunks = split_evenly(programs, self.workers)
        return [same for result in self.run([(pure_chunk, (spec, chunk)) for chunk in chunks]) for same in result]

    def agree(self, spec: WorkerSpec, pairs: Sequence[tuple[Program, Program]]) -> list[bool]:
        """Of pairs of programs, whether both give the same weights on all held-out texts, to the last bit."""
        chunks = split_evenly(pairs, self.workers)
        return [same for result in self.run([(agree_chunk, (spec, chunk)) for chunk in chunks]) for same in result]


def split_evenly(items: Iterable[Item], parts: int) -> list[list[Item]]:
    """Cuts items into at most `parts` runs of neighbours whose lengths differ by at most one; none is empty."""
    items = list(items)
    parts = max(1, min(parts, len(items)))
    bounds = [len(items) * index // parts for index in range(parts + 1)]
    return [items[begin:end] for begin, end in pairwise(bounds) if end > begin]

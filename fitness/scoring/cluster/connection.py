"""The way to a Dask scheduler that exists, by its address or by a client of the user's own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fitness.errors import UserError
from fitness.sandbox import Mode
from fitness.scoring.cluster.at_worker import tested
from fitness.scoring.cluster.software import software_here

log = logging.getLogger("headscribe")

CONNECT_SECONDS = 10
EXTRA = "Dask is not installed; install it with: pip install 'headscribe[cluster]'"


class Cluster:
    """Dask workers that serve a campaign.

    Args:
        client: a `distributed.Client`.
        address: of the scheduler, where the client is ours to make anew.

    Attributes:
        client: the client.
    """

    def __init__(self, client: Any, address: str | None = None) -> None:
        self.client = client
        self._address = address

    @property
    def workers(self) -> int:
        """Number of worker processes, at least 1."""
        return max(1, len(self.client.nthreads()))

    def check(self, mode: Mode) -> list[str]:
        """Tests every worker that is there now.

        Args:
            mode: how programs are to be confined.

        Returns:
            What to know of the workers, in sentences.

        Raises:
            UserError: naming a worker where programs cannot be confined, or other software is installed.
        """
        threads = self.client.nthreads()
        for address, answer in self.client.run(tested, mode, software_here(), on_error="return").items():
            refuse(address, answer)
        notes = [f"{len(threads)} Dask worker{'s' * (len(threads) != 1)} at {self.client.scheduler.address}"]
        if not threads:
            notes[0] += ": waiting for the first"
        several = [address for address, count in threads.items() if count > 1]
        if several:
            notes.append(
                f"{len(several)} of them have several threads, of which one is used; "
                "`dask worker --nworkers N --nthreads 1` uses N cores"
            )
        return notes

    def renew(self) -> None:
        """Connects again after the connection was lost; a client of the user's reconnects by itself.

        Raises:
            UserError: where no scheduler answers.
        """
        if self._address is not None:
            self.client.close()
            self.client = _client(self._address)
        elif self.client.status != "running":
            raise UserError(
                f"the connection to the Dask scheduler was lost (client {self.client.status}); make a new client, and "
                "run the same campaign again: it goes on where it was"
            )


def refuse(address: str, answer: object) -> None:
    """Raises what an answer of a worker about itself comes to.

    Raises:
        UserError: naming the worker, where the answer is a reason or an exception.
    """
    if isinstance(answer, (ImportError, AttributeError)):
        answer = f"headscribe cannot be imported there ({answer}); install the same version"
    if isinstance(answer, Exception):
        answer = f"{type(answer).__name__}: {answer}"
    if answer:
        raise UserError(f"the Dask worker at {address} cannot be used: {answer}")


@contextmanager
def connected(
    address: str | None, client: Any = None, *, mode: Mode, on_note: Callable[[str], None] = log.info
) -> Iterator[Cluster | None]:
    """The cluster of an address or a client, its workers tested; None where neither is given.

    Args:
        address: of a scheduler, `tcp://host:port`.
        client: a `distributed.Client` of the user's, which stays open.
        mode: how programs are to be confined.
        on_note: told how many workers there are.

    Raises:
        UserError: where Dask is not installed, no scheduler answers, or a worker cannot confine programs.
    """
    if client is None and address is None:
        yield None
        return
    if client is not None and getattr(client, "asynchronous", False):
        raise UserError("client: this one is asynchronous; give distributed.Client(..., asynchronous=False)")
    cluster = Cluster(client) if client is not None else Cluster(_client(str(address)), address)
    try:
        for note in cluster.check(mode):
            on_note(note)
        if client is not None:
            yield cluster
            return
        with _quiet():
            yield cluster
    finally:
        if client is None:
            cluster.client.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without tracebacks of Dask's own on stderr: what is lost is told once, in a sentence."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]
    levels = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in levels:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise UserError(f"parallel.backend: {EXTRA}") from None
    try:
        return Client(address, timeout=CONNECT_SECONDS, name="headscribe", set_as_default=False)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"parallel.scheduler: no Dask scheduler answers at {address!r} ({reason}); start one with "
            "`dask scheduler`, and workers with `dask worker ADDRESS --nworkers N --nthreads 1`"
        ) from None

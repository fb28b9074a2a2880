"""Readings of the test split are written down before they happen: when, by which command, how far the search was."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from evolve.store.database import Store
from fitness.errors import UserError

# Told of a reading before it happens, with the number of programs whose test scores are read.
Record = Callable[[int], None]


def recorder(store: Store, reader: str) -> Record:
    """What writes down readings in a store that is open for writing.

    Args:
        store: the run's state.
        reader: the command that reads.
    """
    return lambda scored: store.record_reading(reader, scored)


def recorder_at(database: Path, reader: str) -> Record:
    """What writes down readings in the database of a run, which may be running meanwhile.

    A test split that cannot be accounted for is not read: the function that is returned raises a `UserError` where
    the database cannot be written.
    """

    def record(scored: int) -> None:
        try:
            store = Store(database)
            try:
                store.record_reading(reader, scored)
            finally:
                store.close()
        except (sqlite3.OperationalError, UserError) as error:
            raise UserError(
                f"{database.parent}: each reading of the test split is written down, and this one cannot be: {error}; "
                "copy the run to where it can be written"
            ) from None

    return record

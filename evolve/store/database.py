"""A campaign's state: one SQLite file, one transaction per step."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evolve.store.records import (
    PROGRAM_COLUMNS,
    CallCost,
    ProgramRecord,
    ProposalRecord,
    Reading,
    StepSummary,
    from_blob,
    program_of,
    program_row,
    proposal_of,
    proposal_row,
    to_blob,
)
from fitness.errors import UserError

SCHEMA_VERSION = 4
FILE = "campaign.sqlite"
# Ids are entered in no order, so a step touches pages all over their index; they are kept at hand.
CACHE_KIB = 32 << 10


class Store:
    """The SQLite file of one run directory.

    Args:
        path: the file; created where `create` is set.
        create: start an empty one where there is none.
        meta: facts to keep in a file that is created, there as soon as the file is.
        readonly: open for reading while a campaign may be writing.

    Raises:
        UserError: where the file is missing, damaged, of another schema version, or cannot be written.
    """

    def __init__(
        self, path: Path, *, create: bool = False, readonly: bool = False, meta: Mapping[str, Any] | None = None
    ) -> None:
        self.path = path
        self._lock = threading.RLock()
        if not create and path.exists() and not path.is_file():
            raise UserError(f"{path} is no plain file")
        if not create and not path.exists():
            raise UserError(f"{path.parent} holds no campaign: there is no {path.name} in it")
        try:
            if create and not path.exists():
                _create(path, meta or {})
            self._open(readonly)
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"{path} cannot be used: {error}; restore it from a copy, or start in another --run-dir"
            ) from None

    def _open(self, readonly: bool) -> None:
        mode = "ro" if readonly else "rw"
        self._connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}", uri=True, timeout=30, check_same_thread=False
        )
        self._connection.isolation_level = None
        self._connection.execute("PRAGMA trusted_schema=OFF")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version != SCHEMA_VERSION:
            raise UserError(
                f"{self.path} has schema version {version}, this headscribe reads {SCHEMA_VERSION}: "
                f"finish the campaign with the version that began it, or start in another --run-dir"
            )
        # A view or a trigger could do anything, and without end, when it is read from or written to.
        foreign = "SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index') OR sql LIKE '%VIRTUAL%TABLE%'"
        if self._connection.execute(foreign).fetchone():
            raise UserError(f"{self.path} holds views or triggers, which no campaign makes: it is not opened")
        self._connection.execute("SELECT count(*) FROM steps").fetchone()
        if not readonly:  # not before it is known to be a campaign: a foreign file is left as it was
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing of what is written inside; on the disk when it ends."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Whatever is read inside is of one moment, also while a campaign goes on."""
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("COMMIT")

    def _rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            return self._connection.execute(query, parameters).fetchall()

    # Facts about the campaign.

    def set_meta(self, key: str, value: Any) -> None:
        """Keeps a JSON value under a key."""
        with self.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def meta(self, key: str, default: Any = None) -> Any:
        """The value kept under a key."""
        rows = self._rows("SELECT value FROM meta WHERE key = ?", (key,))
        return json.loads(rows[0][0]) if rows else default

    def rebin(self, columns: Sequence[int], fingerprint: dict[str, Any]) -> None:
        """Keeps these columns of all descriptors, in this order, and a new fingerprint, in one transaction."""
        with self.transaction() as connection:
            rows = connection.execute("SELECT number, descriptors FROM programs WHERE descriptors IS NOT NULL")
            kept = [(to_blob(from_blob(blob)[list(columns)]), number) for number, blob in rows]
            connection.executemany("UPDATE programs SET descriptors = ? WHERE number = ?", kept)
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", ("fingerprint", json.dumps(fingerprint)))

    # Steps.

    def commit_step(
        self,
        step: int,
        programs: Iterable[ProgramRecord],
        proposals: Iterable[ProposalRecord],
        seconds: float,
        summary: StepSummary,
    ) -> None:
        """Writes one step in one transaction."""
        with self.transaction() as connection:
            marks = ",".join("?" * len(PROGRAM_COLUMNS.split(",")))
            connection.executemany(f"INSERT INTO programs VALUES ({marks})", map(program_row, programs))
            marks = ",".join("?" * len(fields(ProposalRecord)))
            connection.executemany(f"INSERT INTO proposals VALUES ({marks})", map(proposal_row, proposals))
            connection.execute("INSERT INTO steps VALUES (?, ?, ?)", (step, seconds, json.dumps(summary.as_json())))

    def steps(self) -> int:
        """Number of committed steps."""
        return int(self._rows("SELECT count(*) FROM steps")[0][0])

    def seconds(self) -> float:
        """Wall time of all committed steps."""
        return float(self._rows("SELECT coalesce(sum(seconds), 0) FROM steps")[0][0])

    def summaries(self) -> list[StepSummary]:
        """Summary of every step, in order."""
        return [
            StepSummary.from_json(json.loads(row[0])) for row in self._rows("SELECT summary FROM steps ORDER BY step")
        ]

    def last_summary(self) -> StepSummary | None:
        """Summary of the newest step."""
        rows = self._rows("SELECT summary FROM steps ORDER BY step DESC LIMIT 1")
        return StepSummary.from_json(json.loads(rows[0][0])) if rows else None

    # Readings of the test split.

    def record_reading(self, reader: str, scored: int) -> None:
        """Writes down that a command is about to read the test scores of so many programs."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO test_reads (time, reader, programs, scored) SELECT ?, ?, count(*), ? FROM programs",
                (datetime.now(UTC).isoformat(timespec="seconds"), reader, scored),
            )

    def readings(self) -> list[Reading]:
        """Every reading of the test split so far, in order."""
        columns = "number, time, reader, programs, scored"
        return [Reading(*row) for row in self._rows(f"SELECT {columns} FROM test_reads ORDER BY number")]

    # Programs.

    def known(self, ids: Sequence[str]) -> dict[str, int]:
        """Those of the ids that are programs already, with their numbers."""
        marks = ",".join("?" * len(ids))
        return dict(self._rows(f"SELECT id, number FROM programs WHERE id IN ({marks})", ids))

    def programs(self, numbers: Iterable[int]) -> dict[int, ProgramRecord]:
        """Records by number."""
        wanted = sorted(set(numbers))
        marks = ",".join("?" * len(wanted))
        return {row.number: row for row in self._records(f"WHERE number IN ({marks})", wanted)}

    def programs_of_step(self, step: int) -> list[ProgramRecord]:
        """Records of one step, in order of entry."""
        return list(self._records("WHERE step = ? ORDER BY number", (step,)))

    def all_programs(self) -> Iterator[ProgramRecord]:
        """Every record, in order of entry."""
        return self._records("ORDER BY number")

    def _records(self, condition: str, parameters: Sequence[Any] = ()) -> Iterator[ProgramRecord]:
        for row in self._rows(f"SELECT {PROGRAM_COLUMNS} FROM programs {condition}", parameters):
            yield program_of(row)

    def counts(self) -> dict[str, int]:
        """Programs by kind of outcome."""
        return dict(self._rows("SELECT kind, count(*) FROM programs GROUP BY kind ORDER BY kind"))

    def next_number(self) -> int:
        """Number that the next program gets."""
        return int(self._rows("SELECT coalesce(max(number) + 1, 0) FROM programs")[0][0])

    # Proposals.

    def proposals_of_step(self, step: int) -> list[ProposalRecord]:
        """Records of one step, by slot and candidate."""
        rows = self._rows("SELECT * FROM proposals WHERE step = ? ORDER BY slot, candidate", (step,))
        return [proposal_of(row) for row in rows]

    def all_proposals(self) -> list[ProposalRecord]:
        """Every record, by step, slot and candidate."""
        return [proposal_of(row) for row in self._rows("SELECT * FROM proposals ORDER BY step, slot, candidate")]

    def signatures(self, hashes: Sequence[str]) -> dict[str, int]:
        """Those of the signatures that are known already, with the smallest number of a program that has it."""
        marks = ",".join("?" * len(hashes))
        query = f"SELECT signature, min(number) FROM programs WHERE signature IN ({marks}) GROUP BY signature"
        return dict(self._rows(query, hashes))

    # LLM calls.

    def get(self, key: str) -> dict[str, Any] | None:
        """The stored call of this key."""
        rows = self._rows("SELECT record FROM calls WHERE key = ?", (key,))
        return json.loads(rows[0][0]) if rows else None

    def costs(self, keys: Sequence[str]) -> dict[str, CallCost]:
        """What those of the calls cost that were answered."""
        marks = ",".join("?" * len(keys))
        columns = "json_extract(record, '$.completion_tokens'), json_extract(record, '$.cost_usd')"
        rows = self._rows(f"SELECT key, {columns} FROM calls WHERE key IN ({marks})", keys)
        return {key: CallCost(tokens, usd) for key, tokens, usd in rows}

    def put(self, key: str, record: dict[str, Any]) -> None:
        """Keeps a call as soon as it is answered, so that it is never paid for twice."""
        with self.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO calls VALUES (?, ?)", (key, json.dumps(record)))

    def calls(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every stored call with its key."""
        for key, record in self._rows("SELECT key, record FROM calls ORDER BY rowid"):
            yield key, json.loads(record)


def _create(path: Path, meta: Mapping[str, Any]) -> None:
    """Makes a file with its schema and first facts under another name first: it is whole, or it is not there."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    schema = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")
    connection = sqlite3.connect(temporary)
    try:
        connection.executescript(f"BEGIN; {schema}; PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
        connection.executemany("INSERT INTO meta VALUES (?, ?)", [(k, json.dumps(v)) for k, v in meta.items()])
        connection.commit()
    finally:
        connection.close()
    temporary.replace(path)

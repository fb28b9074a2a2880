"""A run directory: where its files lie, and who may write to it."""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import yaml

from evolve.config import Config, parse_config, read_settings
from evolve.listeners import Listener
from evolve.store.database import FILE, Store
from evolve.store.records import StepSummary
from fitness.errors import UserError, closest
from fitness.posix import fcntl
from fitness.text.corpus import Splits

STAGE_EVERY_SECONDS = 10.0
# The most runs that are named where none was given.
MOST_NAMED = 3
# Set to "degraded" by who wants to run the programs of a run directory without the kernel's confinement.
SANDBOX_VARIABLE = "HEADSCRIBE_SANDBOX"


@dataclass(frozen=True)
class RunDir:
    """Paths of one run directory."""

    path: Path

    @property
    def database(self) -> Path:
        """The campaign's state."""
        return self.path / FILE

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def log(self) -> Path:
        """JSON lines, one a step and incident."""
        return self.path / "log.jsonl"

    def file(self, name: str) -> Path:
        """Any other file of the run."""
        return self.path / name

    def read_json(self, name: str) -> dict[str, Any]:
        """The JSON object that a command left in a file of the run; empty where there is none that can be read."""
        try:
            return dict(json.loads(self.file(name).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def open_store(self) -> Store:
        """The state, for reading, also while a campaign runs.

        Raises:
            UserError: where the directory holds no run, or its state cannot be read.
        """
        if not self.database.exists():
            raise _no_run(self.path, FILE)
        return Store(self.database, readonly=True)

    def load_config(self) -> Config:
        """The resolved configuration of the run.

        Raises:
            UserError: where the directory holds no run.
        """
        if not self.config.is_file():
            raise _no_run(self.path, self.config.name)
        return parse_config(read_settings(str(self.config)), str(self.config))

    def load_config_to_run(self) -> Config:
        """The resolved configuration, for who will run programs of the run: its word on safety does not count.

        Raises:
            UserError: where the directory holds no run, or one of the degraded sandbox that was not asked for here.
        """
        config = self.load_config()
        refuse_stored_degraded(config, self.config)
        return config

    def save_config(self, config: Config) -> None:
        """Writes the resolved configuration."""
        text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        write_atomically(self.config, text)

    def prepare(self) -> None:
        """Creates the directory and checks that it can be written to.

        Raises:
            UserError: where it cannot.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".write-probe"
            probe.unlink(missing_ok=True)
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666))
            probe.unlink()
        except OSError as error:
            raise UserError(f"cannot write to {self.path}: {error.strerror}; choose another --run-dir") from None


def _no_run(path: Path, missing: str) -> UserError:
    """What to say of a path that is not a run directory: the one that was meant, where it can be seen."""
    if path.is_file():
        meant = f"; did you mean {path.parent}?" if (path.parent / FILE).is_file() else "; give the folder of a run"
        return UserError(f"{path} is a file, not a run directory{meant}")
    folder = path if path.is_dir() else path.parent
    runs = [file.parent for file in sorted(folder.glob(f"*/{FILE}"))] if folder.is_dir() else []
    near = None if path.is_dir() else closest(path.name, [run.name for run in runs])
    known = [folder / near] if near else runs
    meant = f"; did you mean {' or '.join(str(run) for run in known[:MOST_NAMED])}?" if known else ""
    why = f"there is no {missing} in it" if path.is_dir() else "there is no such folder"
    return UserError(f"{path} is not a run directory: {why}{meant}")


class RunLock:
    """Keeps a second campaign out of a run directory for as long as the context lasts.

    The lock is the kernel's and falls with its process; the file's content only says who holds it.
    """

    def __init__(self, run_dir: RunDir) -> None:
        self._path = run_dir.file("lock")
        self._file: IO[str] | None = None

    def __enter__(self) -> RunLock:
        file = open_own(self._path, "a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise UserError(
                f"{self._path.parent} is in use by {holder}; wait for it, or choose another --run-dir"
            ) from None
        file.truncate(0)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {since}\n")
        file.flush()
        self._file = file
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.truncate(0)
            self._file.close()


class RunLog(Listener):
    """Appends events to `log.jsonl`; each line has `time` (UTC), `event` and the event's own keys."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last_stage = 0.0

    def write(self, event: str, **values: Any) -> None:
        """Appends one event; a log that cannot be written does not end a campaign."""
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event} | values)
        try:
            with open_own(self._path, "a") as file:
                file.write(line + "\n")
        except OSError:
            # The state is in the database; its own failure to write is what stops a campaign.
            return

    def on_stage(self, name: str, done: int, total: int) -> None:
        """A stage has come this far; its begin and end are written, and now and then between."""
        now = time.monotonic()
        if total and (done in (0, total) or now - self._last_stage >= STAGE_EVERY_SECONDS):
            self._last_stage = now
            self.write("stage", name=name, done=done, total=total)

    def on_texts(self, splits: Splits, max_tokens: int) -> None:
        """The texts were read."""
        self.write("texts", **splits.numbers)

    def on_note(self, message: str) -> None:
        """Something to know of what is measured."""
        self.write("note", message=message)

    def on_step(self, summary: StepSummary) -> None:
        """A step was committed."""
        self.write("step", **summary.as_json())

    def on_incident(self, message: str) -> None:
        """Something went wrong and was survived."""
        self.write("incident", message=message)


def refuse_stored_degraded(config: Config, path: Path, overrides: Sequence[str] = ()) -> None:
    """Refuses the degraded sandbox where a run directory asks for it, which may be anybody's, and nobody here.

    Args:
        config: read from `path`.
        path: a configuration; beside a campaign's state it is a run directory's.
        overrides: what the command line sets.

    Raises:
        UserError: with what asks for it.
    """
    asked = os.environ.get(SANDBOX_VARIABLE) == "degraded" or "sandbox.mode=degraded" in overrides
    if config.sandbox.mode == "degraded" and not asked and path.with_name(FILE).exists():
        raise UserError(
            f"{path} asks for sandbox.mode: degraded, in which programs are not confined by the kernel and can reach "
            f"your files; where you trust every program of that run, set {SANDBOX_VARIABLE}=degraded"
        )


def open_own(path: Path, mode: str) -> IO[str]:
    """Opens a file of a run directory for writing at its end, creating it where it is missing; follows no link.

    Raises:
        UserError: where something else than a plain file is in its place.
        OSError: where it cannot be opened.
    """
    flags = os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise UserError(f"{path} is a link or no plain file; remove it")
    descriptor = os.open(path, flags | (os.O_RDWR if "+" in mode else os.O_WRONLY), 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path} is no plain file; remove it")
    return os.fdopen(descriptor, mode, encoding="utf-8")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replaces a file as a whole: no reader and no crash sees half of it, and a link in its place is not followed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    temporary.replace(path)

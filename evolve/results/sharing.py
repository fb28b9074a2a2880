"""What of a run is shared on the hub: its library and a card, never its database or its texts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archives.compare import read_library_json
from archives.text_module import FILE as TEXT_MODULE
from evolve.results.card import card
from evolve.results.compared_files import read_files
from evolve.store.run_dir import RunDir, write_atomically
from fitness.errors import UserError
from fitness.models.source import first_line

# In the order in which they are told; the card is written for them.
FILES = ("library.py", TEXT_MODULE, "library.json", "coverage.csv")
CARD = "README.md"
_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True)
class Shared:
    """What was sent, or would be.

    Attributes:
        name: `owner/name` on the hub.
        files: file -> its content.
        address: where it lies now; None where nothing was sent.
        folder: where it was written to instead; None where it was not.
    """

    name: str
    files: Mapping[str, str]
    address: str | None = None
    folder: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values: sizes in bytes in place of contents, and the card as it is."""
        return {
            "name": self.name,
            "files": {name: len(content.encode()) for name, content in self.files.items()},
            "card": self.files[CARD],
            "address": self.address,
            "folder": None if self.folder is None else str(self.folder),
        }


def what_is_shared(run_dir: RunDir, name: str, licence: str) -> Shared:
    """The files of a library as they lie in a run's directory, and the card for them; nothing is sent.

    Raises:
        UserError: for a name that is none on the hub, and where there is no library of one run with its provenance.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"push: {name!r} is no name on the hub; give owner/name, such as ada/gpt2-heads")
    contents = {file: _read(run_dir.file(file)) for file in FILES}
    library = read_library_json(run_dir.file("library.json"))
    if "model" not in library.get("provenance", {}):
        raise UserError(
            f"push: {run_dir.file('library.json')} does not say what model it is of; a library of one run does once "
            f"the run was resumed or made by this version: `headscribe library {run_dir.path}` writes it again"
        )
    return Shared(name, contents | {CARD: card(library, _transfer(run_dir), name, licence)})


def _transfer(run_dir: RunDir) -> dict[str, Any]:
    """What was measured on other texts, at the run's end or later."""
    found: dict[str, Any] = {}
    if run_dir.database.is_file():
        store = run_dir.open_store()
        try:
            found |= (store.meta("result") or {}).get("transfer", {})
        finally:
            store.close()
    return found | read_files(run_dir).transfer.get("transfer", {})


def _read(path: Path) -> str:
    """A file of the run; a link in its place would share what it leads to."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        raise UserError(f"push: there is no {path}; `headscribe library {path.parent}` writes it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"push: {path} is no plain file of text: {error}") from None


def write_shared(shared: Shared, folder: Path) -> Shared:
    """Writes what would be sent into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in shared.files.items():
        write_atomically(folder / name, content)
    return Shared(shared.name, shared.files, folder=folder)


def send(shared: Shared, *, private: bool = False) -> Shared:
    """Sends it to the hub as one commit; a repository that is not there yet is made.

    Raises:
        UserError: where the hub cannot be reached, or does not let this user write there.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(library_name="headscribe")
    added = [CommitOperationAdd(name, content.encode()) for name, content in shared.files.items()]
    try:
        address = api.create_repo(shared.name, private=private, exist_ok=True)
        api.create_commit(shared.name, added, commit_message="Library of attention head programs")
    except Exception as error:  # the hub client raises many kinds, which all mean that it was not done
        raise UserError(
            f"push: the hub did not take {shared.name}: {first_line(error)}; `hf auth login` says who you are, and "
            "--dry-run shows what would be sent"
        ) from None
    return Shared(shared.name, shared.files, address=str(address))

"""`headscribe push`: shares the library of a run on the hub, or shows what would be shared."""

from __future__ import annotations

from pathlib import Path

from evolve.results.sharing import Shared, send, what_is_shared, write_shared
from evolve.store.run_dir import RunDir
from fitness.errors import UserError


def push(path: Path, name: str, *, licence: str, private: bool, folder: Path | None, dry_run: bool) -> Shared:
    """Sends the library of a run and a card to the hub.

    Args:
        path: a run, or another folder with the files of a library.
        name: `owner/name` on the hub.
        licence: identifier of the licence that the card names.
        private: make a new repository a private one.
        folder: write there what would be sent, and send nothing.
        dry_run: send nothing.

    Raises:
        UserError: as `what_is_shared` and `send` do.
    """
    if folder is not None and folder.resolve() == path.resolve():
        raise UserError("push: --dir is the run itself; give another folder")
    shared = what_is_shared(RunDir(path), name, licence)
    if folder is not None:
        return write_shared(shared, folder)
    return shared if dry_run else send(shared, private=private)

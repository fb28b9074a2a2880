"""Libraries that others share: read as data, and never imported."""

from __future__ import annotations

from pathlib import Path

from fitness.errors import UserError
from fitness.models.source import HUB_SECONDS, first_line
from headscribe.library import Library

FILE = "library.json"
MOST_BYTES = 256 << 20


def load_library(source: str | Path, *, revision: str | None = None) -> Library:
    """A library from a folder, a library.json, or the hub, where `headscribe push` puts them.

    What strangers share is data here: only library.json is read, no source is imported, and programs run in a sandbox
    alone (`predict`, `hs.replaced`, `run.score`).

    Args:
        source: a path; where there is none of that name, `owner/name` on the hub.
        revision: branch, tag or commit on the hub.

    Returns:
        The library. `library.numbers["provenance"]` says of which model it is, and on what texts.

    Raises:
        UserError: where there is none, or it is not one.

    Example:
        >>> hs.load_library(run.path) == run.library
        True
    """
    path = Path(source)
    if not path.exists():
        path = _download(str(source), revision)
    elif revision is not None:
        raise UserError(f"load_library: {source} is on this machine and has no revision {revision!r}; leave it out")
    file = path / FILE if path.is_dir() else path
    if file.is_file() and file.stat().st_size > MOST_BYTES:
        raise UserError(f"{file}: is longer than {MOST_BYTES} bytes, which no library is")
    library = Library.read(file)
    try:
        for head in library:
            library[head]
        known = {entry.numbers["id"] for entry in library.programs}
        if any(library[head].numbers["program"] not in {*known, None} for head in library):
            raise ValueError("a head's program is not among its programs")
    except UserError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{file}: is not a library.json: {type(error).__name__}: {first_line(error)}") from None
    return library


def _download(name: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(hf_hub_download(name, FILE, revision=revision, etag_timeout=HUB_SECONDS, library_name="headscribe"))
    except HFValidationError:
        raise UserError(f"load_library: there is no {name!r}; give a folder, a library.json, or owner/name") from None
    except RevisionNotFoundError:
        raise UserError(f"load_library: {name} has no revision {revision!r} on the hub") from None
    except RepositoryNotFoundError:
        raise UserError(f"load_library: there is neither a path {name!r} nor a hub library that you may read") from None
    except LocalEntryNotFoundError as error:
        raise UserError(f"load_library: the hub cannot be reached for {name} ({first_line(error)})") from None
    except EntryNotFoundError:
        raise UserError(f"load_library: {name} on the hub holds no {FILE}") from None
    except Exception as error:  # the hub client raises many kinds, which all mean that it did not answer
        raise UserError(f"load_library: the hub did not answer for {name}: {first_line(error)}") from None

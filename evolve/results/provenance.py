"""Provenance: the model, texts, settings and software that numbers come from, under the key `provenance` everywhere.

What determines a library stands in `library.json`, so that the same campaign of the same software gives the same bytes;
dates stand in what is printed and in every other file. Of paths only a file's or folder's last name is told.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import fitness
from evolve.config import Config
from evolve.config.section import dotted
from evolve.store import Store
from fitness.models.attention import Attention
from fitness.models.source import ModelSource
from fitness.text.view import Text

# Keys of the database's facts.
FACTS, SOFTWARE, BEGUN, CHANGES = "provenance", "software", "begun", "config_changes"
GIT_SECONDS = 10


@lru_cache(maxsize=1)
def software() -> dict[str, str | None]:
    """Versions of what computes here; `commit` where headscribe runs from a git checkout, `-dirty` where it differs."""
    packages = {name: _version(name) for name in ("headscribe", "numpy", "torch", "transformers")}
    return {
        "headscribe": packages.pop("headscribe"),
        "commit": _commit(Path(fitness.__file__).parents[1]),
        "python": platform.python_version(),
        **packages,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # headscribe itself, where its sources are on the path and it was never installed
        return None


def _commit(root: Path) -> str | None:
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def model_facts(model: ModelSource) -> dict[str, Any]:
    """Which model: its name, `identity` (hash of its files, or name and revision on the hub), revision and dtype."""
    on_hub = model.revision is not None
    local = Path(model.path) / model.gguf if model.gguf else Path(model.path).resolve()
    return {
        "name": model.path if on_hub else local.name,
        "file": model.gguf,
        "revision": model.revision,
        "identity": model.identity,
        "dtype": model.dtype,
    }


def texts_hash(texts: Sequence[Text]) -> str:
    """SHA-256 of texts as a model reads them, after the cut, in their order."""
    return content_hash([text.string for text in texts])


def content_hash(values: Any) -> str:
    """SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def campaign_facts(
    config: Config, model: ModelSource, attention: Attention, texts: Sequence[Text], domains: Sequence[str]
) -> dict[str, Any]:
    """What a campaign is about: `model`, `texts` by domain, `splits` (texts of each domain), `max_tokens`, `seed`.

    Args:
        config: of the campaign.
        model: its model, found.
        attention: of its heads.
        texts: its texts; text i is of domain i modulo their number.
        domains: names of the domains.
    """
    measured = {"quantised": attention.quantised, "causal": attention.causal, "heads": len(attention.labels)}
    sources = {source.name: source.source for source in config.texts}
    read = []
    for place, domain in enumerate(domains):
        own = texts[place :: len(domains)]
        counts = {"texts": len(own), "tokens": sum(text.n for text in own)}
        read.append({"domain": domain, "source": _named(sources[domain]), **counts, "sha256": texts_hash(own)})
    return {
        "model": model_facts(model) | measured,
        "texts": read,
        "splits": config.splits.model_dump(),
        "max_tokens": config.max_tokens,
        "seed": config.seed,
    }


def _named(source: str) -> str:
    """A source of texts as others may know it: a name on the hub, or the last part of a path."""
    path = Path(source)
    is_path = path.is_absolute() or path.suffix or path.exists() or source.startswith((".", "~"))
    return path.name if is_path else source


def remember_provenance(store: Store, facts: Mapping[str, Any]) -> None:
    """Keeps what a campaign is about, when it was begun, and the software of each of its sessions."""
    store.set_meta(FACTS, dict(facts))
    if store.meta(BEGUN) is None:
        store.set_meta(BEGUN, now())
    sessions = store.meta(SOFTWARE, [])
    if not sessions or sessions[-1] != software():
        store.set_meta(SOFTWARE, [*sessions, software()])


def provenance_of(store: Store) -> dict[str, Any]:
    """Provenance of one run, without dates: its facts, the `software` at work, and other that it was searched with."""
    others = [used for used in store.meta(SOFTWARE, []) if used != software()]
    return {**store.meta(FACTS, {}), "software": software(), **({"searched_with": others} if others else {})}


def provenance_of_all(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Provenance of what is made of one run or several, by name: that of the one, or `runs` and `software`."""
    if len(runs) == 1:
        return dict(next(iter(runs.values())))
    own = {name: {key: value for key, value in run.items() if key != "software"} for name, run in runs.items()}
    return {"runs": own, "software": software()}


def provenance_of_files(files: Mapping[str, Path]) -> dict[str, Any]:
    """Provenance of what is made of files alone: their names and hashes, and `software`."""
    return {"files": {name: file_facts(path) for name, path in files.items()}, "software": software()}


def file_facts(path: Path) -> dict[str, str]:
    """Last name and SHA-256 of a file."""
    with path.open("rb") as stream:
        return {"file": path.name, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def dated(provenance: Mapping[str, Any], store: Store | None = None) -> dict[str, Any]:
    """Provenance with `date`, which is now, and where a run's state is given `begun`: UTC, ISO 8601."""
    begun = {} if store is None else {"begun": store.meta(BEGUN)}
    return {**provenance, **begun, "date": now()}


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def remember_changes(store: Store, before: Config, after: Config) -> None:
    """Keeps which settings a resumed campaign has changed, and at how many programs."""
    old, new = (dotted(config.model_dump(mode="json")) for config in (before, after))
    keys = [key for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]
    if keys:
        known = config_changes(store)
        at = {"programs": store.next_number(), "date": now()}
        found = [{"key": key, "old": old.get(key), "new": new.get(key), **at} for key in keys]
        store.set_meta(CHANGES, [*known, *found])


def config_changes(store: Store) -> list[dict[str, Any]]:
    """Settings that sessions changed, in order: `key`, `old`, `new`, at how many `programs`, and `date`."""
    return list(store.meta(CHANGES, []))

"""A run opened: its attention, what workers need, its store and its lock. Silent, and of any thread.

Whoever wants to see progress passes a listener. Two ways in: `opened_for_search` begins or continues a run and keeps
others out; `opened_for_reading` looks at one that may be running.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evolve.config import Config
from evolve.config.own_names import check_own_names
from evolve.corpus import read_splits
from evolve.listeners import Listener
from evolve.results.provenance import campaign_facts, remember_changes, remember_provenance
from evolve.store import Store
from evolve.store.run_dir import RunDir, RunLock
from fitness.errors import UserError
from fitness.models.attention import Attention
from fitness.models.capture import capture
from fitness.own import Own
from fitness.sandbox import Limits, SandboxUnavailable, probe
from fitness.scoring.cluster.connection import Cluster, connected
from fitness.scoring.cluster.pool import DaskPool
from fitness.scoring.pool import Pool
from fitness.scoring.worker import WorkerSpec
from fitness.text.corpus import Splits

# What `rebin` can change in a run that was begun.
REBINNED = ("search.bins", "search.descriptors")
_DISK_TROUBLE = ("full", "no space", "file too large", "readonly", "read-only", "disk i/o")


@dataclass(frozen=True)
class Session:
    """A run opened.

    Attributes:
        config: what it was asked.
        run_dir: where it lies.
        store: its state; read-only where it was opened for reading.
        attention: the model's attention on all its texts.
        spec: what workers need in order to evaluate programs on them.
        cluster: Dask workers that serve it; None where this machine's own do.
    """

    config: Config
    run_dir: RunDir
    store: Store
    attention: Attention
    spec: WorkerSpec
    cluster: Cluster | None = None

    def pool(self, listener: Listener | None = None) -> Pool:
        """Workers as the run is configured."""
        if self.cluster is None:
            return make_pool(self.config, listener)
        return DaskPool(self.cluster, listener.on_incident) if listener else DaskPool(self.cluster)


@contextmanager
def opened_for_search(
    config: Config,
    run_dir: RunDir,
    listener: Listener | None = None,
    *,
    rebinning: bool = False,
    own: Sequence[Own] = (),
    client: Any = None,
) -> Iterator[Session]:
    """Begins or continues the run in a directory, and keeps other campaigns out of it meanwhile.

    Args:
        config: what is asked.
        run_dir: where; created where it is missing.
        listener: told how capturing goes.
        rebinning: sort stored programs into changed descriptor axes.
        own: operators and descriptors that are given as objects.
        client: a `distributed.Client` whose workers do the work.

    Raises:
        UserError: where an operator or descriptor is not found, and where the directory cannot be written, is in use,
            or was begun with other texts, model or search.
    """
    check_own_names(config, own)
    run_dir.prepare()
    with RunLock(run_dir):
        try:
            with (
                clustered(config, listener, client) as cluster,
                _opened(config, run_dir, listener, rebinning=rebinning, own=own) as session,
            ):
                yield replace(session, cluster=cluster)
        except (sqlite3.OperationalError, OSError) as error:
            raise _disk_trouble(error, run_dir) from error


@contextmanager
def opened_for_reading(run_dir: RunDir, listener: Listener | None = None) -> Iterator[Session]:
    """Opens a run to look at, also while it is running; nothing is written.

    Raises:
        UserError: where the directory holds no run.
    """
    config = run_dir.load_config_to_run()
    store = run_dir.open_store()
    try:
        attention, spec, _ = captured(config, listener)
        yield Session(config, run_dir, store, attention, spec)
    finally:
        store.close()


@contextmanager
def _opened(
    config: Config, run_dir: RunDir, listener: Listener | None, *, rebinning: bool, own: Sequence[Own]
) -> Iterator[Session]:
    fresh = not run_dir.database.exists()
    store = None if fresh else Store(run_dir.database)
    try:
        if store:
            check_same(store.meta("fingerprint", {}), config, run_dir, but=REBINNED if rebinning else ())
            if rebinning:
                rebin(store, config)
        attention, spec, splits = captured(config, listener, own=own)
        if store is None:
            facts = {
                "fingerprint": config.fingerprint(),
                "attention": Path(attention.folder).name,
                "labels": list(attention.labels),
            }
            store = Store(run_dir.database, create=True, meta=facts)
        elif store.meta("attention") != Path(attention.folder).name:
            raise UserError(
                f"{run_dir.path}: the model's weights or the texts are not those this run was begun with; "
                "put them back, or start in another --run-dir"
            )
        store.set_meta("sandbox", config.sandbox.mode)
        store.set_meta("texts", splits.numbers)
        remember_provenance(store, campaign_facts(config, config.target(), attention, attention.texts, splits.domains))
        with suppress(UserError):  # a file that cannot be read is about to be replaced by one that can
            remember_changes(store, run_dir.load_config(), config)
        run_dir.save_config(config)
        yield Session(config, run_dir, store, attention, spec)
    finally:
        if store:
            store.close()


def captured(
    config: Config, listener: Listener | None = None, *, own: Sequence[Own] = (), but: Sequence[str] = ()
) -> tuple[Attention, WorkerSpec, Splits]:
    """Captures the attention of all splits, or reuses it; says what workers need, and what was read.

    Args:
        config: model, texts and limits.
        listener: told how it goes.
        own: operators and descriptors that are given as objects.
        but: texts that serve elsewhere and are not to be taken.

    Raises:
        UserError: for texts that cannot be read or are too few, and a model that cannot be looked into.
    """
    model, cache = config.target(), attention_cache(config)
    splits = read_splits(config, model, cache, but)
    if listener is not None:
        listener.on_texts(splits, config.max_tokens)
    stage = f"capturing attention of {config.model}"
    progress = None if listener is None else lambda done, total: listener.on_stage(stage, done, total)
    attention = capture(
        model,
        splits.all,
        max_tokens=config.max_tokens,
        cache=cache,
        progress=progress,
    )
    if listener is not None:
        for note in attention.notes:
            listener.on_note(note)
    return attention, worker_spec(config, attention, splits, own), splits


def worker_spec(config: Config, attention: Attention, splits: Splits, own: Sequence[Own] = ()) -> WorkerSpec:
    """What workers need for captured attention of the texts of splits."""
    return WorkerSpec(
        str(attention.folder),
        len(splits.fit),
        len(splits.held_out),
        len(splits.test),
        config.search.descriptors,
        config.sandbox.mode,
        Limits(config.sandbox.cpu_seconds, config.sandbox.memory_mb),
        tuple(own),
        splits.domains,
        config.search.across,
    )


def clustered(
    config: Config, listener: Listener | None = None, client: Any = None
) -> AbstractContextManager[Cluster | None]:
    """The cluster that is configured, or that of a client; None within the context where there is neither."""
    told = {} if listener is None else {"on_note": listener.on_note}
    return connected(config.parallel.scheduler, client, mode=config.sandbox.mode, **told)


def make_pool(config: Config, listener: Listener | None = None) -> Pool:
    """Workers of this machine, also for a run whose campaign a cluster serves; the listener is told of lost ones."""
    backend = "loky" if config.parallel.backend == "dask" else config.parallel.backend
    if listener is None:
        return Pool(config.parallel.workers, backend)
    return Pool(config.parallel.workers, backend, listener.on_incident)


def cores_of_workers(config: Config, listener: Listener | None = None) -> int:
    """How many workers have a core of their own, on this machine or on the cluster, whose workers are tested.

    Raises:
        UserError: where there is no such backend, or a cluster's worker cannot be used.
    """
    with clustered(config, listener) as cluster:
        if cluster is not None:
            return cluster.workers
    return max(1, min(make_pool(config).workers, os.cpu_count() or 1))


def attention_cache(config: Config) -> Path:
    """Folder of captured attention: as configured, else the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headscribe" / "attention"
    return config.attention_cache or default


def confinement(config: Config) -> str:
    """One line on how programs are run, found out by running two.

    Raises:
        UserError: where they cannot be confined as asked.
    """
    try:
        line = probe(config.sandbox.mode)
    except SandboxUnavailable as error:
        raise UserError(str(error)) from None
    return f"{line}; {config.sandbox.cpu_seconds:g} s CPU and {config.sandbox.memory_mb} MB each"


def check_same(begun: Mapping[str, Any], config: Config, run_dir: RunDir, but: Sequence[str] = ()) -> None:
    """Refuses to continue a run with other settings than it was begun with.

    Raises:
        UserError: naming what differs.
    """
    now = config.fingerprint()
    keys = [key for key in now if begun.get(key) != now[key] and key not in but]
    if keys:
        differ = "; ".join(f"{key} was {begun.get(key)!r}, is {now[key]!r}" for key in keys)
        advice = "; --rebin sorts what was found into the new axes" if set(keys) <= set(REBINNED) else ""
        raise UserError(
            f"{run_dir.path} was begun with other settings: {differ}; set them back to resume, or start in another "
            f"--run-dir{advice}"
        )


def rebin(store: Store, config: Config) -> None:
    """Makes a run fit a configuration with other bins, or fewer or reordered descriptors; nothing is evaluated again.

    The grid is rebuilt from the store at every start; only the stored descriptors have to follow the new order.

    Raises:
        UserError: for descriptors that were not measured when the programs ran.
    """
    begun = store.meta("fingerprint", {})
    before, after = begun["search.descriptors"], list(config.search.descriptors)
    unknown = [name for name in after if name not in before]
    if unknown:
        raise UserError(
            f"--rebin: descriptor {unknown[0]!r} was not measured in this run, which has {', '.join(before)}; "
            "start in another --run-dir to measure it"
        )
    columns = [before.index(name) for name in after]
    store.rebin(columns, begun | {key: config.fingerprint()[key] for key in REBINNED})


def _disk_trouble(error: Exception, run_dir: RunDir) -> Exception:
    if any(sign in str(error).lower() for sign in _DISK_TROUBLE):
        return UserError(
            f"{run_dir.path} cannot be written to: {error}; make room and run again, the campaign resumes where it was"
        )
    return error

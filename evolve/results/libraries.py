"""Libraries of runs or of published score tables: one for all of them, and two compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from archives.build_library import build_library
from archives.compare import LibraryComparison, compare_libraries, read_library_json
from archives.curves import Point, coverage_curve, curve_order
from archives.export import library_json
from archives.library import ReducedLibrary
from archives.library_py import Agree
from archives.reduce import EPSILON, reduce
from archives.table import ScoreTable, is_table, merge, read_table
from evolve.config import Config
from evolve.listeners import Listener
from evolve.results.found import Found, load_found, score_on_test, score_table, test_scorer
from evolve.results.program_classes import with_classes
from evolve.results.provenance import dated, provenance_of, provenance_of_all, provenance_of_files
from evolve.results.reduction import Criterion, reduce_found, reduce_on_held_out, write_library
from evolve.results.references import baseline_ids
from evolve.session import captured, make_pool
from evolve.store.readings import Record, recorder_at
from evolve.store.records import ProgramRecord
from evolve.store.run_dir import RunDir
from fitness.errors import UserError
from fitness.scoring.agreement import agree as agree_on_stories
from fitness.scoring.pool import Pool
from fitness.scoring.worker import WorkerSpec

# Programs of one run that are tried on the heads of another: those near the best of some head, and at most so many.
MOST_CROSSED = 300


@dataclass(frozen=True)
class Made:
    """A library made.

    Attributes:
        library: the library.
        files: what was written; empty where nobody said where to.
        comparison: of the two runs that were given, where both are finished; else None.
    """

    library: ReducedLibrary
    files: tuple[Path, ...]
    comparison: LibraryComparison | None

    def as_json(self) -> dict[str, Any]:
        """The numbers of `library.json`, the names of the files, and the comparison."""
        numbers = library_json(self.library)
        values = {key: value for key, value in numbers.items() if key not in ("programs", "assignment")}
        values |= {"files": [str(file) for file in self.files], "provenance": dated(self.library.provenance)}
        return values | ({"comparison": self.comparison.as_json()} if self.comparison else {})


@dataclass(frozen=True)
class Source:
    """One run opened for reduction; `record` writes down that its test texts are read, `about` is its provenance."""

    name: str
    config: Config
    found: Found
    spec: WorkerSpec
    pool: Pool
    record: Record
    about: Mapping[str, Any]


def make_library(
    paths: Sequence[Path],
    criterion: Criterion,
    *,
    out: Path | None = None,
    plots: bool = False,
    listener: Listener | None = None,
) -> Made:
    """Reduces what is found in runs or score tables; one library for all of them.

    Args:
        paths: run directories, or score tables, CSV or Parquet.
        criterion: what the library must reach; nothing set is the run's own epsilon.
        out: folder to write to; None is the run, and nowhere for several runs and for tables.
        plots: draw the curves as well (extra `plots`).
        listener: told how it goes.

    Raises:
        UserError: for paths that hold neither runs nor tables, or a mixture of both; for plots with nowhere to go.
    """
    target = out or (paths[0] if len(paths) == 1 and not is_table(paths[0]) else None)
    if plots and target is None:
        raise UserError("library --plots: say with --out where the pictures of tables or several runs go")
    library, points, agree = reduce_paths(paths, criterion, listener)
    files = write_library(library, points, target, plots=plots, agree=agree) if target else []
    comparison = None
    if len(paths) == 2 and all((path / "library.json").is_file() for path in paths):
        before, after = (read_library_json(path / "library.json") for path in paths)
        one, two = _names(paths)
        comparison = compare_libraries(before, after, names=(one, two))
    return Made(library, tuple(files), comparison)


def reduce_paths(
    paths: Sequence[Path], criterion: Criterion, listener: Listener | None = None, *, test: bool = True
) -> tuple[ReducedLibrary, list[Point], Agree]:
    """One library for what is found in runs or score tables, with the points of its coverage curve; writes no library.

    What it gives last compares programs, as `write_library` needs it: on held-out texts, where there are any.

    Args:
        paths: run directories, or score tables, CSV or Parquet.
        criterion: what the library must reach; nothing set is the run's own epsilon.
        listener: told how it goes.
        test: read the test texts of runs, which is written down there; without, there are no points.

    Raises:
        UserError: for paths that hold neither runs nor tables, or a mixture of both.
    """
    tables = [path for path in paths if is_table(path)]
    if tables and len(tables) < len(paths):
        raise UserError("library: give runs or score tables, not both")
    named = dict(zip(_names(paths), paths, strict=True))
    if tables:
        whole = merge({name: read_table(path) for name, path in named.items()})
        library, points = reduce_table(whole, criterion)
        return replace(library, provenance=provenance_of_files(named)), points, agree_on_stories
    return _from_runs(named, criterion, listener, test=test)


def reduce_table(whole: ScoreTable, criterion: Criterion) -> tuple[ReducedLibrary, list[Point]]:
    """A library of a table's programs; where it tells texts apart, half of them choose and the others are the test."""
    table, test = whole.split_texts() if whole.scores.ndim == 3 and len(whole.texts) > 1 else (whole, None)
    reduction = reduce(table, **asdict(criterion))
    library = build_library(table, reduction, test=test)
    points = coverage_curve(table, reduction, curve_order(table, reduction, len(table.programs)), test=test)
    return library, points


def _names(paths: Sequence[Path]) -> list[str]:
    names = [path.stem if is_table(path) else path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _from_runs(
    paths: dict[str, Path], criterion: Criterion, listener: Listener | None, *, test: bool
) -> tuple[ReducedLibrary, list[Point], Agree]:
    sources = [_open(name, path, listener) for name, path in paths.items()]
    only = sources[0] if len(sources) == 1 else None
    if not criterion.is_set:
        criterion = replace(criterion, epsilon=only.config.library.epsilon if only else EPSILON)
    found = only.found if only else _together(sources)
    first, seed = sources[0], sources[0].config.seed
    agree = partial(first.pool.agree, first.spec)
    about = provenance_of_all({source.name: source.about for source in sources})
    if not test:
        library = with_classes(reduce_on_held_out(found, criterion, seed=seed), first.pool, first.spec)
        return replace(library, provenance=about), [], agree
    if only:
        score_test = test_scorer(found, only.pool, only.spec, only.record)
    else:

        def score_test(ids: Sequence[str]) -> ScoreTable:
            programs = found.programs(ids)
            for source in sources:
                source.record(len(ids))
            return merge({source.name: score_on_test(source.pool, source.spec, programs, ids) for source in sources})

    reduced, points = reduce_found(found, score_test, criterion, seed=seed, pure=partial(first.pool.pure, first.spec))
    return replace(with_classes(reduced.library, first.pool, first.spec), provenance=about), points, agree


def _open(name: str, path: Path, listener: Listener | None) -> Source:
    run_dir = RunDir(path)
    config = run_dir.load_config_to_run()
    store = run_dir.open_store()
    try:
        found, about = load_found(store), provenance_of(store)
    finally:
        store.close()
    _, spec, _ = captured(config, listener)
    record = recorder_at(run_dir.database, "library")
    return Source(name, config, found, spec, make_pool(config, listener), record, about)


def _together(sources: Sequence[Source]) -> Found:
    """One table of all runs. Programs that are good for some head are scored on the other runs' heads as well."""
    good = {record.id: record for source in sources for record in _good(source.found)}
    tables, signatures = {}, dict.fromkeys(good, "")
    for source in sources:
        own = set(source.found.table.programs)
        foreign = [name for name in good if name not in own]
        programs = {name: good[name].program() for name in foreign}
        kept = source.found.table.take_programs([name for name in source.found.table.programs if name in good])
        scored = score_table(source.pool, source.spec, "held_out", kept.heads, programs, foreign)
        columns = np.concatenate([kept.means, scored.means], axis=1)
        tables[source.name] = ScoreTable(columns, kept.heads, kept.programs + tuple(foreign))
        known = dict(zip(source.found.table.programs, source.found.signatures, strict=True))
        for name in good:
            signatures[name] += known.get(name) or f"only {name}"
    table = merge(tables)
    records = tuple(good[name] for name in table.programs)
    names = sources[0].found.descriptor_names
    beside = merge({source.name: source.found.tables for source in sources})
    return Found(records, table, tuple(signatures[name] for name in table.programs), names, beside)


def _good(found: Found) -> list[ProgramRecord]:
    means = found.table.means
    near = (means >= means.max(axis=1, keepdims=True) - EPSILON).sum(axis=0)
    best = [column for column in np.lexsort((found.costs, -near)) if near[column] > 0]
    simple = [found.table.programs.index(name) for name in baseline_ids(found.table)]
    return [found.records[column] for column in dict.fromkeys([*simple, *best[:MOST_CROSSED]])]

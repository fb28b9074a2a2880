"""`headscribe library`: reduces runs or published score tables to a library, and compares the libraries of two runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from archives.compare import compare, read_library_json
from archives.curves import coverage_csv, coverage_curve, curve_order
from archives.export import function_names, library_json, library_json_text
from archives.library import Library, build_library
from archives.reduce import EPSILON, reduce
from archives.table import ScoreTable, merge, read_csv
from evolve.commands.run import captured
from evolve.config import Config
from evolve.finish import Found, Reduced, load_found, reduce_and_write, test_scorer, write_plots
from evolve.run_dir import RunDir, write_atomically
from evolve.views.console import error_console
from fitness.errors import UserError
from fitness.program import Program
from fitness.scoring.pool import Pool
from fitness.scoring.worker import WorkerSpec

MEMBERS_SHOWN = 30
# Programs of one run that are tried on the heads of another: those near the best of some head, and at most so many.
MOST_CROSSED = 300


@dataclass(frozen=True)
class Source:
    """One run opened for reduction."""

    name: str
    config: Config
    found: Found
    spec: WorkerSpec
    pool: Pool


def make_library(
    paths: Sequence[Path],
    *,
    epsilon: float | None,
    threshold: float | None,
    size: int | None,
    exact: bool,
    out: Path | None,
    plots: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Reduces what is found in runs or CSV tables; one library for all of them.

    Returns:
        `library_size`, `mean_iou_test`, `full_mean_iou_test`, `heads_covered`, `lower_bound`, `optimal` and the other
        numbers of `library.json`, the names of the `files` written, and for two finished runs their `comparison`.

    Raises:
        UserError: for paths that hold neither runs nor tables, or a mixture of both.
    """
    criterion: dict[str, Any] = {"epsilon": epsilon, "threshold": threshold, "size": size, "exact": exact}
    tables = [path for path in paths if path.suffix == ".csv"]
    if tables and len(tables) < len(paths):
        raise UserError("library: give runs or CSV score tables, not both")
    names = _names(paths)
    if tables:
        target = out or Path("library")
        library, files = _from_tables(dict(zip(names, tables, strict=True)), target, plots, criterion)
    else:
        target = out or (paths[0] if len(paths) == 1 else Path("library"))
        library, files = _from_runs(dict(zip(names, paths, strict=True)), target, plots, criterion)
    result = {key: value for key, value in library_json(library).items() if key not in ("programs", "assignment")}
    result |= {"files": [str(file) for file in files]}
    comparison = None
    if len(paths) == 2 and all((path / "library.json").is_file() for path in paths):
        before, after = (read_library_json(path / "library.json") for path in paths)
        comparison = compare(before, after, names=(names[0], names[1]))
        result |= {"comparison": comparison.as_json()}
    if not quiet:
        _print(library, result)
        if comparison:
            Console().print(escape(str(comparison)), highlight=False)
    return result


def _names(paths: Sequence[Path]) -> list[str]:
    names = [path.stem if path.suffix == ".csv" else path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _from_tables(
    paths: dict[str, Path], out: Path, plots: bool, criterion: dict[str, Any]
) -> tuple[Library, list[Path]]:
    """Programs of a table have no source: there are numbers, but no library.py."""
    whole = merge({name: read_csv(path) for name, path in paths.items()})
    table, test = whole.split_texts() if whole.scores.ndim == 3 and len(whole.texts) > 1 else (whole, None)
    reduction = reduce(table, **criterion)
    library = build_library(table, reduction, test=test)
    points = coverage_curve(table, reduction, curve_order(table, reduction, len(table.programs)), test=test)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "library.json", library_json_text(library))
    write_atomically(out / "coverage.csv", coverage_csv(points))
    files = [out / "library.json", out / "coverage.csv"]
    return library, files + (write_plots(library, points, out) if plots else [])


def _from_runs(paths: dict[str, Path], out: Path, plots: bool, criterion: dict[str, Any]) -> tuple[Library, list[Path]]:
    sources = [_open(name, path) for name, path in paths.items()]
    if criterion["epsilon"] is criterion["threshold"] is criterion["size"] is None:
        criterion["epsilon"] = sources[0].config.library.epsilon if len(sources) == 1 else EPSILON
    if len(sources) == 1:
        only = sources[0]
        found, score_test = only.found, test_scorer(only.found, only.pool, only.spec)
    else:
        found = _together(sources)

        def score_test(ids: Sequence[str]) -> ScoreTable:
            programs = found.programs(ids)
            return merge({s.name: _score(s, "test", programs, ids) for s in sources})

    reduced: Reduced = reduce_and_write(found, score_test, out, seed=sources[0].config.seed, plots=plots, **criterion)
    return reduced.library, reduced.files


def _open(name: str, path: Path) -> Source:
    run_dir = RunDir(path)
    config = run_dir.load_config()
    store = run_dir.open_store()
    try:
        found = load_found(store)
    finally:
        store.close()
    _, spec = captured(config, error_console())
    return Source(name, config, found, spec, Pool(config.parallel.workers, config.parallel.backend))


def _together(sources: Sequence[Source]) -> Found:
    """One table of all runs. Programs that are good for some head are scored on the other runs' heads as well."""
    good = {record.id: record for source in sources for record in _good(source.found)}
    tables, signatures = {}, dict.fromkeys(good, "")
    for source in sources:
        own = set(source.found.table.programs)
        foreign = [name for name in good if name not in own]
        programs = {name: good[name].program() for name in foreign}
        kept = source.found.table.take_programs([name for name in source.found.table.programs if name in good])
        scored = _score(source, "held_out", programs, foreign)
        columns = np.concatenate([kept.means, scored.means], axis=1)
        tables[source.name] = ScoreTable(columns, kept.heads, kept.programs + tuple(foreign))
        known = dict(zip(source.found.table.programs, source.found.signatures, strict=True))
        for name in good:
            signatures[name] += known.get(name) or f"only {name}"
    table = merge(tables)
    records = tuple(good[name] for name in table.programs)
    names = sources[0].found.descriptor_names
    return Found(records, table, tuple(signatures[name] for name in table.programs), names)


def _good(found: Found) -> list[Any]:
    means = found.table.means
    near = (means >= means.max(axis=1, keepdims=True) - EPSILON).sum(axis=0)
    best = [column for column in np.lexsort((found.costs, -near)) if near[column] > 0]
    return [found.records[column] for column in best[:MOST_CROSSED]]


def _score(source: Source, split: Any, programs: dict[str, Program], ids: Sequence[str]) -> ScoreTable:
    heads = source.found.table.heads
    texts = source.spec.test if split == "test" else source.spec.held_out
    if not ids:
        return ScoreTable(np.zeros((len(heads), 0, texts), dtype=np.float32), heads, ())
    evaluations = source.pool.evaluate(source.spec, [programs[name] for name in ids], split)
    nothing = np.zeros((len(heads), texts), dtype=np.float32)
    columns = [nothing if evaluation.scores is None else evaluation.scores for evaluation in evaluations]
    return ScoreTable(np.stack(columns, axis=1), heads, tuple(ids))


def _print(library: Library, result: dict[str, Any]) -> None:
    console = Console()
    table = Table(title_justify="left", title=f"{result['library_size']} programs for {result['heads']} heads")
    table.add_column("program", overflow="fold")
    table.add_column("heads", justify="right")
    table.add_column("IoU", justify="right")
    table.add_column("lines", justify="right")
    names = function_names(library)
    for member in library.members[:MEMBERS_SHOWN]:
        iou = member.iou_test.value if member.iou_test else member.iou_held_out
        table.add_row(escape(names[member.id]), str(len(member.heads)), f"{iou:.3f}", str(member.lines or "-"))
    console.print(table)
    if len(library.members) > MEMBERS_SHOWN:
        console.print(f"... and {len(library.members) - MEMBERS_SHOWN} more in library.json", highlight=False)
    proven = "proven the fewest" if result["optimal"] else f"at least {result['lower_bound']} are needed"
    covered = f"{result['heads_covered']} heads covered"
    console.print(f"{result['library_size']} programs ({proven}), {covered}", highlight=False)
    split = "test" if result["mean_iou_test"] is not None else "held_out"
    low, high = result[f"mean_iou_{split}_interval"] or (None, None)
    spread = f" [{low:.3f}, {high:.3f}]" if low is not None else ""
    full = result[f"full_mean_iou_{split}"]
    console.print(
        f"mean {split.replace('_', '-')} IoU {result[f'mean_iou_{split}']:.3f}{spread}"
        + (f", with all programs {full:.3f}" if full is not None else "")
        + (f", excess {result[f'excess_iou_{split}']:.3f}" if result[f"excess_iou_{split}"] is not None else ""),
        highlight=False,
    )
    missing = result["table"]["pairs_missing"]
    if missing:
        console.print(
            f"{missing} of {result['table']['pairs']} pairs were not scored and cover nothing", highlight=False
        )
    for file in result["files"]:
        console.print(f"wrote {escape(file)}", highlight=False)

"""The report of a run: one self-contained HTML page, also of a campaign that is still running."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evolve.config import Config
from evolve.results.report.contents import report_contents
from evolve.results.status import Status, read_status
from evolve.store import Store
from evolve.store.run_dir import RunDir, write_atomically
from evolve.views.highlight import source_marks
from evolve.views.page import page
from evolve.views.words import duration, moment, number, percent, times, versions, with_interval
from fitness.sandbox import NOT_STOPPED

PANELS = (
    ("attention", "attention of the head"),
    ("prediction", "prediction of the program"),
    ("difference", "prediction minus attention"),
    ("reference", "the head's reference"),
)
SCRIPTS = ("page", "colours", "charts", "matrices", "heads", "library", "search", "replacement", "start")
FILTERS: dict[str, Callable[..., str]] = {
    "duration": duration,
    "times": times,
    "with_interval": with_interval,
    "percent": percent,
    "moment": moment,
    "versions": versions,
}
# What is in the page itself as well as in what its script reads.
SECTIONS = ("library", "search", "prompts", "replacement", "tasks", "origin")
LATER = ("runners", "sources", "lineage")
WEIGHTS = ("attention", "programs", "tables")
MEANS = ("mean_held_out", "mean_test")
# Sizes of a library up to which a table shows each.
DENSE = 10


def write_report(run_dir: RunDir) -> Path:
    """Writes `report.html`; returns its path.

    Raises:
        UserError: where the directory holds no run.
    """
    config = run_dir.load_config()
    store = run_dir.open_store()
    try:
        report = render_report(run_dir, store, config, read_status(run_dir))
    finally:
        store.close()
    path = run_dir.file("report.html")
    write_atomically(path, report)
    return path


def render_report(run_dir: RunDir, store: Store, config: Config, status: Status) -> str:
    """The page; sources and messages of programs are data and are escaped."""
    details, result = store.meta("details"), store.meta("result")
    contents = report_contents(run_dir, store, config)
    marks = {entry["id"]: source_marks(entry["source"]) for entry in (details or {}).get("programs", [])}
    return page(
        "report.html",
        title=config.model,
        scripts=SCRIPTS,
        filters=FILTERS,
        config=config,
        not_stopped=NOT_STOPPED,
        status=status,
        result=result,
        comparisons=comparisons(result) if result else [],
        beaten=bool(result and (result["gain_over_reference_interval"] or [0])[0] > 0),
        readings=store.readings(),
        details=details,
        data=blocks(contents) | {"marks": marks},
        **{name: contents[name] for name in SECTIONS},
        coverage_rows=coverage_rows(contents["library"]["curve"]),
        panels=PANELS,
        settings=config.model_dump(mode="json"),
    )


def blocks(contents: dict[str, Any]) -> dict[str, Any]:
    """Contents as the page holds them: what opens it in `data`, and what is looked at later in blocks of its own."""
    matrices = contents["matrices"]
    opening = {name: value for name, value in contents.items() if name not in LATER}
    if matrices:
        opening["matrices"] = {name: value for name, value in matrices.items() if name not in WEIGHTS}
    return {
        "data": opening,
        "weights": {name: matrices[name] for name in WEIGHTS} if matrices else {},
        "ancestry": {name: contents[name] for name in LATER},
    }


def comparisons(result: dict[str, Any]) -> list[tuple[str, float, str]]:
    """What else predicts the heads: its name, its test IoU, and the library's IoU less that with its interval."""

    def gain(name: str) -> str:
        return with_interval(result[name], result[f"{name}_interval"], signed=True)

    tables = [(f"{kind.replace('_', ' ')} of each head", iou, "") for kind, iou in result["tables_iou_test"].items()]
    return [
        ("best single program for all heads", result["single_best_iou_test"], gain("excess_iou_test")),
        ("best simple baseline of each head", result["baseline_iou_test"], gain("gain_over_baseline")),
        *tables,
        ("reference: best table or baseline of each head", result["reference_iou_test"], gain("gain_over_reference")),
    ]


def coverage_rows(curve: dict[str, list[float | None]]) -> list[list[str]]:
    """Some sizes of a library as the cells of a table: all up to ten, then ever fewer."""
    columns = ("k", "source_lines", "heads_within_epsilon_held_out", "heads_within_epsilon_test")
    sizes = len(curve.get("k", []))
    kept = [
        size for size in range(1, sizes + 1) if size <= DENSE or size == sizes or size % (size // DENSE * DENSE) == 0
    ]
    return [
        [number(curve[name][size - 1], 3 if name not in columns[:2] else 0) for name in (*columns, *MEANS)]
        for size in kept
    ]

"""Runs compared: what they came to and how they got there, with intervals between seeds and over texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from evolve.config.section import dotted
from evolve.results.between_seeds import Between, between
from evolve.results.compared_files import (
    Files,
    Layer,
    ReplacementCosts,
    abroad,
    layers_of,
    read_files,
    replacement_costs,
)
from evolve.results.provenance import dated, provenance_of, provenance_of_all
from evolve.results.status import usd_by_step
from evolve.store.run_dir import RunDir
from fitness.errors import UserError
from fitness.scoring.references import KINDS

Axis = Literal["programs", "seconds", "usd"]
AXES: tuple[Axis, ...] = ("programs", "seconds", "usd")
# What predicts the heads, on test texts, from the simplest to the library.
PREDICTORS = (
    "single_best_iou_test",
    "baseline_iou_test",
    *(f"{kind}_iou_test" for kind in KINDS),
    "reference_iou_test",
    "mean_iou_test",
)
# Numbers of a finished run's result that are compared.
METRICS = (
    *PREDICTORS,
    "gain_over_reference",
    "excess_iou_test",
    "held_out_minus_test",
    "library_size",
    "programs_evaluated",
    "seconds",
)
CURVE_POINTS = 8
# What tells two runs of one experiment apart without making them another one.
_NOT_SETTINGS = ("seed", "attention_cache", "parallel.workers", "parallel.backend", "parallel.scheduler")


@dataclass(frozen=True)
class OneRun:
    """What is compared of one run.

    Attributes:
        path: its directory.
        seed: its seed.
        settings: dotted key -> value of its configuration, but for the seed and what changes no result.
        result: what `run --json` printed, None where it has not finished.
        curve: axis -> (steps,) position at each step.
        mean_iou: (steps,) mean best held-out IoU after each step.
        files: what other commands left in the directory.
        provenance: what the run is about.
    """

    path: Path
    seed: int
    settings: Mapping[str, Any]
    result: Mapping[str, Any] | None
    curve: Mapping[Axis, np.ndarray]
    mean_iou: np.ndarray
    files: Files
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class CurvePoint:
    """One point of a curve: mean best held-out IoU of a group's runs once they have spent so much."""

    at: float
    mean_iou: Between


@dataclass(frozen=True)
class Group:
    """Runs of the same settings.

    Attributes:
        label: how their settings differ from those of other groups.
        seeds: their seeds.
        numbers: metric -> mean over finished runs with its interval between seeds.
        gain_intervals: of each finished run, the interval over texts of its gain over the reference.
        transfer: domain -> IoU there, and gain over the run's own tables, between seeds.
        curves: axis -> points.
        layers: the library layer by layer.
        replacement: what replacing heads costs, None where `replace` has measured none of the runs.
    """

    label: str
    seeds: tuple[int, ...]
    numbers: Mapping[str, Between]
    gain_intervals: tuple[tuple[float, float], ...]
    transfer: Mapping[str, Mapping[str, Between]]
    curves: Mapping[Axis, tuple[CurvePoint, ...]]
    layers: tuple[Layer, ...]
    replacement: ReplacementCosts | None


@dataclass(frozen=True)
class Difference:
    """A group less the first one, seed by seed where they share seeds."""

    label: str
    metric: str
    difference: Between


@dataclass(frozen=True)
class Comparison:
    """Runs in groups, in the order in which they were given, and what they are about."""

    groups: tuple[Group, ...]
    differences: tuple[Difference, ...]
    unfinished: tuple[str, ...]
    provenance: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return json.loads(json.dumps(asdict(self)))


def compare_runs(paths: Sequence[Path]) -> Comparison:
    """Reads runs and compares them; those that differ in their seed alone are one group.

    Raises:
        UserError: for a directory without a run.
    """
    runs = [read_run(path) for path in paths]
    if not runs:
        raise UserError("compare: give at least one run directory")
    varied = _varied([run.settings for run in runs])
    groups: dict[str, list[OneRun]] = {}
    for run in runs:
        groups.setdefault(_label(run.settings, varied), []).append(run)
    marks = {axis: _marks(runs, axis) for axis in AXES}
    built = tuple(_group(label, members, marks) for label, members in groups.items())
    first, *others = groups.items()
    differences = [
        Difference(label, metric, found)
        for label, members in others
        for metric in ("mean_iou_test", "gain_over_reference")
        if (found := _paired(first[1], members, metric)) is not None
    ]
    unfinished = tuple(str(run.path) for run in runs if run.result is None)
    about = provenance_of_all({str(run.path): run.provenance for run in runs})
    return Comparison(built, tuple(differences), unfinished, dated(about))


def read_run(path: Path) -> OneRun:
    """What is compared of one run, which may still be running.

    Raises:
        UserError: where the directory holds no run.
    """
    run_dir = RunDir(path)
    config = run_dir.load_config()
    store = run_dir.open_store()
    try:
        summaries = store.summaries()
        dollars = usd_by_step(store, store.all_proposals(), len(summaries))
        result, about = store.meta("result"), provenance_of(store)
    finally:
        store.close()
    curve: dict[Axis, np.ndarray] = {
        "programs": np.array([summary.programs for summary in summaries], dtype=float),
        "seconds": np.array([summary.seconds for summary in summaries], dtype=float),
        "usd": np.cumsum(dollars),
    }
    means = np.array([summary.mean_iou for summary in summaries])
    settings = {key: value for key, value in dotted(config.model_dump(mode="json")).items() if key not in _NOT_SETTINGS}
    return OneRun(path, config.seed, settings, result, curve, means, read_files(run_dir), about)


def _varied(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for one in settings for key in one)
    return [key for key in keys if len({json.dumps(one.get(key)) for one in settings}) > 1]


def _label(settings: Mapping[str, Any], varied: Sequence[str]) -> str:
    return ", ".join(f"{key}={_short(settings.get(key))}" for key in varied) or "all runs"


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _marks(runs: Sequence[OneRun], axis: Axis) -> np.ndarray:
    """Where curves are read: places that every run has reached, each twice as far as the one before."""
    reached = [run.curve[axis][-1] for run in runs if len(run.mean_iou)]
    if len(reached) < len(runs) or min(reached) <= 0:
        return np.zeros(0)
    return float(min(reached)) / 2.0 ** np.arange(CURVE_POINTS - 1, -1, -1)


def _group(label: str, runs: Sequence[OneRun], marks: Mapping[Axis, np.ndarray]) -> Group:
    finished = [(run, run.result) for run in runs if run.result is not None]
    results, files = [result for _, result in finished], [run.files for run, _ in finished]
    intervals = [result["gain_over_reference_interval"] for result in results]
    return Group(
        label,
        tuple(run.seed for run in runs),
        {metric: between([_metric(result, metric) for result in results]) for metric in METRICS} if results else {},
        tuple((low, high) for low, high in (interval for interval in intervals if interval)),
        abroad(results, files),
        {
            axis: tuple(CurvePoint(float(at), between([_at(run, axis, at) for run in runs])) for at in marks[axis])
            for axis in AXES
        },
        layers_of(files),
        replacement_costs(files),
    )


def _metric(result: Mapping[str, Any], metric: str) -> float:
    table = metric.removesuffix("_iou_test")
    return float(result["tables_iou_test"][table] if table in KINDS else result[metric])


def _at(run: OneRun, axis: Axis, at: float) -> float:
    """Mean best held-out IoU of the last step that ends within what may be spent; 0 before the first."""
    step = int(np.searchsorted(run.curve[axis], at + 1e-9, side="right")) - 1
    return float(run.mean_iou[step]) if step >= 0 else 0.0


def _paired(first: Sequence[OneRun], others: Sequence[OneRun], metric: str) -> Between | None:
    """Mean difference by seed over the seeds that both have."""
    before = {run.seed: run.result[metric] for run in first if run.result is not None}
    after = {run.seed: run.result[metric] for run in others if run.result is not None}
    shared = [seed for seed in before if seed in after]
    return between([after[seed] - before[seed] for seed in shared]) if shared else None

"""The grid on trial: campaigns that differ in one part of the search, over paired seeds.

    python -m benchmarks.search run OUT [--config quickstart] [--set KEY=VALUE] [--seeds 5] [--jobs 2] [--only NAME]
    python -m benchmarks.search show OUT [--json] [--plot search.svg]

Each campaign runs in one process, is read at a quarter of its programs (`--programs`, 2,000) and at its end, and is
begun anew where it was interrupted, so that its CPU seconds are whole; `run` goes through all variants of a seed before
the next seed. `show` compares whatever is there with the default, paired by seed. "equal CPU" is held-out IoU when a
campaign had spent what the cheapest of all spent in the end; its steps are dated by wall time, scaled to its CPU
seconds, so that a busy machine does not decide. Islands are not campaigns of their own: of four campaigns with one
cell, read at their quarter, each head's best is taken by held-out IoU.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe
from evolve.config import load_config
from evolve.results.between_seeds import Between, between
from evolve.running import run_campaign
from evolve.store.run_dir import RunDir
from fitness.scoring.fit_view import FitView
from fitness.scoring.packing import Packing
from operators.protocol import Proposal, Request
from operators.residual import Residual

PROGRAMS = 2000
DEFAULT = "default: 4 axes of 5 bins"
OPERATORS = {"residual": 2, "tweak": 2, "genetic": 1, "constants": 1, "simplify": 1}
ISLANDS = "4 islands, one cell each"


def niche(predictions: np.ndarray, packing: Packing) -> float:
    """A descriptor that knows nothing: a number in [0, 1) drawn by the hash of a program's predictions."""
    return int(hashlib.sha256(np.ascontiguousarray(predictions).tobytes()).hexdigest()[:8], 16) / 2**32


class Afresh(Residual):
    """The regression begun afresh in every slot: random search with its strongest operator."""

    name = "afresh"

    def propose(self, request: Request, view: FitView) -> list[Proposal]:
        """Programs begun from nothing, whatever is known of the head."""
        return super().propose(replace(request, parents=()), view)


def _without(name: str) -> dict[str, Any]:
    return {"operators": {other: share for other, share in OPERATORS.items() if other != name}}


def _axes(*names: str) -> dict[str, Any]:
    return {"search.descriptors": list(names)}


VARIANTS: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "one cell": {"search.bins": 1},
    "25 random cells": _axes("benchmarks.search:niche") | {"search.bins": 25},
    "2 axes: reach, focus": _axes("reach", "focus"),
    "2 axes: sink, content": _axes("sink", "content"),
    "1 axis: reach": _axes("reach"),
    "1 axis: focus": _axes("focus"),
    "1 axis: sink": _axes("sink"),
    "1 axis: content": _axes("content"),
    **{f"without {name}": _without(name) for name in OPERATORS},
    "residual alone": {"operators": {"residual": 1}},
    "random search: residual afresh": {"operators": {"benchmarks.search:Afresh": 1}},
    "operators by fixed shares": {"search.choice": "shares"},
}


def checkpoints(programs: int) -> tuple[int, int]:
    """When a campaign of so many programs is read."""
    return programs // 4, programs


def one(variant: str, seed: int, config: str, overrides: Sequence[str], folder: Path, programs: int) -> None:
    """One campaign, read at each checkpoint; `read.json` in its run holds what was read."""
    shutil.rmtree(folder / f"seed-{seed}", ignore_errors=True)
    found: dict[str, Any] = {}
    settings = [f"{key}={json.dumps(value)}" for key, value in VARIANTS[variant].items()]
    asked = [*overrides, f"seed={seed}", "parallel.workers=1", "transfer=python-docs", *settings]
    for stop in checkpoints(programs):
        ended = run_campaign(
            load_config(config, [*asked, f'stop={{"max_programs": {stop}}}']), RunDir(folder / f"seed-{seed}")
        )
        library = json.loads(ended.run_dir.file("library.json").read_text())
        found[str(stop)] = numbers(ended.as_json(), library)
    lines = [json.loads(line) for line in ended.run_dir.log.read_text().splitlines()]
    steps = [line for line in lines if line["event"] == "step"]
    found["curve"] = [[line["seconds"], line["programs"], line["mean_iou"]] for line in steps]
    (folder / f"seed-{seed}" / "read.json").write_text(json.dumps(found))


def numbers(result: Mapping[str, Any], library: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a finished campaign."""
    statements = [program["source_lines"] for program in library["programs"]]
    best = {label: [line["best_iou_held_out"], line["best_iou_test"]] for label, line in library["assignment"].items()}
    return {
        "held_out": float(np.mean([held_out for held_out, _ in best.values()])),
        "test, best per head": result["full_mean_iou_test"],
        "test, library": result["mean_iou_test"],
        "gain": result["gain_over_reference"],
        "gain abroad": result["transfer"]["python-docs"]["gain"],
        "library": result["library_size"],
        "lines": float(np.median(statements)),
        "classes": len(library["classes"]["heads"]) if library["classes"] else 0,
        "best": best,
    }


def run(
    out: Path, config: str, overrides: Sequence[str], seeds: int, jobs: int, only: Sequence[str], programs: int
) -> None:
    """All campaigns that are not there yet, so many at once, in processes of one thread each."""

    def start(task: tuple[int, str]) -> None:
        seed, variant = task
        folder = out / _slug(variant)
        file = folder / f"seed-{seed}.json"
        if file.exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "benchmarks.search", "one", str(folder), "--variant", variant]
        command += ["--seed", str(seed), "--config", config, "--programs", str(programs)]
        command += [*(f"--set={each}" for each in overrides)]
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=errors)
            # Counts the sandbox's servers, too, which end with the campaign's process.
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            errors.seek(0)
            lines = errors.read().strip().splitlines()
        if process.returncode == 0:
            kept = json.loads((folder / f"seed-{seed}" / "read.json").read_text())
            file.write_text(json.dumps(kept | {"cpu": used.ru_utime + used.ru_stime}))
        said = "done" if process.returncode == 0 else f"failed: {lines[-1:]}"
        print(f"{variant}, seed {seed}: {said}", file=sys.stderr, flush=True)

    tasks = [(seed, variant) for seed in range(seeds) for variant in VARIANTS if not only or variant in only]
    # The bundled model is captured once, before campaigns share what was captured.
    start(tasks[0])
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(start, tasks[1:]))


def _slug(variant: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in variant)


def read(out: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """Variant -> seed -> what was kept."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for variant in VARIANTS:
        files = sorted((out / _slug(variant)).glob("seed-*.json"))
        if files:
            found[variant] = {int(file.stem.partition("-")[2]): json.loads(file.read_text()) for file in files}
    return found


def columns_of(programs: int) -> dict[str, Callable[[dict[str, Any]], float]]:
    """Name of a column -> what it shows of a campaign."""

    def reading(name: str, at: int) -> Callable[[dict[str, Any]], float]:
        return lambda kept: float(kept[str(at)][name])

    several, once = ("test, best per head", "gain", "gain abroad"), ("library", "lines", "classes")
    return {
        **{f"{name}, {at}": reading(name, at) for name in several for at in checkpoints(programs)},
        **{name: reading(name, programs) for name in once},
        "CPU seconds": lambda kept: float(kept["cpu"]),
    }


def held_out_at(kept: Mapping[str, Any], cpu: float) -> float:
    """Mean held-out IoU of a campaign when it had spent so many CPU seconds."""
    seconds, _, mean = np.transpose(kept["curve"])
    return float(np.interp(cpu, seconds * kept["cpu"] / seconds[-1], mean))


def islands(cells: Mapping[int, dict[str, Any]], programs: int) -> dict[int, float]:
    """Test IoU of the best per head of four campaigns at their quarter, by their first seed; seeds go round."""
    seeds = sorted(cells)
    if len(seeds) < 4:
        return {}
    found = {}
    for place, seed in enumerate(seeds):
        parts = [cells[seeds[(place + step) % len(seeds)]][str(programs // 4)]["best"] for step in range(4)]
        pooled = [max((part[label] for part in parts), key=lambda scores: scores[0])[1] for label in parts[0]]
        found[seed] = float(np.mean(pooled))
    return found


def table(found: Mapping[str, dict[int, dict[str, Any]]], programs: int) -> list[dict[str, Any]]:
    """One row per variant: means over seeds, and differences from the default paired by seed."""
    least = min(kept["cpu"] for seeds in found.values() for kept in seeds.values())
    columns = columns_of(programs) | {"held-out, equal CPU": lambda kept: held_out_at(kept, least)}
    rows = []
    for variant, seeds in found.items():
        row: dict[str, Any] = {"variant": variant, "seeds": len(seeds)}
        for name, value in columns.items():
            row[name] = between([value(kept) for kept in seeds.values()])
            paired = [
                value(kept) - value(found[DEFAULT][seed]) for seed, kept in seeds.items() if seed in found[DEFAULT]
            ]
            if variant != DEFAULT and paired:
                row[f"{name}, less default"] = between(paired)
        rows.append(row)
    pooled = islands(found.get("one cell", {}), programs)
    if pooled:
        name = f"test, best per head, {programs}"
        paired = [
            value - columns[name](found[DEFAULT][seed]) for seed, value in pooled.items() if seed in found[DEFAULT]
        ]
        rows.append(
            {
                "variant": ISLANDS,
                "seeds": len(pooled),
                name: between(list(pooled.values())),
                f"{name}, less default": between(paired),
            }
        )
    return rows


def show(rows: Sequence[dict[str, Any]]) -> None:
    """A Markdown table: the default's values, and the others' differences from it."""
    names = [name for name in rows[0] if name not in ("variant", "seeds")]
    print(f"| | seeds | {' | '.join(names)} |")
    print("|---|" + "---|" * (len(names) + 1))
    for row in rows:
        cells = []
        for name in names:
            difference = row.get(f"{name}, less default")
            cells.append(_cell(difference or row.get(name), signed=difference is not None))
        print(f"| {row['variant']} | {row['seeds']} | {' | '.join(cells)} |")


def _cell(value: Between | None, *, signed: bool) -> str:
    if value is None:
        return ""
    digits = 1 if max(abs(value.value), abs(value.low or 0)) > 2 else 4
    form = f"{'+' if signed else ''}.{digits}f"
    interval = "" if value.low is None or value.high is None else f" [{value.low:{form}}, {value.high:{form}}]"
    return f"{value.value:{form}}{interval}"


def plot(rows: Sequence[dict[str, Any]], file: Path, programs: int) -> None:
    """Differences from the default, with intervals between seeds, after the last checkpoint and abroad."""
    from matplotlib.figure import Figure

    names = [f"test, best per head, {programs}", f"gain abroad, {programs}"]
    shown = [row for row in rows if f"{names[0]}, less default" in row]
    figure = Figure(figsize=(8, 0.35 * len(shown) + 1.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), sharey=True), names, strict=True):
        for place, row in enumerate(shown):
            difference = row.get(f"{name}, less default")
            if difference is not None:
                low, high = difference.low or difference.value, difference.high or difference.value
                axes.plot([low, high], [place, place], color="#2171b5", linewidth=2)
                axes.plot(difference.value, place, "o", color="#2171b5")
        axes.axvline(0, color="#8a8f98", linewidth=1)
        axes.set_yticks(range(len(shown)), [row["variant"] for row in shown])
        axes.set_xlabel(f"{name}: less the default")
        axes.grid(alpha=0.3, axis="x")
    figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "show", "one"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--config", default="quickstart")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--variant", default=DEFAULT)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--programs", type=int, default=PROGRAMS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    if given.what == "one":
        one(given.variant, given.seed, given.config, given.overrides, given.out, given.programs)
        return
    if given.what == "run":
        run(given.out, given.config, given.overrides, given.seeds, given.jobs, given.only, given.programs)
    rows = table(read(given.out), given.programs)
    if given.json:
        print(json.dumps(rows, default=vars))
        return
    print(describe())
    show(rows)
    if given.plot:
        plot(rows, given.plot, given.programs)


if __name__ == "__main__":
    main()

"""The end of a campaign: reduce on held-out scores, then read the test texts, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archives.curves import Point, coverage_csv, coverage_curve, curve_order
from archives.export import function_names, library_json, library_json_text, library_py
from archives.library import Library, build_library, needed_on_test
from archives.reduce import Reduction, reduce
from archives.table import ScoreTable
from evolve.commands.status import llm_spend
from evolve.config import Config
from evolve.run_dir import RunDir, write_atomically
from evolve.store import ProgramRecord, Store
from evolve.views.pictures import matrix_png
from fitness.errors import UserError
from fitness.models.capture import Attention
from fitness.program import Program
from fitness.scoring.baselines import baselines
from fitness.scoring.contract import to_prediction
from fitness.scoring.packing import unpack
from fitness.scoring.pool import Pool
from fitness.scoring.worker import WorkerSpec, worker

MOST_PICTURES = 60
CURVE_POINTS = 200

# Scores programs on the test texts: ids in, (heads, programs, texts) out.
TestScorer = Callable[[Sequence[str]], ScoreTable]


@dataclass(frozen=True)
class Found:
    """All programs of one or more runs that ran, as arrays.

    Attributes:
        records: by column of the table.
        table: (heads, programs) mean held-out IoU.
        signatures: one hash a program; equal where two predict the same.
        descriptor_names: names of the descriptors.
    """

    records: tuple[ProgramRecord, ...]
    table: ScoreTable
    signatures: tuple[str, ...]
    descriptor_names: tuple[str, ...]

    @property
    def costs(self) -> np.ndarray:
        """(programs,) characters of the normalised sources."""
        return np.array([record.length for record in self.records], dtype=float)

    @property
    def descriptors(self) -> np.ndarray:
        """(programs, descriptors) in [0, 1]."""
        return np.stack([np.asarray(record.evaluation.descriptors) for record in self.records])

    def programs(self, ids: Sequence[str]) -> dict[str, Program]:
        """Programs by id."""
        wanted = set(ids)
        return {record.id: record.program() for record in self.records if record.id in wanted}


def load_found(store: Store) -> Found:
    """Reads what a run has found so far.

    Raises:
        UserError: where no program ran yet.
    """
    records = tuple(record for record in store.all_programs() if record.iou is not None)
    if not records:
        raise UserError(f"{store.path.parent}: no program has been evaluated yet; let the campaign run first")
    means = np.stack([record.iou for record in records if record.iou is not None], axis=1)
    table = ScoreTable(means, store.meta("labels"), tuple(record.id for record in records))
    signatures = tuple(record.evaluation.signature for record in records)
    return Found(records, table, signatures, tuple(store.meta("fingerprint")["search.descriptors"]))


def test_scorer(found: Found, pool: Pool, spec: WorkerSpec) -> TestScorer:
    """Scores programs of a run on its test texts; a program that fails there scores 0."""

    def score(ids: Sequence[str]) -> ScoreTable:
        programs = found.programs(ids)
        heads = found.table.heads
        evaluations = pool.evaluate(spec, [programs[name] for name in ids], "test")
        nothing = np.zeros((len(heads), spec.test), dtype=np.float32)
        columns = [nothing if evaluation.scores is None else evaluation.scores for evaluation in evaluations]
        return ScoreTable(np.stack(columns, axis=1), heads, tuple(ids))

    return score


@dataclass(frozen=True)
class Reduced:
    """A library with its numbers, and the test scores behind them."""

    library: Library
    reduction: Reduction
    test: ScoreTable
    files: list[Path]


def reduce_and_write(
    found: Found,
    score_test: TestScorer,
    out: Path,
    *,
    seed: int,
    extra: Sequence[str] = (),
    plots: bool = False,
    **criterion: Any,
) -> Reduced:
    """Chooses a library on held-out scores, reads its test scores, and writes library.json, library.py, coverage.csv.

    Args:
        found: what there is to choose from.
        score_test: reads the test texts.
        out: folder for the files.
        seed: of the reduction and the bootstrap.
        extra: ids of further programs whose test scores the caller wants.
        plots: draw the curves as well (extra `plots`).
        criterion: of `archives.reduce.reduce`: epsilon, threshold or size, and exact.
    """
    costs = found.costs
    reduction = reduce(found.table, costs=costs, seed=seed, signatures=found.signatures, **criterion)
    curve = curve_order(found.table, reduction, min(CURVE_POINTS, len(found.records)))
    wanted = dict.fromkeys([*needed_on_test(found.table, reduction, curve), *extra])
    test = score_test(list(wanted))
    programs = found.programs(list(wanted))
    library = build_library(
        found.table,
        reduction,
        test=test,
        programs=programs,
        costs=costs,
        signatures=found.signatures,
        descriptors=found.descriptors,
        descriptor_names=found.descriptor_names,
        seed=seed,
    )
    points = coverage_curve(found.table, reduction, curve, test=test, programs=programs)
    out.mkdir(parents=True, exist_ok=True)
    contents = {
        "library.json": library_json_text(library),
        "library.py": library_py(library),
        "coverage.csv": coverage_csv(points),
    }
    for name, content in contents.items():
        write_atomically(out / name, content)
    files = [out / name for name in contents]
    return Reduced(library, reduction, test, files + (write_plots(library, points, out) if plots else []))


def write_plots(library: Library, points: Sequence[Point], out: Path) -> list[Path]:
    """Draws coverage, the heads' IoU and excess as SVG and PNG; returns the files."""
    from archives.plots import save_plots

    return save_plots(library, points, out)


def finish(
    run_dir: RunDir, config: Config, store: Store, pool: Pool, spec: WorkerSpec, attention: Attention
) -> dict[str, Any]:
    """Reduces a finished campaign and reads the test texts; keeps and returns what `run --json` prints."""
    found = load_found(store)
    simple = [program.id for program in baselines().values()]
    simple = [name for name in simple if name in set(found.table.programs)]
    reduced = reduce_and_write(
        found,
        test_scorer(found, pool, spec),
        run_dir.path,
        seed=config.seed,
        extra=simple,
        epsilon=config.library.epsilon,
    )
    numbers = library_json(reduced.library)
    baseline_test = _baseline_test(found, reduced.test, simple)
    counts = store.counts()
    result = {
        "mean_iou_held_out": numbers["mean_iou_held_out"],
        "mean_iou_test": numbers["mean_iou_test"],
        "mean_iou_test_interval": numbers["mean_iou_test_interval"],
        "full_mean_iou_test": numbers["full_mean_iou_test"],
        "baseline_iou_test": float(baseline_test.mean()),
        "single_best_iou_test": numbers["single_best_iou_test"],
        "excess_iou_test": numbers["excess_iou_test"],
        "heads": numbers["heads"],
        "library_size": numbers["library_size"],
        "programs_evaluated": sum(counts.values()),
        "programs_failed": sum(counts.values()) - counts.get("ok", 0),
        "seconds": round(store.seconds(), 1),
        "llm": llm_spend(store),
        "run_dir": str(run_dir.path),
    }
    store.set_meta("details", _details(reduced.library, numbers, baseline_test, spec, attention))
    store.set_meta("result", result)
    return result


def _baseline_test(found: Found, test: ScoreTable, simple: Sequence[str]) -> np.ndarray:
    """(heads,) test IoU of each head's best simple baseline, chosen on held-out scores."""
    chosen = found.table.take_programs(simple).means.argmax(axis=1)
    scores = test.take_programs(simple).means
    return scores[np.arange(len(chosen)), chosen]


def _details(
    library: Library, numbers: Mapping[str, Any], baseline_test: np.ndarray, spec: WorkerSpec, attention: Attention
) -> dict[str, Any]:
    """What the report shows beside the result: every head, every program of the library, and pictures."""
    names = function_names(library)
    heads = {
        label: {"program": line["program"], "test": line["iou_test"], "baseline_test": float(baseline)}
        for (label, line), baseline in zip(numbers["assignment"].items(), baseline_test, strict=True)
    }
    programs: list[dict[str, Any]] = []
    for member, entry in zip(library.members, numbers["programs"], strict=True):
        picture = None
        if member.program and member.heads and len(programs) < MOST_PICTURES:
            picture = _picture(member.program, member.heads[0], spec, attention)
        programs.append(
            {
                "id": member.id,
                "name": names[member.id],
                "heads": member.heads,
                "test": entry["iou_test"],
                "source": entry["source"],
                "picture": picture,
            }
        )
    return {"heads": heads, "programs": programs}


def _picture(program: Program, label: str, spec: WorkerSpec, attention: Attention) -> dict[str, Any] | None:
    """Attention of a head and the prediction of a program, on the first test text."""
    here = worker(spec)
    outcome = here.run(program, "test")
    if not outcome.ok:
        return None
    text = spec.fit + spec.held_out
    block = np.asarray(attention.block(text)[attention.labels.index(label)], dtype=np.float32)
    head = unpack(block, attention.texts[text].n, causal=attention.causal)
    prediction = to_prediction(outcome.weights[0], causal=attention.causal)
    shared = float(np.minimum(head, prediction).sum())
    iou = shared / float(head.sum() + prediction.sum() - shared)
    return {"head": label, "attention": matrix_png(head), "prediction": matrix_png(prediction), "iou": iou}

"""From what was found to a library on disk: chosen on held-out scores, reported on test scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from archives.build_library import build_library, needed_on_test
from archives.curves import Point, coverage_csv, coverage_curve, curve_order
from archives.export import library_json_text
from archives.library import ReducedLibrary
from archives.library_py import Agree, library_py
from archives.reduce import Reduction, reduce
from archives.table import ScoreTable
from archives.text_module import FILE as TEXT_MODULE
from archives.text_module import text_module
from evolve.results.found import Found, TestScorer
from evolve.results.references import baseline_ids, best_baseline, best_reference
from evolve.store.run_dir import write_atomically
from fitness.errors import UserError
from fitness.program import Program
from fitness.sandbox import SandboxUnavailable
from fitness.scoring.agreement import agree as agree_on_stories

CURVE_POINTS = 200


# Tells of programs whether they give the same weights again.
Pure = Callable[[Sequence[Program]], Sequence[bool]]


@dataclass(frozen=True)
class Criterion:
    """What a library must reach; at most one of the first three is set.

    Attributes:
        epsilon: cover heads within this of their best held-out IoU.
        threshold: cover heads at this IoU or more.
        size: the best mean with this many programs.
        exact: ask a solver for the optimum, or a bound.
    """

    epsilon: float | None = None
    threshold: float | None = None
    size: int | None = None
    exact: bool = False

    @property
    def is_set(self) -> bool:
        """Whether it says anything about the programs to choose."""
        return not self.epsilon is self.threshold is self.size is None


@dataclass(frozen=True)
class Reduced:
    """A library with its numbers, and the test scores behind them.

    Attributes:
        library: the library.
        reduction: how it was chosen.
        test: test scores of its programs, each head's best, the simple baselines and the tables.
    """

    library: ReducedLibrary
    reduction: Reduction
    test: ScoreTable


def reduce_found(
    found: Found, score_test: TestScorer, criterion: Criterion, *, seed: int, pure: Pure | None = None
) -> tuple[Reduced, list[Point]]:
    """Chooses a library on held-out scores and reads its test scores; writes nothing.

    Args:
        found: what there is to choose from.
        score_test: reads the test texts.
        criterion: what the library must reach.
        seed: of the reduction and the bootstrap.
        pure: tells of programs whether they give the same weights again on all held-out texts; others are not chosen.

    Returns:
        the library and the points of its coverage curve.
    """
    reduction = reduce(found.table, costs=found.costs, seed=seed, signatures=found.signatures, **asdict(criterion))
    if pure:
        chosen = [found.table.programs[column] for column in reduction.selected]
        programs = found.programs(chosen)
        impure = [
            name for name, same in zip(chosen, pure([programs[name] for name in chosen]), strict=True) if not same
        ]
        if impure:
            return reduce_found(found.without(impure), score_test, criterion, seed=seed, pure=pure)
    curve = curve_order(found.table, reduction, min(CURVE_POINTS, len(found.records)))
    wanted = dict.fromkeys([*needed_on_test(found.table, reduction, curve), *baseline_ids(found.table)])
    test = score_test(list(wanted))
    programs = found.programs(list(wanted))
    library = _library(found, reduction, test, programs, seed)
    points = coverage_curve(found.table, reduction, curve, test=test, programs=programs)
    return Reduced(library, reduction, test), points


def reduce_on_held_out(found: Found, criterion: Criterion, *, seed: int) -> ReducedLibrary:
    """Chooses a library on held-out scores, and leaves the test texts unread."""
    reduction = reduce(found.table, costs=found.costs, seed=seed, signatures=found.signatures, **asdict(criterion))
    return _library(found, reduction, None, found.programs(needed_on_test(found.table, reduction)), seed)


def _library(
    found: Found, reduction: Reduction, test: ScoreTable | None, programs: Mapping[str, Program], seed: int
) -> ReducedLibrary:
    return build_library(
        found.table,
        reduction,
        test=test,
        programs=programs,
        costs=found.costs,
        signatures=found.signatures,
        descriptors=found.measures,
        descriptor_names=found.measure_names,
        reference=best_reference(found.table, found.tables),
        baseline=best_baseline(found.table),
        seed=seed,
    )


def write_library(
    library: ReducedLibrary, points: Sequence[Point], out: Path, *, plots: bool, agree: Agree = agree_on_stories
) -> list[Path]:
    """Writes a library's files and, where asked, plots; returns them. Without sources there is no library.py.

    Args:
        library: what to write.
        points: of its coverage curve.
        out: folder to write to.
        plots: draw the curves as well.
        agree: runs what is written of each program in the sandbox beside the program; where one of the two gives other
            weights, it is left out.

    Raises:
        UserError: where programs cannot be run.
    """
    contents = {"library.json": library_json_text(library)}
    if all(member.program is not None for member in library.members):
        try:
            contents["library.py"] = library_py(library, agree)
            contents[TEXT_MODULE] = text_module()
        except SandboxUnavailable as error:
            raise UserError(f"library.py: {error}") from None
    contents["coverage.csv"] = coverage_csv(list(points))
    out.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_atomically(out / name, content)
    return [out / name for name in contents] + (_write_plots(library, points, out) if plots else [])


def _write_plots(library: ReducedLibrary, points: Sequence[Point], out: Path) -> list[Path]:
    """Draws coverage, the heads' IoU and excess as SVG and PNG."""
    from archives.plots import save_plots

    return save_plots(library, points, out)

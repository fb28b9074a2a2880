"""Speed and quality of the reduction to a library. Run: `OMP_NUM_THREADS=1 python -m benchmarks.library [--quick]`.

Instances are made up, from fixed seeds. Two kinds of cover: "even" (every pair covers with one chance) and "uneven"
(heads differ in how many programs cover them, 20 to 1), which takes many more programs.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy

from archives.cover import Cover, counting_greedy, hardest_first, solve
from archives.exact import exact_cover
from archives.facility import exact_scores, greedy_order
from archives.reduce import reduce
from archives.table import ScoreTable
from fitness.heads import head_labels


def timed(work: Callable[[], object], repeats: int = 5) -> tuple[float, float, object]:
    """Median and least seconds of some calls after one to warm up, and the last answer."""
    answer = work()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        answer = work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), min(seconds), answer


def sparse_instance(heads: int, programs: int, pairs: int, *, uneven: bool, seed: int = 0) -> Cover:
    """About so many covering pairs, as compressed rows."""
    rng = np.random.default_rng(seed)
    share = np.geomspace(1, 20, heads) if uneven else np.ones(heads)
    counts = np.maximum(1, (share / share.sum() * pairs).astype(np.int64))
    rows = [np.sort(rng.choice(programs, size=min(int(count), programs), replace=False)) for count in counts]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return Cover.from_rows(offsets, np.concatenate(rows), programs)


def published_shape(seed: int = 0) -> tuple[ScoreTable, np.ndarray]:
    """144 heads x 112 programs, 59 % of the pairs scored: mixtures of six patterns, heads of different difficulty."""
    rng = np.random.default_rng(seed)
    patterns, mixture = rng.random((112, 6)), rng.dirichlet(np.ones(6) * 0.4, 144)
    scores = rng.beta(5, 2, (144, 1)) * (0.4 + 0.6 * mixture @ patterns.T) + rng.normal(0, 0.02, (144, 112))
    scores[rng.random((144, 112)) > 0.59] = np.nan
    heads = head_labels(12, 12)
    table = ScoreTable(np.clip(scores, 0, 1), heads, tuple(f"p{number:03d}" for number in range(112)))
    return table, rng.integers(80, 900, 112).astype(float)


def covers(quick: bool) -> None:
    print("\ngreedy set cover, compressed rows given      pairs       programs   median s   least s   target s")
    for heads, programs, pairs, target in ((1_000, 20_000, 3_200_000, 0.1), (10_000, 100_000, 25_000_000, 1.5)):
        if quick and heads > 1_000:
            continue
        for uneven in (False, True):
            cover = sparse_instance(heads, programs, pairs, uneven=uneven)
            costs = np.random.default_rng(1).integers(80, 900, programs).astype(float)
            for name, work in (("counting greedy", counting_greedy), ("hardest first", hardest_first)):
                median, least, chosen = timed(lambda work=work, cover=cover, costs=costs: work(cover, costs))  # type: ignore[misc]
                kind = f"{heads:,} x {programs:,} {'uneven' if uneven else 'even'}, {name}"
                print(
                    f"  {kind:<42} {cover.pairs:>11,} {len(chosen):>9} {median:>10.4f} {least:>9.4f} {target:>10}"  # type: ignore[arg-type]
                )


def plain_argmax(means: np.ndarray, steps: int) -> list[int]:
    """The greedy of facility location by its formula: every gain anew at every step."""
    served = exact_scores(means)
    best, order = np.zeros(len(served), dtype=np.float32), []
    for _ in range(steps):
        gain = np.maximum(served - best[:, None], 0).sum(axis=0, dtype=np.float64)
        order.append(int(np.argmax(gain)))
        best = np.maximum(best, served[:, order[-1]])
    return order


def facilities() -> None:
    print("\nfacility location, 1,000 heads x 20,000 programs, dense, k = 100 (target 1 s)")
    rng = np.random.default_rng(0)
    even = rng.random((1_000, 20_000), dtype=np.float32)
    uneven = (rng.beta(5, 2, (1_000, 1)) * (0.3 + 0.7 * even**3)).astype(np.float32)
    for name, means in (("even", even), ("uneven", uneven)):
        median, least, greedy = timed(lambda means=means: greedy_order(means, 100))  # type: ignore[misc]
        began = time.perf_counter()
        plain = plain_argmax(means, 5)
        each = (time.perf_counter() - began) / 5
        same = plain == greedy.order[:5].tolist()  # type: ignore[attr-defined]
        print(
            f"  {name:<8} median {median:.3f} s, least {least:.3f} s; a plain argmax takes {each:.3f} s a step",
            end="; ",
        )
        print(f"first 5 steps in the same order: {same}")


def optimal_at_published_shape() -> None:
    print(
        "\nmade-up tables of the published shape, 144 heads x 112 programs, 59 % of the pairs (target: proven in 2 s)"
    )
    for seed in range(5):
        table, costs = published_shape(seed)
        for exact in (False, True):
            began = time.perf_counter()
            result = reduce(table, costs=costs, exact=exact)
            seconds = time.perf_counter() - began
            greedy = counting_greedy_size(table, result.best_iou)
            print(
                f"  seed {seed} exact {exact!s:<5} {len(result.selected)} programs (plain greedy {greedy}), lower bound"
                f" {result.lower_bound}, proven {result.optimal}, least source proven {result.cheapest},"
                f" mean {result.mean:.4f} of {result.full_mean:.4f}, {seconds:.2f} s"
            )


def counting_greedy_size(table: ScoreTable, best: np.ndarray) -> int:
    """What a greedy without pruning and without iteration needs."""
    cover = Cover.from_matrix(np.nan_to_num(table.means, nan=-1) >= best[:, None] - 0.02)
    return len(counting_greedy(cover, np.ones(cover.programs)))


def against_the_optimum(instances: int) -> None:
    counts = {"plain greedy": 0, "solve": 0, "solve, source too": 0}
    worst, seconds = 1.0, []
    for seed in range(instances):
        rng = np.random.default_rng(seed)
        heads, programs = int(rng.integers(5, 40)), int(rng.integers(5, 40))
        cover = Cover.from_matrix(rng.random((heads, programs)) < rng.uniform(0.05, 0.4))
        costs = rng.integers(50, 900, programs).astype(float)
        began = time.perf_counter()
        selected = solve(cover, costs, seed=0)
        seconds.append(time.perf_counter() - began)
        answer = exact_cover(cover, costs, selected, seconds=60)
        optimum = selected if answer.selected is None else answer.selected
        greedy = counting_greedy(cover, np.ones(programs))
        counts["plain greedy"] += len(greedy) == len(optimum)
        counts["solve"] += len(selected) == len(optimum)
        counts["solve, source too"] += len(selected) == len(optimum) and costs[selected].sum() <= costs[optimum].sum()
        worst = max(worst, len(selected) / max(1, len(optimum)))
    print(f"\n{instances} random instances of 5-40 heads x 5-40 programs: equal to the proven optimum")
    for name, count in counts.items():
        print(f"  {name:<20} {count} of {instances}")
    print(f"  largest ratio {worst:.3f}, median {statistics.median(seconds):.2f} s each")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out the largest cover and most small instances")
    quick = parser.parse_args().quick
    model = next((x for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x), platform.processor())
    print(f"{model.split(':')[-1].strip()}; Python {platform.python_version()}, numpy {np.__version__}", end=", ")
    print(f"scipy {scipy.__version__}")
    covers(quick)
    facilities()
    optimal_at_published_shape()
    against_the_optimum(20 if quick else 200)


if __name__ == "__main__":
    main()

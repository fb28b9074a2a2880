"""What scoring one program on one text costs: `python -m benchmarks.scoring [--repeats 41] [--json]`.

Milliseconds of CPU time on one core, a program: the plain formula of IoU, numpy's two passes, and the fused pass (extra
`fast`) of one program and of several at a time, from float32 and from float16. As in a campaign, every turn reads the
attention on another text, and all of it is more than a cache holds. Beside them stands a bare sum of as many float32
that lie in the cache (BLAS), which compares nothing. Ways take turns, of each the median is printed, and ratios are of
medians of one run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.machine import describe
from fitness.scoring.fused import sums_of_minima
from fitness.scoring.iou import iou
from fitness.scoring.packing import packed_size
from fitness.scoring.threads import one_thread
from fitness.scoring.worker import PROGRAMS_AT_A_TIME

SIZES = ((704, 64), (270, 96))
# Of attention as float32, and of what the bare sum reads.
TOTAL_BYTES, IN_CACHE_BYTES = 200_000_000, 250_000
DTYPES = ("float32", "float16")

Way = Callable[[np.ndarray, np.ndarray], Any]


def two_passes(predictions: np.ndarray, block: np.ndarray) -> np.ndarray:
    """As `fitness.scoring.iou` does without llvmlite."""
    return np.add.reduce(np.minimum(predictions[0], block, dtype=np.float32), axis=-1)


def ways(dtype: str) -> dict[str, tuple[int, Way]]:
    """Way -> programs that it takes at a time, and what it does with predictions and the attention on a text."""
    found: dict[str, tuple[int, Way]] = {
        f"plain formula, {dtype}": (1, lambda predictions, block: iou(predictions[0], block)),
        f"numpy, {dtype}": (1, two_passes),
    }
    trial = np.ones((1, 300), dtype=np.float32)
    if sums_of_minima(trial, trial.astype(dtype)) is not None:
        found[f"fused, {dtype}"] = 1, sums_of_minima
        found[f"fused, {dtype}, {PROGRAMS_AT_A_TIME} programs"] = PROGRAMS_AT_A_TIME, sums_of_minima
    return found


def measure(heads: int, tokens: int, repeats: int) -> dict[str, Any]:
    """Medians of all ways and their ratios, for attention of one shape."""
    n, rng = packed_size(tokens, causal=True), np.random.default_rng(0)
    predictions = rng.random((PROGRAMS_AT_A_TIME, n), dtype=np.float32) ** 8
    texts = max(2, TOTAL_BYTES // (4 * n * heads))
    half = (rng.random((texts, heads, n), dtype=np.float32) ** 8).astype(np.float16)
    blocks = {"float32": half.astype(np.float32), "float16": half}
    rows = max(1, IN_CACHE_BYTES // (4 * n))
    part, ones = blocks["float32"][0, :rows].copy(), np.ones(n, dtype=np.float32)
    seconds: dict[str, list[float]] = {}
    for turn in range(repeats + 1):
        for dtype in DTYPES:
            for place, (name, (count, way)) in enumerate(ways(dtype).items()):
                block = blocks[dtype][(5 * turn + place) % texts]
                began = time.thread_time()
                way(predictions[:count], block)
                seconds.setdefault(name, []).append((time.thread_time() - began) / count)
        part @ ones
        began = time.thread_time()
        for _ in range(heads // rows):
            part @ ones
        taken = (time.thread_time() - began) * heads / (heads // rows * rows)
        seconds.setdefault("bare sum in cache", []).append(taken)
    found = {name: float(np.median(values[1:])) * 1000 for name, values in seconds.items()}
    return {"heads": heads, "tokens": tokens, "milliseconds": found, "ratios": ratios(found)}


def ratios(found: dict[str, float]) -> dict[str, float]:
    """The ratios that are worth a look."""
    several = f", {PROGRAMS_AT_A_TIME} programs"
    compared = {
        "numpy over fused, float32": ("numpy, float32", "fused, float32"),
        f"numpy over fused, float32{several}": ("numpy, float32", f"fused, float32{several}"),
        f"numpy over fused, float16{several}": ("numpy, float16", f"fused, float16{several}"),
        f"fused float16 over float32{several}": (f"fused, float16{several}", f"fused, float32{several}"),
        f"bare sum over fused, float32{several}": ("bare sum in cache", f"fused, float32{several}"),
        f"bare sum over fused, float16{several}": ("bare sum in cache", f"fused, float16{several}"),
    }
    return {name: found[a] / found[b] for name, (a, b) in compared.items() if a in found and b in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=41, help="turns of each way")
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    arguments = parser.parse_args()
    with one_thread():
        results = [measure(heads, tokens, arguments.repeats) for heads, tokens in SIZES]
    if arguments.json:
        json.dump({"machine": describe(), "results": results}, sys.stdout)
        return
    print(describe())
    for result in results:
        print(f"\n{result['heads']} heads x {result['tokens']} tokens, a program and text")
        for name, value in result["milliseconds"].items():
            print(f"  {name:40} {value:8.3f} ms")
        for name, value in result["ratios"].items():
            print(f"  {name:40} {value:8.2f}")


if __name__ == "__main__":
    main()

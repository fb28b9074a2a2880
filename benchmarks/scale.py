"""Programs per second with one worker and two, and memory at scale: `python -m benchmarks.scale [--memory] [--json]`.

Attention is drawn at random, in the format of a capture. Without `--memory`, programs of about 5 ms a text run
in loky and in Dask workers on this machine (extra `cluster`); efficiency is the speed of two workers over twice that of
one, and says something where two cores are free. With it, baselines are scored on 704 heads x 200 texts x 128 tokens,
2.3 GB, in a process of its own, whose memory is told apart into its own and pages of the mapped file, which processes
share. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import fitness.demo
from benchmarks.machine import describe
from fitness.models.attention import DATA, META, SUMS, TEXTS, checksum
from fitness.program import Program
from fitness.sandbox import Limits
from fitness.scoring.baselines import baselines
from fitness.scoring.cluster.connection import connected
from fitness.scoring.cluster.pool import DaskPool
from fitness.scoring.packing import packed_size
from fitness.scoring.pool import Pool
from fitness.scoring.worker import Worker, WorkerSpec

# About 5 ms a text of 64 tokens.
SLOW = """def program(text):
    for _ in range({}):
        weights = np.exp(-{} * np.abs(text.distance))
    return weights
"""
LOOPS = 150


def draw(folder: Path, heads: int, texts: int, tokens: int) -> None:
    """Writes attention whose rows sum to about 1."""
    rng, n = np.random.default_rng(0), packed_size(tokens, causal=True)
    words = Path(fitness.demo.__file__).with_name("stories.txt").read_text(encoding="utf-8").split()
    rows = np.repeat(1 / np.arange(1, tokens + 1, dtype=np.float32), np.arange(1, tokens + 1))
    sums = np.empty((texts, heads))
    with (folder / DATA).open("wb") as file:
        for text in range(texts):
            block = (2 * rng.random((heads, n), dtype=np.float32) * rows).astype(np.float16)
            sums[text] = block.sum(axis=1, dtype=np.float64)
            file.write(block.tobytes())
    chosen = [[f" {word}" for word in np.roll(words, -7 * text)[:tokens]] for text in range(texts)]
    entries = [{"tokens": each, "ids": list(range(tokens)), "string": "".join(each)} for each in chosen]
    (folder / TEXTS).write_text(json.dumps(entries), encoding="utf-8")
    np.save(folder / SUMS, sums)
    facts = {"model": "drawn", "quantised": None, "dtype": "float32", "causal": True, "left_out": [], "truncated": 0}
    facts |= {"layers": [(0, heads)], "sha256": {name: checksum(folder / name) for name in (DATA, TEXTS, SUMS)}}
    (folder / META).write_text(json.dumps(facts))


def memory_of_scoring(folder: str, texts: int) -> dict[str, float]:
    """Megabytes of this process at the most, while programs are scored on all texts, and seconds."""
    spec = WorkerSpec(folder, 0, texts, 0, ("reach", "focus", "sink", "content"), limits=Limits(cpu_seconds=30))
    worker, began = Worker(spec), time.monotonic()
    failed = [found.message for found in worker.evaluate_all(list(baselines().values()), "held_out") if not found.ok]
    taken = time.monotonic() - began
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    worker.close()
    names = {"peak_mb": "VmHWM", "own_mb": "RssAnon", "mapped_mb": "RssFile"}
    megabytes = {name: int(status[key].split()[0]) / 1000 for name, key in names.items()}
    if failed:
        raise AssertionError(failed[0])
    return megabytes | {"seconds": taken}


@contextmanager
def pools(workers: int) -> Iterator[dict[str, Pool]]:
    """Backend -> so many workers on this machine."""
    found = {"loky": Pool(workers)}
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        yield found
        return
    options = {"n_workers": workers, "threads_per_worker": 1, "memory_limit": 0, "dashboard_address": None}
    with (
        LocalCluster(**options) as local,
        Client(local, set_as_default=False) as client,
        connected(None, client, mode="strict") as cluster,
    ):
        assert cluster is not None
        yield found | {"dask": DaskPool(cluster)}


def speeds(folder: str, texts: int, programs: int) -> dict[str, float]:
    """Programs per second by backend and number of workers, and the efficiency of two."""
    spec = WorkerSpec(folder, 0, texts, 0, limits=Limits(cpu_seconds=30))
    found = {}
    for workers in (1, 2):
        with pools(workers) as by_name:
            for name, pool in by_name.items():
                make = [Program.parse(SLOW.format(LOOPS, f"0.{workers}{k:03}")) for k in range(programs + 4)]
                pool.evaluate(spec, make[:4], "held_out")  # sets the workers up
                began = time.monotonic()
                pool.evaluate(spec, make[4:], "held_out")
                found[f"{name}, {workers} worker{'s' * (workers > 1)}"] = programs / (time.monotonic() - began)
    for name in ("loky", "dask"):
        if f"{name}, 2 workers" in found:
            found[f"{name}, efficiency"] = found[f"{name}, 2 workers"] / (2 * found[f"{name}, 1 worker"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true", help="peak memory in place of speed")
    parser.add_argument("--programs", type=int, default=60, help="evaluated by each pool")
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    arguments = parser.parse_args()
    heads, texts, tokens = (704, 200, 128) if arguments.memory else (144, 24, 64)
    with tempfile.TemporaryDirectory(prefix="headscribe-scale-") as name:
        draw(Path(name), heads, texts, tokens)
        if arguments.memory:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                result: dict[str, Any] = alone.submit(memory_of_scoring, name, texts).result()
        else:
            result = speeds(name, texts, arguments.programs)
    machine = f"{describe()}, {len(os.sched_getaffinity(0))} of them ours"
    if arguments.json:
        json.dump({"machine": machine, "heads": heads, "texts": texts, "tokens": tokens} | result, sys.stdout)
        return
    print(f"{machine}\n{heads} heads x {texts} texts x {tokens} tokens")
    for key, value in result.items():
        print(f"  {key:20} {value:9.2f}")


if __name__ == "__main__":
    main()

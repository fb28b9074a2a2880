"""What a step costs as the archive grows: `python -m benchmarks.steps`.

A campaign of cheap programs; prints the CPU time of the campaign's own process a candidate (workers, programs and
proposals not counted) and its memory, over the first 800 programs and the last.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.machine import describe
from evolve.campaign import Campaign
from evolve.config import parse_config
from evolve.proposing import Proposer
from evolve.run import opened
from evolve.run_dir import RunDir
from evolve.stopping import conditions
from fitness.pool import Pool


class Meter:
    """Notes the CPU time and memory of this process after every step."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, float, float]] = []
        self._cpu = time.process_time()

    def on_step(self, summary: dict[str, Any]) -> None:
        now = time.process_time()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        candidates = summary["new"] + summary["known"]
        self.rows.append((summary["programs"], candidates, now - self._cpu, memory))
        self._cpu = now

    def on_incident(self, message: str) -> None:
        print(message)

    def around(self, programs: int, steps: int) -> tuple[float, float]:
        """Median milliseconds a candidate, and most memory in MB, over the steps nearest to a number of programs."""
        rows = sorted(self.rows[1:], key=lambda row: abs(row[0] - programs))[:steps]
        return statistics.median(1000 * cpu / max(1, count) for _, count, cpu, _ in rows), max(row[3] for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=10_000)
    arguments = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory(prefix="headscribe-steps-") as folder:
        settings = {
            "model": "storyteller-gpt2",
            "texts": "stories",
            "max_tokens": 24,
            "splits": {"fit": 4, "held_out": 8, "test": 4},
            "stop": {"max_programs": arguments.programs},
            "operators": {"tweak": 1},
            "attention_cache": folder,
        }
        config = parse_config(settings, "steps")
        run_dir = RunDir(Path(folder) / "run")
        run_dir.prepare()
        pool, meter = Pool(2), Meter()
        with opened(config, run_dir, Console(stderr=True)) as session:
            labels = session.attention.labels
            proposer = Proposer(session.spec, session.store, labels, 4)
            stops = conditions(config.stop, run_dir.path)
            Campaign(config, session.spec, session.store, pool, len(labels), proposer, stops, [meter]).run()
        early, late = meter.around(400, 20), meter.around(arguments.programs, 20)
        print(f"{'programs':>10} {'ms CPU a candidate':>20} {'MB':>8}")
        print(f"{400:>10} {early[0]:>20.2f} {early[1]:>8.0f}")
        print(f"{arguments.programs:>10} {late[0]:>20.2f} {late[1]:>8.0f}")
        print(f"ratio {late[0] / early[0]:.2f}, memory {late[1] - early[1]:+.0f} MB")


if __name__ == "__main__":
    main()

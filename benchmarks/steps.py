"""What a step costs as the archive grows: `python -m benchmarks.steps`.

A campaign of cheap programs; prints the CPU time of the campaign's own process a candidate (workers, programs and
proposals not counted), over the first 800 programs and the last, and how its memory grows from 100 programs on.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe
from evolve.campaign import Campaign
from evolve.config import parse_config
from evolve.listeners import Listener
from evolve.proposing import Proposer
from evolve.session import opened_for_search
from evolve.stopping import conditions
from evolve.store.records import StepSummary
from evolve.store.run_dir import RunDir

SMALL = 800


class Meter(Listener):
    """Notes the CPU time and memory of this process after every step."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, float, float]] = []
        self._cpu = time.process_time()

    def on_step(self, summary: StepSummary) -> None:
        now = time.process_time()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        candidates = summary.new + summary.known
        self.rows.append((summary.programs, 1000 * (now - self._cpu) / max(1, candidates), memory))
        self._cpu = now

    def on_incident(self, message: str) -> None:
        print(message)


def campaign(programs: int) -> list[tuple[int, float, float]]:
    """Runs a campaign; for each step: programs so far, CPU milliseconds a candidate, most memory in MB so far."""
    with tempfile.TemporaryDirectory(prefix="headscribe-steps-") as folder:
        settings = {
            "model": "storyteller-gpt2",
            "texts": "stories",
            "max_tokens": 24,
            "splits": {"fit": 4, "held_out": 8, "test": 4},
            "stop": {"max_programs": programs},
            "operators": {"tweak": 1},
            "attention_cache": folder,
        }
        config = parse_config(settings, "steps")
        run_dir = RunDir(Path(folder) / "run")
        meter = Meter()
        with opened_for_search(config, run_dir) as session:
            labels = session.attention.labels
            proposer = Proposer(session.spec, session.store, labels, session.pool())
            stops = conditions(config.stop, run_dir.path)
            Campaign(config, session.spec, session.store, session.pool(), len(labels), proposer, stops, meter).run()
    return meter.rows[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=10_000)
    arguments = parser.parse_args()
    print(describe())
    # A machine that is shared has slow minutes: the small archive is measured before and after the large one.
    before, large, after = campaign(SMALL), campaign(arguments.programs), campaign(SMALL)
    early = statistics.median(cost for _, cost, _ in before + after)
    late = statistics.median(cost for programs, cost, _ in large if programs > arguments.programs - SMALL)
    growth = large[-1][2] - next(memory for programs, _, memory in large if programs >= 100)
    print(f"CPU a candidate: {early:.2f} ms over the first {SMALL} programs, {late:.2f} ms over the last {SMALL}")
    print(f"ratio {late / early:.2f}, memory {growth:+.0f} MB")


if __name__ == "__main__":
    main()

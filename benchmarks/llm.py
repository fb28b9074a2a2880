"""LLM campaigns against a scripted server: `python -m benchmarks.llm`.

First, how well proposing and evaluating overlap: replies take a second, 16 are in flight, so 16 a second is the ideal.
Then, what a candidate costs: replies come quickly, and the CPU time of the campaign's process, its workers and their
servers is noted after every step. The programs' own runs are left out, in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.machine import campaign_cpu, describe

ROOT = Path(__file__).resolve().parents[1]
SERVER = ROOT / "tests" / "operators" / "fake_llm_server.py"
IN_FLIGHT = 16
CONFIG = """
model: storyteller-gpt2
texts: stories
max_tokens: 32
splits: {{fit: 6, held_out: 8, test: 8}}
stop: {{max_programs: {programs}}}
search: {{batch: 16, lag: 3}}
operators: {{fresh: 1, mutate: 3}}
library: {{epsilon: 0.05}}
llm:
  models: [{{model: scripted, base_url: "{url}"}}]
  max_in_flight: 16
"""
REPLY = '''Here is an idea.

```python
def program(text):
    """Looks at the previous token, at the same word before, else at the first token."""
    weights = {previous} * (text.distance == 1) + {first} * text.is_first
    for i in range(1, text.n):
        weights[i, i - 1] += {same} * (text.tokens[i] == text.tokens[i - 1])
    return weights
```
'''


def replies() -> list[str]:
    """More programs than will be asked for, all different."""
    parts = [round(0.02 * i, 2) for i in range(1, 48)]
    return [REPLY.format(previous=p, first=f, same=s) for p in parts for f in parts for s in parts]


@contextmanager
def scripted(folder: Path, seconds: float) -> Iterator[str]:
    """Base URL of a server in a process of its own that gives these replies; its log is `requests.jsonl`."""
    bank = folder / "bank.json"
    bank.write_text(json.dumps(replies()))
    command = [sys.executable, str(SERVER), "--bank", str(bank), "--log", str(folder / "requests.jsonl")]
    with subprocess.Popen([*command, "--seconds", str(seconds)], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def campaign(folder: Path, programs: int, seconds: float) -> list[tuple[int, float]]:
    """Runs a campaign; returns programs in the archive and CPU seconds spent so far, step by step as they were seen."""
    with scripted(folder, seconds) as url:
        config = folder / "llm.yaml"
        config.write_text(CONFIG.format(programs=programs, url=url))
        command = [sys.executable, "-m", "evolve.cli", "run", str(config), "--run-dir", str(folder / "run"), "--json"]
        seen: list[tuple[int, float]] = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
            while running.poll() is None:
                steps = log_lines(folder / "run" / "log.jsonl", "step")
                if steps and (not seen or steps[-1]["programs"] > seen[-1][0]) and steps[-1]["programs"] < programs:
                    seen.append((steps[-1]["programs"], campaign_cpu(running.pid)))
                time.sleep(0.1)
            assert running.stdout is not None
            print(json.dumps(json.loads(running.stdout.read())["llm"]))
    return seen


def log_lines(path: Path, event: str) -> list[dict[str, Any]]:
    """Whole lines of one event in a log that may still grow."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    parsed = [json.loads(line) for line in lines if line.endswith("\n")]
    return [line for line in parsed if line["event"] == event]


def costs(seen: list[tuple[int, float]], first: int, last: int) -> list[float]:
    """Milliseconds of CPU time a candidate, step by step, between two sizes of the archive."""
    moments = [moment for moment in seen if first <= moment[0] <= last]
    return [1000 * (b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(moments)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--overlap", type=int, default=400, help="programs for the first part, 0 to leave it out")
    parser.add_argument("--programs", type=int, default=10_000, help="programs for the second part")
    arguments = parser.parse_args()
    print(describe())
    if arguments.overlap:
        with tempfile.TemporaryDirectory() as folder:
            campaign(Path(folder), arguments.overlap, 1.0)
            times = [line["time"] for line in log_lines(Path(folder) / "requests.jsonl", "asked")]
        # The pipeline fills during the first second, and drains at the end, when no further step is wanted.
        rate = (len(times) - 2 * IN_FLIGHT - 1) / (times[-IN_FLIGHT - 1] - times[IN_FLIGHT])
        print(f"{len(times)} requests, {rate:.1f} a second of an ideal {IN_FLIGHT}: {rate / IN_FLIGHT:.0%}")
    # A machine that is shared has slow minutes: the small archive is measured before and after the large one.
    seen = []
    for programs in (500, arguments.programs, 500):
        with tempfile.TemporaryDirectory() as folder:
            seen.append(campaign(Path(folder), programs, 0.05))
    before, large, after = seen
    early = statistics.median([*costs(before, 100, 500), *costs(after, 100, 500)])
    late = statistics.median(costs(large, arguments.programs - 400, arguments.programs))
    print(f"CPU a candidate beside its own run: {early:.1f} ms from 100 to 500 programs, {late:.1f} ms in the last 400")
    print(f"ratio {late / early:.2f}")


if __name__ == "__main__":
    main()

"""A campaign killed again and again, against its uninterrupted twin: `python -m benchmarks.soak`.

Prints whether both libraries are the same, whether the database is sound, and how many evaluations were done twice.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from benchmarks.machine import describe

CONFIG = """
model: storyteller-gpt2
texts: stories
max_tokens: 32
splits: {{fit: 6, held_out: 8, test: 8}}
stop: {{max_programs: {programs}}}
search: {{batch: 32}}
operators: {{residual: 1, tweak: 4, genetic: 2, constants: 1, simplify: 1}}
"""


def command(config: Path, run_dir: Path) -> list[str]:
    return [sys.executable, "-m", "evolve.cli", "run", str(config), "--run-dir", str(run_dir), "--json"]


def programs(run_dir: Path) -> int:
    path = run_dir / "campaign.sqlite"
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
            return int(connection.execute("SELECT count(*) FROM programs").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(describe())
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="headscribe-soak-") as folder:
        config = Path(folder) / "soak.yaml"
        config.write_text(CONFIG.format(programs=arguments.programs))
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        began = time.monotonic()
        subprocess.run(command(config, whole), check=True, capture_output=True)
        print(f"uninterrupted: {programs(whole)} programs in {time.monotonic() - began:.0f} s")
        # Moments are drawn in programs committed, plus a random fraction of a second, to hit steps anywhere.
        moments = sorted(rng.randrange(arguments.programs) for _ in range(arguments.kills))
        lost = 0
        for moment in moments:
            process = subprocess.Popen(
                command(config, killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
            while programs(killed) < moment and process.poll() is None:
                time.sleep(0.05)
            time.sleep(rng.random())
            before = programs(killed)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            lost += max(0, before - programs(killed))
        subprocess.run(command(config, killed), check=True, capture_output=True)
        digests = [hashlib.sha256((run / "library.json").read_bytes()).hexdigest()[:16] for run in (whole, killed)]
        with closing(sqlite3.connect(killed / "campaign.sqlite")) as connection:
            sound = connection.execute("PRAGMA integrity_check").fetchone()[0]
            ids = connection.execute("SELECT count(*), count(DISTINCT id) FROM programs").fetchone()
        print(f"killed {len(moments)} times after {moments} programs or a little later, and resumed each time")
        verdict = "same" if digests[0] == digests[1] else "DIFFERENT"
        print(f"library: {digests[0]} uninterrupted, {digests[1]} killed: {verdict}")
        print(f"integrity_check: {sound}; committed evaluations lost: {lost}; stored twice: {ids[0] - ids[1]}")


if __name__ == "__main__":
    main()

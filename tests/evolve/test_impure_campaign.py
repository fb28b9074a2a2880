"""A campaign whose operators propose impure programs on purpose comes to the same library, whatever happens to it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
import yaml
from campaigns import ROOT

from evolve.store import FILE, Store

# Each proposal adds to a parent a little that follows from one of the impure programs of tests/fitness, so that most of
# them would become elites, and parents of the next, by what they must not know.
OPERATOR = '''
import re

import numpy as np
from impure_programs import IMPURE

from fitness.program import Program
from operators.protocol import Proposal


def renamed(source, name):
    return re.sub(r"\\bprogram\\b", name, source)


class Impure:
    name = "impure_operator:Impure"
    n_parents = 1

    def propose(self, request, view):
        rng = np.random.default_rng(request.seed)
        number = int(rng.integers(10**9))
        noise = renamed(list(IMPURE.values())[rng.integers(len(IMPURE))], f"noise_{number}")
        inner = renamed(request.parents[0].program.source, f"inner_{number}")
        scale = round(float(rng.uniform(0.01, 0.3)), 3)
        source = f"""{inner}
{noise}
def program(text):
    share = 0.6180339 * float(noise_{number}(text)[0, -1]) % 1.0
    return inner_{number}(text) + {scale} * share * (text.distance == 1)
"""
        return [Proposal(Program.parse(source))]
'''
FROM_IMPURE = "FROM proposals JOIN programs USING (number) WHERE operator LIKE 'impure%'"
# Fixed shares: a bandit turns from an operator whose programs seldom pass.
OPERATORS = "operators: {residual: 1, genetic: 1, 'impure_operator:Impure': 6}\n"
SHARES = {"batch": 16, "choice": "shares"}


@pytest.fixture
def impure_config(small_config, tmp_path, monkeypatch):
    (tmp_path / "impure_operator.py").write_text(OPERATOR)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (tmp_path, ROOT / "tests" / "fitness", ROOT))))
    settings = yaml.safe_load(small_config.read_text() + OPERATORS)
    small_config.write_text(yaml.safe_dump(settings | {"search": SHARES}))
    return small_config


def rows(run_dir, query):
    connection = sqlite3.connect(run_dir / FILE)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def evaluated(run_dir):
    """Every program by number: its id, and what it scored where it ran."""
    return rows(run_dir, "SELECT number, id, CASE kind WHEN 'ok' THEN hex(iou) END FROM programs ORDER BY number")


def committed(run_dir):
    try:
        return Store(run_dir / FILE, readonly=True).steps()
    except Exception:
        return 0


@pytest.mark.slow
def test_impure_proposals_leave_the_library_the_same_with_one_worker_and_two_and_after_kills(
    impure_config, tmp_path, headscribe
):
    # By fixed shares: a bandit soon leaves operators that fail so often.
    settings = ["--set", "stop.max_programs=240", "--set", "search.choice=shares"]
    libraries = []
    for workers in (1, 2):
        run_dir = tmp_path / f"workers-{workers}"
        headscribe("run", impure_config, "--run-dir", run_dir, *settings, "--set", f"parallel.workers={workers}")
        libraries.append((run_dir / "library.json").read_bytes())
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "evolve.cli", "run", str(impure_config), "--run-dir", str(killed), *settings]
    for steps in (1, 4, 8):
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True)
        while committed(killed) < steps and process.poll() is None:
            time.sleep(0.02)
        assert process.poll() is None, process.stderr.read()
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    headscribe("run", impure_config, "--run-dir", killed, *settings)
    libraries.append((killed / "library.json").read_bytes())
    assert libraries[0] == libraries[1] == libraries[2]
    ran = [evaluated(tmp_path / name) for name in ("workers-1", "workers-2", "killed")]
    assert ran[0] == ran[1] == ran[2]
    # Many are found out; those that are made pure take part, and are rewarded.
    by_kind = dict(rows(killed, "SELECT kind, count(*) FROM programs GROUP BY kind"))
    assert by_kind["impure"] >= 10, by_kind
    ((count, gain),) = rows(killed, f"SELECT count(*), sum(gain) {FROM_IMPURE} AND kind = 'ok'")
    assert count >= 10
    assert gain > 0

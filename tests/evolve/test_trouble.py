"""What a campaign survives, and what it stops at cleanly."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
from campaigns import ROOT

from evolve.campaign import INTERNAL_ERRORS_IN_A_ROW, Campaign, TooManyInternalErrorsError
from evolve.config import load_config
from evolve.listeners import Listener
from evolve.store import FILE, Store
from fitness.failures import FailureKind
from fitness.scoring.pool import Pool
from fitness.scoring.worker import Evaluation, WorkerSpec


def programs(run_dir):
    return Store(run_dir / FILE, readonly=True).next_number() if (run_dir / FILE).exists() else 0


@pytest.fixture
def twin(small_config, tmp_path, headscribe):
    """library.json of the undisturbed campaign."""
    headscribe("run", small_config, "--run-dir", tmp_path / "twin")
    return (tmp_path / "twin" / "library.json").read_bytes()


@pytest.mark.slow
def test_a_disk_that_fills_up_is_a_message_and_the_campaign_goes_on_after(small_config, tmp_path, headscribe, twin):
    def small_files():
        # SIGXFSZ is ignored by Python: a write beyond the limit fails like one on a full disk. It leaves room for the
        # memory through which programs give their results, which the limit bounds too.
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    run_dir = tmp_path / "full"
    command = [sys.executable, "-m", "evolve.cli", "run", str(small_config), "--run-dir", str(run_dir)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, preexec_fn=small_files)
    assert done.returncode == 2, done.stderr
    assert "make room and run again" in done.stderr
    assert "Traceback" not in done.stderr
    headscribe("run", small_config, "--run-dir", run_dir)
    assert (run_dir / "library.json").read_bytes() == twin


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_nothing(small_config, tmp_path, twin):
    run_dir = tmp_path / "lost"
    command = [sys.executable, "-m", "evolve.cli", "run", str(small_config), "--run-dir", str(run_dir)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    killed = False
    while process.poll() is None:
        if not killed and programs(run_dir) > 0:
            workers = subprocess.run(
                ["pgrep", "-P", str(process.pid), "-f", "popen_loky_posix"], capture_output=True, text=True
            ).stdout.split()
            if workers:
                os.kill(int(workers[-1]), signal.SIGKILL)
                killed = True
        time.sleep(0.02)
    assert process.returncode == 0, process.stderr.read()
    assert killed
    assert (run_dir / "library.json").read_bytes() == twin


def test_a_clock_that_is_set_back_again_and_again_changes_nothing(small_config, tmp_path, twin):
    backwards = (
        "import itertools, time\nreal, steps = time.time, itertools.count(1)\n"
        "time.time = lambda: real() - 3600 * next(steps)\nfrom evolve.cli import main\nmain()"
    )
    run_dir = tmp_path / "back"
    arguments = ["run", str(small_config), "--run-dir", str(run_dir), "--set", "stop.max_seconds=600", "--json"]
    command = [sys.executable, "-c", backwards, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert 0 < json.loads(done.stdout)["seconds"] < 600
    assert (run_dir / "library.json").read_bytes() == twin


def test_a_damaged_attention_cache_is_captured_again(small_config, tmp_path, headscribe, twin, attention_cache):
    cache = tmp_path / "cache"
    shutil.copytree(attention_cache, cache)
    for data in cache.glob("*/attention.f16"):
        content = bytearray(data.read_bytes())
        content[1000:1100] = bytes(100)
        data.write_bytes(content)
    done = headscribe("run", small_config, "--run-dir", tmp_path / "run", "--set", f"attention_cache={cache}")
    assert "captured again" in done.stderr
    assert (tmp_path / "run" / "library.json").read_bytes() == twin


def test_programs_are_sorted_into_new_axes_without_running_again(small_config, tmp_path, headscribe, twin):
    run_dir = tmp_path / "twin"
    changes = ["--set", "search.bins=3", "--set", "search.descriptors=[sink, reach]"]
    refused = headscribe("run", small_config, "--run-dir", run_dir, *changes, check=False)
    assert refused.returncode == 2
    assert "search.bins was 5, is 3" in refused.stderr
    assert "--rebin sorts" in refused.stderr
    before = programs(run_dir)
    headscribe("run", small_config, "--run-dir", run_dir, *changes, "--rebin")
    assert programs(run_dir) == before
    status = json.loads(headscribe("status", run_dir, "--json").stdout)
    assert {name: len(counts) for name, counts in status["occupancy"].items()} == {"sink": 3, "reach": 3}
    unknown = ["--set", "search.descriptors=[focus]", "--set", "search.bins=3", "--rebin"]
    done = headscribe("run", small_config, "--run-dir", run_dir, *unknown, check=False)
    assert "'focus' was not measured in this run" in done.stderr


class BrokenPool(Pool):
    """A pool whose evaluations all fail with internal errors."""

    def run(self, tasks):
        gone = Evaluation(FailureKind.INTERNAL, "the sandbox is gone")
        return [[gone for _ in arguments[1]] for _, arguments in tasks]


class Nothing:
    can_call = True
    spent = ""

    def tasks(self, slots):
        return []

    def receive(self, slots, results):
        pass

    def collect(self, step):
        return []


def test_internal_errors_stop_the_campaign_after_twenty_in_a_row(small_config, tmp_path):
    config = load_config(str(small_config))
    store = Store(tmp_path / FILE, create=True)
    campaign = Campaign(config, WorkerSpec("", 4, 5, 5), store, BrokenPool(1), 4, Nothing(), [], Listener())
    campaign.state.internal_errors = INTERNAL_ERRORS_IN_A_ROW - 12
    with pytest.raises(TooManyInternalErrorsError, match="the sandbox is gone"):
        campaign.run()
    assert not campaign.state.errors

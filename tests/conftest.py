import os
import subprocess
import sys

import pytest
from campaigns import ROOT, SMALL

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def attention_cache(tmp_path_factory):
    """Captured attention, shared by the tests of one session."""
    return tmp_path_factory.mktemp("attention")


@pytest.fixture
def small_config(tmp_path, attention_cache):
    """A campaign of a few seconds on the bundled model and stories."""
    path = tmp_path / "small.yaml"
    path.write_text(SMALL + f"attention_cache: {attention_cache}\n")
    return path


@pytest.fixture(scope="session")
def headscribe():
    """Runs the command line in a process of its own; returns the finished process."""

    def run(*arguments, check=True, timeout=300, **options):
        command = [sys.executable, "-m", "evolve.cli", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT, **options)
        if check:
            assert done.returncode == 0, done.stderr
        return done

    return run

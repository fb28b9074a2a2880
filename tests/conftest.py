import os
import shutil
import subprocess
import sys
from pathlib import Path

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


@pytest.fixture(scope="module")
def browser():
    """A Chromium of the system, where there is one; its event loop must end before other tests want theirs."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'headscribe[dev]'")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no chromium on the PATH")
    with playwright.sync_playwright() as driver:
        # Chromium's own sandbox cannot be set up by root in a container; the pages are ours, and load nothing.
        started = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def serious_faults():
    """What axe-core finds on a page; `HEADSCRIBE_AXE=axe.min.js` (npm's axe-core) says where it is."""
    axe = os.environ.get("HEADSCRIBE_AXE")
    if not axe:
        pytest.skip("HEADSCRIBE_AXE names no axe.min.js")

    def run(page):
        page.evaluate(Path(axe).read_text())
        found = page.evaluate("axe.run()")["violations"]
        return [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")]

    return run

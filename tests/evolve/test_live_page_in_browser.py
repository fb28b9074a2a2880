"""The live page of many runs in a real browser: told apart by their curves and their states, names as text.

Needs Playwright's package and a Chromium of the system; `HEADSCRIBE_AXE=axe.min.js` (npm's axe-core) adds its checks.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading

import pytest

from evolve.results.listing import list_runs
from evolve.store.run_dir import RunDir, RunLock
from evolve.views.live import make_server

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'headscribe[dev]'")
pytestmark = pytest.mark.slow
HOSTILE = "<img src=x onerror=alert(1)>"
# Above what a kernel gives to a process.
DEAD = 2**22 + 1


@pytest.fixture(scope="module")
def folder(tiny_run, tmp_path_factory):
    """Nine runs: finished ones, and one each that runs, was stopped, was killed, and failed."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("a", "b", "c", "d", HOSTILE, "failed", "killed", "running", "stopped"):
        shutil.copytree(tiny_run.path, folder / name)
    for name in ("failed", "killed", "running", "stopped"):
        with sqlite3.connect(folder / name / "campaign.sqlite") as database:
            database.execute("DELETE FROM meta WHERE key = 'result'")
    (folder / "failed" / "log.jsonl").write_text('{"event": "start"}\n{"event": "step"}\n')
    (folder / "killed" / "lock").write_text(f"process {DEAD} on {os.uname().nodename} since yesterday\n")
    (folder / "stopped" / "log.jsonl").write_text('{"event": "start"}\n{"event": "stop", "reason": "interrupted"}\n')
    with RunLock(RunDir(folder / "running")):
        yield folder


@pytest.fixture(scope="module")
def opened(folder, browser):
    """Opens the page; whatever it complains of fails the test."""
    server = make_server(folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home, faults = f"http://127.0.0.1:{server.server_address[1]}/", []

    def open_(**options):
        page = browser.new_page(**options)
        page.on("console", lambda message: "favicon" in str(message.location) or faults.append(message.text))
        page.on("dialog", lambda dialog: faults.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: request.url.startswith(home) or faults.append(request.url))
        page.goto(home)
        playwright.expect(page.locator("#runs tr")).to_have_count(9)
        return page

    yield open_
    server.shutdown()
    server.server_close()
    assert faults == []


def test_running_stopped_and_crashed_are_told_apart(folder):
    states = {entry["name"]: entry["state"] for entry in list_runs(folder)}
    assert {name: states[name] for name in ("a", "failed", "killed", "running", "stopped")} == {
        "a": "finished",
        "failed": "crashed",
        "killed": "crashed",
        "running": "running",
        "stopped": "stopped",
    }


def test_more_runs_than_colours_look_different_and_names_are_text(opened):
    page = opened()
    swatches = page.evaluate("[...document.querySelectorAll('#runs canvas')].map((c) => c.toDataURL())")
    assert len(set(swatches)) == 9
    assert page.locator("#runs a").all_inner_texts().count(HOSTILE) == 1
    assert page.locator("img").count() == 0
    before = page.evaluate("document.getElementById('curves').toDataURL()")
    page.locator("#runs tr").nth(4).hover()
    assert page.evaluate("document.getElementById('curves').toDataURL()") != before
    page.get_by_role("link", name=HOSTILE).click()
    assert page.locator("#head-name").inner_text().startswith("L0H0")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(serious_faults, opened, scheme):
    page = opened(color_scheme=scheme)
    assert serious_faults(page) == []
    page.close()

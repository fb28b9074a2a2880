"""What a notebook shows, in a real browser: read with the pointer, and handed tokens and sources that want to be more.

Needs Playwright's package and a Chromium of the system; `HEADSCRIBE_AXE=axe.min.js` (npm's axe-core) adds its checks.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

import headscribe as hs

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'headscribe[dev]'")
pytestmark = pytest.mark.slow
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture
def cell(browser, tmp_path):
    """Shows something as a notebook does, in a frame of a page; gives the frame and what was complained of."""
    page, faults = browser.new_page(), []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: faults.append(f"dialog {dialog.message}"))

    def show(shown):
        notebook = tmp_path / "notebook.html"
        notebook.write_text(f"<!doctype html><title>notebook</title><div>{shown._repr_html_()}</div>")
        page.on("request", lambda request: request.url.startswith(notebook.as_uri()) or faults.append(request.url))
        page.goto(notebook.as_uri())
        return page.frames[1]

    yield show
    page.close()
    assert faults == []


def test_the_pointer_reads_weights_and_a_click_lays_a_row_over_the_text(tiny_run, cell):
    shown = tiny_run.show("L2H1", text=4)
    frame, n = cell(shown), len(shown.tokens)
    canvas = frame.locator("canvas").first
    unit = canvas.bounding_box()["width"] / (74 + 11 * n)
    query, key = 9, int(shown.matrices["attention"][9].argmax())
    canvas.click(position={"x": unit * (74 + 11 * (key + 0.5)), "y": unit * (74 + 11 * (query + 0.5))})
    said = frame.locator("#readout").inner_text()
    assert f"query {query} " in said
    assert f"key {key} " in said
    for name in ("attention", "prediction", "difference", "reference"):
        weight = float(re.search(rf"{name} (-?[\d.]+)", said).group(1))
        assert weight == pytest.approx(shown.matrices[name][query, key], abs=0.0006)
    assert frame.locator("#rows .row-text").count() == 3
    canvas.press("ArrowDown")
    assert f"query {query + 1} " in frame.locator("#readout").inner_text()


def test_hostile_tokens_and_titles_are_text(cell):
    frame = cell(hs.show_attention({HOSTILE: np.eye(2)}, [HOSTILE, '"><b>'], title=HOSTILE))
    assert frame.locator("h1").inner_text() == HOSTILE
    assert frame.locator("figcaption").inner_text() == HOSTILE
    frame.locator("canvas").press("ArrowDown")
    assert HOSTILE in frame.locator("#rows").inner_text()
    assert frame.locator("img, b, iframe, link, form").count() == 0
    assert frame.locator("script").count() == 2


def test_a_library_opens_the_program_of_a_head_and_hostile_sources_are_text(tiny_run, cell):
    contents = tiny_run.library._contents | {"programs": [dict(e) for e in tiny_run.library._contents["programs"]]}
    for entry in contents["programs"]:
        entry["source"] = f'def program(text):\n    """{HOSTILE}"""\n    return text.distance == 1\n'
        entry["function"] = HOSTILE
    library = hs.Library(contents)
    frame = cell(library.show())
    assert frame.locator(".head").count() == 32
    frame.get_by_role("button", name="L2H1").click()
    program = frame.locator("details[open]")
    assert program.count() == 1
    assert "L2H1" in program.inner_text()
    assert HOSTILE in program.locator("pre").inner_text()
    frame.locator("#find").fill("L2H1")
    assert frame.locator("#found").inner_text() == f"1 of {library.size} programs"
    assert frame.locator(".head:not(.out)").count() == len(explained(library))
    assert frame.locator("img, b, iframe, link, form").count() == 0
    assert frame.locator("script").count() == 2


def explained(library):
    """Heads of the program that explains L2H1."""
    return next(entry for entry in library.programs if "L2H1" in entry.heads).heads


def test_a_cell_cannot_reach_the_notebook(tiny_run, cell):
    frame = cell(tiny_run.library.show())
    reached = "(() => { try { return parent.document.title } catch (error) { return error.name } })()"
    assert frame.evaluate(reached) == "SecurityError"


@pytest.mark.parametrize("shown", [lambda run: run.show("L2H1"), lambda run: run.library.show()])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(serious_faults, tiny_run, browser, tmp_path, shown, scheme):
    shown(tiny_run).save(tmp_path / "shown.html")
    page = browser.new_page(color_scheme=scheme)
    page.goto((tmp_path / "shown.html").as_uri())
    assert serious_faults(page) == []
    page.close()

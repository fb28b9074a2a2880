"""The report in a real browser: looked at, clicked through, and handed a run that wants to be more than text.

Needs Playwright's package and a Chromium of the system; `HEADSCRIBE_AXE=axe.min.js` (npm's axe-core) adds its checks.
"""

from __future__ import annotations

import csv
import http.client
import json
import re
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from campaigns import ROOT, SMALL
from test_poisoned_run import POISON, poison, poisoned

import headscribe as hs
from evolve.results.status import read_status
from evolve.store.run_dir import RunDir
from evolve.views.live import make_server

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'headscribe[dev]'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, attention_cache):
    folder = tmp_path_factory.mktemp("browser")
    config = folder / "small.yaml"
    texts = SMALL.replace("texts: stories", "texts: [stories, python-docs]")
    config.write_text(texts + f"attention_cache: {attention_cache}\n")
    command = [sys.executable, "-m", "evolve.cli", "run", config, "--run-dir", folder / "run"]
    subprocess.run(command, check=True, capture_output=True, timeout=300, cwd=ROOT)
    for more in (
        ["replace", "--fractions", "0.25,0.5", "--random-orders", "1", "--only", "fractions,heads"],
        ["report"],
    ):
        command = [sys.executable, "-m", "evolve.cli", more[0], folder / "run", *more[1:]]
        subprocess.run(command, check=True, capture_output=True, timeout=300, cwd=ROOT)
    return folder / "run"


@pytest.fixture
def opened(browser):
    """Opens a report; whatever it complains of or asks for beside itself fails the test."""
    pages, faults = [], []

    def open_(path, **options):
        page = browser.new_page(**options)
        pages.append(page)
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: request.url.startswith(path.as_uri()) or faults.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_
    for page in pages:
        page.close()
    assert faults == []


def point_at(page, query, key, tokens):
    """Moves the pointer over a cell of the attention; returns what is said of it."""
    canvas = page.locator("#m-attention")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    unit = box["width"] / (74 + 11 * tokens)
    page.mouse.move(box["x"] + unit * (74 + 11 * (key + 0.5)), box["y"] + unit * (74 + 11 * (query + 0.5)))
    return page.locator("#readout").inner_text()


def test_a_head_is_chosen_and_the_pointer_reads_its_weights(run_dir, opened):
    page = opened(run_dir / "report.html")
    page.locator('.head[data-head="L2H1"]').click()
    assert page.locator("#head-name").inner_text().startswith("L2H1: ")
    assert page.locator('.head[data-head="L2H1"]').get_attribute("aria-pressed") == "true"
    run = hs.open_run(run_dir)
    page.locator("#text").select_option("2")  # the first held-out text, as nobody is handed test attention here
    matrix = np.asarray(run.attention["L2H1", 4 * 2])
    query, key = 9, int(matrix[9, :9].argmax())
    said = point_at(page, query, key, len(matrix))
    weight = float(re.search(r"attention ([\d.]+)", said).group(1))
    assert weight == pytest.approx(matrix[query, key], abs=0.008)
    assert f"query {query} " in said
    assert f"key {key} " in said
    page.locator("#m-attention").focus()
    page.keyboard.press("ArrowDown")
    assert "query 1 " in page.locator("#readout").inner_text()
    assert page.locator("#rows .row-text").count() == 2


def test_a_head_has_its_iou_on_every_kind_of_text_and_weights_have_a_numbered_scale(run_dir, opened):
    page = opened(run_dir / "report.html")
    page.locator('.head[data-head="L2H1"]').click()
    kinds = page.locator("#ious th").all_inner_texts()
    assert kinds[:-1] == ["fit", "held-out", "test", "test, stories", "test, python-docs"]
    library = json.loads((run_dir / "library.json").read_text())["assignment"]["L2H1"]
    shown = [float(text) for text in page.locator("#ious td:nth-child(2)").all_inner_texts()]
    assert shown[1:3] == pytest.approx([library["iou_held_out"], library["iou_test"]], abs=0.0006)
    assert sum(shown[3:5]) / 2 == pytest.approx(shown[2], abs=0.001)
    page.locator("#pictures").scroll_into_view_if_needed()
    playwright.expect(page.locator("#scale-weight .marks span").last).to_have_text("1")
    assert page.locator("#scale-difference .marks span").first.inner_text() == "-1"


def test_heads_are_gone_through_with_the_keys(run_dir, opened):
    page = opened(run_dir / "report.html")
    page.locator('.head[data-head="L1H1"]').click()
    for key, head in (("ArrowRight", "L1H2"), ("ArrowDown", "L2H2"), ("ArrowLeft", "L2H1")):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.dataset.head") == head
    page.keyboard.press("Enter")
    assert page.locator("#head-name").inner_text().startswith("L2H1: ")


def test_what_was_run_is_said(run_dir, opened):
    page = opened(run_dir / "report.html")
    said = page.locator("#origin").inner_text()
    about = json.loads((run_dir / "library.json").read_text())["provenance"]
    assert about["model"]["identity"] in said
    assert all(text["sha256"][:16] in said for text in about["texts"])
    assert "Test read twice" in said  # by run and replace
    assert f"headscribe {about['software']['headscribe']}" in said


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_no_wider_than_a_phone(run_dir, opened, scheme):
    page = opened(run_dir / "report.html", color_scheme=scheme, viewport={"width": 420, "height": 800})
    page.evaluate("[...waiting.keys()].forEach(drawNow)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 420


def test_sources_are_coloured_once_they_are_opened_and_stay_what_they_are(run_dir, opened):
    page = opened(run_dir / "report.html")
    source = page.locator("#sources pre").last
    before = source.text_content()
    assert source.locator("span").count() == 0
    page.locator("#sources summary").last.click()
    playwright.expect(source.locator(".k-word").first).to_have_text("def")
    assert source.text_content() == before


def test_a_link_to_a_program_opens_its_source(run_dir, opened):
    page = opened(run_dir / "report.html")
    link = page.locator("#library table.programs a[href^='#p-']").last
    source = page.locator(link.get_attribute("href")).locator("pre")
    playwright.expect(source).to_be_hidden()
    link.click()
    playwright.expect(source).to_be_in_viewport()


def test_what_is_large_is_parsed_when_it_is_looked_at(run_dir, opened):
    page = opened(run_dir / "report.html")
    assert page.evaluate("Object.keys(data)").count("runners") == 0
    assert page.evaluate("[...opened.keys()].sort()") == ["ancestry", "marks", "weights"]  # the first head's


def test_text_and_domain_are_switched(run_dir, opened):
    page = opened(run_dir / "report.html")
    names = page.locator("#text option").all_inner_texts()
    assert [name.split(":")[0] for name in names[:4]] == [
        "stories, test",
        "python-docs, test",
        "stories, held-out",
        "python-docs, held-out",
    ]
    before = page.locator("#c-prediction").inner_text()
    page.locator("#text").select_option("1")
    assert page.locator("#c-prediction").inner_text() != before


def test_a_line_of_source_is_found(run_dir, opened):
    page = opened(run_dir / "report.html")
    page.locator("#find").fill("def ")
    every = page.locator(".head").count()
    assert page.locator("#found").inner_text() == f"{every} of {every} heads"
    assert page.locator("#source mark").count() >= 1
    page.locator("#find").fill("no program says this")
    assert page.locator("#found").inner_text() == f"0 of {every} heads"
    assert page.locator(".head.out").count() == every


def test_colour_and_order_are_switched(run_dir, opened):
    page = opened(run_dir / "report.html", color_scheme="dark")
    page.locator("#colour").select_option("gain")
    page.locator("#order").select_option("value")
    gains = [float(text.split()[-1]) for text in page.locator(".head").all_inner_texts()]
    assert gains == sorted(gains, reverse=True)
    for mode in ("class", "program", "reference"):
        page.locator("#colour").select_option(mode)
        assert page.locator("#legend").inner_text().strip()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.locator("#theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_the_coverage_curve_is_switched_and_read_with_the_keys(run_dir, opened):
    page = opened(run_dir / "report.html")
    page.locator("#coverage").scroll_into_view_if_needed()
    before = page.locator("#coverage polyline").first.get_attribute("points")
    page.locator("#coverage-of").select_option("source_lines")
    page.locator("#coverage-by").select_option("source_lines")
    assert page.locator("#coverage polyline").first.get_attribute("points") != before
    page.locator("#coverage-of").select_option("mean")
    page.locator("#coverage svg.chart").focus()
    page.keyboard.press("ArrowRight")
    first = next(csv.DictReader((run_dir / "coverage.csv").open()))
    said = page.locator("#coverage .readout").inner_text()
    assert said.startswith("held-out: 1 programs")
    assert said.endswith(f"{float(first['mean_held_out']):.3g}")
    page.locator("#coverage .entry", has_text="held-out").click()
    assert page.locator("#coverage polyline").count() == 1


def test_programs_are_sorted_by_what_they_are_worth_and_lead_to_their_heads(run_dir, opened):
    page = opened(run_dir / "report.html")
    page.locator("#library th button", has_text="loss without it").click()
    column = page.locator("#library table.programs th").all_inner_texts().index("loss without it")
    losses = [float(text) for text in page.locator(f"#library .programs td:nth-child({column + 1})").all_inner_texts()]
    assert losses == sorted(losses, reverse=True)
    library = json.loads((run_dir / "library.json").read_text())
    worth = [sum(entry["loss_without"].values()) / library["heads"] for entry in library["programs"]]
    assert losses[0] == pytest.approx(max(worth), abs=1e-5)
    link = page.locator("#library td.heads a").nth(1)
    link.click()
    assert page.locator("#head-name").inner_text().startswith(link.inner_text())


def test_the_search_is_seen_over_time_and_its_archive_for_one_head(run_dir, opened):
    page = opened(run_dir / "report.html", color_scheme="dark")
    page.locator("#progress").scroll_into_view_if_needed()
    before = page.locator("#progress polyline").first.get_attribute("points")
    page.locator("#search-by").select_option("seconds")
    assert page.locator("#progress polyline").first.get_attribute("points") != before
    page.locator("#archive").scroll_into_view_if_needed()
    maps = page.locator("#archive table")
    playwright.expect(maps).to_have_count(6)
    status = read_status(RunDir(run_dir))
    page.locator("#archive-head").select_option(label="L2H1")
    cells = page.locator("#archive table").first.locator("td[title*=best]").all()
    best = max(float(cell.get_attribute("title").split()[-1]) for cell in cells)
    heads = json.loads((run_dir / "library.json").read_text())["assignment"]
    assert best == pytest.approx(heads["L2H1"]["best_iou_held_out"], abs=0.003)
    page.locator("#archive-of").select_option("programs")
    cells = page.locator("#archive table").first.locator("td[title*=best]").all_inner_texts()
    assert sum(map(int, cells)) == status.outcomes["ok"]


def test_replacement_is_drawn_with_its_intervals_and_colours_the_heads(run_dir, opened):
    page = opened(run_dir / "report.html")
    found = json.loads((run_dir / "replacement.json").read_text())
    page.locator("#replaced").scroll_into_view_if_needed()
    conditions = found["perplexity"]["by_fraction"][0]["conditions"]
    playwright.expect(page.locator("#replaced .entry")).to_have_count(len(conditions))
    page.locator("#replaced svg.chart").focus()
    page.keyboard.press("ArrowRight")
    said = page.locator("#replaced .readout").inner_text()
    assert said.startswith("programs: 25 % of the heads, perplexity ")
    assert f"{conditions['programs']['increase_percent']:.1f} %" in said
    before = page.locator("#replaced .whisker").count()
    page.locator("#replaced .entry", has_text="first token").click()
    assert page.locator("#replaced .whisker").count() == before - 2
    page.locator("#colour").select_option("cost")
    cost = {row["head"]: row["estimated_cost"] for row in found["per_head"]}
    title = page.locator('.head[data-head="L2H1"]').get_attribute("title")
    assert float(title.split()[-1]) == pytest.approx(cost["L2H1"], abs=0.0006)
    page.locator("#costs").scroll_into_view_if_needed()
    page.locator("#costs svg.chart").focus()
    page.keyboard.press("ArrowRight")
    head = page.locator("#costs .readout").inner_text().split()[1].rstrip(",")
    page.keyboard.press("Enter")
    assert page.locator("#head-name").inner_text().startswith(f"{head}:")


def test_a_hostile_run_is_shown_as_text(run_dir, opened, headscribe, tmp_path):
    hostile = tmp_path / "run"
    shutil.copytree(run_dir, hostile)
    poison(hostile / "campaign.sqlite")
    found = poisoned(json.loads((hostile / "replacement.json").read_text()))
    for row in found["perplexity"]["by_fraction"]:
        row["conditions"][POISON] = row["conditions"]["uniform"]
    (hostile / "replacement.json").write_text(json.dumps(found))
    headscribe("report", hostile)
    page = opened(hostile / "report.html")
    page.locator(".head").nth(3).click()
    assert "<script>alert(1)</script>" in page.locator("#head-name").inner_text()
    assert "<script>alert(1)</script>" in page.locator("#source").inner_text()
    page.locator("#replaced").scroll_into_view_if_needed()
    playwright.expect(page.locator("#replaced .entry", has_text="<script>alert(1)</script>")).to_have_count(1)
    page.locator("#archive").scroll_into_view_if_needed()
    page.locator("#archive-head").select_option(index=3)
    assert page.locator("img, iframe, object, embed, link, form").count() == 0
    assert page.locator("script").count() == 5


def test_the_live_page_follows_a_campaign_to_its_end(tmp_path, attention_cache, browser):
    config = tmp_path / "small.yaml"
    config.write_text(SMALL + f"attention_cache: {attention_cache}\n")
    server = make_server(tmp_path)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home, faults = f"http://127.0.0.1:{server.server_address[1]}/", []
    page = browser.new_page()
    page.on("console", lambda message: "favicon" in str(message.location) or faults.append(message.text))
    page.on("request", lambda request: request.url.startswith(home) or faults.append(request.url))
    page.goto(home)
    playwright.expect(page.locator("#state")).to_contain_text("no run")
    command = [sys.executable, "-m", "evolve.cli", "run", config, "--run-dir", tmp_path / "run"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT) as campaign:
        row = page.locator("#runs tr")
        playwright.expect(row).to_contain_text("running", timeout=60_000)
        playwright.expect(row.locator("td").nth(2)).to_have_text("finished", timeout=120_000)
        assert campaign.wait() == 0
    result = hs.open_run(tmp_path / "run").result
    assert f"{result['mean_iou_test']:.3f}" in row.inner_text()
    row.locator("a").click()
    assert page.locator("#head-name").inner_text().startswith("L0H0")
    page.close()
    server.shutdown()
    server.server_close()
    assert faults == []


def test_the_live_page_is_for_this_machine_alone(tmp_path):
    server = make_server(tmp_path)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for host, path, status in (
            ("evil.example", "/runs.json", 403),
            ("localhost", "/runs.json", 200),
            ("localhost", "/run/..%2f..%2fetc", 404),
        ):
            connection = http.client.HTTPConnection(*server.server_address[:2], timeout=10)
            connection.request("GET", path, headers={"Host": host})
            assert connection.getresponse().status == status
            connection.close()
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(serious_faults, run_dir, opened, scheme):
    page = opened(run_dir / "report.html", color_scheme=scheme)
    page.evaluate("[...waiting.keys()].forEach(drawNow)")
    assert serious_faults(page) == []

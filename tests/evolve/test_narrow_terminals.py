"""At 80 columns nothing is cut, however long names and numbers are; below that, names are folded before numbers."""

from __future__ import annotations

import io
import shutil

import pytest
from rich.table import Table

from archives.bootstrap import Estimate
from evolve.commands.compare import compare_all
from evolve.commands.library import library
from evolve.commands.run import further
from evolve.commands.status import status
from evolve.config import Stop
from evolve.results.reduction import Criterion
from evolve.results.transfer import DomainTransfer
from evolve.store.records import StepSummary
from evolve.store.run_dir import RunDir
from evolve.views import comparison, replacement, transfer
from evolve.views import library as library_view
from evolve.views import status as status_view
from evolve.views.console import CampaignConsole
from evolve.views.terminal import Terminal

LONG = "a/model_of_a_name_that_no_terminal_of_eighty_columns_was_ever_wide_enough_for"
NUMBER = Estimate(123456.789, 123450.123, 123460.456)


def drawn(parts, width=80):
    """What a terminal shows of them."""
    out = io.StringIO()
    console = Terminal(file=out, width=width, color_system=None)
    for part in parts if isinstance(parts, list) else [parts]:
        console.print(part, highlight=False, soft_wrap=isinstance(part, str))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 60, 45])
def test_names_are_folded_and_numbers_stay_whole(width):
    table = Table()
    table.add_column("what it is called")
    for name in ("IoU", "perplexity", "more (95 %)"):
        table.add_column(name, justify="right")
    table.add_row("x" * 99, "0.123", "123456.79", "+12.5 % (+10.8, +14.2)")
    shown = drawn(table, width)
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width
    assert shown.count("x") == 100  # one is of the header
    for number in ("0.123", "123456.79", "+12.5 % (+10.8, +14.2)"):
        assert number in shown


def test_a_table_that_fits_is_left_as_it_is():
    table = Table()
    table.add_column("name")
    table.add_row("short")
    before = drawn(table)
    assert [column.width for column in table.columns] == [None]
    assert before.splitlines()[0].startswith("┏")


@pytest.mark.parametrize("width", [80, 60])
def test_no_view_of_a_run_is_cut(tiny_run, tmp_path, width):
    paths = [tmp_path / LONG / name for name in ("first_run_with_a_long_name", "second_run_with_a_long_name")]
    for path in paths:
        shutil.copytree(tiny_run.path, path)
    views = [
        status_view.render(status(paths[0])),
        *comparison.render(compare_all(paths, plot=None), layers=True),
        *library_view.render(library([paths[0]], Criterion(size=5), out=None, plots=False).made),
    ]
    assert "…" not in drawn(views, width)


@pytest.mark.parametrize("width", [80, 60])
def test_no_measurement_is_cut(width):
    numbers = {"perplexity": 1.6e9, "increase_percent": 99_999.4, "increase_percent_interval": [-99_999.4, 99_999.4]}
    numbers |= {"text_increase_percent": 99_999.4, "text_increase_percent_interval": [-9.0, 9.0], "draws": 10}
    row = {"fraction": 0.25, "heads": 12345, "recovered": {}, "conditions": {}}
    row["conditions"] = dict.fromkeys(("programs", "mean_table_random_order", "shuffled_within_layer"), numbers)
    perplexity = {"measure": "pseudo-perplexity", "original": 1.5, "original_interval": [1, 2], "by_fraction": [row]}
    accuracy = {"accuracy": 0.123, "standard_error": 0.123}
    task = {"questions": 12345, "chance": 0.5, "original": accuracy, "left_out": 0, "cut_queries": 0}
    task["by_fraction"] = [{"fraction": f, "heads": 3, "shuffled_within_layer": accuracy} for f in (0.25, 0.5, 0.75, 1)]
    counts = {
        "texts": 1,
        "tokens": 2,
        "max_tokens": 3,
        "heads": 4,
        "chosen_here": False,
        "heads_won": 5,
        "heads_lost": 6,
    }
    names = dict.fromkeys(DomainTransfer.__dataclass_fields__, NUMBER) | {"domain": LONG, "model": LONG}
    views = [
        *replacement.render_perplexity({"texts": 48, "perplexity": perplexity, "failed_programs": {}}),
        *replacement.render_tasks({"tasks": {LONG: task}, "failed_programs": {}}),
        *transfer.render({LONG: DomainTransfer(**names | counts)}),
    ]
    shown = drawn(views, width)
    assert "…" not in shown
    assert "123456.789" in shown


@pytest.mark.parametrize("width", [80, 60])
def test_the_live_panel_names_its_splits_and_is_not_cut(width):
    out = io.StringIO()
    live = CampaignConsole(Terminal(file=out, width=width), f"{LONG}  {LONG}", Stop(max_programs=100))
    names = StepSummary.__dataclass_fields__
    values = dict.fromkeys(names, 0) | {"programs": 123456, "new": 5, "mean_iou": 0.5, "best_iou": 0.75}
    live.on_step(StepSummary(**values))
    shown = drawn(live._render(), width)
    assert "…" not in shown
    assert "held-out" in shown
    assert "test texts" in shown
    assert "0.750" in shown


def test_a_finished_run_says_how_it_goes_on(tmp_path):
    run_dir = RunDir(tmp_path / "run")
    again = f"headscribe run {run_dir.config} --run-dir {run_dir.path}"
    stop = Stop(max_programs=100, max_seconds=7.5, target_iou=0.9)
    assert further(stop, "max_programs: 100 programs were evaluated", run_dir) == f"{again} --set stop.max_programs=200"
    assert further(stop, "max_seconds: 7.5 seconds have passed", run_dir) == f"{again} --set stop.max_seconds=15"
    assert further(stop, "target_iou: mean IoU 0.900", run_dir) == f"{again} --set stop.target_iou=TARGET"
    assert further(stop, "stop file: there; remove it to resume", run_dir) == again

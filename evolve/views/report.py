"""The report of a run: one self-contained HTML page, also of a campaign that is still running."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from evolve.config import Config
from evolve.results.status import Status, read_status
from evolve.store import Store
from evolve.store.records import StepSummary
from evolve.store.run_dir import RunDir, write_atomically
from evolve.views.pictures import css_colour, line_svg
from evolve.views.words import duration, times, with_interval
from fitness.heads import Head
from fitness.printable import printable
from fitness.sandbox import NOT_STOPPED

MOST_POINTS = 400
_PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/]+=*")


def write_report(run_dir: RunDir) -> Path:
    """Writes `report.html`; returns its path.

    Raises:
        UserError: where the directory holds no run.
    """
    config = run_dir.load_config()
    store = run_dir.open_store()
    try:
        page = render_report(store, config, read_status(run_dir))
    finally:
        store.close()
    path = run_dir.file("report.html")
    write_atomically(path, page)
    return path


def render_report(store: Store, config: Config, status: Status) -> str:
    """The page; sources and messages of programs are data and are escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
    )
    environment.filters |= {"duration": duration, "times": times, "picture": picture}
    details, result = store.meta("details"), store.meta("result")
    return environment.get_template("report.html").render(
        config=config,
        not_stopped=NOT_STOPPED,
        status=status,
        result=result,
        comparisons=comparisons(result) if result else [],
        beaten=bool(result and (result["gain_over_reference_interval"] or [0])[0] > 0),
        readings=store.readings(),
        details=details,
        progress=progress_svg(store.summaries()),
        heads=head_rows(details) if details else [],
        settings=config.model_dump(mode="json"),
    )


def comparisons(result: dict[str, Any]) -> list[tuple[str, float, str]]:
    """What else predicts the heads: its name, its test IoU, and the library's IoU less that with its interval."""

    def gain(name: str) -> str:
        return with_interval(result[name], result[f"{name}_interval"], signed=True)

    tables = [(f"{kind.replace('_', ' ')} of each head", iou, "") for kind, iou in result["tables_iou_test"].items()]
    return [
        ("best single program for all heads", result["single_best_iou_test"], gain("excess_iou_test")),
        ("best simple baseline of each head", result["baseline_iou_test"], gain("gain_over_baseline")),
        *tables,
        ("reference: best table or baseline of each head", result["reference_iou_test"], gain("gain_over_reference")),
    ]


def progress_svg(summaries: list[StepSummary]) -> str:
    """Mean IoU and excess on held-out texts against programs evaluated."""
    every = max(1, len(summaries) // MOST_POINTS)
    shown = summaries[::-1][::every][::-1]
    programs = [summary.programs for summary in shown]
    series = {
        "mean best IoU": (programs, [summary.mean_iou for summary in shown]),
        "excess": (programs, [summary.excess for summary in shown]),
    }
    return line_svg(series, "programs evaluated", "held-out IoU")


def head_rows(details: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Heads by layer, each with its numbers and the colours of its box."""
    rows: dict[int, list[dict[str, Any]]] = {}
    for label, head in details["heads"].items():
        background, colour = css_colour(head["test"] if head["test"] is not None else 0.0)
        # What is stored says nothing of style, whoever wrote it.
        entry = head | {"label": label, "background": background, "colour": colour}
        rows.setdefault(Head.parse(label).layer, []).append(entry)
    return list(rows.values())


def picture(address: object) -> str:
    """The address of a picture that is part of the page; empty for any other, which would be fetched from somewhere."""
    return address if isinstance(address, str) and _PICTURE.fullmatch(address) else ""


def _shown(value: Any) -> Any:
    """What a page shows of any value: text of others without marks of direction and control codes."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value, lines=True)

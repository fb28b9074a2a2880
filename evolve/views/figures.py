"""Figures for papers: a vector drawing of each table of `evolve.results.figures`. Needs matplotlib (extra `plots`)."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape

from evolve.results.figures import FigureData, Figures
from evolve.store.run_dir import write_atomically
from fitness.errors import UserError
from fitness.printable import printable

FORMATS = ("svg", "pdf")
# Told apart by colour-blind readers (Okabe and Ito 2008), and by their marks and lines without any colour.
STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#000000", "marker": "o", "linestyle": "-"},
    {"color": "#0072b2", "marker": "s", "linestyle": "--"},
    {"color": "#d55e00", "marker": "^", "linestyle": "-."},
    {"color": "#009e73", "marker": "D", "linestyle": ":"},
    {"color": "#cc79a7", "marker": "v", "linestyle": (0, (5, 1))},
    {"color": "#e69f00", "marker": "P", "linestyle": (0, (3, 1, 1, 1))},
    {"color": "#56b4e9", "marker": "X", "linestyle": (0, (1, 1))},
    {"color": "#7a7a7a", "marker": "<", "linestyle": (0, (8, 3))},
)
# Of the conditions under which heads are replaced, those that are drawn; the table has all.
CONDITIONS = (
    "programs",
    "mean_table",
    "median_table",
    "mean_output",
    "resample",
    "uniform",
    "random_programs",
    "random_order",
)
# Fixed ids, so that equal numbers give equal files; text stays text, in SVG and in PDF.
SETTINGS = {
    "svg.hashsalt": "headscribe",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.size": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
}
UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}}


def write_figures(figures: Figures, folder: Path) -> list[Path]:
    """Draws each figure as SVG and PDF, and writes its table as CSV beside them.

    Args:
        figures: what can be drawn.
        folder: where the files go; made where it does not exist.

    Returns:
        The files written.

    Raises:
        UserError: where matplotlib is not installed, or the folder cannot be made.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("report --figures needs matplotlib: pip install 'headscribe[plots]'") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--figures {folder}: {error.strerror}; name a folder that can be written") from None
    written = []
    with rc_context(SETTINGS):
        for name, data in figures.data.items():
            figure = Figure(layout="constrained")
            _DRAWN[name](figure, data)
            for ending in FORMATS:
                stream = io.BytesIO()
                figure.savefig(stream, format=ending, metadata=UNDATED[ending])
                write_atomically(folder / f"{name}.{ending}", stream.getvalue())
            write_atomically(folder / f"{name}.csv", data.as_csv())
            written += [folder / f"{name}.{ending}" for ending in (*FORMATS, "csv")]
    return written


def render(done: Mapping[str, Any]) -> list[str]:
    """What `report` wrote, and what it left out, in lines.

    Args:
        done: what the command gives.
    """
    lines = [escape(f"wrote {done['report']}")]
    found = done.get("figures", {"written": [], "left_out": {}})
    names = ", ".join(Path(path).stem for path in found["written"] if path.endswith(".csv"))
    if names:
        endings = ", ".join((*FORMATS, "csv"))
        lines.append(escape(f"drew in {Path(found['written'][0]).parent} ({endings}): {names}"))
    lines += [escape(f"not measured, left out: {name}; {command}") for name, command in found["left_out"].items()]
    return lines


def _head_iou(figure: Any, data: FigureData) -> None:
    figure.set_size_inches(3.4, 2.5)
    ax = figure.subplots()
    for style, name in zip(STYLES, ("library", "reference"), strict=False):
        values = [value for value in data.column(name) if value is not None]
        if values:
            line = {key: style[key] for key in ("color", "linestyle")}
            ax.ecdf(values, label=f"{name}, mean {np.mean(values):.3f}", **line)
    ax.set(xlabel="test IoU of a head", ylabel="share of heads at or below", xlim=(0, 1), ylim=(0, 1.01))
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, loc="upper left")


def _gain(figure: Any, data: FigureData) -> None:
    rows = sorted(data.rows, key=lambda row: -float(row[1] or 0))
    values, low, high = (np.array([row[at] for row in rows], dtype=float) for at in (1, 2, 3))
    figure.set_size_inches(max(3.4, min(7.0, 0.06 * len(rows))), 2.5)
    ax = figure.subplots()
    at = np.arange(1, len(rows) + 1)
    kinds = (
        ("won beyond noise", low > 0),
        ("lost beyond noise", high < 0),
        ("within noise", ~((low > 0) | (high < 0))),
    )
    for style, (label, here) in zip((STYLES[1], STYLES[2], STYLES[7]), kinds, strict=True):
        if here.any():
            bars = [values[here] - low[here], high[here] - values[here]]
            spread = None if np.isnan(bars).all() else np.nan_to_num(bars)
            marks = {"color": style["color"], "fmt": style["marker"], "markersize": 2.5, "elinewidth": 0.7}
            ax.errorbar(at[here], values[here], yerr=spread, label=f"{label}: {here.sum()}", **marks)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(xlabel="heads, by gain", ylabel="test IoU gained over the reference", xlim=(0, len(rows) + 1))
    ax.grid(alpha=0.3, axis="y")
    ax.legend(frameon=False)


def _coverage(figure: Any, data: FigureData) -> None:
    figure.set_size_inches(7.0, 2.5)
    panels = (("mean_iou", "mean IoU over heads"), ("share_of_heads", "share of heads within\nepsilon of their best"))
    for ax, (name, label) in zip(figure.subplots(1, 2), panels, strict=True):
        for style, split in zip(STYLES[:2], ("test", "held_out"), strict=True):
            values = [np.nan if value is None else value for value in data.column(f"{name}_{split}")]
            line = {key: style[key] for key in ("color", "linestyle")}
            ax.plot(data.column("programs"), values, label=split.replace("_", "-"), **line)
        ax.set(xlabel="programs in the library", ylabel=label)
        if name == "share_of_heads":
            ax.set_ylim(0, 1.01)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
        ax.legend(frameon=False, loc="lower right")


def _transfer(figure: Any, data: FigureData) -> None:
    figure.set_size_inches(5.0, 1.0 + 0.32 * len(data.rows))
    ax = figure.subplots()
    at = np.arange(len(data.rows))[::-1]
    kinds = {"reference": "tables of home", "tables_fitted_there": "tables fitted there", "library": "library"}
    for style, (name, label) in zip((STYLES[1], STYLES[3], STYLES[0]), kinds.items(), strict=True):
        values = np.array(data.column(name), dtype=float)
        if not np.isnan(values).all():
            ax.plot(values, at, label=label, **style | {"linestyle": "none"})
    ax.set_yticks(at, [_plain(name) for name in data.column("texts")])
    for place, (gain, low, high) in zip(at, (row[4:7] for row in data.rows), strict=True):
        if gain is not None:
            interval = "" if low is None else f" [{_float(low):+.3f}, {_float(high):+.3f}]"
            said = f"{_float(gain):+.3f}{interval}"
            ax.text(1.02, place, said, transform=ax.get_yaxis_transform(), va="center", fontsize=7)
    ax.text(1.02, at[0] + 0.75, "library less tables of home", transform=ax.get_yaxis_transform(), fontsize=7)
    ax.set(xlabel="mean IoU over heads", ylim=(-0.6, len(data.rows) - 0.4))
    ax.grid(alpha=0.3)
    _legend_above(figure, ax, 3)


def _perplexity(figure: Any, data: FigureData) -> None:
    figure.set_size_inches(5.0, 3.0)
    ax = figure.subplots()
    for style, name in zip(STYLES, CONDITIONS, strict=True):
        rows = [row for row in data.rows if row[2] == name]
        # Increases are paired by text: their intervals do not hold how much texts differ from each other.
        points = [(0.0, 1.0, 1.0, 1.0), *((row[0], *(1 + _float(more) / 100 for more in row[6:9])) for row in rows)]
        if rows:
            _curve(ax, points, name, style)
    ax.axhline(1, color="black", linewidth=0.6, linestyle=":")
    ax.set_yscale("log")
    _log_ticks(ax)
    ax.set(
        xlabel="share of the heads replaced", ylabel="perplexity on test texts,\nmultiple of the original (log scale)"
    )
    _legend_beside(figure, ax, "in their place")


def _recovered(figure: Any, data: FigureData) -> None:
    figure.set_size_inches(5.0, 2.8)
    ax = figure.subplots()
    names = list(dict.fromkeys(data.column("ablation")))
    for style, name in zip(STYLES[1:], names, strict=False):
        _curve(ax, [(row[0], *row[3:6]) for row in data.rows if row[2] == name], name, style)
    ax.axhline(0, color="black", linewidth=0.6)
    ax.axhline(1, color="black", linewidth=0.6, linestyle=":")
    ax.set(xlabel="share of the heads replaced", ylabel="share of the damage recovered")
    ax.set_ylim(max(-1.0, ax.get_ylim()[0]), 1.05)
    _legend_beside(figure, ax, "damage of")


def _cost(figure: Any, data: FigureData) -> None:
    figure.set_size_inches(3.4, 2.6)
    ax = figure.subplots()
    iou, cost, error, estimated = (np.array(data.column(name), dtype=float) for name in data.columns[1:])
    measured = ~np.isnan(cost)
    hollow = {"facecolors": "none", "edgecolors": STYLES[1]["color"], "linewidths": 0.8, "s": 14}
    if (~measured).any():
        ax.scatter(iou[~measured], estimated[~measured], label="estimated", **hollow)
    if measured.any():
        bars = 1.96 * error[measured]
        marks = {"color": STYLES[2]["color"], "fmt": "s", "markersize": 3, "elinewidth": 0.8}
        ax.errorbar(iou[measured], cost[measured], yerr=bars, label="measured, 95 %", **marks)
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set(xlabel="held-out IoU of the head's program", ylabel="loss added by replacing it\n(nats per token)")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)


def _tasks(figure: Any, data: FigureData) -> None:
    tasks = list(dict.fromkeys(data.column("task")))
    figure.set_size_inches(1.6 + 2.4 * len(tasks), 2.8)
    axes = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for ax, task in zip(axes, tasks, strict=True):
        rows = [row for row in data.rows if row[0] == task]
        _, questions, chance, _, _, original, error = rows[0]
        for style, name in zip(STYLES, CONDITIONS, strict=True):
            here = [(row[3], row[5], row[6]) for row in rows if row[4] == name]
            points = [(0.0, original, error), *here]
            ends = [
                (x, y, _float(y) - 1.96 * _float(spread), _float(y) + 1.96 * _float(spread)) for x, y, spread in points
            ]
            if here:
                _curve(ax, ends, name, style, shaded=name == "programs")
        ax.axhline(chance, color="black", linewidth=0.8, linestyle=":", label="chance")
        ax.set_title(f"{printable(str(task))}, {questions} questions", parse_math=False)
        ax.set_xlabel("share of the heads replaced")
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("accuracy (band: 95 %)")
    axes[0].set_ylim(bottom=0)
    _legend_beside(figure, axes[0], "in their place")


_DRAWN: dict[str, Callable[[Any, FigureData], None]] = {
    "head_iou": _head_iou,
    "gain": _gain,
    "coverage": _coverage,
    "transfer": _transfer,
    "perplexity": _perplexity,
    "recovered": _recovered,
    "cost": _cost,
    "tasks": _tasks,
}


def _curve(ax: Any, points: Iterable[Sequence[Any]], name: str, style: dict[str, Any], *, shaded: bool = True) -> None:
    """A line through (x, y, low, high); what lies between the ends is shaded where they are known."""
    x, y, low, high = np.array(list(points), dtype=float).T
    ax.plot(x, y, label=_plain(name), **style)
    if shaded:
        ends = np.where(np.isnan(low), y, low), np.where(np.isnan(high), y, high)
        ax.fill_between(x, *ends, alpha=0.12, color=style["color"], linewidth=0)


def _float(value: Any) -> float:
    """A number of a table; NaN where it is not known."""
    return float("nan") if value is None else float(value)


def _legend_beside(figure: Any, ax: Any, title: str) -> None:
    ax.grid(alpha=0.3)
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, title=title, alignment="left")


def _legend_above(figure: Any, ax: Any, columns: int) -> None:
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", frameon=False, ncols=columns)


def _log_ticks(ax: Any) -> None:
    """Plain numbers, also where the axis spans less than a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    low, high = ax.get_ylim()
    steps = (1,) if high / low > 1000 else (1, 2, 5) if high / low > 8 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8)
    ax.yaxis.set_major_locator(LogLocator(subs=steps))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    ax.yaxis.set_minor_locator(LogLocator(subs=()))


def _plain(name: object) -> str:
    """A name as matplotlib writes it down: no dollar in it begins a formula."""
    return printable(str(name)).replace("_", " ").replace("$", r"\$")

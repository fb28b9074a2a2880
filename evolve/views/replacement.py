"""What replacing heads costs a model, for people: perplexity, and the accuracy on questions."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from rich.table import Table

from evolve.views.words import percent

COSTLIEST = 10


def render_perplexity(result: dict[str, Any]) -> list[RenderableType]:
    """What `replace` found."""
    lines = _curves(result)
    lines += _costliest(result.get("per_head", [])) + _correlations(result)
    order = result.get("least_cost")
    if order:
        points = ", ".join(f"{row['fraction']:.0%}: {row['perplexity']:.2f}" for row in order["by_fraction"])
        lines.append(f"heads of least estimated cost first: {points}")
    for row in result.get("completeness", []):
        numbers = row["costliest"]["perplexity"], row["random"]["perplexity"]
        if row["kept"] == 0:
            lines.append(f"programs in the place of all heads: {_number(numbers[0])}")
            continue
        lines.append(
            f"programs everywhere but in {row['kept']} heads: {_number(numbers[0])} "
            f"keeping the costliest, {_number(numbers[1])} keeping heads at random"
        )
    return [*lines, *_failures(result)]


def _curves(result: dict[str, Any]) -> list[RenderableType]:
    """One table a fraction: every condition, what it adds, and what programs recover of it."""
    perplexity = result["perplexity"]
    low, high = perplexity["original_interval"]
    lines: list[RenderableType] = [
        f"{perplexity['measure']} on {result['texts']} texts; original {perplexity['original']:.2f} "
        f"(95 %: {low:.2f} to {high:.2f})"
    ]
    for row in perplexity.get("by_fraction", []):
        if row["heads"] == 0:
            continue
        title = f"{row['fraction']:.0%} of the heads ({row['heads']}) replaced"
        table = Table(title=title, title_justify="left")
        table.add_column("in their place")
        for name in (perplexity["measure"], "more (95 %)", "recovered"):
            table.add_column(name, justify="right", no_wrap=True)
        for name, numbers in sorted(row["conditions"].items(), key=lambda item: item[1]["perplexity"]):
            harmful = numbers["increase_percent_interval"][0] > 0
            share = row["recovered"].get(name, {}).get("value") if harmful else None
            label = name.replace("_", " ") + (f" ×{numbers['draws']}" if numbers["draws"] > 1 else "")
            low, high = map(percent, numbers["increase_percent_interval"])
            table.add_row(
                f"[bold]{label}[/bold]" if name == "programs" else label,
                _number(numbers["perplexity"]),
                f"{percent(numbers['increase_percent'])} % ({low}, {high})",
                "" if share is None else f"{share:.0%}",
            )
        lines += [table, *_verdicts(row)]
    return lines


def _verdicts(row: dict[str, Any]) -> list[RenderableType]:
    """What one fraction says in words: of texts one by one, and of programs against tables."""
    by_text = row["conditions"]["programs"]
    low, high = map(percent, by_text["text_increase_percent_interval"])
    lines: list[RenderableType] = [
        f"a text's perplexity under programs: {percent(by_text['text_increase_percent'])} % on average ({low}, {high})"
    ]
    for key, heads in (
        ("programs_minus_mean_table", "on these heads"),
        ("random_order_minus_mean_table", "in random order"),
    ):
        if key in row:
            low, high = row[key]["interval"]
            says = f"{heads}, {row[key]['says']}: {row[key]['value']:+.4f} nats per token ({low:+.4f}, {high:+.4f})"
            lines.append(f"[red]{says}[/red]" if low > 0 else says)
    return lines


def _costliest(rows: list[dict[str, Any]]) -> list[RenderableType]:
    if not rows:
        return []
    table = Table(title="costliest heads, in nats per token", title_justify="left")
    table.add_column("head")
    for name in ("IoU", "estimated", "measured"):
        table.add_column(name, justify="right")
    for row in sorted(rows, key=lambda row: -row["estimated_cost"])[:COSTLIEST]:
        measured = "" if row["cost"] is None else f"{row['cost']:+.4f} ± {row['cost_standard_error']:.4f}"
        table.add_row(row["head"], f"{row['iou']:.3f}", f"{row['estimated_cost']:+.4f}", measured)
    return [table]


def _correlations(result: dict[str, Any]) -> list[RenderableType]:
    if "per_head" not in result:
        return []
    pairs, estimates = result["pairs"], result["estimates"]
    told = {
        "IoU with the measured cost of replacing that head alone": (
            result["correlation"]["spearman"],
            result["correlation"]["interval"],
            f"{result['correlation']['heads']} heads",
        ),
        "IoU with measured cost, pairs of head and program": (
            pairs["measured"]["spearman"],
            pairs["measured"]["interval"],
            f"{pairs['measured']['points']} pairs",
        ),
        "IoU with estimated cost within a head, over the library's programs": (
            pairs["estimated_within_heads"]["spearman"],
            pairs["estimated_within_heads"]["interval"],
            f"mean over {pairs['estimated_within_heads']['heads']} heads",
        ),
        "estimated with measured cost": (
            estimates["spearman"],
            estimates["spearman_interval"],
            f"{estimates['heads_measured']} heads",
        ),
    }
    return [
        f"rank correlation of {name}: {value:+.2f} (95 %: {interval[0]:+.2f} to {interval[1]:+.2f}; {count})"
        for name, (value, interval, count) in told.items()
        if value is not None
    ]


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10_000 else f"{value:.1e}"


def render_tasks(result: dict[str, Any]) -> list[RenderableType]:
    """What `tasks` found."""
    lines: list[RenderableType] = []
    for name, task in result["tasks"].items():
        title = f"{name}: {task['questions']} questions, chance {task['chance']:.3f}"
        table = Table(title=title, title_justify="left")
        table.add_column("in the place of heads")
        fractions = [row for row in task["by_fraction"] if row["heads"]]
        for row in fractions:
            table.add_column(f"{row['fraction']:.0%}", justify="right")
        original = task["original"]
        table.add_row("nothing", *[f"{original['accuracy']:.3f} ± {original['standard_error']:.3f}"] * len(fractions))
        names = [key for key in task["by_fraction"][0] if key not in ("fraction", "heads")]
        for name in names:
            found = [row[name] for row in fractions]
            cells = [f"{of['accuracy']:.3f} ± {of['standard_error']:.3f}" for of in found]
            table.add_row(name.replace("_", " "), *cells)
        lines.append(table)
        if task["left_out"] or task["cut_queries"]:
            lines.append(
                f"{task['left_out']} questions do not fit the model's context; {task['cut_queries']} queries were cut"
            )
    return [*lines, *_failures(result)]


def _failures(result: dict[str, Any]) -> list[RenderableType]:
    return [
        f"[red]program {program} failed on {count} texts: heads kept their own attention there[/red]"
        for program, count in result["failed_programs"].items()
    ]

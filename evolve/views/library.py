"""A library made, for people: its programs, how good it is, and where it was written."""

from __future__ import annotations

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from archives.classes import shares
from archives.export import function_names, library_json
from archives.library import ReducedLibrary, SplitScores
from evolve.results.libraries import Made
from evolve.views.words import with_interval

MEMBERS_SHOWN = 30


def render(made: Made) -> list[RenderableType]:
    """Tables and lines."""
    library = made.library
    lines: list[RenderableType] = [_members(library)]
    if len(library.members) > MEMBERS_SHOWN:
        lines.append(f"... and {len(library.members) - MEMBERS_SHOWN} more{' in library.json' * bool(made.files)}")
    reduction = library.reduction
    proven = "proven the fewest" if reduction.optimal else f"at least {reduction.lower_bound} are needed"
    covered = int(reduction.covered.sum())
    lines.append(f"{len(library.members)} programs ({proven}), {covered} heads covered")
    lines.append(_scores("test", library.test) if library.test else _scores("held-out", library.held_out))
    lines += _reference(library)
    if library.classes:
        numbers = library_json(library)["classes"]
        lines.append(f"heads by class: {shares(numbers['heads'])}")
        lines.append(f"{numbers['programs_that_list_words']} of {len(library.members)} programs list words")
    missing = library.missing
    if missing.pairs_missing:
        lines.append(f"{missing.pairs_missing} of {missing.pairs} pairs were not scored and cover nothing")
    lines += [f"wrote {escape(str(file))}" for file in made.files] or ["--out DIR writes it"]
    return lines + ([escape(str(made.comparison))] if made.comparison else [])


def _members(library: ReducedLibrary) -> Table:
    table = Table(title_justify="left", title=f"{len(library.members)} programs for {len(library.heads)} heads")
    table.add_column("program", overflow="fold")
    for name in ("heads", "IoU", "lines"):
        table.add_column(name, justify="right")
    names = function_names(library)
    for member in library.members[:MEMBERS_SHOWN]:
        iou = member.iou_test.value if member.iou_test else member.iou_held_out
        table.add_row(escape(names[member.id]), str(len(member.heads)), f"{iou:.3f}", str(member.lines or "-"))
    return table


def _reference(library: ReducedLibrary) -> list[str]:
    """What it is worth beyond its references, in red where that is nothing."""
    gain = library.reference
    if gain is None:
        return []
    interval = (gain.gain.low, gain.gain.high)
    worth = f"reference {gain.other.value:.3f}, gain {with_interval(gain.gain.value, interval, signed=True)}"
    heads = f"{gain.won} of {len(gain.by_head)} heads won beyond noise, {gain.lost} lost"
    if gain.beaten:
        return [escape(f"{worth}; {heads}")]
    return [f"[bold red]{escape(worth)}; {heads}: the library does not beat its references[/bold red]"]


def _scores(split: str, scores: SplitScores) -> str:
    mean = scores.mean
    spread = "" if mean.low is None or mean.high is None else escape(f" [{mean.low:.3f}, {mean.high:.3f}]")
    full = "" if scores.full_mean is None else f", with all programs {scores.full_mean.value:.3f}"
    excess = "" if scores.excess is None else f", excess {scores.excess.value:.3f}"
    return f"mean {split} IoU {mean.value:.3f}{spread}{full}{excess}"

"""`library.json`: the library as plain values, for scripts."""

from __future__ import annotations

import json
import re
from typing import Any

from archives.bootstrap import Estimate
from archives.classes import listed_words, lists_words, spread
from archives.gain import Gain
from archives.library import HeadLine, Member, ReducedLibrary, SplitScores

FORMAT = 1
NAME_WORDS = 4
_STOP_WORDS = frozenset(
    "a also an and are as at by each favours for from in is it its like look looks of on or that the then this to "
    "tokens what with".split()
)


def function_names(library: ReducedLibrary) -> dict[str, str]:
    """A readable Python name for every program by id, such as `program_01_previous_token`; all different."""
    width = max(2, len(str(len(library.members))))
    return {
        member.id: f"program_{number:0{width}}_{_slug(member)}"
        for number, member in enumerate(library.members, start=1)
    }


def _slug(member: Member) -> str:
    docstring = "" if member.program is None else member.program.docstring
    words = [word for word in re.findall(r"[a-z0-9]+", docstring.lower().replace("'", "")) if word not in _STOP_WORDS]
    named = "_".join(words[:NAME_WORDS])[:40].rstrip("_")
    return named or re.sub(r"[^a-z0-9]+", "_", (member.heads[0] if member.heads else "unused").lower()).strip("_")


def library_json(library: ReducedLibrary) -> dict[str, Any]:
    """The library as plain values; the schema is in docs/library.md."""
    reduction, names = library.reduction, function_names(library)
    return {
        "format": FORMAT,
        "provenance": dict(library.provenance),
        "criterion": {"name": reduction.criterion, "value": reduction.value},
        "library_size": len(library.members),
        "lower_bound": reduction.lower_bound,
        "optimal": reduction.optimal,
        "cheapest": reduction.cheapest,
        "mean_bound_held_out": reduction.mean_bound,
        "heads": len(library.heads),
        "heads_covered": int(reduction.covered.sum()),
        "heads_uncoverable": int(reduction.uncoverable.sum()),
        **_scores_json(library.held_out, "held_out"),
        **_scores_json(library.test, "test"),
        **gain_json(library.reference, "reference"),
        **gain_json(library.baseline, "baseline"),
        "test_texts": list(library.test_texts),
        "classes": _classes_json(library),
        "single_best": library.single,
        "source_lines": library.lines,
        "source_cost": reduction.cost,
        "table": {
            "programs": library.programs,
            "duplicates": reduction.duplicates,
            "pairs": library.missing.pairs,
            "pairs_missing": library.missing.pairs_missing,
            "pairs_partial": library.missing.pairs_partial,
            "heads_unscored": library.missing.heads_unscored,
            "programs_unscored": library.missing.programs_unscored,
        },
        "programs": [
            _member_json(member, names[member.id]) | _class_json(member, library) for member in library.members
        ],
        "assignment": {
            line.label: _head_json(line) | _head_reference(library.reference, row)
            for row, line in enumerate(library.heads)
        },
    }


def _scores_json(scores: SplitScores | None, split: str) -> dict[str, Any]:
    return {
        f"mean_iou_{split}": None if scores is None else scores.mean.value,
        f"mean_iou_{split}_interval": None if scores is None else _interval(scores.mean),
        f"median_iou_{split}": None if scores is None else scores.median,
        f"worst_iou_{split}": None if scores is None else scores.worst,
        f"full_mean_iou_{split}": None if scores is None else _value(scores.full_mean),
        f"heads_within_epsilon_{split}": None if scores is None else scores.within_epsilon,
        f"heads_under_0_4_{split}": None if scores is None else scores.under_low,
        f"single_best_iou_{split}": None if scores is None else _value(scores.single_mean),
        f"excess_iou_{split}": None if scores is None else _value(scores.excess),
        f"excess_iou_{split}_interval": None if scores is None else _interval(scores.excess),
    }


def _classes_json(library: ReducedLibrary) -> dict[str, Any] | None:
    """How many heads each class of programs has, in all, by layer and by fraction replaced; None where not measured."""
    if not library.classes:
        return None
    assignment = {line.label: line.program for line in library.heads}
    iou = {line.label: line.iou_held_out or 0.0 for line in library.heads}
    listing = sum(member.program is not None and lists_words(member.program) for member in library.members)
    return spread(assignment, library.classes, iou) | {"programs_that_list_words": listing}


def _class_json(member: Member, library: ReducedLibrary) -> dict[str, Any]:
    if member.program is None:
        return {}
    words = len(listed_words(member.program))
    return {"class": library.classes.get(member.id), "lists_words": words > 0, "words_listed": words}


def gain_json(gain: Gain | None, name: str) -> dict[str, Any]:
    """What a library is worth beyond a reference or baseline, under its name; None where it is not known."""
    return {
        f"{name}_iou_test": None if gain is None else gain.other.value,
        f"gain_over_{name}": None if gain is None else gain.gain.value,
        f"gain_over_{name}_interval": None if gain is None else _interval(gain.gain),
        f"heads_won_over_{name}": None if gain is None else gain.won,
        f"heads_lost_to_{name}": None if gain is None else gain.lost,
    }


def _head_reference(gain: Gain | None, row: int) -> dict[str, Any]:
    if gain is None:
        return {}
    return {
        "reference": gain.than[row],
        "reference_iou_test": _value(gain.other_by_head[row]),
        "gain_over_reference": _value(gain.by_head[row]),
        "gain_over_reference_interval": _interval(gain.by_head[row]),
    }


def _member_json(member: Member, name: str) -> dict[str, Any]:
    return {
        "id": member.id,
        "function": name,
        "docstring": None if member.program is None else member.program.docstring,
        "source": None if member.program is None else member.program.source,
        "source_lines": member.lines,
        "cost": member.cost,
        "behaviour": member.signature,
        "descriptors": dict(member.descriptors),
        "heads": list(member.heads),
        "iou_held_out": member.iou_held_out,
        "iou_test": _value(member.iou_test),
        "iou_test_interval": _interval(member.iou_test),
        "loss_without": dict(member.losses),
        "substitute": member.substitute,
        "substitute_loss": member.substitute_loss,
    }


def _head_json(line: HeadLine) -> dict[str, Any]:
    return {
        "program": line.program,
        "iou_held_out": line.iou_held_out,
        "iou_test": _value(line.iou_test),
        "iou_test_interval": _interval(line.iou_test),
        "best_program": line.best,
        "best_iou_held_out": line.best_iou_held_out,
        "best_iou_test": line.best_iou_test,
        "covered": line.covered,
        "iou_test_by_text": [None if value != value else round(value, 6) for value in line.iou_test_by_text],
    }


def library_json_text(library: ReducedLibrary) -> str:
    """`library.json`."""
    return json.dumps(library_json(library), indent=2, allow_nan=False) + "\n"


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


def _interval(estimate: Estimate | None) -> list[float] | None:
    if estimate is None or estimate.low is None or estimate.high is None:
        return None
    return [estimate.low, estimate.high]

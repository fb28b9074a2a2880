"""Two libraries side by side: heads won and lost beyond noise, programs in common by signature, a diff for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archives.bootstrap import RESAMPLES, Estimate, Split, text_weights
from archives.export import FORMAT
from archives.reduce import EPSILON
from fitness.errors import UserError

SHOWN = 20


@dataclass(frozen=True)
class Change:
    """One head in both libraries: IoU of its program in each, 0 where it has none, and the programs' ids.

    Attributes:
        interval: 95 % of the difference, paired where texts are shared; None where scores by text are not known.
    """

    head: str
    iou_before: float
    iou_after: float
    program_before: str | None
    program_after: str | None
    interval: tuple[float, float] | None = None

    @property
    def difference(self) -> float:
        """How much the second library is better."""
        return self.iou_after - self.iou_before


@dataclass(frozen=True)
class Common:
    """A program that both libraries hold: its id in each, and its functions' names."""

    before: str
    after: str
    function_before: str
    function_after: str


@dataclass(frozen=True)
class LibraryComparison:
    """What changes from one library to another.

    Attributes:
        names: what the two are called.
        split: where the IoU were measured: "test" where both libraries know it, else "held_out".
        texts_shared: test texts that both were read on; their differences are paired.
        margin: where scores by text are not known, differences up to this are no change; else None.
        mean_before: mean IoU of the first library over the heads that both have.
        mean_after: the same of the second.
        difference_interval: 95 % of the change of the mean; None where scores by text are not known.
        won: heads better beyond their noise in the second library, most first.
        lost: heads worse beyond their noise, most first.
        even: number of heads that neither wins.
        heads_gone: heads of the first library only.
        heads_new: heads of the second library only.
        common: programs in common: of equal signature, or of the same source.
        programs_gone: functions of the first library only, as (function name, heads).
        programs_new: functions of the second library only.
    """

    names: tuple[str, str]
    split: str
    texts_shared: int
    margin: float | None
    mean_before: float | None
    mean_after: float | None
    difference_interval: tuple[float, float] | None
    won: tuple[Change, ...]
    lost: tuple[Change, ...]
    even: int
    heads_gone: tuple[str, ...]
    heads_new: tuple[str, ...]
    common: tuple[Common, ...]
    programs_gone: tuple[tuple[str, int], ...]
    programs_new: tuple[tuple[str, int], ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values under the names of the attributes."""
        return asdict(self)

    def __str__(self) -> str:
        """The diff for people, some twenty lines per section."""
        before, after = self.names
        split = self.split.replace("_", "-")
        heads = len(self.won) + len(self.lost) + self.even
        lines = [f"--- {before}", f"+++ {after}"]
        if self.mean_before is not None and self.mean_after is not None:
            change = self.mean_after - self.mean_before
            lines.append(
                f"mean IoU on {split}, {heads} heads: {self.mean_before:.3f} -> {self.mean_after:.3f} ({change:+.3f}"
                + (", 95 % {:+.3f} to {:+.3f})".format(*self.difference_interval) if self.difference_interval else ")")
            )
        within = "within noise" if self.margin is None else f"within {self.margin:g}"
        paired = f"; paired over {self.texts_shared} texts" if self.texts_shared else ""
        lines.append(f"heads won {len(self.won)}, lost {len(self.lost)}, {within} {self.even}{paired}")
        for sign, changes in (("+", self.won), ("-", self.lost)):
            lines += [
                f"{sign} {c.head}  {c.iou_before:.3f} -> {c.iou_after:.3f} ({c.difference:+.3f})"
                for c in changes[:SHOWN]
            ]
            lines += [f"{sign} and {len(changes) - SHOWN} more"] if len(changes) > SHOWN else []
        for text, only in ((f"heads in {before} only", self.heads_gone), (f"heads in {after} only", self.heads_new)):
            lines += [f"{text}: {len(only)}"] if only else []
        lines.append(
            f"programs in common {len(self.common)}, gone {len(self.programs_gone)}, new {len(self.programs_new)}"
        )
        lines += [f"  {c.function_before} = {c.function_after}" for c in self.common]
        lines += [f"- {function} ({count} heads)" for function, count in self.programs_gone]
        lines += [f"+ {function} ({count} heads)" for function, count in self.programs_new]
        return "\n".join(lines)


def compare_libraries(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    names: tuple[str, str] = ("before", "after"),
    margin: float = EPSILON,
    signatures: Mapping[str, str] | None = None,
) -> LibraryComparison:
    """Compares two libraries.

    Signatures are hashes of predictions: they can only be equal where both libraries looked at the same texts. Where
    they did not, give `signatures` measured on common texts; without them, programs of the same source are still found.

    A head is won or lost where the 95 % bootstrap interval of its difference over texts leaves out 0: paired on texts
    that both were read on, else drawn for each by itself.

    Args:
        before: a library as `library_json` gives it.
        after: another.
        names: what to call them.
        margin: where scores by text are not known, a head is won or lost when its IoU differs by more than this.
        signatures: by program id, for the programs of both; those of the libraries by default.
    """
    split = "test" if before["mean_iou_test"] is not None and after["mean_iou_test"] is not None else "held_out"
    one, two = before["assignment"], after["assignment"]
    heads = [head for head in one if head in two]
    noise = _noise(before, after, heads) if split == "test" else None
    changes = [
        _change(head, one[head], two[head], split, None if noise is None else noise.by_head[row])
        for row, head in enumerate(heads)
    ]
    won = sorted((c for c in changes if _side(c, margin) > 0), key=lambda c: (-c.difference, c.head))
    lost = sorted((c for c in changes if _side(c, margin) < 0), key=lambda c: (c.difference, c.head))
    common = _common(before["programs"], after["programs"], signatures)
    shared_before, shared_after = {c.before for c in common}, {c.after for c in common}
    return LibraryComparison(
        names=names,
        split=split,
        texts_shared=0 if noise is None else noise.shared,
        margin=margin if noise is None else None,
        mean_before=sum(c.iou_before for c in changes) / len(changes) if changes else None,
        mean_after=sum(c.iou_after for c in changes) / len(changes) if changes else None,
        difference_interval=None if noise is None else noise.mean,
        won=tuple(won),
        lost=tuple(lost),
        even=len(changes) - len(won) - len(lost),
        heads_gone=tuple(head for head in one if head not in two),
        heads_new=tuple(head for head in two if head not in one),
        common=tuple(common),
        programs_gone=tuple(
            (p["function"], len(p["heads"])) for p in before["programs"] if p["id"] not in shared_before
        ),
        programs_new=tuple((p["function"], len(p["heads"])) for p in after["programs"] if p["id"] not in shared_after),
    )


@dataclass(frozen=True)
class _Noise:
    """95 % intervals of differences between two libraries, and on how many texts they are paired."""

    shared: int
    mean: tuple[float, float] | None
    by_head: list[tuple[float, float] | None]


def _noise(before: Mapping[str, Any], after: Mapping[str, Any], heads: Sequence[str]) -> _Noise | None:
    """None where one of the libraries does not say what it scored on each text."""
    texts = {name: library.get("test_texts") or [] for name, library in (("before", before), ("after", after))}
    if not heads or not texts["before"] or not texts["after"]:
        return None
    column = {name: number for number, name in enumerate(dict.fromkeys([*texts["before"], *texts["after"]]))}
    scores = np.full((len(heads), 2, len(column)), np.nan)
    for side, (name, library) in enumerate((("before", before), ("after", after))):
        for row, head in enumerate(heads):
            line = library["assignment"][head]
            # A head without a program scores 0 on every text; one with a program may not have been scored on all.
            unknown = np.nan if line["program"] else 0.0
            by_text = [unknown if value is None else value for value in line["iou_test_by_text"]]
            scores[row, side, [column[text] for text in texts[name]]] = by_text
    shared = set(texts["before"]) & set(texts["after"])
    groups = ["both" if text in shared else "before" if text in set(texts["before"]) else "after" for text in column]
    # Texts of one library alone are drawn by themselves.
    scored = ~np.isnan(scores)
    means = np.where(scored, scores, 0).sum(axis=2) / np.maximum(scored.sum(axis=2), 1)
    split = Split(means, ["before", "after"], scores, text_weights(groups, RESAMPLES, seed=0))
    one, two = ["before"] * len(heads), ["after"] * len(heads)
    return _Noise(len(shared), _ends(split.mean(two, less=one)), [_ends(e) for e in split.by_head(two, less=one)])


def _ends(estimate: Estimate | None) -> tuple[float, float] | None:
    if estimate is None or estimate.low is None or estimate.high is None:
        return None
    return estimate.low, estimate.high


def _side(change: Change, margin: float) -> int:
    """1 for a head won, -1 for one lost, 0 for neither."""
    low, high = change.interval or (change.difference - margin, change.difference + margin)
    return int(low > 0) - int(high < 0)


def _change(
    head: str, before: Mapping[str, Any], after: Mapping[str, Any], split: str, interval: tuple[float, float] | None
) -> Change:
    return Change(head, _iou(before, split), _iou(after, split), before["program"], after["program"], interval)


def _iou(line: Mapping[str, Any], split: str) -> float:
    return float(line[f"iou_{split}"] or 0.0)


def _common(
    before: list[dict[str, Any]], after: list[dict[str, Any]], signatures: Mapping[str, str] | None
) -> list[Common]:
    def signature(program: Mapping[str, Any]) -> str:
        return program["behaviour"] if signatures is None else signatures.get(program["id"], "")

    by_id = {program["id"]: program for program in after}
    by_signature = {signature(program): program for program in after if signature(program)}
    found = []
    for program in before:
        twin = by_id.get(program["id"]) or by_signature.get(signature(program))
        if twin is not None:
            found.append(Common(program["id"], twin["id"], program["function"], twin["function"]))
    return found


def read_library_json(path: Path) -> dict[str, Any]:
    """Reads a `library.json`.

    Raises:
        UserError: where there is none, it is damaged, or of another format.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is no plain file")
    try:
        library = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; `headscribe library` writes it") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not a library.json: {error}") from None
    found = library.get("format") if isinstance(library, dict) else None
    if found != FORMAT:
        raise UserError(f"{path}: library format {found}, expected {FORMAT}; write it again with `headscribe library`")
    return library

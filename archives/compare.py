"""Two libraries side by side: heads won and lost, programs in common by signature, and a diff for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from archives.export import FORMAT
from archives.reduce import EPSILON
from fitness.errors import UserError

SHOWN = 20


@dataclass(frozen=True)
class Change:
    """One head in both libraries: IoU of its program in each, 0 where it has none, and the programs' ids."""

    head: str
    iou_before: float
    iou_after: float
    program_before: str | None
    program_after: str | None

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
class Comparison:
    """What changes from one library to another.

    Attributes:
        names: what the two are called.
        split: where the IoU were measured: "test" where both libraries know it, else "held_out".
        margin: differences up to this are no change.
        mean_before: mean IoU of the first library over the heads that both have.
        mean_after: the same of the second.
        won: heads better by more than the margin in the second library, most first.
        lost: heads worse by more than the margin, most first.
        even: number of heads that neither wins.
        heads_gone: heads of the first library only.
        heads_new: heads of the second library only.
        common: programs in common: of equal signature, or of the same source.
        programs_gone: functions of the first library only, as (function name, heads).
        programs_new: functions of the second library only.
    """

    names: tuple[str, str]
    split: str
    margin: float
    mean_before: float | None
    mean_after: float | None
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
        """The diff for people, some twenty lines a section."""
        before, after = self.names
        split = self.split.replace("_", "-")
        heads = len(self.won) + len(self.lost) + self.even
        lines = [f"--- {before}", f"+++ {after}"]
        if self.mean_before is not None and self.mean_after is not None:
            change = self.mean_after - self.mean_before
            lines.append(
                f"mean IoU on {split}, {heads} heads: {self.mean_before:.3f} -> {self.mean_after:.3f} ({change:+.3f})"
            )
        lines.append(f"heads won {len(self.won)}, lost {len(self.lost)}, within {self.margin:g} {self.even}")
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


def compare(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    names: tuple[str, str] = ("before", "after"),
    margin: float = EPSILON,
    signatures: Mapping[str, str] | None = None,
) -> Comparison:
    """Compares two libraries.

    Behaviours are hashes of predictions: they can only be equal where both libraries looked at the same texts. Where
    they did not, give `signatures` measured on common texts; without them, programs of the same source are still found.

    Args:
        before: a library as `library_json` gives it.
        after: another.
        names: what to call them.
        margin: a head is won or lost when its IoU differs by more than this.
        signatures: by program id, for the programs of both; those of the libraries by default.
    """
    split = "test" if before["mean_iou_test"] is not None and after["mean_iou_test"] is not None else "held_out"
    one, two = before["assignment"], after["assignment"]
    changes = [
        Change(head, _iou(one[head], split), _iou(two[head], split), one[head]["program"], two[head]["program"])
        for head in one
        if head in two
    ]
    won = sorted((c for c in changes if c.difference > margin), key=lambda c: (-c.difference, c.head))
    lost = sorted((c for c in changes if c.difference < -margin), key=lambda c: (c.difference, c.head))
    common = _common(before["programs"], after["programs"], signatures)
    shared_before, shared_after = {c.before for c in common}, {c.after for c in common}
    return Comparison(
        names=names,
        split=split,
        margin=margin,
        mean_before=sum(c.iou_before for c in changes) / len(changes) if changes else None,
        mean_after=sum(c.iou_after for c in changes) / len(changes) if changes else None,
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


def _iou(line: Mapping[str, Any], split: str) -> float:
    return float(line[f"iou_{split}"] or 0.0)


def _common(
    before: list[dict[str, Any]], after: list[dict[str, Any]], signatures: Mapping[str, str] | None
) -> list[Common]:
    def signature(program: Mapping[str, Any]) -> str:
        return program["behaviour"] if signatures is None else signatures.get(program["id"], "")

    by_id = {program["id"]: program for program in after}
    by_behaviour = {signature(program): program for program in after if signature(program)}
    found = []
    for program in before:
        twin = by_id.get(program["id"]) or by_behaviour.get(signature(program))
        if twin is not None:
            found.append(Common(program["id"], twin["id"], program["function"], twin["function"]))
    return found


def read_library_json(path: Path) -> dict[str, Any]:
    """Reads a `library.json`.

    Raises:
        UserError: where there is none, it is damaged, or of another format.
    """
    try:
        library = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; `headscribe library` writes it") from None
    except ValueError as error:
        raise UserError(f"{path}: is no library.json: {error}") from None
    found = library.get("format") if isinstance(library, dict) else None
    if found != FORMAT:
        raise UserError(f"{path}: library format {found}, expected {FORMAT}; write it again with `headscribe library`")
    return library

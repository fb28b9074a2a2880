"""`library.py`: the library as source, one function a program, for people and for numpy alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from archives.about import about, in_words
from archives.bootstrap import Estimate
from archives.classes import listed_words
from archives.export import function_names
from archives.function_source import MODULES, alone, as_function, literal
from archives.library import HeadLine, Member, ReducedLibrary
from fitness.program import Program, ProgramError

HEADS_A_LINE = 4

_MODULE_DOCSTRING = """\
A library of {size} programs that say what {heads} attention heads do, written by headscribe{version}.

{about}

It needs numpy and nothing else. A program takes a `Text` and returns an (n, n) array of non-negative weights, row =
query token, column = key token. `headscribe_text.py`, which lies beside this file, needs numpy alone too:

    from headscribe_text import Text, to_prediction

    text = Text(["Once", " upon", " a", " time"])  # tokens as the model sees them: leading spaces, its begin token
    weights = PROGRAMS[HEADS[{example}]](text)
    prediction = to_prediction(weights, causal={causal})  # causal mask, rows scaled to sum 1

PROGRAMS holds the functions by the program's id, HEADS the id of each head's program. IoU is the mean over the {split}
texts, the interval in brackets a 95 % bootstrap over texts; descriptors lie in [0, 1].
"""


# Tells of programs, each with what is to be written of it, whether the two give the same weights to the last bit.
Agree = Callable[[Sequence[tuple[Program, Program]]], Sequence[bool]]


def library_py(library: ReducedLibrary, agree: Agree) -> str:
    """`library.py`: importable source that needs numpy alone; importing it runs nothing of a program.

    A program that would do something else without the sandbox is left out, and the module's docstring says why.

    Args:
        library: what to write.
        agree: runs each program, and what is to be written of it, in the sandbox.

    Raises:
        ValueError: where a program of the library has no source.
    """
    names = function_names(library)
    written, left_out = _written(library, names, agree)
    assigned = [(line.label, line.program) for line in library.heads if line.program in written]
    docstring = _MODULE_DOCSTRING.format(
        size=len(written),
        heads=len(assigned),
        version=_version(library),
        about="\n".join(about(library)),
        causal=library.provenance.get("model", {}).get("causal", True),
        example=_quoted(assigned[0][0] if assigned else "L0H0"),
        split="held-out" if library.test is None else "test",
    )
    if left_out:
        docstring += "\nLeft out, as they would do something else without the sandbox:\n"
        docstring += "".join(f"    {name}: {reason}\n" for name, reason in left_out.items())
    modules = set().union(*(needed for _, needed in written.values())) & set(MODULES) - {"numpy"}
    standard = [f"import {module}" for module in sorted(modules)]
    programs = [f"    {_quoted(name)}: {names[name]}," for name in written]
    heads = [f"    {_quoted(label)}: {_quoted(program)}," for label, program in assigned]
    return "\n".join(
        [
            literal(docstring, ""),
            "",
            *([*standard, ""] if standard else []),
            "import numpy as np",
            *("\n\n" + source for source, _ in written.values()),
            "",
            "\nPROGRAMS = {",
            *programs,
            "}",
            "",
            "HEADS = {",
            *heads,
            "}",
            "",
        ]
    )


def _written(
    library: ReducedLibrary, names: dict[str, str], agree: Agree
) -> tuple[dict[str, tuple[str, frozenset[str]]], dict[str, str]]:
    """Functions with the modules they need, by the program's id, and why others are left out."""
    lines = {line.label: line for line in library.heads}
    written: dict[str, tuple[str, frozenset[str]]] = {}
    left_out: dict[str, str] = {}
    pairs: list[tuple[Program, Program]] = []
    for member in library.members:
        if member.program is None:
            raise ValueError(f"program {member.id!r} has no source: a table without sources makes no library.py")
        try:
            source, needed = as_function(member.program.source, names[member.id], _docstring(member, lines, library))
        except ProgramError as error:
            left_out[member.id] = str(error)
            continue
        written[member.id] = source, needed
        pairs.append((member.program, alone(source, needed, names[member.id], member.id)))
    for (program, _), same in zip(pairs, agree(pairs), strict=True):
        if not same:
            del written[program.id]
            left_out[program.id] = "gives other weights as it would be written here"
    return written, left_out


def _docstring(member: Member, lines: dict[str, HeadLine], library: ReducedLibrary) -> str:
    own = "" if member.program is None else member.program.docstring.strip()
    iou = Estimate(member.iou_held_out) if member.iou_test is None else member.iou_test
    shown = [f"{label} {_head_iou(lines[label])}" for label in member.heads]
    text = [own or f"Program {member.id}.", "", "Heads and their IoU:" if shown else "Heads: none."]
    text += [
        "    " + ", ".join(shown[start : start + HEADS_A_LINE]) + ("," if start + HEADS_A_LINE < len(shown) else "")
        for start in range(0, len(shown), HEADS_A_LINE)
    ]
    text.append(f"IoU: {in_words(iou)}, the mean over its heads on {'held-out' if library.test is None else 'test'}")
    if member.program is not None:
        words = listed_words(member.program)
        text.append(f"Words: lists {len(words)}" if words else "Words: lists none, so nothing of it is of one corpus")
    if member.descriptors:
        text.append("Descriptors: " + ", ".join(f"{name} {value:.2f}" for name, value in member.descriptors.items()))
    return "\n".join(text)


def _head_iou(line: HeadLine) -> str:
    estimate = line.iou_test or (None if line.iou_held_out is None else Estimate(line.iou_held_out))
    return "not scored" if estimate is None else f"{estimate.value:.3f}"


def _version(library: ReducedLibrary) -> str:
    software = library.provenance.get("software", {})
    commit = f", commit {software['commit'][:12]}" if software.get("commit") else ""
    return f" {software['headscribe']}{commit}" if software else ""


def _quoted(text: str) -> str:
    return json.dumps(text)

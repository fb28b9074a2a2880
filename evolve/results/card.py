"""The card of a shared library, a README.md: what it is of, how good, how it is used, its limits, how to cite it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from archives.about import subject
from fitness.heads import Head
from fitness.printable import one_line, printable

TAGS = ("headscribe", "interpretability", "attention", "program-synthesis")
PAPER = "arXiv:2606.19317"

_USE = """\
## Use
```python
import headscribe as hs

library = hs.load_library("{name}")
library["{head}"].program  # readable source
library.predict("{head}", ["Once", " upon", " a", " time"])  # its attention as the program has it, run in a sandbox
```
`load_library` reads `library.json` alone. `library.py` and `headscribe_text.py` need numpy and nothing else:

```python
from headscribe_text import Text, to_prediction
from library import HEADS, PROGRAMS

weights = PROGRAMS[HEADS["{head}"]](Text(["Once", " upon", " a", " time"]))
prediction = to_prediction(weights, causal={causal})
```
They are code, and importing them is running code of whoever shared it: read it first. Tokens are strings as the
model's own tokenizer cuts them, leading spaces kept, its begin token first where it has one.
"""

_LIMITS = """\
## Limits
- IoU says how much a program's prediction overlaps with the attention, not that the head computes what the program
  does, nor what the model loses where the program takes the head's place: `headscribe replace` measures that.
- The reference is a table of attention by position, or a simple program, chosen for each head on held-out texts. What
  a library explains beyond it is the gain; where that is small, a table says as much.
- Numbers are of texts like those named above. On other kinds of text they may be lower: `headscribe transfer`
  measures it.
- Programs that list words speak of the corpus as much as of the head: `words_listed` in `library.json` counts them.
"""

_CITE = """\
## How to cite
The task and the score are those of Hayes, Li and Andreas (2026), {paper}; the search follows MAP-Elites (Mouret and
Clune 2015, arXiv:1504.04909). Please cite them, this repository, and headscribe{version}.
"""


def card(library: Mapping[str, Any], transfer: Mapping[str, Any], name: str, licence: str) -> str:
    """The text of the card; whatever a run or a program says in it is shown as text.

    Args:
        library: what `library.json` holds.
        transfer: domain -> what `headscribe transfer` found there; may be empty.
        name: of the repository.
        licence: identifier of the licence, such as "mit".
    """
    about = library["provenance"]
    model = about["model"]
    software = about["software"]
    example = next((head for head, line in library["assignment"].items() if line["program"]), "L0H0")
    summary = (
        f"{library['library_size']} short Python programs that say what {library['heads']} attention heads do. Each "
        "sees a text and predicts a head's whole attention matrix. Found by headscribe.\n"
    )
    parts = [
        "\n".join(_front(model, licence)),
        f"# Programs for the attention heads of {_plain(model['name'])}\n",
        summary,
        "\n".join(f"- {_plain(line)}" for line in subject(about)) + "\n",
        "## How good\n" + "\n".join([*_table(library), "", *_abroad(transfer)]) + "\n",
        "\n".join(_example(library)),
        _USE.format(name=name, head=Head.parse(example).label, causal=bool(model["causal"])),
        _LIMITS,
        f"## Licence\n{_plain(licence)} (`headscribe_text.py`: MIT, from headscribe itself).\n",
        _CITE.format(paper=PAPER, version=f" {_plain(software['headscribe'])}"),
    ]
    return "\n".join(parts)


def _front(model: Mapping[str, Any], licence: str) -> Iterator[str]:
    """YAML that the hub reads; JSON strings are YAML."""
    yield "---"
    yield f"license: {json.dumps(licence)}"
    yield "library_name: headscribe"
    yield f"tags: {json.dumps(list(TAGS))}"
    if model.get("revision"):
        yield f"base_model: {json.dumps(one_line(model['name']))}"
    yield "---\n"


def _table(library: Mapping[str, Any]) -> Iterator[str]:
    """Means over heads, on test where that was read."""
    split = "held_out" if library["mean_iou_test"] is None else "test"
    yield f"| mean IoU over heads, {split.replace('_', '-')} texts | |"
    yield "|---|---|"
    library_iou = _number(library[f"mean_iou_{split}"], library[f"mean_iou_{split}_interval"])
    yield f"| this library, {library['library_size']} programs | {library_iou} |"
    yield f"| best single program for all heads | {_number(library[f'single_best_iou_{split}'])} |"
    if split == "test":
        yield f"| best simple baseline of each head | {_number(library['baseline_iou_test'])} |"
        yield f"| reference: best table or baseline of each head | {_number(library['reference_iou_test'])} |"
        gain = _number(library["gain_over_reference"], library["gain_over_reference_interval"], sign="+")
        yield f"| **library minus reference** | **{gain}** |"


def _abroad(transfer: Mapping[str, Any]) -> Iterator[str]:
    """What the same assignment is worth on other kinds of text."""
    known = {domain: found for domain, found in transfer.items() if found.get("reference") is not None}
    if not known:
        return
    yield "The same assignment on texts that the search never used:\n"
    yield "| texts | library | tables of home | gain |"
    yield "|---|---|---|---|"
    for domain, found in known.items():
        gain = _number(found["gain"], found["interval"], sign="+")
        yield f"| {_plain(domain)} | {_number(found['library'])} | {_number(found['reference'])} | {gain} |"
    yield ""


def _example(library: Mapping[str, Any]) -> Iterator[str]:
    """The program of most heads; a fence is longer than any that its source could hold."""
    first = next((program for program in library["programs"] if program["source"]), None)
    if first is None:
        return
    source = printable(first["source"].replace("\t", "    "), lines=True).rstrip()
    longest = max(map(len, re.findall("`+", source)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"The program of most heads, {len(first['heads'])}:\n"
    yield f"{fence}python\n{source}\n{fence}\n"


def _number(value: float | None, interval: list[float] | None = None, *, sign: str = "") -> str:
    if value is None:
        return "not measured"
    ends = "" if interval is None else f" [{interval[0]:{sign}.3f}, {interval[1]:{sign}.3f}]"
    return f"{value:{sign}.3f}{ends}"


def _plain(text: str) -> str:
    """A string of somebody's as Markdown shows it: one line, nothing of it a mark, a tag or a link."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#|~!&" else c for c in one_line(text))

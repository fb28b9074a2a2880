from __future__ import annotations

import ast
import io
import re

import pytest
from campaigns import ROOT
from rich.panel import Panel
from rich.table import Table

from evolve.views.terminal import Terminal
from fitness.printable import csv_cell, one_line, printable

HOSTILE = "\x1b]0;owned\x07 \x1b[2J \x9b31m a\u202eb\u2066c \x08\x00 \ud800 d"
PACKAGES = ("headscribe", "evolve", "operators", "fitness", "archives")
# A terminal's own styles, which rich writes.
STYLE = re.compile(r"\x1b\[[0-9;]*m")


def obeyed(shown):
    """Characters that a terminal would obey."""
    return {c for c in STYLE.sub("", shown) if not c.isprintable() and c != "\n"}


@pytest.mark.parametrize("wrap", [str, Panel, lambda text: Panel("x", title=text), "table"])
def test_whatever_is_drawn_is_printable(wrap):
    if wrap == "table":
        table = Table(title=HOSTILE)
        table.add_column(HOSTILE)
        table.add_row(HOSTILE)
        wrap = lambda text: table  # noqa: E731
    out = io.StringIO()
    Terminal(file=out, force_terminal=True, width=120).print(wrap(HOSTILE.replace("[", "\\[")))
    assert obeyed(out.getvalue()) == set()
    assert "d" in out.getvalue()


def test_an_error_that_quotes_hostile_text_is_printable(headscribe):
    done = headscribe("run", "no\x1b]0;owned\x07\u202efile", check=False)
    assert done.returncode == 2
    assert "file" in done.stderr
    assert obeyed(done.stderr) == set()


def test_no_other_path_leads_to_a_terminal():
    found = []
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    name = ast.unparse(node.func)
                    if name in ("Console", "print", "Terminal", "rich.print", "basicConfig", "logging.basicConfig") or (
                        re.search(r"\b(stdout|stderr)\.(buffer\.)?write\b|secho|typer\.echo", name)
                    ):
                        found.append(f"{path.relative_to(ROOT)}: {ast.unparse(node)}")
    own = [line for line in found if line.startswith("evolve/views/terminal.py")]
    training = [line for line in found if line.startswith("fitness/demo/train.py")]
    echoed = [line for line in found if "printable(" in line or "json.dumps(" in line or "'interrupted'" in line]
    assert [line for line in found if line not in own + training + echoed] == []
    assert len(own) == 2
    assert echoed


def test_strings_are_made_printable_once_and_for_all():
    assert not obeyed(printable(HOSTILE))
    assert printable("a\nb", lines=True) == "a\nb"
    assert one_line("a\n\x1b[2J  b" + "c" * 999).startswith("a [2J bcc")
    assert len(one_line("c" * 999)) == 400
    printable(HOSTILE).encode()


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "=cmd|' /C calc'!A0"])
def test_formulas_in_tables_are_quoted(formula):
    assert str(csv_cell(formula))[:1] in ("'", " ")
    assert csv_cell("previous") == "previous"
    assert csv_cell(-0.5) == -0.5

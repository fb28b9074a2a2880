"""A finished run in whose every string somebody put terminal codes, HTML and formulas: looked at, it does nothing."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import yaml
from campaigns import ROOT, SMALL

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2066\x08\x00"
MARKUP = "'\"><script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)><style>*{}</style>{{1}}"
STYLE = "url(http://evil.example/x)"
POISON = f"=HYPERLINK(1) {ESCAPES} [bold]{MARKUP} {STYLE}"
# What a terminal's own styles, progress and cursor need, which rich and click write.
OWN_CODES = re.compile(r"\x1b\[[0-9;?]*[mKAhlG]|\r")
# Strings that say which row belongs to which, and kinds that are read back into enumerations.
KEPT = {"id", "signature", "kind", "outcome", "parents", "call", "key", "template"}
TABLES = ("programs", "proposals", "test_reads")


def poisoned(value, key=""):
    """A JSON value with poison in every string that is not a name which other values are found by."""
    if isinstance(value, dict):
        return {name: poisoned(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [poisoned(inner, key) for inner in value]
    return f"{value}{POISON}" if isinstance(value, str) and key not in ("program", "id") else value


def poison(database):
    connection = sqlite3.connect(database)
    for table in TABLES:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[2] == "TEXT"]
        for column in set(columns) - KEPT:
            if column == "source":  # stays a program, which says it all in its docstring and comments
                comment = "# " + POISON.replace("\x00", "") + "\n"
                connection.execute("UPDATE programs SET source = ? || source", (comment,))
            else:
                connection.execute(f"UPDATE {table} SET {column} = coalesce({column}, '') || ?", (POISON,))
    changes = [{"key": "stop", "old": "a", "new": "b", "programs": 1, "date": "now"}]
    connection.execute("INSERT INTO meta VALUES ('config_changes', ?)", (json.dumps(changes),))
    for key in ("result", "details", "texts", "sandbox", "provenance", "software", "config_changes"):
        for (text,) in connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchall():
            changed = json.dumps(poisoned(json.loads(text)))
            connection.execute("UPDATE meta SET value = ? WHERE key = ?", (changed, key))
    connection.commit()
    connection.close()


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, attention_cache):
    folder = tmp_path_factory.mktemp("poisoned")
    config = folder / "small.yaml"
    config.write_text(SMALL + f"attention_cache: {attention_cache}\n")
    command = [sys.executable, "-m", "evolve.cli", "run", config, "--run-dir", folder / "run"]
    subprocess.run(command, check=True, capture_output=True, timeout=300, cwd=ROOT)
    run = folder / "run"
    poison(run / "campaign.sqlite")
    library = json.loads((run / "library.json").read_text())
    for program in library["programs"]:
        program["docstring"] = program["function"] = POISON
    library["provenance"] = poisoned(library["provenance"])
    (run / "library.json").write_text(json.dumps(library))
    (folder / f"name{ESCAPES[:3]}{MARKUP[:4]}".replace("\x00", "")).symlink_to(run)
    return run


def in_terminal(*arguments):
    """All that a command writes where stdout and stderr are a terminal, and its exit code."""
    owner, terminal = pty.openpty()
    command = [sys.executable, "-m", "evolve.cli", *map(str, arguments)]
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, cwd=ROOT)
    os.close(terminal)
    parts = []
    while True:
        try:
            part = os.read(owner, 1 << 16)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(owner)
    return b"".join(parts).decode(), process.wait()


COMMANDS = ["status", "report", "push", "library", "compare", "prompts", "export"]


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_lets_a_run_speak_to_the_terminal(run_dir, name):
    paths = [run_dir, run_dir.parent / "run"] if name == "compare" else [run_dir]
    shown, code = in_terminal(name, *paths, *(["a/b", "--dry-run"] if name == "push" else []))
    assert "Traceback" not in shown
    assert code in (0, 2), shown[-2000:]
    rest = OWN_CODES.sub("", shown).replace("\n", "")
    assert {c for c in rest if not c.isprintable()} == set()
    assert "owned" not in shown or "]0;owned" in rest  # shown, if at all, as plain text


class Page(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


TAGS = set(
    "html head meta title style script noscript body header nav main section h1 h2 h3 p div b dl ol span table thead "
    "tbody tr th td a pre figure figcaption canvas button label select option input details summary svg rect line text "
    "polyline caption dt dd ul li".split()
)


@pytest.mark.slow
def test_the_report_takes_no_tag_style_or_script_from_data(run_dir, headscribe):
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    headscribe("report", run_dir)
    page = (run_dir / "report.html").read_text()
    assert config["model"] in page
    found = Page(page).found
    assert {tag for tag, _ in found} <= TAGS
    tags = [tag for tag, _ in found]
    assert (tags.count("style"), tags.count("script")) == (1, 5)
    assert {tuple(attributes.items()) for tag, attributes in found if tag == "script"} == {
        *((("type", "application/json"), ("id", name)) for name in ("data", "weights", "ancestry", "marks")),
        (),
    }
    for tag, attributes in found:
        assert not any(name.startswith("on") or name in ("style", "src") for name in attributes), (tag, attributes)
        if tag == "a":
            assert attributes["href"].startswith("#")
    assert "unsafe" not in re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1)
    assert "default-src 'none'" in page
    assert not set("\x1b\x9b\u202e\u2066\x00") & set(page)


@pytest.mark.slow
def test_tables_quote_what_a_spreadsheet_would_run(run_dir, headscribe):
    headscribe("library", run_dir, check=False)
    for path in run_dir.rglob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not any(cell.startswith(("=", "@", "\t")) for cell in cells), path
        assert all(cell.replace("\n", "").isprintable() for cell in cells), path  # sources have lines

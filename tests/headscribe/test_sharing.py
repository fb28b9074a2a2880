"""Libraries shared on a hub and loaded from it; the hub is a small server that speaks its endpoints."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from campaigns import ROOT
from hub_server import COMMIT, serving

import headscribe as hs
from evolve.results.card import card
from evolve.results.sharing import FILES, what_is_shared
from evolve.store.run_dir import RunDir
from fitness.errors import UserError

NAME = "ada/storyteller-heads"
SHARED = {*FILES, "README.md"}
LOAD = (
    "import json, sys, headscribe as hs\n"
    "library = hs.load_library(sys.argv[1])\n"
    "assert 'library' not in sys.modules\n"
    "print(json.dumps(library.numbers['provenance']['model']['name']), library.size, library.mean_iou_test)\n"
)


@pytest.fixture(scope="module")
def hub():
    with serving() as hub:
        yield hub


@pytest.fixture
def client(hub, tmp_path):
    """Runs Python, or the command line, as a user of that hub; returns the finished process."""
    names = {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": "hf_ours",
        "PYTHONPATH": str(ROOT),
    }
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}

    def run(*arguments):
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=kept | names)

    return run


TRY = """
import sys, headscribe as hs
try:
    hs.load_library(sys.argv[1])
except hs.UserError as error:
    print(error)
"""


def push(client, *arguments):
    return client("-m", "evolve.cli", "push", *arguments)


def test_a_dry_run_shows_what_would_be_sent_and_sends_nothing(tiny_run, hub, client):
    before = len(hub.requests)
    done = push(client, tiny_run.path, NAME, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert set(shown["files"]) == SHARED
    assert shown["address"] is None
    assert shown["card"].startswith("---\nlicense:")
    assert len(hub.requests) == before


def test_what_is_pushed_is_loaded_as_it_was_and_nothing_else_is_sent(tiny_run, hub, client):
    done = push(client, tiny_run.path, NAME)
    assert done.returncode == 0, done.stderr
    assert f"{hub.address}/{NAME}" in done.stdout
    assert done.stderr == ""
    held = hub.repositories[NAME]
    assert set(held) == SHARED
    assert hub.tokens == {"Bearer hf_ours"}
    for name in FILES:
        assert held[name] == (tiny_run.path / name).read_bytes()
    before = len(hub.requests)
    loaded = client("-c", LOAD, NAME)
    assert loaded.returncode == 0, loaded.stderr
    library = tiny_run.library
    assert loaded.stdout.split() == ['"storyteller-gpt2"', str(library.size), str(library.mean_iou_test)]
    asked = {path for _, path in hub.requests[before:] if path.startswith(f"/{NAME}/")}
    assert asked <= {f"/{NAME}/resolve/{revision}/library.json" for revision in ("main", COMMIT)}
    assert asked


@pytest.mark.parametrize(
    ("name", "message"),
    [("ada/nothing", "neither a path 'ada/nothing' nor a hub library"), ("ada/empty", "holds no library.json")],
)
def test_what_is_not_there_is_said_in_one_line(hub, client, name, message):
    hub.repositories["ada/empty"] = {}
    done = client("-c", TRY, name)
    assert message in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1


def test_a_folder_gets_what_would_be_sent_and_is_loaded_like_the_hub(tiny_run, tmp_path, headscribe):
    headscribe("push", tiny_run.path, NAME, "--dir", tmp_path / "shared")
    assert {file.name for file in (tmp_path / "shared").iterdir()} == SHARED
    assert hs.load_library(tmp_path / "shared") == tiny_run.library


def test_a_link_in_the_place_of_a_file_is_not_followed(tiny_run, tmp_path):
    for name in FILES[1:]:
        (tmp_path / name).write_bytes((tiny_run.path / name).read_bytes())
    (tmp_path / "secret").write_text("mine alone")
    (tmp_path / FILES[0]).symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="is no plain file of text"):
        what_is_shared(RunDir(tmp_path), NAME, "mit")


@pytest.mark.parametrize("name", ["nothing", "a/b/c", "../x", "a/.x y"])
def test_what_is_no_name_on_the_hub_is_refused(tiny_run, name):
    with pytest.raises(UserError, match="give owner/name"):
        what_is_shared(RunDir(tiny_run.path), name, "mit")


def contents(run):
    return json.loads((run.path / "library.json").read_text())


def test_the_card_says_what_on_what_how_good_and_whom_to_cite(tiny_run):
    shown = card(contents(tiny_run), tiny_run.result["transfer"], NAME, "cc-by-4.0")
    numbers = tiny_run.library.numbers
    assert 'license: "cc-by-4.0"' in shown
    assert "storyteller-gpt2, 32 heads" in shown
    assert f"{numbers['mean_iou_test']:.3f}" in shown
    assert f"{numbers['gain_over_reference']:+.3f}" in shown
    assert "2606.19317" in shown
    assert f'hs.load_library("{NAME}")' in shown
    for part in ("## How good", "## Use", "## Limits", "## Licence", "## How to cite"):
        assert part in shown


def test_what_a_stranger_wrote_is_text_on_the_card(tiny_run):
    library = contents(tiny_run)
    library["provenance"]["model"]["name"] = "<script>x</script>\n---\n# [a](b)"
    library["programs"][0]["source"] = (
        'def program(text):\n    """```\n# Not ours\n<b>"""\n    return text.same * 1.0\n'
    )
    there = {"a | b": {"library": 0.5, "reference": 0.4, "gain": 0.1, "interval": [0.0, 0.2]}}
    shown = card(library, there, NAME, "mit")
    assert "<script>" not in shown
    assert "[a](b)" not in shown
    assert "\n---\n\\#" not in shown
    assert "a \\| b" in shown
    assert "\n````python\ndef program" in shown


def broken(**changes):
    return {"format": 1, "programs": [], "assignment": {}, "provenance": {}} | changes


@pytest.mark.parametrize(
    "written",
    [
        json.dumps(broken(programs=[{}], assignment={"L0H0": {"program": None}})),
        json.dumps(broken(assignment={"L0H0": 7})),
        json.dumps(broken(assignment=[["L0H0"]])),
        json.dumps({"format": 1}),
        "[" * 100_000,
    ],
    ids=["no keys", "a number", "a list", "nothing", "depth"],
)
def test_what_is_no_library_is_refused_in_one_line(tmp_path, written):
    (tmp_path / "library.json").write_text(written)
    with pytest.raises(UserError, match=r"is not a library\.json"):
        hs.load_library(tmp_path)


def test_a_head_with_a_program_that_is_not_there_is_refused(tiny_run, tmp_path):
    library = contents(tiny_run)
    next(iter(library["assignment"].values()))["program"] = "0" * 16
    (tmp_path / "library.json").write_text(json.dumps(library))
    with pytest.raises(UserError, match="a head's program is not among its programs"):
        hs.load_library(tmp_path)


def test_programs_of_strangers_run_in_the_sandbox_alone(tiny_run, tmp_path):
    library = contents(tiny_run)
    head = next(iter(library["assignment"]))
    entry = next(e for e in library["programs"] if e["id"] == library["assignment"][head]["program"])
    entry["source"] = f"def program(text):\n    open({str(tmp_path / 'PWNED')!r}, 'w')\n    return text.same * 1.0\n"
    (tmp_path / "library.json").write_text(json.dumps(library))
    (tmp_path / "library.py").write_text(f"open({str(tmp_path / 'PWNED')!r}, 'w')\n")
    loaded = hs.load_library(tmp_path)
    with pytest.raises(hs.ProgramError):
        loaded.predict(head, ["Once", " upon"])
    assert not (tmp_path / "PWNED").exists()


def test_a_loaded_library_predicts_what_its_run_does(tiny_run):
    text = tiny_run.attention.texts[0]
    library = hs.load_library(tiny_run.path)
    for head in library.heads[:3]:
        own = tiny_run.predict(library[head].program, 0)
        np.testing.assert_allclose(library.predict(head, text.tokens), own, atol=1e-6)

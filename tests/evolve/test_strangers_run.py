"""Run directories and configurations that somebody else made do nothing but show, or end in a message."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time

import numpy as np
import pytest
import yaml
from campaigns import SMALL

from evolve.config import load_config, parse_config
from evolve.session import captured
from evolve.store import Store
from evolve.store.run_dir import RunDir, RunLock, RunLog, write_atomically
from fitness.errors import UserError
from fitness.models.attention import open_attention
from fitness.models.loading import load_model, load_tokenizer
from fitness.models.source import locate
from fitness.replacement.measurements import Measurements


@pytest.fixture
def run(tmp_path, small_config):
    """A run directory with a configuration and a campaign's state, in which nothing was evaluated."""
    directory = RunDir(tmp_path / "run")
    directory.prepare()
    directory.save_config(load_config(str(small_config), ["sandbox.mode=degraded"]))
    Store(directory.database, create=True, meta={"fingerprint": {}, "labels": []}).close()
    return directory


def test_a_stored_degraded_sandbox_is_refused_until_somebody_here_asks(run, monkeypatch, headscribe):
    assert run.load_config().sandbox.mode == "degraded"
    with pytest.raises(UserError, match="HEADSCRIBE_SANDBOX=degraded"):
        run.load_config_to_run()
    for command in (["run", run.config, "--run-dir", run.path], ["library", run.path], ["replace", run.path]):
        done = headscribe(*command, check=False)
        assert done.returncode == 2, done.stderr
    assert "sandbox.mode: degraded" in headscribe("run", run.config, "--run-dir", run.path, check=False).stderr
    monkeypatch.setenv("HEADSCRIBE_SANDBOX", "degraded")
    assert run.load_config_to_run().sandbox.mode == "degraded"


@pytest.mark.parametrize("name", ["lock", "log.jsonl", "report.html", ".write-probe"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe"])
def test_nothing_is_written_through_links_and_pipes(run, tmp_path, name, kind):
    victim = tmp_path / "victim"
    if kind == "link":
        victim.write_text("mine")
    path = run.file(name)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(victim)
    begin = time.monotonic()
    if name == "lock":
        with pytest.raises(UserError, match="remove it"), RunLock(run):
            pass
    elif name == "log.jsonl":
        with pytest.raises(UserError, match="remove it"):
            RunLog(path).write("start")
    elif name == "report.html":
        write_atomically(path, "page")
        assert path.read_text() == "page"
    else:
        run.prepare()
    assert time.monotonic() - begin < 30  # a pipe without a reader would wait for ever
    assert (victim.read_text() if kind == "link" else victim.exists()) == ("mine" if kind == "link" else False)


def test_a_prepared_temporary_file_is_not_written_through(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / f".page.{os.getpid()}").symlink_to(victim)
    write_atomically(tmp_path / "page", "new")
    assert (victim.read_text(), (tmp_path / "page").read_text()) == ("mine", "new")


def test_measurements_are_not_written_through_a_link(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "measurements.jsonl").symlink_to(victim)
    with pytest.raises(UserError, match="remove it"):
        Measurements(tmp_path / "measurements.jsonl").put("key", np.zeros(2))
    assert victim.read_text() == "mine"


LETTERS = "abcdefghijkl"
LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{c}: &{c} [*{b}, *{b}, *{b}]\n" for b, c in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
HOSTILE_YAML = {
    "aliases of aliases": LAUGHS,
    "an alias of itself": "a: &a [*a]\n",
    "a Python object": "model: !!python/object/apply:os.system ['touch PWNED']\n",
    "a tag of its own": "model: !mine x\n",
    "deep nesting": "a: " + "[" * 3000 + "]" * 3000,
    "two megabytes": "a: " + "x" * (2 << 20),
    "no mapping": "- 1\n",
    "not text": "\x00\x01",
}


@pytest.mark.parametrize("name", HOSTILE_YAML)
def test_a_hostile_configuration_ends_in_a_message(tmp_path, name):
    path = tmp_path / "config.yaml"
    path.write_text(HOSTILE_YAML[name])
    with pytest.raises(UserError) as caught:
        load_config(str(path))
    assert len(str(caught.value)) < 1000
    with pytest.raises(UserError):
        RunDir(tmp_path).load_config()


def test_devices_in_place_of_files_end_in_a_message(tmp_path):
    (tmp_path / "config.yaml").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="not a run directory"):
        RunDir(tmp_path).load_config()
    (tmp_path / "campaign.sqlite").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="no plain file"):
        RunDir(tmp_path).open_store()


@pytest.mark.parametrize("kind", ["device", "pipe"])
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("config.yaml", ["run", "{}"]),
        ("config.yaml", ["check", "{}"]),
        ("scores.csv", ["library", "{}"]),
        ("texts.jsonl", ["run", "quickstart", "--set", "texts={}"]),
        ("model.gguf", ["run", "quickstart", "--set", "model={}"]),
        ("programs.py", ["score", "{}", "--model", "storyteller-gpt2"]),
    ],
)
def test_no_command_reads_a_device_or_waits_for_a_pipe(tmp_path, headscribe, kind, name, command):
    path = tmp_path / name
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    done = headscribe(*(part.format(path) for part in command), check=False, timeout=60)
    assert done.returncode == 2
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_with_code_of_its_own_is_not_run(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    classes = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model", "AutoTokenizer": ["own.T", "own.T"]}
    (folder / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": classes}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T", "auto_map": classes}))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'PWNED')!r}, 'w')\n")
    for load in (load_model, load_tokenizer):
        with pytest.raises(UserError, match="trust_remote_code"):
            load(locate(str(folder)))
    assert not (tmp_path / "PWNED").exists()


@pytest.fixture(scope="module")
def captured_attention(tmp_path_factory):
    """A folder of captured attention."""
    values = yaml.safe_load(SMALL) | {"attention_cache": str(tmp_path_factory.mktemp("captured"))}
    return captured(parse_config(values, "here"))[0].folder


def no_plain_file(path):
    path.unlink()
    path.symlink_to("/dev/zero")


def rewritten(name, change):
    def write(folder):
        path = folder / name
        path.write_text(json.dumps(change(json.loads(path.read_text()))))

    return write


def huge_array(folder):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000000), }"
    (folder / "sums.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)


HOSTILE_CACHES = {
    "a device for facts": lambda folder: no_plain_file(folder / "meta.json"),
    "a device for texts": lambda folder: no_plain_file(folder / "texts.json"),
    "a device for sums": lambda folder: no_plain_file(folder / "sums.npy"),
    "a device for attention": lambda folder: no_plain_file(folder / "attention.f16"),
    "a huge array": huge_array,
    "a pickle": lambda folder: np.save(folder / "sums.npy", np.array([print], dtype=object), allow_pickle=True),
    "so many heads": rewritten("meta.json", lambda meta: meta | {"layers": [[0, 10**12]]}),
    "heads less than none": rewritten("meta.json", lambda meta: meta | {"layers": [[0, 9], [1, -9]]}),
    "no heads": rewritten("meta.json", lambda meta: meta | {"layers": []}),
    "a list of facts": rewritten("meta.json", lambda meta: [meta]),
    "facts left out": rewritten("meta.json", lambda meta: {}),
    "numbers for texts": rewritten("texts.json", lambda texts: [1, 2]),
    "numbers for tokens": rewritten("texts.json", lambda texts: [text | {"tokens": [1]} for text in texts]),
    "deep nesting": lambda folder: (folder / "meta.json").write_text("[" * 100_000),
}


@pytest.mark.parametrize("name", HOSTILE_CACHES)
def test_a_hostile_attention_cache_ends_in_a_message(tmp_path, name, captured_attention):
    shutil.copytree(captured_attention, tmp_path / "cache")
    HOSTILE_CACHES[name](tmp_path / "cache")
    begin = time.monotonic()
    with pytest.raises(UserError, match="attention cache unreadable"):
        open_attention(tmp_path / "cache")
    assert time.monotonic() - begin < 5


HOSTILE_SQL = {
    "an endless view": "ALTER TABLE steps RENAME TO s; CREATE VIEW steps AS WITH RECURSIVE n(x) AS "
    "(SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS step, 1.0 AS seconds, '{}' AS summary FROM n",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON steps BEGIN DELETE FROM programs; END",
    "a virtual table": "CREATE VIRTUAL TABLE v USING fts5(a)",
}


@pytest.mark.parametrize("name", HOSTILE_SQL)
def test_a_database_that_does_more_than_hold_rows_is_not_opened(run, name):
    connection = sqlite3.connect(run.database)
    connection.executescript(HOSTILE_SQL[name])
    connection.close()
    with pytest.raises(UserError, match="views or triggers"):
        run.open_store()

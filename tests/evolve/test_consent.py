"""A configuration may be anybody's: where it would send a key is shown and agreed to once; foreign words are data."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml
from campaigns import SMALL
from fake_llm_server import FakeLlmServer, Status

from evolve.config import load_config
from evolve.views.consent import ask_for_keys
from evolve.views.terminal import Terminal
from fitness.errors import UserError
from operators.llm.client.keys import ENDPOINTS_VARIABLE, agreed, api_key

AWAY = "https://collector.example/v1"


def entry(base_url, env="TEST_KEY"):
    return SimpleNamespace(model="m", base_url=base_url, api_key_env=env)


@pytest.fixture(autouse=True)
def _own_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setenv("TEST_KEY", "secret-of-mine")
    monkeypatch.delenv(ENDPOINTS_VARIABLE, raising=False)


@pytest.fixture
def config_path(tmp_path, attention_cache):
    def write(base_url, env="TEST_KEY"):
        values = yaml.safe_load(SMALL) | {
            "attention_cache": str(attention_cache),
            "operators": {"fresh": 1},
            "llm": {"models": [{"model": "m", "base_url": base_url, "api_key_env": env, "timeout": 5}], "retries": 0},
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return write


def asked(monkeypatch, config, answer):
    """What is shown where somebody is at the terminal and gives this answer."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    out = io.StringIO()
    monkeypatch.setattr("builtins.input", lambda *_: answer)
    ask_for_keys(Terminal(file=out, width=500), config)
    return out.getvalue()


@pytest.mark.parametrize(
    ("base_url", "env", "goes"),
    [
        ("https://api.anthropic.com/v1/", "ANTHROPIC_API_KEY", True),
        ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", True),
        ("https://openrouter.ai/api/v1", "OPENAI_API_KEY", False),
        ("http://openrouter.ai/api/v1", "OPENROUTER_API_KEY", False),
        ("https://openrouter.ai.example/api/v1", "OPENROUTER_API_KEY", False),
    ],
)
def test_a_key_goes_unasked_to_the_very_service_that_its_variable_names(base_url, env, goes):
    assert agreed(entry(base_url, env)) == goes


def test_an_address_is_shown_and_agreed_to_once(config_path, monkeypatch):
    config = load_config(str(config_path(AWAY)))
    for answer in ("", "n"):
        with pytest.raises(UserError, match="nobody here has agreed"):
            asked(monkeypatch, config, answer)
    with pytest.raises(UserError, match=r"TEST_KEY to https://collector.example/v1"):
        api_key(config.llm.models[0])
    shown = asked(monkeypatch, config, "y")
    assert "TEST_KEY" in shown
    assert AWAY in shown
    assert api_key(config.llm.models[0]) == "secret-of-mine"
    assert asked(monkeypatch, config, "must not be asked") == ""
    # Another key, or another address, is another question.
    for other in (config_path(AWAY, "OTHER_KEY"), config_path("https://collector.example/v2")):
        with pytest.raises(UserError, match="nobody here has agreed"):
            asked(monkeypatch, load_config(str(other)), "n")


def test_where_nobody_can_be_asked_the_command_ends_before_anything_is_sent(config_path, headscribe, tmp_path):
    done = headscribe("run", config_path(AWAY), "--run-dir", tmp_path / "run", check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert f"set {ENDPOINTS_VARIABLE}={AWAY}" in done.stderr
    assert "secret-of-mine" not in done.stderr + done.stdout
    assert not (tmp_path / "run").exists()


def test_an_address_may_be_agreed_to_in_the_environment(monkeypatch):
    assert not agreed(entry(AWAY))
    monkeypatch.setenv(ENDPOINTS_VARIABLE, f"https://other.example {AWAY}")
    assert agreed(entry(AWAY))


@pytest.mark.parametrize(
    ("address", "free"),
    [
        (None, True),
        ("http://localhost:8000/v1", True),
        ("http://127.0.0.1:11434/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://localhost.evil.example/v1", False),
        ("http://127.0.0.1.evil.example/v1", False),
        ("http://127.0.0.1@evil.example/v1", False),
        ("http://127.0.0.1\\@evil.example/v1", False),
        ("http://evil.example\\@127.0.0.1/v1", False),
        ("http://evil.example#@127.0.0.1/v1", False),
        ("http://localhost:8000\n.evil.example", False),
        ("ftp://localhost/", False),
    ],
)
def test_addresses_of_this_machine_and_no_others_need_no_question(address, free):
    assert agreed(entry(address)) is free
    assert agreed(entry(address, env=None))


ERRORS = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2066\x08 no such model"


def test_what_an_endpoint_says_reaches_the_terminal_as_text(config_path, headscribe, tmp_path):
    with FakeLlmServer() as server:
        server.otherwise = lambda body: Status(404, message=ERRORS)
        config = config_path(server.base_url)
        for arguments in (["check", config], ["run", config, "--run-dir", tmp_path / "run"]):
            done = headscribe(*arguments, check=False, env=os.environ)
            said = done.stdout + done.stderr
            assert "no such model" in said
            assert {c for c in said if not c.isprintable() and c != "\n"} == set()
    log = (tmp_path / "run" / "log.jsonl").read_text()
    assert {c for c in log if not c.isprintable() and c != "\n"} == set()

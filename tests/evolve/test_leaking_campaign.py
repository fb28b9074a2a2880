"""A language model whose programs hand back the text that they run on: no held-out text comes to any prompt."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest
import yaml
from campaigns import SMALL
from fake_llm_server import FakeLlmServer, Say, by_hash

from evolve.store import FILE
from fitness.models.attention import open_attention

# What tells one text from all others: the letters that it begins with.
LETTERS = 40
NAME = f"''.join(c for c in text.string if c.isalnum())[:{LETTERS}]"
WAYS = {
    "type's name": "return type(type(1))(name, (), {})()",
    "exception's name": "raise type(ValueError)(name, (ValueError,), {})('x')",
    "message": "raise ValueError(name)",
    "key": "return {}[name]",
    "attribute": "return getattr(text, name)",
    "assertion": "assert not name, name",
    "shape": "return np.zeros([ord(c) for c in name[:4]])",
    "record": "return np.zeros((4, 4), [(name, float)])",
    "strings": "return np.full((text.n, text.n), name)",
    "docstring": "program.__doc__ = name\n    raise ValueError",
    "name of a function": "program.__name__ = name\n    raise ValueError(program)",
    "name of a class": "class A:\n        pass\n    A.__name__ = name\n    return A()",
    "exit": "raise SystemExit(name)",
    "print": "print(name)\n    return 0",
    "warning": "raise Warning(name)",
    "chain": "try:\n        raise KeyError(name)\n    except KeyError as error:\n        raise ValueError from error",
}


def reply(way, number):
    return Say(f"```python\ndef program(text):\n    k = {number}\n    name = {NAME}\n    {way}\n```")


@pytest.mark.slow
def test_held_out_text_that_programs_hand_back_is_in_no_prompt_log_or_field(tmp_path, attention_cache, headscribe):
    bank = [reply(way, number) for number in range(6) for way in WAYS.values()]
    good = Say("```python\ndef program(text):\n    return 1.0 * (text.distance == 1)\n```")
    with FakeLlmServer(otherwise=by_hash([*bank, good])) as server:
        values = yaml.safe_load(SMALL) | {
            "attention_cache": str(attention_cache),
            "stop": {"max_programs": 70},
            "search": {"batch": 8},
            "operators": {"fresh": 2, "mutate": 1, "crossover": 1, "repair": 3},
            "llm": {"models": [{"model": "m", "base_url": server.base_url, "timeout": 20}]},
        }
        config, run = tmp_path / "config.yaml", tmp_path / "run"
        config.write_text(yaml.safe_dump(values))
        said = headscribe("run", config, "--run-dir", run, env=os.environ)
        prompts = [json.dumps(seen.body, ensure_ascii=False) for seen in server.seen]
    with sqlite3.connect(run / FILE) as connection:
        ((folder,),) = connection.execute("SELECT value FROM meta WHERE key = 'attention'")
        fields = connection.execute("SELECT kind, message, degenerate, signature FROM programs").fetchall()
        fields += connection.execute("SELECT outcome, message, note FROM proposals").fetchall()
        failed = dict(connection.execute("SELECT kind, count(*) FROM programs WHERE kind != 'ok' GROUP BY kind"))
    texts = open_attention(Path(attention_cache) / json.loads(folder)).texts
    keys = ["".join(c for c in text.string if c.isalnum())[:LETTERS] for text in texts]
    held_out = [key for key in keys[4:] if key not in keys[:4]]
    assert len(held_out) >= 8
    assert sum(failed.values()) >= 30, failed
    assert any("repair" in json.dumps(json.loads(body)["messages"]) or "failed" in body for body in prompts)
    read = {"prompt": prompts, "field": [str(row) for row in fields], "log": [(run / "log.jsonl").read_text()]}
    read["output"] = [said.stdout, said.stderr]
    for where, strings in read.items():
        for key in held_out:
            # The first letters alone would be a leak as well.
            assert not any(key[:12] in string for string in strings), (where, key)

import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml
from campaigns import ROOT, SMALL
from pages import blocks

import headscribe as hs

OPERATOR, DESCRIPTOR, FIELD = blocks("extending.md")
NAMED = [yaml.safe_load(block) for block in blocks("extending.md", "yaml")]


def defined(source, name):
    """A class or function of the page, as a notebook would define it."""
    names = {"__name__": "__main__"}
    exec(source, names)
    return names[name]


@pytest.fixture
def my_search(tmp_path, monkeypatch):
    """The page's module, importable here and in processes that are started from here."""
    (tmp_path / "my_search.py").write_text(OPERATOR + "\n\n" + DESCRIPTOR)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    yield tmp_path
    sys.modules.pop("my_search", None)


@pytest.mark.parametrize("block", [OPERATOR, DESCRIPTOR, FIELD], ids=["operator", "descriptor", "field"])
def test_each_is_under_forty_lines(block):
    assert len(block.splitlines()) < 40


def test_an_operator_and_a_descriptor_of_a_notebook_search_alike_with_one_worker_and_two(tiny, tmp_path):
    settings = tiny | {
        "operators": {"residual": 1, defined(OPERATOR, "Decay"): 3},
        "search": {"batch": 8, "choice": "shares", "descriptors": ["sink", defined(DESCRIPTOR, "previous")]},
    }
    libraries = []
    for workers in (1, 2):
        run = hs.run("quickstart", run_dir=tmp_path / str(workers), **settings | {"parallel": {"workers": workers}})
        libraries.append((run.path / "library.json").read_bytes())
    assert libraries[0] == libraries[1]
    proposed = [found for found in run.programs if found.operator == "__main__:Decay"]
    assert proposed
    assert all("def inner_" in found.program.source for found in proposed)
    assert all(0 <= found.descriptors["__main__:previous"] <= 1 for found in proposed if found.iou is not None)
    ones = next(found for found in run.programs if "text.distance == 1" in found.program.source)
    assert ones.descriptors["__main__:previous"] == pytest.approx(1.0)
    assert [axis.name for axis in run.grid.axes] == ["sink", "__main__:previous"]


def test_a_run_with_objects_resumes_with_the_same_objects_and_is_read_without_them(tiny, tmp_path):
    settings = tiny | {"operators": {"residual": 1, defined(OPERATOR, "Decay"): 1}}
    whole = hs.run("quickstart", run_dir=tmp_path / "whole", **settings)
    steps = iter([False, False, False, True])
    part = hs.run("quickstart", run_dir=tmp_path / "part", interrupted=lambda: next(steps, True), **settings)
    assert not part.finished
    code = f"import headscribe as hs; print(len(hs.open_run({str(part.path)!r}).programs))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=100)
    assert done.stdout.strip() == str(len(part.programs)), done.stderr
    again = hs.run("quickstart", run_dir=tmp_path / "part", **settings)
    assert (again.path / "library.json").read_bytes() == (whole.path / "library.json").read_bytes()


@pytest.mark.slow
def test_the_command_line_takes_them_by_name_and_finds_the_same(my_search, tiny, attention_cache, headscribe):
    config = yaml.safe_load(SMALL) | NAMED[0] | {"attention_cache": str(attention_cache), "stop": {"max_programs": 30}}
    config["search"] = config["search"] | {"choice": "shares"} | NAMED[1]["search"]
    path = my_search / "mine.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    headscribe("run", path, "--run-dir", my_search / "named")
    by_name = hs.open_run(my_search / "named")
    assert any(found.operator == "my_search:Decay" for found in by_name.programs)
    import my_search as module

    given = config | {"operators": {"residual": 2, module.Decay: 1}}
    given["search"] = config["search"] | {"descriptors": ["sink", module.previous]}
    by_object = hs.run(given, run_dir=my_search / "given")
    assert (by_object.path / "library.json").read_bytes() == (by_name.path / "library.json").read_bytes()


@pytest.mark.parametrize(
    ("setting", "looked_for"),
    [
        ("operators={my_serch:Decay: 1}", "'my_serch:Decay': looked for a module 'my_serch'"),
        ("operators={my_search:Decai: 1}", "looked for 'Decai' in the module 'my_search'"),
        ("search.descriptors=[my_search:nothing]", "looked for 'nothing' in the module 'my_search'"),
        ("operators={__main__:Decay: 1}", "was given in a notebook, script or function"),
    ],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_a_wrong_name_says_what_was_looked_for(my_search, small_config, headscribe, command, setting, looked_for):
    options = ["--run-dir", my_search / "run"] if command == "run" else []
    done = headscribe(command, small_config, *options, "--set", setting, check=False)
    assert done.returncode == 2
    assert looked_for in done.stderr
    assert not (my_search / "run").exists()


def test_two_objects_of_one_name_are_told_apart_by_their_user(tiny, tmp_path):
    one, two = defined(DESCRIPTOR, "previous"), defined(DESCRIPTOR.replace("== 1", "== 2"), "previous")
    with pytest.raises(hs.UserError, match="two different objects are named '__main__:previous'"):
        hs.run("quickstart", run_dir=tmp_path / "run", **tiny | {"search": {"descriptors": [one, two]}})


def test_an_operator_that_raises_ends_nothing(tiny, tmp_path):
    class Broken:
        n_parents = 0

        def propose(self, request, view):
            raise LookupError("nowhere")

    run = hs.run("quickstart", run_dir=tmp_path / "run", **tiny | {"operators": {"residual": 1, Broken: 1}})
    assert run.finished


def test_a_field_of_text_is_seen_by_programs_prompts_and_the_genetic_operator(tmp_path):
    for package in ("fitness", "operators", "archives", "configs"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("demo", "__pycache__"))
    view = tmp_path / "fitness" / "text" / "view.py"
    before, fields, after = view.read_text().partition("\n\ndef fields()")
    view.write_text(before + "\n" + FIELD.rstrip() + "\n" + fields + after)
    code = """
from fitness.program import Program
from fitness.sandbox import Sandbox
from fitness.text.view import Text, fields
from operators.llm.templates import Templates
with Sandbox([Text([" a", " wonderful", " day"])]) as sandbox:
    program = Program.parse("def program(text):\\n    return 1.0 * text.is_long[None, :].repeat(3, 0)")
    outcome = sandbox.run(program, [0])
print(outcome.kind, outcome.message, outcome.weights[0].tolist())
print([field.doc for field in fields() if field.name == "is_long"])
"""
    environment = {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=100, env=environment)
    assert done.returncode == 0, done.stderr
    ran, docs = done.stdout.splitlines()
    assert ran.startswith("ok")
    assert ran.endswith(str(np.tile([0.0, 1.0, 0.0], (3, 1)).tolist()))
    assert docs == "['Has at least seven characters without surrounding spaces.']"

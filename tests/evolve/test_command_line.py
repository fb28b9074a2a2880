"""What the command line says of itself, and to a slip of the pen."""

import json
import logging
import os
import subprocess
import sys
from importlib.metadata import version

import pytest
from campaigns import ROOT
from typer.testing import CliRunner

from evolve.cli import app
from evolve.command_line.options import execute
from evolve.config import PRESETS, Config, load_config
from evolve.store import Store
from evolve.store.run_dir import RunDir

TABLE = "layer,head,program_idx,sentence_idx,iou_score\n" + "".join(
    f"0,{head},{program},{text},{0.5 + 0.1 * (head == program)}\n"
    for head in range(2)
    for program in range(3)
    for text in range(4)
)


@pytest.fixture
def begun(tmp_path):
    """A run that has just begun: its configuration and an empty state."""
    run = RunDir(tmp_path / "runs" / "first")
    run.path.mkdir(parents=True)
    run.save_config(load_config("quickstart"))
    Store(run.database, create=True, meta={}).close()
    return run


def refused(*arguments):
    """What stderr says of a command that the user must change."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_the_version_is_said():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout.strip() == f"headscribe {version('headscribe')}"


def test_a_misspelt_preset_is_answered_with_the_nearest():
    result = CliRunner().invoke(app, ["check", "quikstart"])
    assert result.exit_code == 2
    assert "did you mean 'quickstart'?" in result.stderr


def test_a_file_that_is_not_there_is_answered_with_what_would_be_right():
    result = CliRunner().invoke(app, ["check", "my-own-campaign.yaml"])
    assert result.exit_code == 2
    assert "did you mean" not in result.stderr
    assert "give a YAML file or a preset:" in result.stderr


@pytest.mark.parametrize("command", ["status", "report", "prompts", "compare"])
def test_a_file_of_a_run_is_answered_with_the_run(begun, command):
    assert f"did you mean {begun.path}?" in refused(command, begun.config)


def test_a_folder_of_runs_and_a_misspelt_run_are_answered_with_what_is_there(begun):
    assert f"no config.yaml in it; did you mean {begun.path}?" in refused("status", begun.path.parent)
    misspelt = begun.path.with_name("frist")
    assert f"there is no such folder; did you mean {begun.path}?" in refused("status", misspelt)


def test_prompts_that_are_not_there_are_named_before_anything_else(begun, tmp_path):
    missing = tmp_path / "A.md"
    told = refused("prompts", begun.path, "--compare", missing, tmp_path / "B.md")
    assert f"cannot read {missing}: No such file or directory; give two files of prompts" in told


def test_a_run_that_asked_no_llm_says_so(begun):
    shown = CliRunner().invoke(app, ["prompts", str(begun.path)]).stdout
    assert "no LLM was asked in these runs" in shown


def test_a_table_is_reduced_on_the_screen_and_written_where_one_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scores.csv").write_text(TABLE)
    shown = CliRunner().invoke(app, ["library", "scores.csv"])
    assert "2 programs for 2 heads" in shown.stdout
    assert "--out DIR writes it" in shown.stdout
    assert "--out" in refused("library", "scores.csv", "--plots")
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]
    found = CliRunner().invoke(app, ["library", "scores.csv", "--out", "here", "--json"])
    assert json.loads(found.stdout)["files"] == ["here/library.json", "here/coverage.csv"]
    assert (tmp_path / "here" / "library.json").is_file()


def test_what_libraries_do_behind_the_scenes_stays_out_of_stderr():
    execute(dict, lambda _: [], as_json=True)
    assert not logging.getLogger("matplotlib.font_manager").isEnabledFor(logging.WARNING)


def test_a_shell_completes_commands_and_options_without_loading_a_model_library():
    code = "import sys, evolve.cli\ntry: evolve.cli.main()\nfinally: assert 'numpy' not in sys.modules"
    for words, wanted in (("headscribe st", "status"), ("headscribe replace --frac", "--fractions")):
        asked = {"_HEADSCRIBE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=os.environ | asked
        )
        assert done.stdout.split() == [wanted], done.stderr


# Windows has neither module; everything else is as here.
WITHOUT_FCNTL = """
import sys
sys.modules["fcntl"] = None
from evolve.cli import main
for arguments in (["check", "quickstart"], ["status", "."], ["score", "a.py", "--model", "m"], ["replace", "."]):
    sys.argv = ["headscribe", *arguments]
    try:
        main()
    except SystemExit as ended:
        print(arguments[0], ended.code)
import headscribe
try:
    headscribe.run("quickstart")
except Exception as error:
    print(type(error).__name__)
"""


def test_a_system_without_locks_is_told_in_a_sentence_what_would_do():
    done = subprocess.run([sys.executable, "-c", WITHOUT_FCNTL], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["check", "2", "status", "2", "score", "2", "replace", "2", "UserError"]
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("headscribe: ") and "WSL2" in line for line in lines)


def test_a_preset_is_printed_as_it_is_and_can_be_begun_from(tmp_path):
    result = CliRunner().invoke(app, ["config", "gpt2"])
    assert result.exit_code == 0
    assert result.stdout == (PRESETS / "gpt2.yaml").read_text()
    mine = tmp_path / "mine.yaml"
    mine.write_text(result.stdout)
    assert load_config(str(mine)) == load_config("gpt2")
    values = json.loads(CliRunner().invoke(app, ["config", "gpt2", "--json"]).stdout)
    assert values["model"] == "openai-community/gpt2"


def test_the_schema_of_configurations_is_json_and_knows_every_key():
    schema = json.loads(CliRunner().invoke(app, ["config", "--schema"]).stdout)
    assert schema["properties"].keys() == Config.model_fields.keys()


def test_config_without_a_preset_names_them():
    result = CliRunner().invoke(app, ["config"])
    assert result.exit_code == 2
    assert "gpt2" in result.stderr

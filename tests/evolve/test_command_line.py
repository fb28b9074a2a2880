"""What the command line says of itself, and to a slip of the pen."""

from importlib.metadata import version

from typer.testing import CliRunner

from evolve.cli import app


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

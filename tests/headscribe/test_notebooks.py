import sys

import nbformat
import numpy as np
import pytest
from campaigns import ROOT
from nbclient import NotebookClient
from pages import blocks

import headscribe as hs

NOTEBOOK = ROOT / "examples" / "explore.ipynb"


def markup(run):
    """What a notebook shows of everything that a run gives."""
    library = run.library
    shown = [run, library, library["L2H1"], library.programs[0], run.attention, run.programs, run.programs[0]]
    return [thing._repr_html_() for thing in [*shown, run.grid, run.score(library["L2H1"].program)]]


def test_everything_has_a_short_repr_and_a_table(tiny_run):
    for html in markup(tiny_run):
        assert html.startswith("<table>")
    library = tiny_run.library
    for thing in (tiny_run, library, tiny_run.attention, tiny_run.programs, tiny_run.grid):
        assert "\n" not in repr(thing)
        assert len(repr(thing)) < 300
    assert repr(tiny_run).startswith("Run(")
    assert "32 heads" in repr(library)


def test_program_text_is_data_wherever_it_is_shown(tiny_run):
    contents = tiny_run.library._contents | {"programs": [dict(e) for e in tiny_run.library._contents["programs"]]}
    for entry in contents["programs"]:
        entry["source"] = 'def program(text):\n    """<script>alert(1)</script>"""\n    return text.distance == 1\n'
        entry["function"] = "<img src=x>"
    library = hs.Library(contents)
    head = library.programs[0].heads[0]
    for thing in (library, library[head], library.programs[0]):
        assert "<script" not in thing._repr_html_()
        assert "<img" not in thing._repr_html_()
    assert "&lt;script" in library[head]._repr_html_()


def test_frames_hold_what_the_objects_hold(tiny_run):
    pandas = pytest.importorskip("pandas")
    library = tiny_run.library
    programs, heads = library.to_frame(), library.to_frame("heads")
    assert len(programs) == library.size
    assert list(heads["head"]) == list(library)
    assert heads["iou_test"].between(heads["low"], heads["high"]).all()
    assert len(tiny_run.programs.to_frame()) == len(tiny_run.programs)
    assert tiny_run.grid.to_frame().groupby("head")["iou"].max().loc["L2H1"] == tiny_run.grid["L2H1"][0].iou
    scores = tiny_run.score(library["L2H1"].program)
    assert isinstance(scores.to_frame(), pandas.DataFrame)
    assert scores.to_frame().shape == scores.values.shape


@pytest.mark.parametrize(
    ("module", "call", "extra"),
    [
        ("pandas", lambda run: run.library.to_frame(), "frames"),
        ("matplotlib", lambda run: run.show("L2H1").figure(), "plots"),
        ("matplotlib", lambda run: run.library.show().figure(), "plots"),
    ],
)
def test_what_is_not_installed_names_its_extra(tiny_run, monkeypatch, module, call, extra):
    for name in [name for name in sys.modules if name.partition(".")[0] == module or name == "headscribe.figures"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("headscribe.figures", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(hs.UserError, match=rf"headscribe\[{extra}\]"):
        call(tiny_run)


def test_what_is_shown_of_a_head_is_what_the_run_holds(tiny_run):
    shown = tiny_run.show("L2H1", text=4)
    assert list(shown.matrices) == ["attention", "prediction", "difference", "reference"]
    assert (shown.matrices["attention"] == tiny_run.attention["L2H1", 4]).all()
    predicted = tiny_run.predict(tiny_run.library["L2H1"].program, 4)
    assert (shown.matrices["prediction"] == predicted).all()
    reference = shown.matrices["reference"]
    assert reference.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (reference.shape, shown.tokens) == (predicted.shape, tiny_run.attention.texts[4].tokens)
    assert repr(shown).startswith("<L2H1 on text 4: ")
    assert shown._repr_html_().startswith('<iframe sandbox="allow-scripts"')


def test_a_figure_has_the_matrices_asked_for_with_tokens_on_the_axes(tiny_run, tmp_path):
    shown = tiny_run.show("L2H1", text=4)
    figure = shown.figure("prediction", "difference")
    predicts, differs, *scales = figure.axes
    assert len(scales) == 2
    assert (predicts.images[0].get_array() == shown.matrices["prediction"]).all()
    assert (differs.images[0].get_array() == shown.matrices["difference"]).all()
    assert len(predicts.get_xticklabels()) == len(predicts.get_yticklabels()) == len(shown.tokens)
    assert predicts.get_xticklabels()[3].get_text() == shown.tokens[3].replace(" ", "·").replace("\n", "↵")
    assert figure._repr_png_().startswith(b"\x89PNG")
    figure.savefig(tmp_path / "figure.svg")
    with pytest.raises(hs.UserError, match=r"no matrix 'table'.*attention, prediction"):
        shown.figure("table")


def test_a_matrix_that_cannot_be_shown_says_why():
    with pytest.raises(hs.UserError, match=r"'weights' has shape \(2, 2\); 3 tokens want \(3, 3\)"):
        hs.show_attention(np.eye(2), ["a", "b", "c"])
    with pytest.raises(hs.UserError, match=r"'mine' holds numbers outside \[0, 1\]"):
        hs.show_attention({"mine": 2 * np.eye(2)}, ["a", "b"])
    with pytest.raises(hs.UserError, match="no matrix"):
        hs.show_attention({}, ["a"])


def test_tokens_that_look_like_formulas_are_drawn_as_they_are():
    assert hs.show_attention({"$a": np.eye(2)}, ["$x", "$\\frac"]).figure()._repr_png_()


@pytest.mark.slow
def test_the_ten_lines_of_the_page_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    names = {}
    exec(blocks("api.md")[0], names)
    run = names["run"]
    assert run.path.resolve() == (tmp_path / "runs" / "quickstart")
    assert run.finished
    assert len(run.programs) >= 300
    assert names["small"].size == 10
    run.close()


def test_the_lines_of_the_page_on_what_is_shown_run(tiny_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(blocks("api.md")[1], {"hs": hs, "run": tiny_run})
    assert (tmp_path / "L2H1.svg").read_text().count("<svg") == 1
    assert (tmp_path / "L2H1.html").read_text().startswith("<!doctype html>")


def test_the_notebook_is_kept_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.slow
def test_the_notebook_runs_from_beginning_to_end(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": tmp_path}}
    done = NotebookClient(notebook, timeout=500, kernel_name="python3", resources=place).execute()
    shown = [output for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in shown)
    assert any("<iframe sandbox" in output.get("data", {}).get("text/html", "") for output in shown)
    assert any("<table>" in output.get("data", {}).get("text/html", "") for output in shown)
    assert not [output for output in shown if output.output_type == "stream" and output.name == "stderr"]

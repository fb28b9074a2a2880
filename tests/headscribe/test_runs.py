import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.linalg  # noqa: F401  # its BLAS is to be counted too
import yaml
from campaigns import ROOT
from threadpoolctl import threadpool_info, threadpool_limits

import headscribe as hs
from evolve.session import RunLock
from headscribe.settings import configured

PREVIOUS = "def program(text):\n    return 1.0 * (text.distance == 1)"


def library_bytes(run):
    return (run.path / "library.json").read_bytes()


def test_a_run_prints_nothing_and_comes_to_a_library(tiny, tmp_path, capfd):
    run = hs.run("quickstart", run_dir=tmp_path / "run", **tiny)
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
    assert run.finished
    assert run.result["library_size"] == run.library.size


def test_one_worker_and_two_give_the_same_bytes(tiny, tiny_run, tmp_path):
    two = hs.run("quickstart", run_dir=tmp_path / "run", **tiny | {"parallel": {"workers": 2}})
    assert library_bytes(two) == library_bytes(tiny_run)


def test_a_run_leaves_the_number_of_threads_as_it_was(tiny, tmp_path):
    def blas_threads():
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    def set_in_another_thread(number):  # a thread's own setting would bind it
        thread = threading.Thread(target=lambda: threadpool_limits(number, user_api="blas"))
        thread.start()
        thread.join()

    (before,) = blas_threads()
    set_in_another_thread(before + 1)
    hs.run("quickstart", run_dir=tmp_path, **tiny | {"parallel": {"workers": 2}})
    assert blas_threads() == {before + 1}
    set_in_another_thread(before)
    assert blas_threads() == {before}


def test_a_run_in_a_thread_is_interrupted_and_resumes_to_the_same_bytes(tiny, tiny_run, tmp_path):
    stop, ended = threading.Event(), []

    def work():
        ended.append(
            hs.run("quickstart", run_dir=tmp_path, progress=lambda step: stop.set(), interrupted=stop.is_set, **tiny)
        )

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(300)
    assert not ended[0].finished
    assert "not finished" in repr(ended[0])
    again = hs.run("quickstart", run_dir=tmp_path, **tiny)
    assert library_bytes(again) == library_bytes(tiny_run)


def test_ctrl_c_in_a_step_loses_nothing_that_was_committed(tiny, tiny_run, tmp_path):
    def interrupt(step):
        if step.step == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hs.run("quickstart", run_dir=tmp_path, progress=interrupt, **tiny)
    seen = hs.open_run(tmp_path)
    assert 0 < len(seen.programs) < len(tiny_run.programs)
    assert library_bytes(hs.run("quickstart", run_dir=tmp_path, **tiny)) == library_bytes(tiny_run)


@pytest.mark.slow
def test_a_real_ctrl_c_ends_a_run_at_once_and_it_resumes(tiny, tiny_run, tmp_path):
    settings = tiny | {"attention_cache": str(tiny["attention_cache"]), "parallel": {"workers": 2}}
    script = tmp_path / "script.py"
    script.write_text(
        "import headscribe as hs\n"
        "if __name__ == '__main__':\n"
        f"    hs.run('quickstart', run_dir={str(tmp_path / 'run')!r}, "
        f"progress=lambda step: print(step.step, flush=True), **{settings!r})\n"
    )
    command = [sys.executable, script]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert child.stdout.readline().strip() == "0"
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=120)
    assert child.returncode != 0
    assert "KeyboardInterrupt" in errors
    assert not hs.open_run(tmp_path / "run").finished
    assert library_bytes(hs.run("quickstart", run_dir=tmp_path / "run", **tiny)) == library_bytes(tiny_run)


@pytest.mark.slow
def test_two_runs_in_two_threads_do_not_disturb_each_other(tiny, tiny_run, tmp_path):
    def work(workers):
        return hs.run("quickstart", run_dir=tmp_path / str(workers), **tiny | {"parallel": {"workers": workers}})

    with ThreadPoolExecutor(2) as threads:
        for run in threads.map(work, (2, 3)):
            assert library_bytes(run) == library_bytes(tiny_run)


def test_a_run_is_looked_at_while_it_is_running(tiny, tmp_path):
    looks = []

    def look(step):
        run = hs.open_run(tmp_path)
        with pytest.raises(hs.UserError, match="in use"), RunLock(run._dir):
            pass
        with pytest.raises(hs.UserError, match=r"no library yet; reduce\(\) makes one"):
            run.library  # noqa: B018
        looks.append((len(run.programs), run.grid.stats.num_elites, run.reduce(size=2).size, run.finished))

    hs.run("quickstart", run_dir=tmp_path, progress=look, **tiny)
    assert [count for count, *_ in looks] == sorted({count for count, *_ in looks})
    assert all(elites > 0 and size == 2 and not finished for _, elites, size, finished in looks)


def test_settings_are_merged_by_section_and_operators_replaced():
    config, _ = configured("quickstart", {"stop": {"patience": 7}, "operators": {"residual": 1}})
    assert (config.stop.patience, config.stop.max_programs) == (7, 1000)
    assert config.operators == {"residual": 1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stop": {"max_program": 3}}, "unknown key 'stop.max_program'; did you mean 'max_programs'"),
        ({"splits": 3}, "splits"),
        ({"operators": {"residul": 1}}, "did you mean 'residual'"),
    ],
)
def test_wrong_settings_say_what_is_right(settings, message):
    with pytest.raises(hs.UserError, match=message):
        configured("quickstart", settings)


def test_settings_alone_need_a_place(tiny):
    with pytest.raises(hs.UserError, match="run_dir="):
        hs.run(tiny)


def test_a_directory_without_a_run_is_an_error_of_the_user(tmp_path):
    with pytest.raises(hs.UserError, match=r"no config\.yaml in it"):
        hs.open_run(tmp_path)


def test_the_configuration_on_disk_is_what_was_asked(tiny_run, tiny):
    written = yaml.safe_load((tiny_run.path / "config.yaml").read_text())
    assert written["stop"]["max_programs"] == tiny["stop"]["max_programs"]
    assert hs.open_run(tiny_run.path).config == tiny_run.config


def test_attention_has_rows_that_sum_to_one_and_nothing_ahead(tiny_run):
    attention = tiny_run.attention
    for text in (0, len(attention) - 1, -1):
        matrix = attention["L3H2", text]
        assert matrix.shape == (attention.texts[text].n,) * 2
        assert matrix.dtype == np.float32
        assert not np.triu(matrix, 1).any()
        assert np.allclose(matrix.sum(axis=1), 1, atol=2e-3)
    assert (attention["L3H2", 1] == attention[(3, 2), 1]).all()


def test_the_test_texts_are_not_among_those_of_attention(tiny_run):
    sizes = tiny_run.config.splits
    assert len(tiny_run.attention) == sizes.fit + sizes.held_out
    with pytest.raises(hs.UserError, match="no text 9; the fit and held-out texts are 0 to 8"):
        tiny_run.attention["L0H0", sizes.fit + sizes.held_out]


@pytest.mark.parametrize("head", ["L99H0", (0, 99), "first"])
def test_a_head_that_is_not_there_says_which_are(tiny_run, head):
    with pytest.raises(hs.UserError, match="heads are named L0H0 to L3H7"):
        tiny_run.attention[head, 0]
    with pytest.raises(hs.UserError, match="heads are named L0H0 to L3H7"):
        tiny_run.library[head]


def test_scores_are_those_that_the_campaign_would_give(tiny_run):
    for found in tiny_run.programs[:3]:
        scores = tiny_run.score(found.program)
        assert np.allclose(scores.means, found.iou, atol=1e-6)
        assert scores[scores.best_head] == scores.means.max()


def test_a_prediction_gives_the_score_of_its_text(tiny_run):
    attention, scores = tiny_run.attention, tiny_run.score(PREVIOUS)
    first = attention.held_out
    predicted, matrix = tiny_run.predict(PREVIOUS, first), attention["L2H1", first]
    iou = np.minimum(predicted, matrix).sum() / np.maximum(predicted, matrix).sum()
    assert abs(iou - scores.values[scores.heads.index("L2H1"), 0]) < 1e-3


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def program(text):\n    return text.distanz", r"did you mean `distance`\? \(line 2\)"),
        ("def program(text):\n    return text.distance / 0 * np.nan", r"bad values: .*text 0"),
        ("def program(text)\n    return 1", "expected ':'"),
        ("import os\ndef program(text):\n    return os.x", "os"),
    ],
)
def test_a_program_that_fails_says_where(tiny_run, source, message):
    with pytest.raises(hs.ProgramError, match=message):
        tiny_run.score(source)


def test_scoring_without_a_run_is_scoring_with_one(tiny_run):
    scores = hs.score(PREVIOUS, model="storyteller-gpt2", max_tokens=24, limit=4)
    assert scores.values.shape == (32, 4)
    assert scores.best_head == tiny_run.score(PREVIOUS).best_head


def test_closing_ends_the_sandbox_and_scoring_again_starts_another(tiny_run):
    with hs.open_run(tiny_run.path) as run:
        first = run.score(PREVIOUS).mean
    assert run._scorer._worker is None
    assert run.score(PREVIOUS).mean == first
    run.close()


def test_the_grid_speaks_the_words_of_pyribs_and_its_elites_are_sorted(tiny_run):
    stats = tiny_run.grid.stats
    assert 0 < stats.coverage <= 1
    assert stats.qd_score == pytest.approx(stats.num_elites * stats.obj_mean)
    best = [elite.iou for elite in tiny_run.grid["L2H1"]]
    assert best == sorted(best, reverse=True)
    column = tiny_run.programs.heads.index("L2H1")
    assert best[0] == max(found.iou[column] for found in tiny_run.programs if found.iou is not None)

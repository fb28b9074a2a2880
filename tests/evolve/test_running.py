"""Campaigns from Python."""

import signal
import threading

import yaml
from campaigns import SMALL

from evolve.config import parse_config
from evolve.listeners import SEARCHING, Listener
from evolve.running import run_campaign
from evolve.session import opened_for_reading
from evolve.store.run_dir import RunDir


def test_a_campaign_from_python_prints_nothing_and_sets_no_signal_handler(tmp_path, capfd, attention_cache):
    before = signal.getsignal(signal.SIGINT)
    ended = []

    def campaign():
        settings = yaml.safe_load(SMALL) | {"attention_cache": str(attention_cache), "stop": {"max_programs": 30}}
        ended.append(run_campaign(parse_config(settings, "small"), RunDir(tmp_path / "run")))

    thread = threading.Thread(target=campaign)
    thread.start()
    thread.join()
    assert ended[0].result.mean_iou_test > 0
    assert (tmp_path / "run" / "report.html").is_file()
    with opened_for_reading(RunDir(tmp_path / "run")) as session:
        assert session.store.next_number() == ended[0].programs
        assert len(session.attention.labels) == ended[0].result.heads
    assert capfd.readouterr() == ("", "")
    assert signal.getsignal(signal.SIGINT) is before


class Told(Listener):
    def __init__(self):
        self.heard = []

    def on_stage(self, name, done, total):
        self.heard.append(name)

    def on_step(self, summary):
        self.heard.append(summary)

    def a_step(self):
        return bool(self.heard) and not isinstance(self.heard[-1], str)


def test_a_listener_hears_the_search_and_its_steps(tmp_path, attention_cache):
    settings = yaml.safe_load(SMALL) | {"attention_cache": str(attention_cache), "stop": {"max_programs": 20}}
    told = Told()
    ended = run_campaign(parse_config(settings, "small"), RunDir(tmp_path / "run"), told, interrupted=told.a_step)
    steps = told.heard[told.heard.index(SEARCHING) + 1 :]
    assert ended.reason == "interrupted"
    assert ended.result is None
    assert ended.as_json() == {"run_dir": str(tmp_path / "run"), "interrupted": True}
    assert [summary.step for summary in steps] == list(range(len(steps)))
    assert steps[-1].programs == ended.programs

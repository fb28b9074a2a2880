"""Campaigns on a real Dask scheduler with real workers, on this machine's loopback."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from campaigns import ROOT
from test_sandbox import REFUSE_SECCOMP
from test_trouble import programs

import headscribe as hs
from evolve.config import parse_config, read_settings
from fitness.errors import UserError
from fitness.scoring.cluster import connection
from fitness.scoring.cluster.connection import Cluster, connected
from fitness.scoring.cluster.pool import DaskPool
from fitness.scoring.cluster.software import difference, software_here

distributed = pytest.importorskip("distributed", reason="needs distributed: pip install 'headscribe[cluster]'")

DASK = "from distributed.cli.dask_{0} import main; main()"
WORKER = ["--no-nanny", "--nthreads", "1", "--memory-limit", "0", "--no-dashboard", "--host", "127.0.0.1"]


class LocalDask:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.processes = []
        options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
        self.scheduler = self._start("scheduler", "", *options, "--scheduler-file", self.file)
        while not self.file.exists():
            assert self.scheduler.poll() is None, "the scheduler ended"
            time.sleep(0.1)
        self.address = json.loads(self.file.read_text())["address"]

    def _start(self, what, before, *options, within=()):
        code = before + DASK.format(what)
        command = [*within, sys.executable, "-c", code, *map(str, options)]
        log = (self.folder / f"{what}-{len(self.processes)}.log").open("w")
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, env=environment)
        self.processes.append(process)
        return process

    def worker(self, name, before="", within=(), options=WORKER):
        """Starts one, and waits for it; its scratch folder is of its name."""
        scratch = self.folder / name
        named = ["--name", name, "--local-directory", scratch]
        process = self._start("worker", before, self.address, *options, *named, within=within)
        with distributed.Client(self.address, set_as_default=False) as client:
            while name not in [worker["name"] for worker in client.scheduler_info()["workers"].values()]:
                assert process.poll() is None, f"the worker {name} ended"
                time.sleep(0.1)
        return process

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def dask(tmp_path):
    started = LocalDask(tmp_path)
    yield started
    started.close()


def blind_to(folder):
    """A command that runs another where a folder is empty, as on a machine that does not share it."""
    unshare = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs none "$0" && exec "$@"',
        str(folder),
    ]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("folders cannot be hidden from a process here (unshare --mount)")
    return unshare


@pytest.mark.slow
def test_with_attention_sent_and_a_worker_killed_a_campaign_gives_the_bytes_of_loky(
    small_config, attention_cache, tmp_path, headscribe, dask
):
    headscribe("run", small_config, "--run-dir", tmp_path / "loky")
    sees = dask.worker("sees")
    dask.worker("blind", within=blind_to(attention_cache))
    run_dir = tmp_path / "dask"
    settings = ["--set", "parallel.backend=dask", "--set", f"parallel.scheduler={dask.address}"]
    command = [sys.executable, "-m", "evolve.cli", "run", str(small_config), "--run-dir", str(run_dir), *settings]
    campaign = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while campaign.poll() is None and programs(run_dir) == 0:
        time.sleep(0.02)
    os.kill(sees.pid, signal.SIGKILL)
    said = campaign.communicate(timeout=300)[1]
    assert campaign.returncode == 0, said
    assert "2 Dask workers" in said
    sent = list((dask.folder / "blind").rglob("headscribe-attention/*"))
    assert [len(path.name) for path in sent] == [64], "one copy, and no part of one"
    assert (run_dir / "library.json").read_bytes() == (tmp_path / "loky" / "library.json").read_bytes()
    # What is read out of the run later needs no cluster.
    dask.close()
    headscribe("library", run_dir, "--size", "2")


@pytest.mark.slow
def test_a_client_of_ones_own_is_used_and_stays_open(tiny, tiny_run, tmp_path, dask):
    dask.worker("one", options=[*WORKER, "--nthreads", "2"])
    with distributed.Client(dask.address, set_as_default=False) as client:
        run = hs.run("quickstart", run_dir=tmp_path / "run", client=client, **tiny)
        assert client.status == "running"
    assert (run.path / "library.json").read_bytes() == (tiny_run.path / "library.json").read_bytes()


def test_a_worker_that_cannot_confine_programs_is_refused_by_name(dask):
    seccomp_refused = REFUSE_SECCOMP.split("from fitness.sandbox")[0]
    dask.worker("loose", before=seccomp_refused)
    with distributed.Client(dask.address, set_as_default=False) as client:
        (address,) = client.nthreads()
        with (
            pytest.raises(UserError, match=f"the Dask worker at {address} cannot be used: .*cannot be confined"),
            connected(None, client, mode="strict"),
        ):
            pass
        cluster = Cluster(client)
        assert cluster.check("degraded") == [f"1 Dask worker at {dask.address}"]
        assert DaskPool(cluster).run([(pow, (number, 2)) for number in range(9)]) == [n * n for n in range(9)]


def test_other_software_is_named():
    here = software_here()
    assert difference(here, here) == ""
    assert difference(here, here | {"numpy": "1.0"}) == f"numpy 1.0, here {here['numpy']}"


def test_where_no_scheduler_answers_the_message_says_how_to_start_one(monkeypatch):
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.2)
    with (
        pytest.raises(UserError, match=r"no Dask scheduler answers at 'tcp://127.0.0.1:9' .*`dask scheduler`"),
        connected("tcp://127.0.0.1:9", mode="strict"),
    ):
        pass


@pytest.mark.parametrize(
    ("parallel", "message"),
    [
        ({"backend": "dask"}, "backend: dask wants a scheduler"),
        ({"scheduler": "tcp://localhost:8786"}, "a scheduler wants backend: dask, not loky"),
    ],
)
def test_dask_and_a_scheduler_go_together(parallel, message):
    with pytest.raises(UserError, match=message):
        parse_config(read_settings("quickstart") | {"parallel": parallel}, "settings")

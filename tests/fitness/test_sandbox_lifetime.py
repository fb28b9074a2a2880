from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from sandbox_scene import children

from fitness.program import Program
from fitness.sandbox import Limits, Sandbox
from fitness.text.view import Text

ROOT = Path(__file__).parents[2]
TEXT = Text(["Once", " upon", " a", " time"])
SQUARE = Program.parse("def program(text):\n    return text.distance ** 2\n")
ENDLESS = Program.parse("def program(text):\n    while True:\n        pass\n")

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")

OWNER = """
import sys
from fitness.program import Program
from fitness.sandbox import Limits, Sandbox
from fitness.text.view import Text
sandbox = Sandbox([Text(["a", "b"])], limits=Limits(cpu_seconds=60))
print(sandbox.server_pid, flush=True)
sandbox.run(Program.parse("def program(text):\\n    while True:\\n        pass\\n"))
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds: float = 10.0) -> float:
    """Seconds that passed until a condition held."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, "it did not come about"
        time.sleep(0.01)
    return time.monotonic() - begin


def running_child(server: int) -> int:
    wait_until(lambda: children(server))
    return children(server)[0]


def in_background(sandbox: Sandbox, program: Program) -> tuple[threading.Thread, list]:
    outcomes: list = []
    thread = threading.Thread(target=lambda: outcomes.append(sandbox.run(program)))
    thread.start()
    return thread, outcomes


def still_works(sandbox: Sandbox) -> bool:
    outcome = sandbox.run(SQUARE)
    return outcome.ok and np.array_equal(outcome.weights[0], TEXT.distance**2)


def test_a_killed_server_takes_its_child_along_and_the_program_is_run_again():
    with Sandbox([TEXT], limits=Limits(cpu_seconds=2)) as sandbox:
        first = sandbox.server_pid
        thread, outcomes = in_background(sandbox, ENDLESS)
        child = running_child(first)
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: not alive(child)) < 1
        thread.join()
        assert outcomes[0].kind == "timeout"
        assert sandbox.server_pid != first
        assert still_works(sandbox)


def test_a_server_killed_between_programs_is_replaced_with_its_texts():
    with Sandbox([TEXT]) as sandbox:
        added = sandbox.add([Text(["x", "y"])])
        assert sandbox.run(SQUARE).ok
        os.kill(sandbox.server_pid, signal.SIGKILL)
        assert [len(weights) for weights in sandbox.run(SQUARE, [*added, 0]).weights] == [2, 4]


def test_a_program_that_a_server_dies_under_twice_has_crashed():
    with Sandbox([TEXT], limits=Limits(cpu_seconds=20)) as sandbox:
        thread, outcomes = in_background(sandbox, ENDLESS)
        for _ in range(2):
            server = sandbox.server_pid
            running_child(server)
            os.kill(server, signal.SIGKILL)
            wait_until(lambda server=server: sandbox.server_pid != server or not thread.is_alive())
        thread.join()
        assert outcomes[0].kind == "crash"
        assert still_works(sandbox)


def test_a_child_killed_from_outside_is_run_again_then_given_up():
    with Sandbox([TEXT], limits=Limits(cpu_seconds=20)) as sandbox:
        thread, outcomes = in_background(sandbox, ENDLESS)
        first = running_child(sandbox.server_pid)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: children(sandbox.server_pid) not in ([], [first]))
        os.kill(children(sandbox.server_pid)[0], signal.SIGKILL)
        thread.join()
        assert outcomes[0].kind == "crash"
        assert "killed by the system" in outcomes[0].message
        assert still_works(sandbox)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_owner_dies_server_and_child_are_gone_within_a_second(number):
    owner = subprocess.Popen([sys.executable, "-c", OWNER], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    server = int(owner.stdout.readline())
    child = running_child(server)
    owner.send_signal(number)
    assert wait_until(lambda: not alive(server) and not alive(child)) < 1
    owner.wait()
    owner.stdout.close()


def test_a_forked_copy_of_the_owner_does_not_keep_an_orphan_alive():
    script = OWNER.replace("sandbox.run", "import os, time\nif os.fork() == 0:\n    time.sleep(20)\nsandbox.run")
    owner = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    server = int(owner.stdout.readline())
    child = running_child(server)
    owner.kill()
    assert wait_until(lambda: not alive(server) and not alive(child)) < 1
    os.killpg(owner.pid, signal.SIGKILL)
    owner.wait()
    owner.stdout.close()


def test_a_forked_copy_of_the_owner_has_a_server_of_its_own():
    with Sandbox([TEXT]) as sandbox:
        copy = os.fork()
        if copy == 0:
            os._exit(0 if still_works(sandbox) and sandbox._server.owner == os.getpid() else 1)
        assert os.waitpid(copy, 0)[1] == 0
        assert still_works(sandbox)


def test_the_thread_that_made_a_sandbox_may_end():
    made: list[Sandbox] = []
    thread = threading.Thread(target=lambda: made.append(Sandbox([TEXT])))
    thread.start()
    thread.join()
    with made[0] as sandbox:
        server = sandbox.server_pid
        assert still_works(sandbox)
        assert sandbox.server_pid == server


def test_interrupting_the_terminal_does_not_reach_the_server():
    with Sandbox([TEXT]) as sandbox:
        assert os.getsid(sandbox.server_pid) != os.getsid(0)
        os.kill(sandbox.server_pid, signal.SIGINT)
        assert still_works(sandbox)


def test_an_interrupted_run_leaves_no_answer_for_the_next():
    def interrupt(number, frame):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        with Sandbox([TEXT], limits=Limits(cpu_seconds=30)) as sandbox:
            server = sandbox.server_pid
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            with pytest.raises(KeyboardInterrupt):
                sandbox.run(ENDLESS)
            assert not alive(server)
            assert still_works(sandbox)
    finally:
        signal.signal(signal.SIGALRM, previous)


def test_closing_leaves_nothing():
    with Sandbox([TEXT], limits=Limits(cpu_seconds=1)) as sandbox:
        server = sandbox.server_pid
        assert sandbox.run(ENDLESS).kind == "timeout"
        assert children(server) == []
    assert not alive(server)


def test_no_process_is_left_after_the_owner_ends_by_itself():
    script = OWNER.replace("while True:\\n        pass", "return text.distance ** 2")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    server = int(done.stdout)
    assert wait_until(lambda: not alive(server)) < 1


CAMPAIGN = """
import joblib
from endless_task import run_endless
joblib.Parallel(n_jobs=2)(joblib.delayed(run_endless)() for _ in range(2))
"""
TASK = """
import os
from fitness.scoring.parent_death import end_with_parent
from fitness.program import Program
from fitness.sandbox import Limits, Sandbox
from fitness.text.view import Text

def run_endless():
    end_with_parent()
    sandbox = Sandbox([Text(["a"])], limits=Limits(cpu_seconds=60))
    print(os.getpid(), sandbox.server_pid, flush=True)
    sandbox.run(Program.parse("def program(text):\\n    while True:\\n        pass\\n"))
"""


def test_when_a_whole_campaign_is_killed_workers_servers_and_children_are_gone_within_a_second(tmp_path):
    (tmp_path / "endless_task.py").write_text(TASK)
    environment = dict(os.environ, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    campaign = subprocess.Popen([sys.executable, "-c", CAMPAIGN], env=environment, stdout=subprocess.PIPE, text=True)
    found = [int(word) for _ in range(2) for word in campaign.stdout.readline().split()]
    found += [running_child(server) for server in found[1::2]]
    campaign.kill()
    assert wait_until(lambda: not any(map(alive, found))) < 1
    campaign.wait()
    campaign.stdout.close()


def test_when_a_worker_is_killed_its_server_and_child_are_gone_within_a_second(tmp_path):
    (tmp_path / "endless_task.py").write_text(TASK)
    environment = dict(os.environ, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    campaign = subprocess.Popen(
        [sys.executable, "-c", CAMPAIGN], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    worker, server = map(int, campaign.stdout.readline().split())
    child = running_child(server)
    os.kill(worker, signal.SIGKILL)
    assert wait_until(lambda: not any(map(alive, (worker, server, child)))) < 1
    campaign.kill()
    campaign.wait()
    campaign.stdout.close()

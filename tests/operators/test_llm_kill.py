"""Kill -9 with requests in flight, and resume: nothing answered is asked again, nothing is overspent."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fake_llm_server import FakeLlmServer, Hang, Say

ROOT = Path(__file__).parents[2]
IN_FLIGHT, BUDGET, ANSWERED = 4, 20, 9
SESSION = f"""
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from evolve.config.llm import LlmBudget, LlmModel
from evolve.store import Store
from operators.llm.client.client import Client
from operators.llm.client.failures import BudgetSpent

path = Path(sys.argv[1])
client = Client(Store(path, create=not path.exists()), LlmBudget(calls={BUDGET}), max_in_flight={IN_FLIGHT}, retries=2)
entry = LlmModel(model="scribe", base_url=sys.argv[2])

def ask(sample):
    try:
        client.complete(entry, [{{"role": "user", "content": "One, please."}}], sample=sample, purpose={{}})
    except BudgetSpent:
        pass

with ThreadPoolExecutor({IN_FLIGHT}) as threads:
    list(threads.map(ask, range(40)))
print(client.spent.calls)
"""


def session(path, url):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", SESSION, str(path), url]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_kill_with_requests_in_flight_loses_no_reply_and_overspends_nothing(tmp_path):
    with FakeLlmServer() as server:
        server.script(*[Say("fine")] * ANSWERED, *[Hang()] * IN_FLIGHT)
        killed = session(tmp_path / "campaign.sqlite", server.base_url)
        for _ in range(ANSWERED + IN_FLIGHT):
            assert server.arrived.acquire(timeout=60)
        # Every thread now waits for an answer, so each has stored the one before.
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        asked = [seen.headers["x-client-request-id"] for seen in server.seen]
        answered, hanging = set(asked[:ANSWERED]), set(asked[ANSWERED:])

        resumed = session(tmp_path / "campaign.sqlite", server.base_url)
        spent, _ = resumed.communicate(timeout=60)
        again = {seen.headers["x-client-request-id"] for seen in server.seen[ANSWERED + IN_FLIGHT :]}
        assert not answered & again
        assert hanging <= again, "what was in flight is asked again"
        assert server.requests == int(spent) == BUDGET

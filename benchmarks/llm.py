"""How well proposing and evaluating overlap: `python -m benchmarks.llm`.

A scripted server answers every request after a second; with 16 in flight the ideal is 16 replies a second. Prints the
share of it that a campaign keeps between its first and its last reply.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.machine import describe

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "operators"))

from fake_llm_server import GOOD, FakeLlmServer, Say, by_hash

CONFIG = """
model: storyteller-gpt2
texts: stories
max_tokens: 32
splits: {{fit: 6, held_out: 8, test: 8}}
stop: {{max_programs: {programs}}}
search: {{batch: 16, lag: 3}}
operators: {{fresh: 1, mutate: 3}}
llm:
  models: [{{model: scripted, base_url: "{url}"}}]
  max_in_flight: 16
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=600)
    parser.add_argument("--seconds", type=float, default=1.0)
    arguments = parser.parse_args()
    print(describe())
    bank = [Say(GOOD.format(weight=round(0.001 * i, 3), rest=round(1 - 0.001 * i, 3))) for i in range(1, 1000)]
    answers = by_hash(bank)
    times: list[float] = []
    lock = threading.Lock()

    def answer(body: dict) -> Say:
        with lock:
            times.append(time.monotonic())
        return answers(body)  # type: ignore[return-value]

    from evolve.run import run_campaign

    with tempfile.TemporaryDirectory() as folder, FakeLlmServer(otherwise=answer, seconds=arguments.seconds) as server:
        config = Path(folder) / "llm.yaml"
        config.write_text(CONFIG.format(programs=arguments.programs, url=server.base_url))
        result, _ = run_campaign(str(config), Path(folder) / "run", [], llm="live", rebinning=False, quiet=True)
    # The pipeline fills during the first second, and drains at the end, when no further step is wanted.
    began, ended = times[16], times[-17]
    rate = (len(times) - 33) / (ended - began)
    ideal = 16 / arguments.seconds
    print(json.dumps(result["llm"]))
    print(f"{len(times)} requests, {rate:.1f} a second of an ideal {ideal:.1f}: {rate / ideal:.0%}")


if __name__ == "__main__":
    main()

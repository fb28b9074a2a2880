"""What confining programs costs: in this process, confined, and in a fresh process for every program.

python benchmarks/sandbox.py [--seconds 5] [--workers 2] [--soak 20000]
python benchmarks/sandbox.py --campaign quickstart [--programs 300] [--pairs 2]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "fitness"))

import varied_programs

from fitness.program import Program, parse_tree
from fitness.sandbox import Limits, Sandbox
from fitness.sandbox.namespace import Namespace
from fitness.sandbox.static_check import check_source
from fitness.scoring.contract import check_weights
from fitness.scoring.purity import SecondServer, marks, sample
from fitness.text.view import Text

ROOT = Path(__file__).resolve().parents[1]
TEXTS, TOKENS = 64, 64
NAMESPACE = Namespace(guarded=True)

TRIVIAL = "def program(text):\n    return text.distance ** 2.0\n"
TYPICAL = """import numpy as np

def program(text):
    '''Looks back at equal words, and else at the token before.'''
    words = [token.strip().lower() for token in text.tokens]
    weights = 0.7 * (text.distance == 1) + 0.1 * text.is_first
    for i, word in enumerate(words):
        earlier = [j for j in range(i) if words[j] == word]
        if earlier:
            weights[i, earlier[-1]] = 1.0
    return weights
"""
DOUBLE_LOOP = """def program(text):
    weights = np.zeros((text.n, text.n))
    for i in range(text.n):
        for j in range(i + 1):
            weights[i, j] = 1 / (1 + i - j)
    return weights
"""
PROGRAMS = {"trivial": TRIVIAL, "typical": TYPICAL, "double loop": DOUBLE_LOOP}

_FRESH = """
import sys
sys.path += sys.argv[1:]
import json
import numpy as np
from fitness.text.view import Text
job = json.load(sys.stdin)
names = {"np": np}
exec(job["source"], names)
for tokens in job["texts"]:
    np.float32(names["program"](Text(tokens)))
"""


def inputs() -> list[Text]:
    """64 texts of 64 tokens."""
    words = varied_programs.WORDS
    return [Text([f" {words[(7 * i + j) % len(words)]}" for j in range(TOKENS)]) for i in range(TEXTS)]


def run_fresh(program: Program, texts: list[Text]) -> None:
    job = json.dumps({"source": program.source, "texts": [text.tokens for text in texts]})
    folders = [str(ROOT), str(Path(np.__file__).parents[1])]
    subprocess.run([sys.executable, "-S", "-c", _FRESH, *folders], input=job, text=True, check=True)


def run_bare(program: Program, texts: list[Text]) -> None:
    report, stored = varied_programs.run_bare(program, texts, NAMESPACE)
    assert report.failure is None, report
    for weights in stored:
        check_weights(weights, len(weights))


def cpu() -> float:
    """CPU seconds of this process and all its finished descendants."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def measure(way: str, source: str, seconds: float, number: int = 10**9) -> dict[str, float]:
    """Runs one program again and again for some time; programs, seconds, and CPU milliseconds a program."""
    program, texts = Program.parse(source), [text.precompute() for text in inputs()]
    sandbox = Sandbox(texts) if way == "confined" else None
    run = {"in-process": run_bare, "fresh process": run_fresh}.get(way)
    if sandbox:
        # The server's start is paid once in a campaign, so it is not counted here.
        assert sandbox.run(program).ok
    start_cpu = cpu() + (server_cpu(sandbox.server_pid) if sandbox else 0)
    begin, done = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds and done < number:
        if sandbox:
            assert sandbox.run(program).ok
        elif run:
            run(program, texts)
        done += 1
    elapsed = time.perf_counter() - begin
    used = cpu() + (server_cpu(sandbox.server_pid) if sandbox else 0) - start_cpu
    if sandbox:
        sandbox.close()
    return {"programs": done, "seconds": elapsed, "cpu_ms": 1000 * used / done}


def server_cpu(pid: int) -> float:
    """CPU seconds of a server and its finished children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def side_by_side(way: str, source: str, seconds: float, workers: int) -> list[dict[str, float]]:
    command = [sys.executable, __file__, "--worker", json.dumps([way, source, seconds])]
    environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(workers)]
    return [json.loads(process.communicate()[0]) for process in started]


def resident(pid: int) -> int:
    """Private memory of a process, in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1])


def soak(number: int) -> None:
    """Runs many varied programs in one sandbox and prints how the server's memory goes."""
    programs, done = varied_programs.programs(), 0
    with Sandbox(varied_programs.texts(), limits=Limits(cpu_seconds=2)) as sandbox:
        begin = time.perf_counter()
        while done < number:
            sandbox.run(programs[done % len(programs)])
            done += 1
            if done in (100, 1000) or done % max(1, number // 4) == 0:
                own = resident(os.getpid())
                print(f"  {done:6} programs: server {resident(sandbox.server_pid)} KiB, owner {own} KiB")
        print(f"  {done / (time.perf_counter() - begin):.0f} varied programs a second, one after the other")


def agreement() -> None:
    """Compares bare and confined runs of 200 varied programs."""
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "bare.npz"
        script = ROOT / "tests" / "fitness" / "varied_programs.py"
        environment = dict(os.environ, PYTHONHASHSEED="0", OPENBLAS_NUM_THREADS="1")
        subprocess.run([sys.executable, script, stored], env=environment, check=True)
        bare = dict(np.load(stored))
    texts, programs = varied_programs.texts(), varied_programs.programs()
    same = failures = predictions = 0
    with Sandbox(texts) as sandbox:
        for number, program in enumerate(programs):
            outcome = sandbox.run(program)
            report = json.loads(str(bare[f"{number}"]))
            if outcome.ok:
                expected = [bare[f"{number}.{position}"] for position in range(len(texts))]
                same += all(map(np.array_equal, outcome.weights, expected))
                predictions += 1
            else:
                # Values are checked by the owner, after a run that itself went well.
                wanted = (report["failure"], report["line"]) if report["failure"] else ("bad values", None)
                same += (outcome.kind, outcome.line) == wanted
                failures += 1
    print(f"  {same} of {len(programs)} agree: {predictions} bit for bit, {failures} in how they fail")


def second_runs(number: int = 200) -> None:
    """Prints what a second run costs beside a first one, and the static check with its guards beside parsing."""
    texts, program = inputs(), Program.parse(TYPICAL)
    second = SecondServer(texts, mode="strict", limits=Limits())
    with Sandbox(texts) as sandbox:
        weights = sandbox.run(program).weights
        seen = marks(weights, sample(program, len(texts)))
        assert second.repeats(program, seen)
        pids = sandbox.server_pid, second.server_pid
        spent = []
        for task in (lambda: sandbox.run(program), lambda: second.repeats(program, seen)):
            begin = cpu() + sum(map(server_cpu, pids))
            for _ in range(number):
                task()
            spent.append(1000 * (cpu() + sum(map(server_cpu, pids)) - begin) / number)
    second.close()
    print(f"  first run {spent[0]:.2f} ms CPU, second run {spent[1]:.2f} ms: {spent[1] / spent[0]:.2f} of the first")
    begin = time.process_time()
    for _ in range(number):
        parse_tree(TYPICAL)
    parsed = time.process_time()
    for _ in range(number):
        check_source(parse_tree(TYPICAL), guard=True)
    checked = time.process_time() - parsed
    print(f"  parsing {1e3 * (parsed - begin) / number:.2f} ms, with check and guards {1e3 * checked / number:.2f} ms")


# A campaign in one process. Second runs are left out, or their CPU time is read beside: in the search, on a sample of
# texts, and of what is chosen for the library, on all of them.
_CAMPAIGN = """
import json, sys, tempfile, time
from pathlib import Path
sys.path.insert(0, sys.argv[4])
import headscribe as hs
from benchmarks.sandbox import server_cpu
from fitness.scoring.purity import SAMPLED, SecondServer
preset, programs, left_out = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "without"
repeats, start = SecondServer.repeats, SecondServer.__init__
spent = {"start": [0, 0.0], "search": [0, 0.0], "library": [0, 0.0]}

def measured(what, task, server):
    begin = time.process_time(), server_cpu(server.server_pid) if hasattr(server, "_sandbox") else 0.0
    found = task()
    spent[what][0] += 1
    spent[what][1] += time.process_time() - begin[0] + server_cpu(server.server_pid) - begin[1]
    return found

def measured_repeats(self, program, seen):
    what = "search" if len(seen) <= SAMPLED else "library"
    return left_out or measured(what, lambda: repeats(self, program, seen), self)

SecondServer.__init__ = lambda self, *a, **k: measured("start", lambda: start(self, *a, **k), self)
SecondServer.repeats = measured_repeats
with tempfile.TemporaryDirectory() as folder:
    hs.run(preset, run_dir=Path(folder) / "run", stop={"max_programs": programs}, parallel={"workers": 1})
print(json.dumps(spent))
"""


def campaign(preset: str, programs: int, pairs: int) -> None:
    """Prints what second runs are of a campaign's CPU: read beside it, and against the same campaign without them."""
    print(f"second runs in a campaign: {preset}, {programs} programs, one process; CPU seconds of all its processes")
    run_campaign(preset, 5, "without")  # fills the cache of attention
    ratios = []
    for _ in range(pairs):
        (used, spent), (less, _) = (run_campaign(preset, programs, way) for way in ("with", "without"))
        ratios.append(used / less - 1)
        second = sum(seconds for _, seconds in spent.values())
        parts = "; ".join(
            f"{what} {count} x {1000 * each / max(count, 1):.1f} ms" for what, (count, each) in spent.items()
        )
        print(f"  {used:.1f} s, second runs {second:.2f} s of it, {second / used:.1%} ({parts})")
        print(f"  without them {less:.1f} s: with them {ratios[-1]:+.1%}")
    print(f"  median of {pairs} pairs: {statistics.median(ratios):+.1%}")


def run_campaign(preset: str, programs: int, way: str) -> tuple[float, dict[str, list[float]]]:
    """CPU seconds of a campaign with all its processes, and what of them second runs took."""
    command = [sys.executable, "-c", _CAMPAIGN, preset, str(programs), way, str(ROOT)]
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime
    return used, json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each measurement")
    parser.add_argument("--workers", type=int, default=2, help="processes side by side")
    parser.add_argument("--soak", type=int, default=20_000, help="programs for the memory test, 0 for none")
    parser.add_argument("--campaign", metavar="CONFIG", help="what second runs cost in a campaign, and nothing else")
    parser.add_argument("--programs", type=int, default=300, help="programs of that campaign")
    parser.add_argument("--pairs", type=int, default=2, help="campaigns with and without second runs")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        way, source, seconds = json.loads(arguments.worker)
        print(json.dumps(measure(way, source, seconds)))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {platform.platform()}")
    if arguments.campaign:
        campaign(arguments.campaign, arguments.programs, arguments.pairs)
        return
    print(f"Python {platform.python_version()}, numpy {np.__version__}; {TEXTS} texts of {TOKENS} tokens a program")
    print(f"\nprograms a second, {arguments.workers} side by side, and CPU ms a program (owner, server and child)")
    for name, source in PROGRAMS.items():
        for way in ("in-process", "confined", "fresh process"):
            found = side_by_side(way, source, arguments.seconds, arguments.workers)
            rate = sum(each["programs"] / each["seconds"] for each in found)
            print(f"  {name:12} {way:14} {rate:8.1f}/s {statistics.median(each['cpu_ms'] for each in found):8.2f} ms")
    print("\nfixed cost: a trivial program on one text")
    with Sandbox([inputs()[0]]) as sandbox:
        program = Program.parse(TRIVIAL)
        sandbox.run(program)
        start, begin = cpu() + server_cpu(sandbox.server_pid), time.perf_counter()
        children = [sandbox.run(program).cpu_seconds for _ in range(500)]
        wall = (time.perf_counter() - begin) / 500
        used = (cpu() + server_cpu(sandbox.server_pid) - start) / 500
    child = statistics.median(children)
    print(f"  {1e3 * used:.2f} ms CPU, of which {1e3 * child:.2f} in the child; {1e3 * wall:.2f} ms on the clock")
    print("\nsecond runs: 4 texts in another order")
    second_runs()
    print("\nbare against confined")
    agreement()
    if arguments.soak:
        print("\nmemory")
        soak(arguments.soak)


if __name__ == "__main__":
    main()

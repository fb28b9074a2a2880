from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import varied_programs
from sandbox_scene import children

from fitness.program import Program
from fitness.sandbox import Layers, Limits, Sandbox, SandboxUnavailable, probe
from fitness.scoring.baselines import baselines
from fitness.scoring.contract import ContractError, check_weights
from fitness.text.view import Text

ROOT = Path(__file__).parents[2]
ONE = Text(["Once", " upon", " a", " time", "."])
TWO = Text(["A", " cat"])


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox([ONE, TWO], limits=Limits(cpu_seconds=1, memory_mb=128)) as opened:
        yield opened


def program(body: str) -> Program:
    return Program.parse("def program(text):\n" + "".join(f"    {line}\n" for line in body.split("\n")))


REACH = """
import mmap, sys
def program(text):
    frame = sys._getframe()
    while frame is not None:
        for value in list(frame.f_locals.values()):
            for part in [value, *getattr(value, "__dict__", {}).values()]:
                if isinstance(part, mmap.mmap) and len(part) > 4096:
                    MARK
        frame = frame.f_back
    return np.full((text.n, text.n), 1.0)
"""


def test_no_memory_carries_a_message_from_one_program_to_the_next():
    leave = Program.parse(REACH.replace("MARK", "part[4096:4100] = b'evil'"))
    look = Program.parse(REACH.replace("MARK", "assert part[4096:4100] != b'evil'"))
    with Sandbox([ONE], layers=Layers(static=False)) as sandbox:
        assert sandbox.run(leave).ok
        assert sandbox.run(look).ok
        # Within one run the mark is there, or this test would say nothing.
        both = REACH.replace("MARK", "part[4096:4100] = b'evil'\n                    assert part[4096:4100] != b'evil'")
        assert sandbox.run(Program.parse(both)).message == "AssertionError"


def test_weights_come_back_exactly_for_every_text(sandbox):
    outcome = sandbox.run(program("return text.distance.clip(0) + 0.1"))
    assert outcome.ok
    for text, weights in zip([ONE, TWO], outcome.weights, strict=True):
        assert weights.dtype == np.float64
        assert np.array_equal(weights, text.distance.clip(0) + 0.1)
    assert 0 < outcome.cpu_seconds < 1


def test_only_the_texts_asked_for_are_run_in_the_order_asked_for(sandbox):
    outcome = sandbox.run(program("return np.full((text.n, text.n), len(text.tokens[-1]))"), [1, 0, 1])
    assert [weights[0, 0] for weights in outcome.weights] == [4, 1, 4]
    assert [len(weights) for weights in outcome.weights] == [2, 5, 2]
    assert sandbox.run(program("return 1 / 0"), []).weights == ()


def test_texts_can_be_added_and_outgrow_the_first_buffer():
    with Sandbox([]) as sandbox:
        assert sandbox.add([TWO]) == [0]
        assert sandbox.run(program("return text.distance * text.distance")).ok
        long = Text([f" w{i}" for i in range(700)])
        assert sandbox.add([long, ONE]) == [1, 2]
        outcome = sandbox.run(program("return np.exp(-abs(text.distance))"))
        assert np.array_equal(outcome.weights[1], np.exp(-abs(long.distance)))
        assert sandbox.run(program("return text.distance ** 2.0"), [0]).ok


def test_an_index_without_a_text_is_an_error_of_the_caller(sandbox):
    with pytest.raises(IndexError):
        sandbox.run(program("return 1"), [99])


@pytest.mark.parametrize(
    ("source", "kind", "line", "text", "words"),
    [
        ("def program(text):\n    return 1 +\n", "syntax", 2, None, "invalid syntax"),
        ("import os\n\ndef program(text):\n    return 1\n", "rejected", 1, None, "`os` cannot be imported"),
        ("def program(text):\n    x = text.n\n    return x / 0\n", "exception", 3, 0, "ZeroDivisionError"),
        ("def f(x):\n    return x[9]\n\ndef program(text):\n    return f([])\n", "exception", 2, 0, "IndexError"),
        ("def program(text):\n    return np.ones((5, 5))\n", "bad shape", None, 1, "(5, 5), expected (2, 2)"),
        ("def program(text):\n    return text.distance\n", "bad values", None, 0, "negative"),
        ("def program(text):\n    return None\n", "bad shape", None, 0, "NoneType"),
        ("def program(text):\n    return np.ones((10 ** 9, 9))\n", "memory", 2, 0, "memory"),
        ("def program(text):\n    while True:\n        pass\n", "timeout", None, None, "1 s of CPU"),
        ("def program(text):\n    return np.zeros((2, 2)) * 1j\n", "bad shape", None, 0, "expected"),
        ("def program(text):\n    return text.same * 1j\n", "bad values", None, 0, "complex"),
    ],
)
def test_each_failure_is_told_with_kind_line_and_text(sandbox, source, kind, line, text, words):
    made = Program(source, "id") if kind == "syntax" else Program.parse(source)
    outcome = sandbox.run(made)
    assert (outcome.kind, outcome.line, outcome.text) == (kind, line, text)
    assert words in outcome.message
    assert outcome.weights == ()


def test_an_endless_program_is_charged_its_cpu_limit():
    with Sandbox([TWO], limits=Limits(cpu_seconds=0.5)) as sandbox:
        outcome = sandbox.run(program("while True:\n    pass"))
    assert outcome.kind == "timeout"
    assert 0.45 < outcome.cpu_seconds < 0.7


def test_failures_name_the_index_of_the_sandbox_not_the_place_in_the_request(sandbox):
    body = "if text.n == 2:\n    raise KeyError('x')\nreturn text.distance ** 2"
    assert sandbox.run(program(body), [0, 1]).text == 1
    assert sandbox.run(program(body), [1]).text == 1


def test_random_numbers_depend_on_program_and_text_alone():
    randoms = program("return np.random.rand(text.n, text.n) + np.random.default_rng().random()")
    other = program("return np.random.rand(text.n, text.n) + np.random.default_rng().random() * 1")
    with Sandbox([ONE, TWO]) as first, Sandbox([TWO, ONE, TWO]) as second:
        a, b = first.run(randoms).weights
        c, d, e = second.run(randoms).weights
        assert np.array_equal(a, d)
        assert np.array_equal(b, c)
        assert np.array_equal(b, e)
        assert not np.array_equal(a, first.run(other).weights[0])


def test_nothing_of_one_text_reaches_the_next(sandbox):
    source = "seen = []\n\ndef program(text, kept=[]):\n    seen.append(1)\n    kept.append(1)\n"
    source += "    return np.full((text.n, text.n), len(seen) + len(kept))\n"
    assert [weights[0, 0] for weights in sandbox.run(Program.parse(source)).weights] == [2, 2]


def test_sets_of_strings_iterate_alike_in_every_server():
    body = "order = list({token * 3 for token in text.tokens})\nreturn np.full((text.n, text.n), order.index(' a' * 3))"
    found = set()
    for _ in range(3):
        with Sandbox([ONE]) as sandbox:
            found.add(float(sandbox.run(program(body)).weights[0][0, 0]))
    assert len(found) == 1


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float32", "float64"])
def test_all_real_numbers_are_accepted(sandbox, dtype):
    outcome = sandbox.run(program(f"return (text.distance >= 0).astype('{dtype}')"))
    assert np.array_equal(outcome.weights[0], np.tril(np.ones((5, 5))))


def test_rows_beyond_float32_keep_their_proportions(sandbox):
    outcome = sandbox.run(program("return np.exp(400.0 + text.distance.clip(0)) * (text.distance >= 0)"), [0])
    row = outcome.weights[0][4].astype(float)
    assert np.allclose(row / row.sum(), np.exp([4, 3, 2, 1, 0.0]) / np.exp([4, 3, 2, 1, 0.0]).sum(), rtol=1e-6)
    tiny = sandbox.run(program("return np.exp(-500.0 - text.distance.clip(0)) * (text.distance >= 0)"), [0])
    assert (tiny.weights[0][np.tril_indices(5)] > 0).all()


def test_what_programs_print_is_not_heard(capfd):
    with Sandbox([TWO]) as sandbox:
        assert sandbox.run(program("print('CANARY')\nreturn text.distance ** 2")).ok
    assert capfd.readouterr() == ("", "")


def test_messages_are_one_printable_line(sandbox):
    outcome = sandbox.run(program("raise ValueError('a\\n\\x1b[2Jb\\u202ec' + 'x' * 9999)"))
    assert outcome.message.isprintable()
    assert len(outcome.message) == 400
    assert outcome.message.startswith("ValueError: a [2Jb cx")


def test_baselines_run_confined(sandbox):
    for name, each in baselines().items():
        assert sandbox.run(each).ok, name


def test_bare_and_confined_runs_agree_to_the_bit(tmp_path):
    stored = tmp_path / "bare.npz"
    script = ROOT / "tests/fitness/varied_programs.py"
    environment = dict(os.environ, PYTHONHASHSEED="0", OPENBLAS_NUM_THREADS="1")
    subprocess.run([sys.executable, script, stored], env=environment, check=True)
    bare = np.load(stored)
    programs, inputs = varied_programs.programs(), varied_programs.texts()
    assert len(programs) == 200
    kinds = set()
    with Sandbox(inputs) as sandbox:
        for number, each in enumerate(programs):
            outcome = sandbox.run(each)
            report = json.loads(str(bare[f"{number}"]))
            kinds.add(outcome.kind)
            if report["failure"] is not None:
                assert (outcome.kind, outcome.line, outcome.text) == (report["failure"], report["line"], report["text"])
                assert outcome.message == report["message"]
                continue
            weights = [bare[f"{number}.{position}"] for position in range(len(inputs))]
            failed = [position for position, matrix in enumerate(weights) if not _valid(matrix)]
            if failed:
                assert (outcome.kind, outcome.text) == ("bad values", failed[0])
            else:
                assert outcome.ok
                assert all(map(np.array_equal, outcome.weights, weights)), each.source
    assert {"ok", "rejected", "syntax", "exception", "bad shape", "bad values"} <= kinds


def _valid(matrix: np.ndarray) -> bool:
    try:
        check_weights(matrix, len(matrix))
    except ContractError:
        return False
    return True


def test_concurrent_threads_get_their_own_results():
    with Sandbox([TWO]) as sandbox:
        found: dict[int, float] = {}

        def work(number: int) -> None:
            for _ in range(5):
                outcome = sandbox.run(program(f"return np.full((text.n, text.n), {number})"))
                found[number] = float(outcome.weights[0][0, 0])
                assert found[number] == number

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {0: 0.0, 1: 1.0, 2: 2.0, 3: 3.0}


def test_a_program_finds_nothing_that_an_earlier_one_left_in_the_results(sandbox):
    leave = "import sys\n\ndef program(text):\n    f = sys._getframe()\n    while 'buffer' not in f.f_locals:\n"
    leave += "        f = f.f_back\n    f.f_locals['buffer']._bytes[-100:] = 7\n    return text.distance ** 2\n"
    look = leave.replace("_bytes[-100:] = 7", "_bytes[-100:].sum()").replace("    f.f_locals", "    found = f.f_locals")
    look = look.replace("return text.distance ** 2", "return np.full((text.n, text.n), float(found))")
    with Sandbox([TWO], layers=Layers(static=False)) as open_sandbox:
        assert open_sandbox.run(Program.parse(leave)).ok
        assert open_sandbox.run(Program.parse(look)).weights[0].max() == 0


def test_the_server_is_small_and_imports_no_torch():
    with Sandbox([ONE], layers=Layers(static=False)) as sandbox:
        source = "import sys\n\ndef program(text):\n    return np.full((text.n, text.n), 'torch' in sys.modules)\n"
        assert sandbox.run(Program.parse(source)).weights[0].max() == 0
        status = Path(f"/proc/{sandbox.server_pid}/status")
        if status.exists():
            resident = next(line for line in status.read_text().splitlines() if line.startswith("RssAnon"))
            assert int(resident.split()[1]) < 30_000


def test_the_sandbox_is_importable_without_torch():
    check = "import sys, fitness.sandbox, fitness.adapter; fitness.sandbox.Sandbox; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT).returncode == 0


def test_close_ends_the_server_and_later_runs_are_refused():
    sandbox = Sandbox([ONE])
    sandbox.close()
    sandbox.close()
    assert sandbox.server_pid not in children(os.getpid())
    with pytest.raises(ValueError, match="closed"):
        sandbox.run(program("return 1"))


def test_a_forgotten_sandbox_ends_its_server():
    sandbox = Sandbox([ONE])
    pid = sandbox.server_pid
    del sandbox
    gc.collect()
    assert pid not in children(os.getpid())


@pytest.mark.parametrize(("cpu", "memory"), [(0, 512), (2, 0), (-1, 512)])
def test_limits_must_be_positive(cpu, memory):
    with pytest.raises(ValueError, match="positive"):
        Limits(cpu, memory)


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="strict or degraded"):
        Sandbox([], mode="lax")  # type: ignore[arg-type]


def test_the_probe_says_how_programs_run():
    strict = probe("strict")
    assert "seccomp" in strict
    assert "no files" in strict
    assert "\n" not in strict
    said = probe("degraded")
    assert "NOT confined" in said
    assert "delete every file of the user" in said
    assert "network" in said


LITTLE_MEMORY = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
from fitness.sandbox import SandboxUnavailable, probe
try:
    probe("strict")
except SandboxUnavailable as error:
    print(error)
"""


def test_without_memory_for_results_the_probe_says_so():
    done = subprocess.run([sys.executable, "-c", LITTLE_MEMORY], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "the self-test failed: [Errno 27] File too large" in done.stdout


REFUSE_SECCOMP = """
import ctypes, struct, errno
numbers = {"x86_64": 317, "aarch64": 277}
import platform
code = b"".join(struct.pack("HBBI", *each) for each in [
    (0x20, 0, 0, 0), (0x15, 0, 1, numbers[platform.machine()]), (6, 0, 0, 0x50000 | errno.EPERM),
    (6, 0, 0, 0x7FFF0000)])
libc = ctypes.CDLL(None)
buffer = ctypes.create_string_buffer(code, len(code))
class P(ctypes.Structure):
    _fields_ = (("n", ctypes.c_ushort), ("f", ctypes.c_void_p))
libc.prctl(38, 1, 0, 0, 0)
assert libc.syscall(numbers[platform.machine()], 1, 0, ctypes.byref(P(len(code) // 8, ctypes.addressof(buffer)))) == 0
from fitness.sandbox import SandboxUnavailable, Sandbox, probe
try:
    probe("strict")
except SandboxUnavailable as error:
    print(error)
try:
    Sandbox([])
except SandboxUnavailable as error:
    print("again")
print(probe("degraded"))
"""


def test_where_seccomp_is_refused_strict_mode_is_unavailable_and_degraded_mode_is_not():
    done = subprocess.run([sys.executable, "-c", REFUSE_SECCOMP], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert "cannot be confined" in lines[0]
    assert "sandbox.mode=degraded" in lines[0]
    assert lines[1] == "again"
    assert "NOT confined" in lines[2]


def test_a_server_that_cannot_start_says_why(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SandboxUnavailable, match="did not start"):
        Sandbox([])

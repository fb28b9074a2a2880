"""Hostile programs by group, and what each would achieve if it got through.

A program that reaches what it is after returns a matrix of 42, so that its success shows; side effects are looked for
by `sandbox_scene.Scene`, which also fills in KEYFILE, FOLDER, PORT and OWNER. What the evasions lead to is a way past
the static check alone, so without that check their success is none.
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox_evasions import BY_VALUE

_WON = "    return np.full((text.n, text.n), 42.0)\n"
_PLAIN = "    return np.ones((text.n, text.n))\n"


@dataclass(frozen=True)
class Attack:
    """One hostile program.

    Attributes:
        group: what it is after.
        name: unique among all.
        source: the program, with names in capitals to be filled in.
        any_result: whether any result at all means that it got through, not only one that carries the mark.
    """

    group: str
    name: str
    source: str
    any_result: bool = False


def _program(body: str, before: str = "", end: str = _WON) -> str:
    indented = "".join(f"    {line}\n" if line else "\n" for line in body.strip("\n").split("\n"))
    return f"{before}\ndef program(text):\n{indented}{end}"


def _group(group: str, attacks: dict[str, str], *, any_result: bool = False) -> list[Attack]:
    return [Attack(group, f"{group}: {name}", source, any_result) for name, source in attacks.items()]


_LOOPS = _group(
    "endless",
    {
        "loop": _program("while True:\n    pass"),
        "at import": "while True:\n    pass\n\ndef program(text):\n    return text.distance * 0.0\n",
        "swallows everything": _program(
            "while True:\n    try:\n        1 / 0\n    except BaseException:\n        pass"
        ),
        "swallows exit": _program("import sys\nwhile True:\n    try:\n        sys.exit()\n    except:\n        pass"),
        "regex": _program("re.match(r'(a+)+$', 'a' * 60 + 'b')", "import re\n"),
        "big integers": _program("x = 3\nwhile True:\n    x = x * x"),
        "one huge power": _program("x = 7 ** (3 ** 22)"),
        "sum in C": _program("sum(itertools.count())", "import itertools\n"),
        "deque in C": _program("collections.deque(itertools.count(), maxlen=0)", "import collections, itertools\n"),
        "numpy in C": _program("a = np.ones((500, 500))\nwhile True:\n    a = np.linalg.inv(a + np.eye(500))"),
        "ignores signals": _program(
            "for number in range(1, 65):\n    try:\n        signal.signal(number, signal.SIG_IGN)\n"
            "    except Exception:\n        pass\nwhile True:\n    pass",
            "import signal\n",
        ),
        "blocks signals": _program(
            "try:\n    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nexcept Exception:\n    pass\n"
            "while True:\n    pass",
            "import signal\n",
        ),
        "blocks signals by sigreturn-like call": _program(
            "libc = ctypes.CDLL(None)\nmask = ctypes.create_string_buffer(b'\\xff' * 128)\n"
            "libc.sigprocmask(0, mask, None)\nlibc.setitimer(2, ctypes.create_string_buffer(32), None)\n"
            "while True:\n    pass",
            "import ctypes\n",
        ),
        "resets the timer": _program(
            "try:\n    signal.setitimer(signal.ITIMER_PROF, 0)\nexcept Exception:\n    pass\nwhile True:\n    pass",
            "import signal\n",
        ),
        "sleeps": _program("import time\ntime.sleep(10 ** 6)"),
        "deadlock": _program("import _thread\nlock = _thread.allocate_lock()\nlock.acquire()\nlock.acquire()"),
        "waits for input": _program("import select\nselect.select([], [], [])"),
        "pauses": _program("import signal\nsignal.pause()\nraise OSError('refused')"),
        "in __str__ of its exception": (
            "class E(Exception):\n    def __str__(self):\n        while True:\n            pass\n\n"
            "def program(text):\n    raise E()\n"
        ),
        "in __getattr__ of its result": (
            "class R:\n    def __array__(self, *a, **k):\n        while True:\n            pass\n\n"
            "def program(text):\n    return [R()]\n"
        ),
        "constant folding": "def program(text):\n    return " + "+".join(["9 ** 99999"] * 40) + "\n",
    },
)

_MEMORY = _group(
    "memory",
    {
        "array": _program("x = np.ones((10 ** 6, 10 ** 5))"),
        "touched array": _program("x = [np.ones(10 ** 6) for i in range(10 ** 4)]"),
        "list": _program("x = []\nwhile True:\n    x.append([0] * 10 ** 5)"),
        "string": _program("x = 'a' * 10 ** 11"),
        "doubling string": _program("x = 'abc'\nwhile True:\n    x = x + x"),
        "dictionary": _program("x = {}\nwhile True:\n    x[len(x)] = str(len(x)) * 1000"),
        "swallows MemoryError": _program(
            "x = []\nwhile True:\n    try:\n        x.append(bytearray(10 ** 7))\n    except MemoryError:\n        pass"
        ),
        "anonymous map": _program("import mmap\nx = [mmap.mmap(-1, 1 << 30) for i in range(64)]"),
        "recursion": _program("f(0)", "def f(n):\n    return f(n + 1) + 1\n"),
        "recursion in C": _program(
            "import sys\nsys.setrecursionlimit(10 ** 9)\nf(0)", "def f(n):\n    return [f(n + 1) for i in [1]]\n"
        ),
        "nested containers": _program("x = ()\nfor i in range(10 ** 6):\n    x = (x,)\nhash(x)"),
        "huge report": _program("raise ValueError('x' * 10 ** 8)"),
    },
)

_BOMBS = _group(
    "processes",
    {
        "fork": _program("import os\nif os.fork() == 0:\n    while True:\n        pass"),
        "fork bomb": _program("import os\nwhile True:\n    os.fork()"),
        "vfork through libc": _program(
            "if ctypes.CDLL(None).vfork() < 0:\n    raise OSError('refused')", "import ctypes\n"
        ),
        "clone through syscall": _program(
            "for number in (56, 57, 58, 435, 220):\n    if ctypes.CDLL(None).syscall(number, 0, 0, 0, 0, 0) > 0:\n"
            "        break\nelse:\n    raise OSError('refused')",
            "import ctypes\n",
        ),
        "threads": _program("import _thread\nfor i in range(100):\n    _thread.start_new_thread(len, ('',))"),
        "subprocess": _program("import subprocess\nsubprocess.run(['/bin/sh', '-c', 'touch FOLDER/pwned'])"),
        "spawn": _program(
            "import os\nif os.posix_spawn('/bin/touch', ['touch', 'FOLDER/pwned'], {}) <= 0:\n    raise OSError"
        ),
        "exec": _program("import os\nos.execv('/bin/touch', ['touch', 'FOLDER/pwned'])"),
        "system": _program("import os\nif os.system('touch FOLDER/pwned') != 0:\n    raise OSError('refused')"),
    },
)

_FILES = _group(
    "files",
    {
        "read the key": _program("if 'CANARY' not in open('KEYFILE').read():\n    raise OSError"),
        "read by os.open": _program("import os\nos.read(os.open('KEYFILE', os.O_RDONLY), 10)"),
        "read by libc": _program(
            "d = ctypes.CDLL(None).open(b'KEYFILE', 0)\nif d < 0:\n    raise OSError('refused')", "import ctypes\n"
        ),
        "read by openat2 and io_uring": _program(
            "c = ctypes.CDLL(None)\nfor number in (257, 437, 425, 304, 85, 56):\n"
            "    if c.syscall(number, -100, b'KEYFILE', 0, 0) >= 0:\n        break\n"
            "else:\n    raise OSError('refused')",
            "import ctypes\n",
        ),
        "read by numpy": _program("if np.fromfile('KEYFILE', dtype=np.uint8).size == 0:\n    raise OSError"),
        "read by memmap": _program("np.memmap('KEYFILE', mode='r')"),
        "read by loadtxt": _program("np.loadtxt('KEYFILE', dtype=str)"),
        "read by linecache": _program("import linecache\nif not linecache.getlines('KEYFILE'):\n    raise OSError"),
        "import a module from a file": _program("import sys\nsys.path.insert(0, 'FOLDER')\nimport planted"),
        "delete": _program("import os\nos.remove('KEYFILE')"),
        "delete all": _program("import shutil\nshutil.rmtree('FOLDER')\nimport os\nos.listdir('FOLDER')"),
        "rename": _program("import os\nos.rename('KEYFILE', 'FOLDER/moved')"),
        "write": _program("open('FOLDER/pwned', 'w').write('x')"),
        "fill the disk": _program("f = open('FOLDER/pwned', 'wb')\nwhile True:\n    f.write(bytes(10 ** 7))"),
        "save by numpy": _program("np.save('FOLDER/pwned', np.ones(3))"),
        "savetxt": _program("np.savetxt('FOLDER/pwned', np.ones((3, 3)))"),
        "array to file": _program("np.ones(3).tofile('FOLDER/pwned')"),
        "dump": _program("np.ones(3).dump('FOLDER/pwned')"),
        "chmod": _program("import os\nos.chmod('KEYFILE', 0o777)"),
        "symlink": _program("import os\nos.symlink('KEYFILE', 'FOLDER/pwned')"),
        "list folders": _program("import os\nos.listdir('/')"),
        "change folder": _program("import os\nos.chdir('/')"),
        "shared memory that stays": _program(
            "d = ctypes.CDLL(None).shmget(0x5EC2E7, 4096, 0o1666)\nif d < 0:\n    raise OSError('refused')",
            "import ctypes\n",
        ),
    },
)

_ENVIRONMENT = _group(
    "environment",
    {
        "environ": _program("import os\nif 'CANARY' not in str(dict(os.environ)):\n    raise KeyError"),
        "environ through libc": _program(
            "c = ctypes.CDLL(None)\nc.getenv.restype = ctypes.c_char_p\nif not c.getenv(b'HEADSCRIBE_TEST_KEY'):\n"
            "    raise KeyError",
            "import ctypes\n",
        ),
        "own environ in /proc": _program("open('/proc/self/environ').read()"),
        "server's environ": _program("import os\nopen('/proc/%d/environ' % os.getppid()).read()"),
        "owner's environ": _program("open('/proc/OWNER/environ').read()"),
        "owner's memory": _program("open('/proc/OWNER/mem', 'rb').read(1)"),
        "owner's command line": _program("open('/proc/OWNER/cmdline').read()"),
        "maps": _program("open('/proc/self/maps').read()"),
        "host name": _program("import os\nos.uname()"),
        "user names": _program("import pwd\npwd.getpwuid(0)"),
    },
)

_NETWORK = _group(
    "network",
    {
        "TCP": _program("socket.create_connection(('127.0.0.1', PORT)).sendall(b'hello')", "import socket\n"),
        "UDP": _program(
            "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'hello', ('127.0.0.1', PORT))", "import socket\n"
        ),
        "TCP through libc": _program(
            "if ctypes.CDLL(None).socket(2, 1, 0) < 0:\n    raise OSError('refused')", "import ctypes\n"
        ),
        "Unix socket": _program("socket.socket(socket.AF_UNIX).connect('FOLDER/socket')", "import socket\n"),
        "socket pair": _program("socket.socketpair()", "import socket\n"),
        "name lookup": _program("socket.getaddrinfo('localhost', 80)", "import socket\n"),
        "raw socket": _program("socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", "import socket\n"),
    },
)

_KILLING = _group(
    "processes of others",
    {
        "kill the server": _program("import os\nos.kill(os.getppid(), 9)"),
        "kill the owner": _program("import os\nos.kill(OWNER, 9)"),
        "kill all": _program("import os\nos.kill(-1, 9)"),
        "kill the group": _program("import os\nos.killpg(0, 9)"),
        "signal the owner": _program("import os\nos.kill(OWNER, 10)"),
        "tgkill": _program(
            "if ctypes.CDLL(None).syscall(234, OWNER, OWNER, 10) != 0:\n    raise OSError('refused')", "import ctypes\n"
        ),
        "ptrace": _program(
            "if ctypes.CDLL(None).ptrace(16, OWNER, 0, 0) != 0:\n    raise OSError('refused')", "import ctypes\n"
        ),
        "ptrace the server": _program(
            "import os\nif ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) != 0:\n    raise OSError('refused')",
            "import ctypes\n",
        ),
        "process_vm_readv": _program(
            "import os\nb = ctypes.create_string_buffer(16)\n"
            "v = (ctypes.c_void_p * 2)(ctypes.addressof(b), 16)\n"
            "if ctypes.CDLL(None).process_vm_readv(os.getppid(), v, 1, v, 1, 0) < 0:\n    raise OSError('refused')",
            "import ctypes\n",
        ),
        "pidfd": _program("import os\nos.pidfd_open(OWNER)"),
        "stop itself": _program("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"),
        "pretend not to be confined": _program("import os, signal\nos.kill(os.getpid(), signal.SIGUSR1)"),
    },
)

_LIMITS = _group(
    "limits",
    {
        "raise own CPU limit": _program(
            "resource.setrlimit(resource.RLIMIT_CPU, (10 ** 6, 10 ** 6))", "import resource\n"
        ),
        "raise own memory": _program(
            "resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)", "import resource\n"
        ),
        "lower the owner's": _program("resource.prlimit(OWNER, resource.RLIMIT_NOFILE, (0, 0))", "import resource\n"),
        "lower the server's": _program(
            "import os\nresource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))", "import resource\n"
        ),
        "priority": _program("import os\nos.setpriority(os.PRIO_PROCESS, OWNER, 19)"),
        "affinity": _program("import os\nos.sched_setaffinity(OWNER, {0})"),
        "become root": _program("import os\nos.setuid(0)"),
        "new namespace": _program(
            "if ctypes.CDLL(None).unshare(0x10000000) != 0:\n    raise OSError('refused')", "import ctypes\n"
        ),
        "second filter": _program(
            "if ctypes.CDLL(None).prctl(22, 2, 0, 0, 0) != 0 and ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) != 0:\n"
            "    raise OSError('refused')",
            "import ctypes\n",
        ),
        "poison memory": _program(
            "c = ctypes.CDLL(None)\nc.mmap.restype = ctypes.c_void_p\np = c.mmap(None, 4096, 3, 0x22, -1, 0)\n"
            "if c.madvise(ctypes.c_void_p(p), 4096, 100) != 0:\n    raise OSError('refused')",
            "import ctypes\n",
        ),
        "writable code": _program(
            "c = ctypes.CDLL(None)\nc.mmap.restype = ctypes.c_void_p\n"
            "if c.mmap(None, ctypes.c_size_t(4096), 7, 0x22, -1, 0) in (None, 2 ** 64 - 1):\n"
            "    raise OSError('refused')",
            "import ctypes\n",
        ),
    },
)

_DESCRIPTORS = _group(
    "descriptors",
    {
        "write to all": _program(
            "import os\nwritten = 0\nfor d in range(1024):\n    try:\n        written += os.write(d, b'pwned' * 100)\n"
            "    except OSError:\n        pass\nif not written:\n    raise OSError('all refused')"
        ),
        "read from all": _program(
            "import os\nfound = 0\nfor d in range(1024):\n    try:\n        found += len(os.read(d, 100)) + 1\n"
            "    except OSError:\n        pass\nif not found:\n    raise OSError('all refused')"
        ),
        "shrink all": _program(
            "import os\nshrunk = 0\nfor d in range(1024):\n    try:\n        os.ftruncate(d, 0)\n        shrunk += 1\n"
            "    except OSError:\n        pass\nif not shrunk:\n    raise OSError('all refused')"
        ),
        "print": _program("import sys\nprint('CANARY-printed')\nsys.stderr.write('x')\nraise OSError"),
        "new memory file": _program("import os\nos.memfd_create('x')"),
        "pipe": _program("import os\nos.pipe()"),
        "duplicate": _program("import os\nos.dup2(0, 1)"),
    },
)

_EXITS = _group(
    "exit and crash",
    {
        "exit 0": _program("import os\nos._exit(0)"),
        "exit 7": _program("import os\nos._exit(7)"),
        "sys.exit": _program("import sys\nsys.exit()"),
        "SystemExit": _program("raise SystemExit(0)"),
        "SystemExit at import": "raise SystemExit\n\ndef program(text):\n    return text.distance * 0.0\n",
        "KeyboardInterrupt": _program("raise KeyboardInterrupt"),
        "GeneratorExit": _program("raise GeneratorExit"),
        "abort": _program("import os\nos.abort()"),
        "null pointer": _program("ctypes.string_at(0)", "import ctypes\n"),
        # It reads memory that may or may not be there, so it may also live on, which gains it nothing.
        "bad code object": _program(
            "f = lambda: 0\nf.__code__ = f.__code__.replace(co_code=b'd\\xff' * 9, co_stacksize=0)\nf()", end=_PLAIN
        ),
        "wild pointer": _program("ctypes.memset(1, 0, 99)", "import ctypes\n"),
        "exit in a finaliser": (
            "class F:\n    def __del__(self):\n        import os\n        os._exit(0)\n\n"
            "def program(text):\n    F()\n    return np.full((text.n, text.n), 42.0)\n"
        ),
        "no return": "def program(text):\n    pass\n",
        "recursive exception": _program("e = ValueError()\ne.__cause__ = e\ne.__context__ = KeyError()\nraise e"),
        "exception that is no string": (
            "class E(BaseException):\n    def __str__(self):\n        return 5\n\ndef program(text):\n    raise E\n"
        ),
        "control characters": _program("raise ValueError('\\x1b[2J\\x00\\u202e[bold]{{x}}\\ud800' * 999)"),
        "program is no function": "program = 5\n\ndef program(text):\n    return 1\n\nprogram = 5\n",
    },
    any_result=True,
)

_FORGE = """
import gc
from fitness.sandbox.buffer import Buffer, HEADER
found = [o for o in gc.get_objects() if type(o) is Buffer]
import sys
frame = sys._getframe()
while frame:
    found += [v for v in frame.f_locals.values() if type(v) is Buffer]
    frame = frame.f_back
for b in found:
    FORGERY
import os
os._exit(0)
"""

_STALE = _group(
    "stale results",
    {
        "exit after the first text": _program(
            "seen.append(1)\nif text.n != 16:\n    import os\n    os._exit(0)", "seen = []\n"
        ),
        "report without nonce": _program(
            _FORGE.replace("FORGERY", "b._map[:HEADER.size] = HEADER.pack(b'\\0' * 16, 0, -1, 0, 0)")
        ),
        "nonsense report": _program(_FORGE.replace("FORGERY", "b._map[:2048] = b'\\xff' * 2048")),
        "kind out of range": _program(
            _FORGE.replace(
                "FORGERY",
                "n = sys._getframe()\n    while 'job' not in n.f_locals:\n        n = n.f_back\n"
                "    b._map[:HEADER.size] = HEADER.pack(n.f_locals['job'].nonce, 2 ** 31, 2 ** 30, 2 ** 31, 2 ** 31)",
            )
        ),
        "forged report of NaN": _program(
            _FORGE.replace(
                "FORGERY",
                "n = sys._getframe()\n    while 'job' not in n.f_locals:\n        n = n.f_back\n"
                "    b._bytes[2048:] = 255\n"
                "    b._map[:HEADER.size] = HEADER.pack(n.f_locals['job'].nonce, 0, -1, 0, 0)",
            )
        ),
        "unmaps the results": _program(
            "c = ctypes.CDLL(None)\nimport sys\nn = sys._getframe()\nwhile 'buffer' not in n.f_locals:\n"
            "    n = n.f_back\nb = n.f_locals['buffer']\n"
            "b._map = bytearray(4096)\nb._bytes = np.zeros(10 ** 6, np.uint8)",
            "import ctypes\n",
        ),
    },
    any_result=True,
)

_SECRETS = _group(
    "targets in memory",
    {
        "objects": _program(
            "import gc\nhits = [o for o in gc.get_objects() if isinstance(o, (dict, list, tuple)) and "
            "re.search(r'CANARY-[0-9a-f]{32}', repr(o)[:10 ** 6])]\nif not hits:\n    raise KeyError",
            "import re\n",
        ),
        "frames": _program(
            "import sys\nframe, hits = sys._getframe(), []\nwhile frame:\n"
            "    hits += [k for k in frame.f_locals if 'target' in k or 'attention' in k or 'secret' in k]\n"
            "    frame = frame.f_back\nif not hits:\n    raise KeyError"
        ),
        "modules": _program(
            "import sys\nif not set(sys.modules) & {'torch', 'fitness.models.capture', 'fitness.scoring.worker',"
            " 'evolve.store'}:\n"
            "    raise KeyError"
        ),
        "heap": _program(
            "start = id(object()) & ~0xFFFFF\nblock = ctypes.string_at(start, 1 << 16)\n"
            "if not re.search(rb'CANARY-[0-9a-f]{32}', block):\n    raise KeyError",
            "import ctypes, re\n",
        ),
    },
)

_PATCHING = _group(
    "patching",
    {
        "numpy": _program("np.exp = lambda x: x * 0\nnp.ones = None\nnp.tril = None", end=_PLAIN),
        "numpy for real": _program("import numpy\nfor k in list(vars(numpy)):\n    vars(numpy)[k] = None", end=_PLAIN),
        "builtins": _program("import builtins\nbuiltins.len = lambda x: 0\nbuiltins.abs = None", end=_PLAIN),
        "the checks": _program(
            "import fitness.scoring.contract, fitness.sandbox.static_check\n"
            "fitness.scoring.contract.check_weights = lambda *a: None\n"
            "fitness.sandbox.static_check.check_source = lambda *a: None",
            end=_PLAIN,
        ),
        "the text": _program(
            "text.__dict__['n'] = 3\ntext.distance.setflags(write=True)\ntext.distance[:] = 0", end=_PLAIN
        ),
        "modules": _program("import sys\nsys.modules.clear()", end=_PLAIN),
        "the class of texts": _program("type(text).distance = 0", end=_PLAIN),
        "exit": _program("import os\nos._exit = lambda code: None", end=_PLAIN),
        "import hook": _program("import sys\nsys.meta_path.clear()\nsys.setprofile(print)", end=_PLAIN),
    },
)

_VALUES = _group(
    "values",
    {
        "NaN": _program("return np.full((text.n, text.n), np.nan)"),
        "one NaN": _program("w = np.ones((text.n, text.n))\nw[-1, -1] = np.nan\nreturn w"),
        "infinity": _program("return np.full((text.n, text.n), np.inf)"),
        "too large for float32, everywhere": _program("return np.full((text.n, text.n), np.inf) * 1e300"),
        "negative": _program("return -np.ones((text.n, text.n))"),
        "tiny negative": _program("w = np.ones((text.n, text.n))\nw[0, 0] = -1e-3\nreturn w"),
        "flat": _program("return np.ones(text.n * text.n)"),
        "transposed batch": _program("return np.ones((1, text.n, text.n))"),
        "too small": _program("return np.ones((text.n - 1, text.n))"),
        "too large": _program("return np.ones((text.n + 1, text.n + 1))"),
        "a number": _program("return 1.0"),
        "a dictionary": _program("return {'weights': np.ones((text.n, text.n))}"),
        "a string": _program("return 'x' * text.n"),
        "bytes of a pickle": _program("return b'cos\\nsystem\\n(S\"touch FOLDER/pwned\"\\ntR.'"),
        "array of pickles": _program(
            "w = np.empty((text.n, text.n), dtype=object)\n"
            "w[:] = b'cos\\nsystem\\n(S\"touch FOLDER/pwned\"\\ntR.'\nreturn w"
        ),
        "an object with __array__": (
            "class A:\n    shape = (9, 9)\n    def __array__(self, *a, **k):\n        return np.full((9, 9), 42.0)\n\n"
            "def program(text):\n    return A()\n"
        ),
        "an object with __reduce__": (
            "class A:\n    def __reduce__(self):\n        import os\n"
            "        return os.system, ('touch FOLDER/pwned',)\n\ndef program(text):\n    return A()\n"
        ),
        "an array that lies": (
            "class A(np.ndarray):\n    shape = property(lambda self: (16, 16))\n    dtype = np.dtype(float)\n\n"
            "def program(text):\n    return np.ones(3).view(A)\n"
        ),
        "complex": _program("return np.ones((text.n, text.n)) * 1j"),
        "texts": _program("return np.full((text.n, text.n), 'a')"),
        "dates": _program("return np.zeros((text.n, text.n), dtype='datetime64[s]')"),
        "records": _program("return np.zeros((text.n, text.n), dtype=[('a', float)])"),
        "ragged": _program("return [[1.0] * i for i in range(text.n)]"),
        "generator": _program("return (1.0 for i in range(text.n))"),
        "None": _program("return None"),
        "itself": _program("return program"),
    },
    any_result=True,
)

_EVASIONS = _group(
    "evasions",
    {
        "subclasses": _program("().__class__.__base__.__subclasses__()[100]"),
        "getattr": _program("getattr((), '__cla' + 'ss__')"),
        "getattr by map": _program("list(map(getattr, [()], ['__cla' + 'ss__']))"),
        "format": _program("if '{0.__class__}'.format(text) == '':\n    raise KeyError"),
        "format in pieces": _program("s = '{0.__cla' + 'ss__}'\ns.format(text)"),
        "format of str": _program("str.format('{0.__class__}', text)"),
        "format_map": _program("'{a.__class__}'.format_map({'a': text})"),
        "import by name": _program("__import__('os').getcwd()"),
        "import os": _program("import os\nos.getcwd()"),
        "import at the top": "import os\n\ndef program(text):\n    os.getcwd()\n    return text.distance * 0 + 42.0\n",
        "star": "from numpy import *\n\ndef program(text):\n    load('KEYFILE')\n    return text.distance * 0 + 42.0\n",
        "relative import": "from . import child\n\ndef program(text):\n    return text.distance * 0 + 42.0\n",
        "submodule": _program("import numpy.lib.format\nnumpy.lib.format.open_memmap('KEYFILE')"),
        "numpy's own imports": _program("np.lib.npyio.os.getcwd()"),
        "numpy ctypeslib": _program("np.ctypeslib.ctypes.CDLL(None).getpid()"),
        "numpy f2py": _program("np.f2py.os.getcwd()"),
        "array's ctypes": _program("np.ones(3).ctypes.data"),
        "builtins": _program("__builtins__['open']('KEYFILE')"),
        "globals": _program("globals()['__builtins__']['open']('KEYFILE')"),
        "eval": _program("eval('open(\"KEYFILE\")')"),
        "exec": _program("exec('import os; os.getcwd()')"),
        "compile": _program("compile('1', '', 'eval')"),
        "fullwidth letters": _program("\uff4fpen('KEYFILE')"),
        "frame of a generator": _program("g = (x for x in [1])\ng.gi_frame.f_back"),
        "frame of an exception": _program(
            "try:\n    1 / 0\nexcept Exception as e:\n    e.__traceback__.tb_frame.f_globals"
        ),
        "code of a function": _program("program.__code__"),
        "method's self": _program("print.__self__"),
        "class pattern": _program("match text:\n    case object(__class__=c):\n        c.mro"),
        "class pattern of a type": _program(
            "class A:\n    __match_args__ = ('__class__',)\nmatch A():\n    case A(c):\n        c.mro"
        ),
        "type of three": _program("type('X', (), {'__getattr__': None})"),
        "metaclass": "class M(type):\n    pass\n\nclass A(metaclass=M):\n    pass\n" + _program("A.mro"),
        "dunder method": "class A:\n    def __eq__(self, other):\n        return True\n" + _program("A() == 1"),
        "dunder by assignment": "class A:\n    pass\nA.__call__ = len\n" + _program("pass"),
        "own attribute as cover": "class A:\n    gi_frame = 1\n" + _program("g = (x for x in [1])\ng.gi_frame.f_back"),
        "decorator": "@eval\ndef f():\n    pass\n" + _program("pass"),
        "object arrays": _program("np.array([1], dtype=object).dump('FOLDER/pwned')"),
        "object arrays by letter": _program("np.array([1]).astype('O').dump('FOLDER/pwned')"),
        "out of bounds": _program("np.lib.stride_tricks.as_strided(np.ones(1), (10 ** 9,))[10 ** 8]"),
        "scanner of re": _program("re.Scanner([]).lexicon", "import re\n"),
        "enum of re": _program("re.enum.sys.exit()", "import re\n"),
        "sys of collections": _program("collections._sys.exit()", "import collections\n"),
        "formatter of string": _program("string.Formatter().get_field('0.__class__', (text,), {})", "import string\n"),
        "walrus": _program("(os := __import__('os')).getcwd()"),
        "lambda default": _program("(lambda o=__import__('os'): o.getcwd())()"),
        "comprehension": _program("[o.getcwd() for o in [__import__('os')]]"),
        "f-string": _program("f'{__import__(\"os\").getcwd()}'"),
        "nonlocal builtins": "global __builtins__\n" + _program("__builtins__ = 1"),
        "except as dunder": _program("try:\n    1 / 0\nexcept Exception as __builtins__:\n    pass"),
        "argument as dunder": "def f(__import__=1):\n    return __import__\n" + _program("f()"),
        "alias as dunder": "import math as __builtins__\n" + _program("pass"),
        "vars": _program("vars(text)['n']"),
        "coroutine": "async def f():\n    pass\n" + _program("f().cr_frame.f_builtins"),
    },
)
ATTACKS: list[Attack] = [
    *(_LOOPS + _MEMORY + _BOMBS + _FILES + _ENVIRONMENT + _NETWORK + _KILLING + _LIMITS + _DESCRIPTORS + _EXITS),
    *(_STALE + _SECRETS + _PATCHING + _VALUES + _EVASIONS + _group("evasions", BY_VALUE)),
]

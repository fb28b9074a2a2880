"""Programs whose weights would depend on more than the text, by kind; each either is held to it or found out."""

from __future__ import annotations

_FULL = "return np.full((text.n, text.n), float({}))"


def _program(body: str, value: str = "", before: str = "") -> str:
    lines = [*body.split("\n"), *([_FULL.format(value)] if value else [])]
    return f"{before}\ndef program(text):\n" + "".join(f"    {line}\n" for line in lines)


def _group(group: str, programs: dict[str, str]) -> dict[str, str]:
    return {f"{group}: {name}": source for name, source in programs.items()}


GENERATORS = _group(
    "generators",
    {
        name: _program(f"rng = {make}", "rng.random()" if "RandomState" not in make else "rng.rand()")
        for name, make in {
            "default_rng": "np.random.default_rng()",
            "default_rng of None": "np.random.default_rng(seed=None)",
            "PCG64": "np.random.Generator(np.random.PCG64())",
            "MT19937": "np.random.Generator(np.random.MT19937())",
            "Philox": "np.random.Generator(np.random.Philox())",
            "SFC64": "np.random.Generator(np.random.SFC64(None))",
            "PCG64DXSM": "np.random.Generator(np.random.PCG64DXSM())",
            "SeedSequence": "np.random.default_rng(np.random.SeedSequence())",
            "SeedSequence spawned": "np.random.default_rng(np.random.SeedSequence().spawn(2)[1])",
            "RandomState": "np.random.RandomState()",
        }.items()
    },
)
GENERATORS |= _group(
    "generators",
    {
        "rand": _program("pass", "np.random.rand()"),
        "rand by another spelling": _program("pass", "np.\uff52andom.rand()"),
        "seed without a number": _program("np.random.seed()", "np.random.rand()"),
        "RandomState seeded again": _program("r = np.random.RandomState(1)\nr.seed()", "r.rand()"),
        "RandomState of MT19937": _program("r = np.random.RandomState(np.random.MT19937())", "r.rand()"),
        "imported": _program("pass", "rand()", "from numpy.random import rand\n"),
        "imported as module": _program("pass", "r.rand()", "import numpy.random as r\n"),
        "entropy": _program("pass", "np.random.SeedSequence().entropy % 1000"),
        "class of a generator": _program("g = np.random.PCG64(1)", "np.random.Generator(type(g)()).random()"),
        "bit generator's class": _program(
            "g = np.random.default_rng(1).bit_generator", "np.random.Generator(type(g)()).random()"
        ),
        "choice": _program("pass", "np.random.choice(1000)"),
        "shuffle": _program("x = np.arange(99)\nnp.random.shuffle(x)", "x[0]"),
        "the clock": _program("pass", "np.array('now', 'M8[s]').astype(int) % 1000"),
        "the clock by variable": _program("d = 'M' + '8[s]'", "np.asarray('now', dtype=d).astype(int) % 1000"),
        "the clock by vectorize": _program(
            "f = np.vectorize(lambda x: x, otypes=['M'])", "f(np.array(['now'])).astype('i8')[0] % 1000"
        ),
    },
)
ADDRESSES = _group(
    "addresses",
    {
        "id": _program("pass", "id(object()) % 1000"),
        "repr of a function": _program("pass", "int(repr(program).split('0x')[1].rstrip('>'), 16) % 1000"),
        "str of a lambda": _program("pass", "sum(map(ord, str(lambda: 0)))"),
        "f-string of a generator": _program("g = (x for x in [])", "int(f'{g}'.split('0x')[1].rstrip('>'), 16) % 997"),
        "percent": _program("pass", "int(('%s' % program).split('0x')[1].rstrip('>'), 16) % 997"),
        "hash of a function": _program("pass", "hash(program) % 1000"),
        "hash of a method": _program("pass", "hash(text.tokens.index) % 1000"),
        "hash of an object": _program("pass", "hash(A()) % 1000", "class A:\n    pass\n"),
        "repr of an object": _program("pass", "sum(map(ord, repr(A())))", "class A:\n    pass\n"),
        "hash of a class": _program("pass", "hash(A) % 1000", "class A:\n    pass\n"),
        "hash of None": _program("pass", "hash(None) % 1000"),
        "hash of a text": _program("pass", "hash(text) % 1000"),
        "bytes of objects": _program("a = np.array([program, print])", "sum(a.tobytes())"),
        "error's message": _program(
            "try:\n    program < program\nexcept TypeError as e:\n    s = str(e)\ns = str([program])",
            "sum(map(ord, s))",
        ),
    },
)
SETS = _group(
    "sets",
    {
        "of objects": _program(
            "s = {A(i) for i in range(30)}",
            "[a.i for a in s].index(7)",
            "class A:\n    def __init__(self, i):\n        self.i = i\n",
        ),
        "of functions": _program("f = [(lambda i: lambda: i)(i) for i in range(60)]", "[g() for g in set(f)].index(7)"),
        "of methods": _program(
            "f = [t.upper for t in text.tokens]", "len(str([g() for g in set(f)])[:40].split('A')[0])"
        ),
        "of classes": _program("k = [type(A(), ) for i in range(3)]", "len(set(k))", "class A:\n    pass\n"),
        "of exceptions": _program("s = {ValueError(i) for i in range(60)}", "[e.args[0] for e in s].index(7)"),
        "of strings": _program("s = {t + 'x' for t in text.tokens}", "list(s).index(text.tokens[0] + 'x')"),
    },
)
MEMORY = _group(
    "memory",
    {
        "empty": _program("return np.abs(np.empty((text.n, text.n)))"),
        "empty_like": _program("return np.abs(np.empty_like(text.distance * 1.0))"),
        "empty by variable": _program("f = np.empty\nreturn np.abs(f((text.n, text.n)))"),
        "ndarray": _program("return np.abs(np.ndarray((text.n, text.n)))"),
        "ndarray by variable": _program("A = np.ndarray\nreturn np.abs(A(shape=(text.n, text.n)))"),
        "type of an array": _program("A = type(text.ids)\nreturn np.abs(A((text.n, text.n)))"),
        "where without out": _program("x = np.ones((text.n, text.n))\nreturn np.abs(np.divide(x, 3, where=text.same))"),
        "where by options": _program("x = 1.0 * text.same\nreturn np.abs(np.add(x, x, **{'where': text.same}))"),
        "where by outer": _program("x = 1.0 * text.position\nreturn np.abs(np.add.outer(x, x, where=text.same))"),
        "where handed on": _program(
            "x = np.ones((text.n, text.n))\nreturn np.abs(np.apply_along_axis(np.sqrt, 0, x, where=False))"
        ),
        "where by vectorize": _program("f = np.vectorize(np.sqrt)\nreturn np.abs(f(1.0 * text.same, where=False))"),
        "pad": _program("return np.abs(np.pad(np.ones((1, 1)), (0, text.n - 1), mode='empty'))"),
        "nditer": _program("it = np.nditer([1.0 * text.same, None])\nreturn np.abs(it.operands[1])"),
        "small blocks": _program("a = [np.empty(3) for i in range(9)]", "abs(sum(x.sum() for x in a)) % 1e9"),
    },
)
_COUNT = "np.full((text.n, text.n), float({}))"
STATE = _group(
    "state",
    {
        "global list": _program("seen.append(1)", "len(seen)", "seen = []\n"),
        "default": _program("seen.append(1)", "len(seen)").replace("(text)", "(text, seen=[])"),
        "function's attribute": _program(
            "try:\n    program.count += 1\nexcept AttributeError:\n    program.count = 1", "program.count"
        ),
        "helper's attribute": _program("f.count = f.count + 1", "f.count", "def f():\n    pass\nf.count = 0\n"),
        "class": _program("A.count += 1", "A.count", "class A:\n    count = 0\n"),
        "stand-in": _program("np.count = getattr(np, 'count', 0) + 1", "np.count"),
        "stand-in by another name": _program("m = np\nm.exp = m.ones\nm.size = 3", "m.size"),
        "stand-in in a loop": _program("m = np\nfor m.size in range(4):\n    pass", "m.size"),
        "stand-in by with": _program("m = np\nwith np.errstate() as m.size:\n    pass\nm.size = 1", "m.size"),
        "stand-in deleted": _program("m = np\ndel m.exp", "0"),
        "submodule": _program("m = np.linalg\nm.norm = len", "m.norm([1])"),
        "numpy's function": _program("f = np.tril\nf.count = 1 + getattr(f, 'count', 0)", "f.count"),
        "python's function": _program("f = re.compile\nf.count = 1 + getattr(f, 'count', 0)", "f.count", "import re\n"),
        "a library's class": _program(
            "C = collections.Counter\nC.count = 1 + getattr(C, 'count', 0)", "C.count", "import collections\n"
        ),
        "print options": _program("s = str(np.array([np.pi]))\nnp.set_printoptions(precision=2)", "len(s)"),
        "error state": _program(
            "try:\n    np.log(np.zeros(1))\n    x = 0\nexcept FloatingPointError:\n    x = 1\nnp.seterr(all='raise')",
            "x",
        ),
        "text's class": _program("T = type(text)\nT.count = 1 + getattr(T, 'count', 0)", "T.count"),
        "text's arrays": _program("text.ids.flags.writeable = True\ntext.ids[0] += 1", "text.ids[0]"),
        "text's arrays by item": _program("text.ids.flags['WRITEABLE'] = True\ntext.ids[0] += 1", "text.ids[0]"),
        "text's arrays by setflags": _program("text.ids.setflags(write=True)\ntext.ids[0] += 1", "text.ids[0]"),
        "text's shape": _program("d = text.distance\nd.shape = (text.n * text.n,)", "d.ndim"),
        "tables of numpy": _program("np.sctypeDict['x'] = 1 + len(np.sctypeDict)", "len(np.sctypeDict)"),
        "builtins": _program("__builtins__['x'] = 1", "1"),
        "learning": _program("seen.extend(text.tokens)", "len(set(seen))", "seen = []\n"),
        "learning by closure": _program(
            "c.append(text.n)", "sum(c)", "def make():\n    c = []\n    return c\nc = make()\n"
        ),
        "module": _program("np.random.seed(5)", "np.random.rand()"),
        "generator kept": _program("pass", "rng.random()", "rng = np.random.default_rng(4)\n"),
    },
)
IMPURE: dict[str, str] = GENERATORS | ADDRESSES | SETS | MEMORY | STATE

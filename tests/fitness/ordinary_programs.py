"""Ordinary research programs, as people and language models write them: all of them have to run."""

from __future__ import annotations

_BODIES = """
return 1.0 * (text.distance == 1)
return np.exp(-np.abs(text.distance) / 4.0)
w = np.zeros((text.n, text.n)); w[:, 0] = 1; return w
w = np.empty((text.n, text.n)); w[:] = 0.5; return w
w = np.empty_like(text.same, dtype=float); w.fill(1); return w
w = np.full((text.n, text.n), 1e-6, dtype=np.float32); w[text.same] += 1; return w
w = np.eye(text.n, dtype='float64') + np.eye(text.n, k=-1); return w
w = np.tril(np.ones((text.n, text.n))).astype(np.float32); return w / w.sum(axis=1, keepdims=True)
w = text.same.astype(int); return w.astype('float32')
w = text.same.astype(float); np.fill_diagonal(w, 0); return w + 0.01
w = np.array([[float(a == b) for a in text.tokens] for b in text.tokens]); return w
w = np.asarray(text.same, dtype=float); return np.maximum(w, 0.1)
return np.where(text.is_punctuation[None, :], 1.0, 0.1) * np.ones((text.n, 1))
return np.divide(1.0, 1 + np.abs(text.distance), out=np.zeros((text.n, text.n)), where=text.distance >= 0)
return np.divide(1.0, text.distance, where=text.distance > 0)
s = np.sum(text.same, axis=1, where=text.distance >= 0); return np.ones((text.n, text.n)) * s[:, None]
x = np.arange(text.n); return np.exp(-np.subtract.outer(x, x) ** 2 / 8.0)
rng = np.random.default_rng(0); return rng.random((text.n, text.n))
np.random.seed(42); return np.random.rand(text.n, text.n)
rng = np.random.RandomState(1); return rng.uniform(0, 1, size=(text.n, text.n))
words = [t.strip().lower() for t in text.tokens]; return np.array([[1.0 + (a == b) for b in words] for a in words])
words = {t for t in text.tokens}; return np.ones((text.n, text.n)) * len(words)
seen = {}; [seen.setdefault(t, i) for i, t in enumerate(text.tokens)]; return np.ones((text.n, text.n)) + len(seen)
s = sorted(enumerate(text.tokens), key=lambda p: (-len(p[1]), p[0])); return np.ones((text.n, text.n)) * (1 + s[0][0])
name = 'n={}'.format(text.n); return np.ones((text.n, text.n)) * len(name)
name = '{:>{}}|{:.2f}|{a}'.format('x', 5, 1.5, a=2); return np.ones((text.n, text.n)) * len(name)
name = f'{text.n:03d} {text.tokens[0]!r}'; return np.ones((text.n, text.n)) * len(name)
name = '%s %d' % (text.tokens[0], text.n); return np.ones((text.n, text.n)) * len(name)
return np.ones((text.n, text.n)) * (1.0 if isinstance(text.same, np.ndarray) else 0.5)
return np.ones((text.n, text.n)) * (2 if type(text.n) is int else 1)
return np.ones((text.n, text.n)) * (getattr(text, 'n') + hasattr(text, 'ids'))
w = text.distance * 1.0; w[w < 0] = 0; return w
a = np.arange(text.n * text.n, dtype=float); a.shape = (text.n, text.n); return a
a = np.arange(text.n * text.n).reshape(text.n, -1); return a.T @ a + 0.0
w = np.stack([1.0 * text.is_first] * text.n); return w + np.roll(w, 1, axis=1)
w = np.concatenate([np.ones((text.n, 1)), np.zeros((text.n, text.n - 1))], axis=1); return w
w = np.pad(np.ones((1, 1)), ((0, text.n - 1), (0, text.n - 1))); return w
f = np.vectorize(lambda i, j: 1.0 / (1 + abs(i - j))); return f(*np.indices((text.n, text.n)))
w = np.fromfunction(lambda i, j: (i >= j) * 1.0, (text.n, text.n)); return w
w = np.apply_along_axis(lambda r: r / r.sum(), 1, np.ones((text.n, text.n))); return w
w = np.einsum('i,j->ij', 1.0 * text.position, 1.0 * text.position); return w
u, s, v = np.linalg.svd(1.0 * text.same); return np.abs(u * s @ v)
w = np.abs(np.fft.fft(1.0 * text.same, axis=1)); return w
h, e = np.histogram(text.position, bins=4); return np.ones((text.n, text.n)) * (1 + h[0])
c = np.cumsum(text.is_punctuation); return (c[:, None] == c[None, :]).astype(float)
u, i, c = np.unique(text.ids, return_inverse=True, return_counts=True); return np.outer(c[i], c[i]).astype(float)
w = np.nan_to_num(np.log(np.maximum(text.distance, 1e-9)), neginf=0.0); return np.abs(w)
np.set_printoptions(precision=3, suppress=True); return np.ones((text.n, text.n))
np.seterr(divide='ignore'); return np.abs(1 / (text.distance + 0.5))
w = np.zeros((text.n, text.n)); it = np.nditer(w, flags=['multi_index'], op_flags=['readwrite']); return w + 1
w = [[0.0] * text.n for _ in range(text.n)]; w[0][0] = 1.0; return w
return tuple(tuple(1.0 for _ in range(text.n)) for _ in range(text.n))
print('debug', text.n); return np.ones((text.n, text.n))
return text.same | (text.distance == 1)
w = np.clip(text.word_distance, 0, 5) / 5; return w
w = text.same * 1.0; w += 0.1; w *= 2; return w
""".strip().split("\n")
_WHOLE = {
    "class with state": "class Rule:\n    def __init__(self, k):\n        self.k = k\n        self.type = 'a'\n\n"
    "    def weight(self, i, j):\n        return 1.0 / (self.k + abs(i - j))\n\ndef program(text):\n    r = Rule(2)\n"
    "    return np.array([[r.weight(i, j) for j in range(text.n)] for i in range(text.n)])\n",
    "default list": "def program(text, words=['the', 'a']):\n    m = np.isin(text.tokens, words)\n"
    "    return np.ones((text.n, text.n)) + m\n",
    "counter": "from collections import Counter, defaultdict\n\ndef program(text):\n    c = Counter(text.tokens)\n"
    "    d = defaultdict(list)\n    for i, t in enumerate(text.tokens):\n        d[t].append(i)\n"
    "    return np.array([[c[a] + len(d[b]) for a in text.tokens] for b in text.tokens], dtype=float)\n",
    "regex": "import re\nWORD = re.compile(r'[a-z]+')\n\ndef program(text):\n"
    "    m = np.array([bool(WORD.search(t)) for t in text.tokens])\n    return np.outer(m, m) + 0.1\n",
    "decorator": "def doubled(f):\n    def inner(*args, **kwargs):\n        return 2 * f(*args, **kwargs)\n"
    "    return inner\n\n"
    "@doubled\ndef base(text, k=1.0):\n    return k * np.ones((text.n, text.n))\n\ndef program(text):\n"
    "    return base(text, k=3.0)\n",
    "named tuple": "from collections import namedtuple\nSpan = namedtuple('Span', 'begin end')\n\ndef program(text):\n"
    "    s = Span(0, text.n)\n    return np.ones((s.end, s.end)) + s.begin\n",
    "subclass of dict": "class Table(dict):\n    pass\n\ndef program(text):\n    t = Table(a=1)\n"
    "    return np.ones((text.n, text.n)) * t['a']\n",
    "function's attribute": "def helper():\n    helper.calls += 1\n    return helper.calls\nhelper.calls = 0\n\n"
    "def program(text):\n    return np.ones((text.n, text.n)) * helper()\n",
    "annotations": "from __future__ import annotations\n\ndef program(text: Text) -> np.ndarray:\n"
    "    w: np.ndarray = np.ones((text.n, text.n))\n    return w\n",
    "names of other letters": "def program(text):\n    \u03c3 = 2.0\n"
    "    return np.exp(-np.abs(text.distance) / \u03c3)\n",
}
ORDINARY: dict[str, str] = {
    body: "def program(text):\n" + "".join(f"    {part.strip()}\n" for part in body.split("; ")) for body in _BODIES
} | _WHOLE

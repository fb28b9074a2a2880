"""Ways past the static check by value: what it cannot see in the tree, guards and stand-ins have to hold."""

from __future__ import annotations

_WON = "    return np.full((text.n, text.n), 42.0)\n"


def _program(body: str, before: str = "") -> str:
    return f"{before}\ndef program(text):\n" + "".join(f"    {line}\n" for line in body.split("\n")) + _WON


BY_VALUE = {
    "format by variable": _program("f = '{0.__class__}'.format\nf(text)"),
    "format by map": _program("list(map('{0.__class__}'.format, [text]))"),
    "format of str by map": _program("list(map(str.format, ['{0.__class__}'], [text]))"),
    "format by key": _program("sorted(['{0.__class__}'], key=str.format)"),
    "format by getattr": _program("getattr('{0.__class__}', 'format')(text)"),
    "format by default": _program("(lambda f='{0.__class__}'.format: f(text))()"),
    "format of a joined literal": _program("('{0.__cla' + 'ss__}').format(text)"),
    "format in the width": _program("'{0:{1.__class__}}'.format(1, text)"),
    "format of an element": _program("'{0[0]}'.format(text.tokens)"),
    "format of a subclass": _program("S('{0.__class__}').format(text)", "class S(str):\n    pass\n"),
    "format_map by variable": _program("f = '{a.__class__}'.format_map\nf({'a': text})"),
    "getattr by variable": _program("g = getattr\ng(text, 'n')"),
    "getattr computed": _program("getattr(np, 'li' + 'b')"),
    "getattr of a loop": _program("for name in ('n', 'ids'):\n    getattr(text, name)"),
    "hasattr as a value": _program("list(map(hasattr, [text], ['n']))"),
    "attrgetter by sort": _program("sorted([text], key=lambda t: getattr(t, t.tokens[0]))"),
    "emath": _program("np.emath.np.lib"),
    "emath by import": _program("np", "from numpy import emath\n"),
    "modules within numpy": _program("np.char\nnp.rec\nnp.ma"),
    "tables of numpy": _program("np.sctypeDict.clear()"),
    "type of a type": _program("type(type(1))('A', (), {})()"),
    "type by map": _program("list(map(type, [int]))[0]('A', (), {})"),
    "type of an array": _program("type(text.ids)(3).ctypes"),
    "class of arrays": _program("A()", "class A(np.ndarray):\n    pass\n"),
    "class of generators": _program("A()", "class A(np.random.Generator):\n    pass\n"),
    "class of a text": _program("type(text)(['a'])"),
    "array interface": _program("np.asarray(A())", "class A:\n    __array_interface__ = {'shape': (1,)}\n"),
    "array interface by type": _program(
        "A = type(type(1))('A', (), {'__array_interface__': {'shape': (9,), 'typestr': '<f8', 'data': (8, True), "
        "'version': 3}})\nnp.asarray(A())"
    ),
    "objects by variable": _program("d = 'O'\nnp.zeros(3, dtype=d)"),
    "objects by position": _program("np.zeros(3, 'o'.upper())"),
    "objects by astype": _program("d = 'O'\ntext.ids.astype(d)"),
    "objects by astype as a value": _program("f = text.ids.astype\nf('O')"),
    "objects by view": _program("d = 'O'\ntext.ids.view(d)"),
    "objects by options": _program("o = {'dtype': 'O'}\nnp.zeros(3, **o)"),
    "objects as they are": _program("np.array([text, None])"),
    "objects by full": _program("np.full((2, 2), program)"),
    "records": _program("np.zeros(3, [('a', 'O')])"),
    "writes to a stand-in": _program("m = np\nm.exp = len"),
    "writes to a text": _program("t = text\nt.n = 3"),
    "writes to a list of targets": _program("m = np\n(m.exp, m.log) = (len, len)"),
    "writes in a comprehension": _program("m = np\n[0 for m.exp in [len]]"),
    "writes in a for": _program("m = np\nfor m.exp in [len]:\n    pass"),
    "deletes": _program("m = np\ndel m.exp"),
    "writes to flags": _program("text.ids.flags.writeable = True"),
    "own name as cover": _program("text.ids.flags['WRITEABLE'] = True", "class A:\n    flags = 1\n"),
    "own base as cover": _program("text.ids.base", "class A:\n    base = 1\n"),
    "bit generator": _program("np.random.default_rng(1).bit_generator.lock"),
    "pickles of a generator": _program("np.random.default_rng(1).__reduce__()"),
    "error's object": _program("try:\n    text.nothing\nexcept AttributeError as e:\n    e.obj"),
    "super": _program("super().x"),
    "match of attributes": _program("match text:\n    case str(n=x):\n        pass"),
    "setattr": _program("setattr(np, 'exp', len)"),
    "clock": _program("np.datetime64('now')"),
    # numpy does not check where in its table of numbers a state says that it is: what lies around it would be read.
    "memory around a generator": _program(
        "r = np.random.RandomState(1)\nr.set_state(('MT19937', np.zeros(624, 'u4'), -70000))\nr.rand()"
    ),
    "memory around a generator by import": _program(
        "r.set_state(('MT19937', np.zeros(624, 'u4'), 9**9))",
        "from numpy.random import RandomState\nr = RandomState(1)\n",
    ),
    "state of a bit generator": _program("g = np.random.MT19937(1)\ng.state = {'state': {'pos': -70000}}"),
    "metaclass by keyword": _program("A", "class A(metaclass=type):\n    pass\n"),
}

"""Small packages and edits to them: {name: (files before, files that are edited)}; PKG stands for the package's name."""

import textwrap

B = "K = 3\ndef g(x):\n    return x * K\ndef z():\n    return 1\n"
K4 = {"b.py": B.replace("K = 3", "K = 4")}
Z2 = {"b.py": B.replace("return 1", "return 2")}
A = "from .b import g\ndef f(x):\n    return g(x)\ndef h():\n    return 0\n"
A_ATTR = "from . import b\ndef f(x):\n    return b.g(x)\n"
REGISTRY = "TABLE = {}\ndef register(n):\n    def d(c):\n        TABLE[n] = c\n        return c\n    return d\n"
LOOKUP = "from .r import TABLE\nfrom . import m\ndef f(n):\n    return TABLE[n]\n"


def one(text, old, new):
    """A case of one module a.py, in which ``old`` becomes ``new``."""
    text = textwrap.dedent(text)
    assert old in text
    return {"a.py": text}, {"a.py": text.replace(old, new)}


SAME = {
    "comment, docstring, layout": (
        {"a.py": A, "b.py": B},
        {"b.py": "# c\nK = 3\n\ndef g(x):\n    '''doc'''\n    return (x * K)\ndef z():\n    return 1\n"},
    ),
    "order of definitions": ({"a.py": A, "b.py": B}, {"b.py": "def g(x):\n    return x * K\nK = 3\n"}),
    "unused function": ({"a.py": A, "b.py": B}, Z2),
    "unused function, module attribute": ({"a.py": A_ATTR, "b.py": B}, Z2),
    "unused function, dotted import": ({"a.py": "import PKG.b\ndef f(x):\n    return PKG.b.g(x)\n", "b.py": B}, Z2),
    "other re-export": (
        {
            "a.py": "from .s import q\ndef f():\n    return q()\n",
            "s/__init__.py": "from .t import q, w\n",
            "s/t.py": "def q():\n    return 1\ndef w():\n    return 1\n",
        },
        {"s/t.py": "def q():\n    return 1\ndef w():\n    return 2\n"},
    ),
    "import for type checking": (
        {
            "a.py": """
            from typing import TYPE_CHECKING
            if TYPE_CHECKING:
                from .b import g
            def f(x: 'g'):
                return x
            """,
            "b.py": B,
        },
        K4,
    ),
    "docstring in place of pass": one("class E(Exception):\n    pass\ndef f():\n    raise E\n", "pass", "'''No good.'''"),
    "text after a field": one("class C:\n    x: int = 1\ndef f():\n    return C\n", "= 1\n", "= 1\n    'the x'\n"),
    "an unused import of another package": one("import math\ndef f():\n    return 1\n", "math", "cmath"),
    "relative import made absolute": ({"a.py": A, "b.py": B}, {"a.py": A.replace(".b", "PKG.b")}),
    "default of an unused dataclass": one(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass C:\n    x: int = 1\ndef f():\n    return 1\n",
        "= 1",
        "= 2",
    ),
    "unused function behind a cache": one(
        "import functools\n@functools.lru_cache(maxsize=3)\ndef q():\n    return 1\ndef f():\n    return 2\n", "1", "4"
    ),
    "unused table made with a method of another": one(
        "A = {1: 2}\nB = sorted(A.items(), key=lambda p: 1)\ndef f():\n    return A\n", "p: 1", "p: 2"
    ),
    "loop variable of a table is no name of the module": one(
        "T = {i: 1 for i in range(3)}\ndef f(n):\n    for i in n:\n        return i\n", "i: 1", "i: 2"
    ),
    "what another function imports": (
        {
            "a.py": "def f():\n    from .b import g\n    return g\ndef h():\n    from .c import q\n    return q\n",
            "b.py": B,
            "c.py": "def q():\n    return 1\n",
        },
        {"c.py": "def q():\n    return 2\n"},
    ),
    "constants of an f-string written in two pieces": one("def f(x):\n    return f'a b{x}'\n", "f'a b{x}'", "'a ' f'b{x}'"),
}  # fmt: skip
DIFFERENT = {
    "constant": ({"a.py": A, "b.py": B}, K4),
    "constant, module attribute": ({"a.py": A_ATTR, "b.py": B}, K4),
    "constant, module under another name": ({"a.py": A_ATTR.replace("b\n", "b as y\n").replace("b.g", "y.g"), "b.py": B}, K4),
    "constant, dotted import": ({"a.py": "import PKG.b\ndef f(x):\n    return PKG.b.g(x)\n", "b.py": B}, K4),
    "constant, from the parent package": (
        {"a.py": "from .s.t import f\n", "s/t.py": "from ..b import g\ndef f(x):\n    return g(x)\n", "b.py": B}, K4
    ),
    "constant, relative import in a package": (
        {
            "a.py": "from . import s\ndef f():\n    return s.q()\n",
            "s/__init__.py": "from .t import q\n",
            "s/t.py": "def q():\n    return 1\n",
        },
        {"s/t.py": "def q():\n    return 2\n"},
    ),
    "getattr on a module": ({"a.py": "from . import b\ndef f(x):\n    return getattr(b, x)\n", "b.py": B}, Z2),
    "dictionary of a module": ({"a.py": "from . import b\ndef f(x):\n    return b.__dict__[x]\n", "b.py": B}, Z2),
    "getattr on a package": (
        {"a.py": "from . import s\nfrom .s import t\ndef f(x):\n    return getattr(s, x)\n", "s/t.py": B}, {"s/t.py": Z2["b.py"]}
    ),
    "globals": one("def q():\n    return 1\ndef f(x):\n    return globals()[x]\n", "1", "2"),
    "registry dict": (
        {
            "a.py": "from . import m\ndef f(n):\n    return m.TABLE[n]()\n",
            "m/__init__.py": "from .x import X\nTABLE = {'x': X}\n",
            "m/x.py": "class X:\n    v = 1\n",
        },
        {"m/x.py": "class X:\n    v = 2\n"},
    ),
    "functions in a dictionary, one added later": one(
        "def q():\n    return 1\nT = {}\nT['q'] = q\ndef f(n):\n    return T[n]()\n", "return 1", "return 2"
    ),
    "registering decorator": (
        {"a.py": LOOKUP, "r.py": REGISTRY, "m.py": "from .r import register\n@register('x')\nclass X:\n    v = 1\n"},
        {"m.py": "from .r import register\n@register('x')\nclass X:\n    v = 2\n"},
    ),
    "registering decorator, an attribute": (
        {"a.py": LOOKUP, "r.py": REGISTRY, "m.py": "from . import r\n@r.register\ndef x():\n    return 1\n"},
        {"m.py": "from . import r\n@r.register\ndef x():\n    return 2\n"},
    ),
    "registering call whose value is kept": (
        {"a.py": LOOKUP, "r.py": REGISTRY, "m.py": "from .r import register\nkept = register('x')(3)\n"},
        {"m.py": "from .r import register\nkept = register('x')(4)\n"},
    ),
    "registering in the body of a class": (
        {"a.py": LOOKUP, "r.py": REGISTRY, "m.py": "from .r import TABLE\nclass X:\n    TABLE['x'] = 1\n"},
        {"m.py": "from .r import TABLE\nclass X:\n    TABLE['x'] = 2\n"},
    ),
    "implementation for one type": one(
        """
        from functools import singledispatch
        @singledispatch
        def f(x):
            return 0
        @f.register
        def _(x: int):
            return 1
        """, "return 1", "return 2",
    ),
    "argument of a decorator": one(
        "import functools\nN = 3\n@functools.lru_cache(maxsize=N)\ndef f():\n    return 1\n", "N = 3", "N = 4"
    ),
    "base class": (
        {"a.py": "from .b import P\nclass C(P):\n    pass\ndef f():\n    return C()\n", "b.py": "class P:\n    v = 1\n"},
        {"b.py": "class P:\n    v = 2\n"},
    ),
    "table in a class": one("V = 1\nclass C:\n    T = {'v': V}\ndef f():\n    return C.T\n", "V = 1", "V = 2"),
    "default of a dataclass": one(
        """
        from dataclasses import dataclass, field
        def made():
            return [1]
        @dataclass
        class C:
            x: list = field(default_factory=made)
        def f():
            return C()
        """, "[1]", "[2]",
    ),
    "import inside a function": (
        {"a.py": "def f():\n    from .s import t\n    return t.q()\n", "s/t.py": "def q():\n    return 1\n"},
        {"s/t.py": "def q():\n    return 2\n"},
    ),
    "one name imported by two functions": (
        {
            "a.py": "def h():\n    from .c import q\n    return q\ndef f():\n    from .b import g as q\n    return q\n",
            "b.py": B,
            "c.py": "def q():\n    return 1\n",
        },
        K4,
    ),
    "star import": ({"a.py": "from .b import *\ndef f(x):\n    return g(x)\n", "b.py": B}, K4),
    "import in try": (
        {"a.py": "try:\n    from .b import g\nexcept ImportError:\n    g = None\ndef f(x):\n    return g(x)\n", "b.py": B}, K4
    ),
    "imported name bound anew": (
        {"a.py": "from .b import g\ng = staticmethod(g)\ndef f(x):\n    return g(x)\n", "b.py": B}, K4
    ),
    "import of another package": one("from math import sin as s\ndef f(x):\n    return s(x)\n", "sin", "cos"),
    "two imported names change places": one(
        "from math import sin as a, cos as b\ndef f(x):\n    return a(x) - b(x)\n", "sin as a, cos as b", "cos as a, sin as b"
    ),
    "cycle": (
        {"a.py": A_ATTR, "b.py": "from . import a\ndef g(x):\n    return a.f(x - 1) if x else 0\n"},
        {"b.py": "from . import a\ndef g(x):\n    return a.f(x - 1) if x else 1\n"},
    ),
    "side effect on import": (
        {"a.py": A, "b.py": "import os\nos.environ['Q'] = '1'\ndef g(x):\n    return x\n"},
        {"b.py": "import os\nos.environ['Q'] = '2'\ndef g(x):\n    return x\n"},
    ),
    "side effects change places": one(
        "import os\nos.environ['Q'] = '1'\nos.environ['Q'] = '2'\ndef f():\n    return 1\n",
        "'1'\nos.environ['Q'] = '2'",
        "'2'\nos.environ['Q'] = '1'",
    ),
    "a name's statements change places": one("X = 1\nX = 2\ndef f():\n    return X\n", "X = 1\nX = 2", "X = 2\nX = 1"),
    "a name is added to": one("X = [1]\nX += [2]\ndef f():\n    return X\n", "[2]", "[3]"),
    "a name bound in an expression": one("a = (b := 3) + 1\ndef f():\n    return b\n", "3", "4"),
    "a name bound in a comprehension": one("T = [b := i for i in range(3)]\ndef f():\n    return b\n", "3", "4"),
    "a name bound by for": one("for K in (1, 2):\n    pass\ndef f():\n    return K\n", "1, 2", "1, 3"),
    "a name bound by with": one("with open('x') as K:\n    pass\ndef f():\n    return K\n", "'x'", "'y'"),
    "a name bound by match": one("match 3:\n    case K:\n        pass\ndef f():\n    return K\n", "3", "4"),
    "a name bound as global": one(
        "def q():\n    global K\n    K = 1\ndef f():\n    return K\n", "K = 1", "K = 2"
    ),
    "a pattern that names a class": one(
        "class P:\n    v = 1\ndef f(x):\n    match x:\n        case P():\n            return 1\n", "v = 1", "v = 2"
    ),
    "a pattern that names a value": one(
        "class P:\n    v = 1\ndef f(x):\n    match x:\n        case P.v:\n            return 1\n", "v = 1", "v = 2"
    ),
    "async function": one("async def q():\n    return 1\nasync def f():\n    return await q()\n", "return 1", "return 2"),
    "function defined on a condition": one(
        "import os\nif os.name == 'x':\n    def q():\n        return 1\nelse:\n    def q():\n        return 2\ndef f():\n    return q()\n",
        "return 2",
        "return 3",
    ),
    "what runs where types are not checked": (
        {
            "a.py": """
            from typing import TYPE_CHECKING
            if TYPE_CHECKING:
                from typing import Any as g
            else:
                from .b import g
            def f(x):
                return g(x)
            """,
            "b.py": B,
        },
        K4,
    ),
    "annotation": one("class T:\n    v = 1\ndef f(x: T):\n    return x\n", "1", "2"),
    "annotation written as text": one("class T:\n    v = 1\ndef f(x: 'list[T] | None'):\n    return x\n", "1", "2"),
    "a module run as a child process": (
        {"a.py": "import sys\ndef f():\n    return [sys.executable, '-m', 'PKG.b']\n", "b.py": B}, K4
    ),
    "a file beside the module": (
        {
            "a.py": "from pathlib import Path\nP = Path(__file__).with_name('p.html')\ndef f():\n    return P.read_text()\n",
            "p.html": "x",
        },
        {"p.html": "y"},
    ),
    "source with a byte order mark": ({"a.py": b"\xef\xbb\xbfdef f():\n    return 1\n"}, {"a.py": "def f():\n    return 2\n"}),
}  # fmt: skip

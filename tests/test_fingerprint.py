"""What a fingerprint promises: it changes when, and only when, code changes that the target can reach."""

import importlib
import itertools
import sys
import textwrap

import pytest

from kinoflow import cli, fingerprint
from kinoflow.fingerprint import FingerprintError, explain, silent, stage_code

NUMBERS = itertools.count()
B = "K = 3\ndef g(x):\n    return x * K\ndef z():\n    return 1\n"
K4 = {"b.py": B.replace("K = 3", "K = 4")}
Z2 = {"b.py": B.replace("return 1", "return 2")}
A = "from .b import g\ndef f(x):\n    return g(x)\ndef h():\n    return 0\n"
A_ATTR = "from . import b\ndef f(x):\n    return b.g(x)\n"
REGISTRY = "TABLE = {}\ndef register(n):\n    def d(c):\n        TABLE[n] = c\n        return c\n    return d\n"
LOOKUP = "from .r import TABLE\nfrom . import m\ndef f(n):\n    return TABLE[n]\n"


def write(package, files):
    for name, content in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else textwrap.dedent(content).encode())
        for folder in (path.parent, *path.parent.parents):
            if folder == package.parent:
                break
            (folder / "__init__.py").touch()
    importlib.invalidate_caches()
    for cached in (fingerprint._root, fingerprint._path, fingerprint._source, fingerprint.silent):
        cached.cache_clear()


def new_package(tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path / name


@pytest.fixture
def package(tmp_path, monkeypatch):
    return new_package(tmp_path, monkeypatch, f"sample{next(NUMBERS)}")


def changed(package, before, edit, target="a:f", take=fingerprint.fingerprint):
    before, edit = (
        {n: t.replace("PKG", package.name) if isinstance(t, str) else t for n, t in files.items()}
        for files in (before, edit)
    )
    write(package, before)
    old = take(f"{package.name}.{target}")
    write(package, edit)
    return old != take(f"{package.name}.{target}")


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


@pytest.mark.parametrize("case", SAME)
def test_same(package, case):
    assert not changed(package, *SAME[case])


@pytest.mark.parametrize("case", DIFFERENT)
def test_different(package, case):
    assert changed(package, *DIFFERENT[case])


def test_a_whole_module_counts_every_definition(package):
    assert changed(package, {"a.py": A, "b.py": B}, {"a.py": A.replace("return 0", "return 1")}, "a")


def test_reverting_an_edit_brings_the_old_fingerprint_back(package):
    write(package, {"a.py": A, "b.py": B})
    before = fingerprint.fingerprint(f"{package.name}.a:f")
    write(package, K4)
    write(package, {"b.py": B})
    assert fingerprint.fingerprint(f"{package.name}.a:f") == before


def test_a_chain_of_many_functions_is_followed_to_its_end(package):
    chain = "".join(f"def f{i}(x):\n    return f{i + 1}(x)\n" for i in range(1500))
    last = "def f1500(x):\n    return x\n"
    assert changed(package, {"a.py": chain + last}, {"a.py": chain + last.replace("return x", "return 1")}, "a:f0")


def test_data_files_can_be_given(package, tmp_path):
    write(package, {"a.py": A, "b.py": B})
    data = tmp_path / "weights.bin"
    data.write_bytes(b"1")
    before = fingerprint.fingerprint(f"{package.name}.a:f", files=(str(data),))
    data.write_bytes(b"2")
    assert fingerprint.fingerprint(f"{package.name}.a:f", files=(str(data),)) != before


@pytest.mark.parametrize(
    "text, target, message",
    [
        ("import importlib\ndef f(n):\n    return importlib.import_module(n)\n", "a:f", "line 3: import_module cannot be followed"),
        ("def f(n):\n    return __import__(n)\n", "a:f", "import by statement"),
        ("class P:\n    def __init_subclass__(cls):\n        pass\n", "a:P", "list the classes in a dictionary"),
        ("from importlib import resources\n", "a", "find files by Path"),
        ("def f():\n    return 1\n", "a:nope", "has no 'nope'"),
        ("def f():\n    return 1\n", "nope", "no module named"),
        ("from .gone import f\n", "a:f", "no module named"),
    ],
)  # fmt: skip
def test_refuses_what_it_cannot_follow(package, text, target, message):
    write(package, {"a.py": text})
    with pytest.raises(FingerprintError, match=message):
        fingerprint.fingerprint(f"{package.name}.{target}")


# ---------------------------------------------------------------- leaving out

OPTIONS = (
    "class Model:\n    pass\ndef helper():\n    return 1\nclass Options(Model):\n    width: int = 3  # described\n"
)
USER = "from .o import Options, helper\ndef f(text):\n    return helper(), Options(text)\ndef g(o: 'Options'):\n    return o\n"
DESCRIBED = {"o.py": OPTIONS.replace("pass", "description = 'of the width'").replace("= 3", "= 4")}


@pytest.mark.parametrize("target", ["a:f", "a"])
@pytest.mark.parametrize(
    "without, edit, counts",
    [
        ((), DESCRIBED, True),
        (("o",), DESCRIBED, False),
        (("o:Options", "o:Model"), DESCRIBED, False),
        (
            ("o:Options", "o:Model"),
            {"o.py": OPTIONS.replace("return 1", "return 2")},
            True,
        ),  # its neighbours still count
        (("o",), {"a.py": USER.replace("helper(), ", "")}, True),  # and so does who uses it
    ],
)
def test_excluded_option_models_do_not_count(package, target, without, edit, counts):
    def now():
        return fingerprint.fingerprint(
            f"{package.name}.{target}", exclude=tuple(f"{package.name}.{w}" for w in without)
        )

    write(package, {"a.py": USER, "o.py": OPTIONS})
    before = now()
    write(package, edit)
    assert (before != now()) == counts


def test_an_excluded_decorated_class_does_not_count_on_import_either(package):
    text = "from .r import register\n@register('x')\nclass X:\n    v = 1\ndef g():\n    return 1\n"
    write(package, {"a.py": "from .m import g\ndef f():\n    return g()\n", "r.py": REGISTRY, "m.py": text})
    without = {"exclude": (f"{package.name}.m:X",)}
    target = f"{package.name}.a:f"
    before = fingerprint.fingerprint(target), fingerprint.fingerprint(target, **without)
    write(package, {"m.py": text.replace("v = 1", "v = 2")})
    after = fingerprint.fingerprint(target), fingerprint.fingerprint(target, **without)
    assert before[0] != after[0] and before[1] == after[1]


@pytest.mark.parametrize("without", ["nope", "a:nope"])
def test_refuses_to_exclude_what_is_not_there(package, without):
    write(package, {"a.py": A, "b.py": B})
    with pytest.raises(FingerprintError, match="nope"):
        fingerprint.fingerprint(f"{package.name}.a:f", exclude=(f"{package.name}.{without}",))


STAGE = {
    "errors.py": "class DataError(Exception):\n    pass\n",
    "progress.py": "import logging\nlog = logging.getLogger('x')\ndef say(n):\n    log.info('%d done', n)\n",
    "options.py": "def option(default, text):\n    return default\n",
    "rooms/options.py": "from ..options import option\nclass RoomOptions:\n    width: int = option(3, 'width of the picture')\n",
    "rooms/work.py": """
        from ..errors import DataError
        from ..progress import say
        from .options import RoomOptions
        SCALE = 2
        def work(options: RoomOptions):
            say(1)
            if options.width < 1:
                raise DataError("too small")
            return options.width * SCALE
        """,
}


@pytest.mark.parametrize(
    "file, old, new, counts",
    [
        ("rooms/options.py", "width of the picture", "how wide the picture is", False),
        ("rooms/options.py", "option(3", "option(4", False),
        ("options.py", "return default", "return (default, text)", False),
        ("progress.py", "%d done", "%d videos are done", False),
        ("errors.py", "pass", "status = 1", False),
        ("rooms/work.py", "SCALE = 2", "SCALE = 3", True),
        ("rooms/work.py", "options.width *", "2 * options.width *", True),
    ],
)
def test_a_stage_counts_what_decides_its_results(package, file, old, new, counts):
    edit = {file: STAGE[file].replace(old, new)}
    assert edit[file] != STAGE[file]
    assert changed(package, STAGE, edit, "rooms.work:work", take=stage_code) == counts


# ---------------------------------------------------------------- versions of Python

EVERY_SYNTAX = '''
"""Docs."""
from __future__ import annotations
import os, math as m
from dataclasses import dataclass
TEXT = "\\N{SNOWMAN} \\U0001fae8 \\ud800" + str(b"\\xff") + u"u" + r"\\d"
NUMBERS = (0x10, 1_000, 1e-9, 1e999, 3j, -1, True, None, ...)
def f(a, /, b=1, *c, d: "int" = 2, **e) -> None:
    """Docs."""
    global G
    G = (n := a) if b else [x async for x in c] if d else {**e, "k": {*c}}
    print(f"{a!r:>{b}}", f"a{b}" "c" f"{d=}" "", f"{a:%Y-%m}{''}", f"""{a:{b}.{d}f}""", f"{a:}", sep="")
    with open(a) as g, open(b): yield from g
    try: raise ValueError(a) from None
    except* (OSError, ValueError) as error: del error
    else: assert a, b
    finally: lambda *x, y=1: (yield)
    match a:
        case {"k": [1, *rest], **more} if more: return rest
        case Q(x=1) | m.pi as name: return name
        case _: pass
    for a.b[1:2, ::3], (*c, d) in e: continue
    else: nonlocal_ = a @ b
    while not a < b <= c is not d: break
@dataclass(frozen=True)
class Q(Exception, metaclass=type):
    """Docs."""
    x: int = 1
    "of x"
    async def y(self): await self; return (i async for i in self)
'''


def test_the_fingerprint_is_the_same_in_every_version_of_python(tmp_path, monkeypatch):
    """The value was found by 3.11, 3.12 and 3.13: another one here means that an update of Python reruns the world."""
    write(new_package(tmp_path, monkeypatch, "pinned"), {"a.py": EVERY_SYNTAX})
    assert fingerprint.fingerprint("pinned.a:f", "pinned.a") == "eeb5b96d539a991c"


# ---------------------------------------------------------------- this package

TARGETS = {name: target for name, (target, _) in cli.STAGES.items() if fingerprint._path(target.partition(":")[0])}


def test_every_stage_has_a_fingerprint_that_stays():
    before = {name: stage_code(target) for name, target in TARGETS.items()}
    fingerprint._source.cache_clear()
    assert {name: stage_code(target) for name, target in TARGETS.items()} == before
    assert len(set(before.values())) == len(before)


@pytest.mark.parametrize("name", TARGETS)
def test_no_stage_depends_on_command_workflow_or_options(name):
    reached = {entry.partition(":")[0] for entry in explain(TARGETS[name], exclude=silent("kinoflow"))}
    upper = {"kinoflow.cli", "kinoflow.command", "kinoflow.workflow", "kinoflow.run_state", "kinoflow.fingerprint"}
    assert not reached & upper
    assert not [module for module in reached if module.endswith(".options")]
    assert not reached & {"kinoflow.errors", "kinoflow.progress"}
    if not name.endswith("section") and name != "report":
        assert not [module for module in reached if module.startswith("kinoflow.report")]

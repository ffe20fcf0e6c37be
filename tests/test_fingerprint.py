"""What a fingerprint promises: it changes when, and only when, code changes that the target can reach."""

import importlib
import itertools
import sys
import textwrap

import pytest
from tests.fingerprint_cases import DIFFERENT, REGISTRY, SAME, A, B

from kinoflow import cli, fingerprint
from kinoflow.fingerprint import FingerprintError, explain, silent, stage_code

NUMBERS = itertools.count()


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
    for cached in (fingerprint._root, fingerprint._path, fingerprint._source, fingerprint._graph, fingerprint.silent):
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
    write(package, {"b.py": B.replace("K = 3", "K = 4")})
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
    drawing = ("claims", "report", "segment", "align")  # the last two draw what they find
    if not name.endswith(("section", "speed")) and name not in drawing:
        assert not [module for module in reached if module.startswith("kinoflow.report")]

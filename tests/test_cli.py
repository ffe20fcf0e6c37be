"""The door: each stage by its name, only its own imports, help and hints."""

import importlib
import inspect
import os
import re
import subprocess
import sys

import pytest
from tests.conftest import ROOT

from kinoflow import cli
from kinoflow.arguments import PATHS, parameters, parser
from kinoflow.command import run
from kinoflow.wording import keys

HEAVY = ("torch", "torchvision", "transformers", "av", "matplotlib", "sklearn", "scipy", "pandas", "jinja2")
LOADED = """
import sys
from kinoflow.cli import main
status = main([sys.argv[1], "--help"])
print(*[name for name in sys.argv[2:] if name in sys.modules], file=sys.stderr)
sys.exit(status)
"""


def exists(target: str) -> bool:
    return (ROOT / "src" / f"{target.partition(':')[0].replace('.', '/')}.py").exists()


STAGES = {name: target for name, (target, _) in cli.STAGES.items() if exists(target)}


def function_of(name: str):
    module, _, function = STAGES[name].partition(":")
    return getattr(importlib.import_module(module), function)


def kinoflow(*words: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=False)


def test_help_lists_every_stage_without_importing_any(capsys):
    assert cli.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in cli.STAGES)


def test_without_a_word_the_usage_is_told_with_status_2(capsys):
    assert cli.main([]) == 2
    assert capsys.readouterr().out.startswith("usage: kinoflow STAGE")


def test_the_version_is_told(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("kinoflow ")


@pytest.mark.parametrize(
    "word, hint", [("frame", "did you mean 'frames'?"), ("xyz", "`kinoflow --help` lists the stages")]
)
def test_an_unknown_stage_is_one_sentence_with_the_nearest(capsys, word, hint):
    assert cli.main([word]) == 2
    assert capsys.readouterr().err == f"kinoflow: there is no stage {word!r}; {hint}\n"


def test_the_module_is_a_command_too():
    done = kinoflow("-m", "kinoflow", "lists", "--rot", "x")
    assert done.returncode == 2 and done.stderr == "kinoflow lists: there is no flag --rot; did you mean --root?\n"


@pytest.mark.parametrize("name", STAGES)
def test_a_command_is_called_like_its_function(name):
    assert function_of(name).__name__.replace("_", "-") == name


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_tells_what_it_does_and_what_each_parameter_is(name):
    function = function_of(name)
    assert inspect.getdoc(function).splitlines()[0].endswith(".")
    for parameter in parameters(function):
        assert parameter.kind in (*PATHS, "options", "value")
        assert parameter.kind == "options" or parameter.text, f"{parameter.name} has no line in the docstring"


@pytest.mark.parametrize("name", STAGES)
def test_every_option_of_a_stage_has_a_flag(name):
    function = function_of(name)
    flags, known = parser(function).format_help(), parameters(function)
    for parameter in known:
        assert parameter.kind == "options" or f"{parameter.flag} " in flags
        for key in keys(parameter.hint) if parameter.kind == "options" else ():
            assert f"--{key.replace('_', '-')} " in flags


@pytest.mark.parametrize("path", sorted((ROOT / "workflow" / "rules").glob("*.smk")), ids=lambda path: path.name)
def test_rules_use_flags_that_the_stages_have(path):
    text = "".join(re.findall(r'^ +"(.*)"$', path.read_text(), re.M))
    assert "python -m kinoflow" in text
    for name, words in re.findall(r"python -m kinoflow ([a-z-]+)((?:(?!python -m).)*)", text):
        known = parser(function_of(name)).format_help()
        assert not [flag for flag in re.findall(r"--[a-z][a-z-]*", words) if f"{flag} " not in known]


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_asks_for_its_inputs_in_one_sentence(name, capsys):
    assert run(STAGES[name], function_of(name), []) in (1, 2)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith(f"kinoflow {name}: ")


@pytest.mark.parametrize("name", ["index", "lists", "pca-fit", "data-section"])
def test_the_help_of_a_stage_loads_nothing_heavy(name):
    """Of all stages: tests/test_imports.py, which reads the sources instead of running them."""
    done = kinoflow("-c", LOADED, name, *HEAVY)
    assert done.returncode == 0 and done.stdout.startswith(f"usage: kinoflow {name} ")
    assert done.stderr.split() == []


SINGLE = """
import sys
sys.argv = ["kinoflow", "--version"]
from kinoflow.__main__ import start
start()
import numpy, scipy.linalg
from threadpoolctl import threadpool_info
print({each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"})
"""


def test_a_stage_multiplies_matrices_in_one_thread_however_many_are_there():
    """Bytes would depend on their number otherwise."""
    more = {f"{name}_NUM_THREADS": "2" for name in ("OMP", "OPENBLAS", "MKL")}
    found = subprocess.run(
        [sys.executable, "-c", SINGLE],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **more},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.splitlines()[-1] == "{1}"

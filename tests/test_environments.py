"""The conda environments hold what pyproject.toml asks for, with the same bounds, and every rule's environment is there."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from tests.conftest import ROOT
from tests.test_imports import ANYWHERE, FILES

from kinoflow import cli

MEDIA, TORCH = (ROOT / "envs" / f"{name}.yaml" for name in ("media", "torch"))
# Where the two worlds call a package differently; conda's OpenCV has the contrib modules in it.
CONDA_NAMES = {"av": "pyav", "torch": "pytorch", "opencv-contrib-python-headless": "py-opencv"}
WITH_TORCH = {"pytorch", "tensorboard", "torchvision", "transformers"}
OUTSIDE = {"snakemake"}  # runs the rules; the stages inside them do without
# Packages whose modules are called otherwise.
PACKAGES = {"PIL": "pillow", "cv2": "py-opencv", "yaml": "pyyaml", "sklearn": "scikit-learn"} | CONDA_NAMES
COME_ALONG = {
    "cycler": "matplotlib",
    "markupsafe": "jinja2",
    "pydantic_core": "pydantic",
    "tokenizers": "transformers",
    "triton": "pytorch",
}
OPTIONAL = {"lmdb", "spacy"}  # asked for in one sentence where somebody's data needs them

RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))


def asked_for() -> dict[str, str]:
    """Return {conda name: bound} of the dependencies in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    parts = [re.fullmatch(r"([A-Za-z0-9-]+)(>=[0-9.]+)", text) for text in project["dependencies"]]
    assert all(parts), "a dependency is a name and a lower bound"
    found = {CONDA_NAMES.get(part[1], part[1]): part[2] for part in parts if part}
    return found | {"python": project["requires-python"]}


def environment(path: Path) -> dict[str, str]:
    """Return {name: bound} of an environment file."""
    content = yaml.safe_load(path.read_text())
    assert content["channels"] == ["conda-forge", "nodefaults"]
    parts = [re.fullmatch(r"([a-z0-9-]+) (>=[0-9.]+)", text) for text in content["dependencies"]]
    assert all(parts), "a dependency is a name, a blank and a lower bound"
    return {part[1]: part[2] for part in parts if part}


def test_the_environment_with_torch_holds_every_dependency():
    assert environment(TORCH) == {name: bound for name, bound in asked_for().items() if name not in OUTSIDE}


def test_the_environment_without_torch_holds_the_others():
    assert environment(MEDIA) == {name: b for name, b in asked_for().items() if name not in OUTSIDE | WITH_TORCH}


@pytest.mark.parametrize("path", [MEDIA, TORCH], ids=lambda path: path.name)
def test_dependencies_are_sorted_and_named_once(path):
    names = [text.split()[0] for text in yaml.safe_load(path.read_text())["dependencies"]]
    assert names[0] == "python" and names[1:] == sorted(set(names[1:]))


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_the_environment_of_every_rule_is_there(path):
    """Snakemake itself does not look before somebody asks for conda."""
    named = re.findall(r"^    conda:\s*\"([^\"]+)\"", path.read_text(), re.M)
    rules = re.findall(r"^rule \w+:", path.read_text(), re.M)
    assert len(named) >= len(rules)
    assert all((path.parent / name).resolve() in (MEDIA, TORCH) for name in named)


def loaded(module: str) -> set[str]:
    """Return the packages from outside that a module may import in the course of its work."""
    reached, todo = set(), [module]
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += ANYWHERE.get(name, ())
    names = {name.partition(".")[0] for name in reached} - set(sys.stdlib_module_names) - {"kinoflow"} - OPTIONAL
    return {PACKAGES.get(name, COME_ALONG.get(name, name)) for name in names}


def test_whatever_is_imported_is_a_dependency():
    assert set().union(*map(loaded, FILES)) <= set(asked_for())


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_a_rule_s_environment_holds_what_its_stages_import(path):
    for rule in re.split(r"^rule ", path.read_text(), flags=re.M)[1:]:
        found = re.search(r"envs/(\w+)\.yaml", rule)
        assert found, rule
        for stage in re.findall(r"python -m kinoflow ([a-z-]+)", rule):
            missing = loaded(cli.STAGES[stage][0].partition(":")[0]) - set(
                environment(ROOT / "envs" / f"{found[1]}.yaml")
            )
            assert not missing, f"{stage} imports {missing}"

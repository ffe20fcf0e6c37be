"""A training by two processes against the same one by a single process, as every room tests it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file
from tests.conftest import ROOT
from tests.training.conftest import in_child, in_team

from kinoflow import config
from kinoflow.study import Study
from kinoflow.training.loop import Trainee

STEPS = 20
APART = 1e-8


def study() -> Study:
    """Return the embedded study."""
    return config.load([ROOT / "config.yaml"], {}, ROOT / "workflow/datasets")


def brief(kind: type, run: Any, batch: int, **changes: Any) -> Any:
    """Return a run's options (a model ``kind``) for 20 steps of ``batch`` samples, with changes for the data at hand.

    How the run is tested is left out: it speaks of the study's own classes, and changes nothing of a training.
    """
    own = {*kind.model_fields} - {"test"}
    values = {name: value for name, value in run.model_dump(by_alias=True).items() if name in own}
    values["training"] |= {"steps": STEPS, "epochs": None, "batch": batch, "log_every": 1}
    return kind.model_validate(config.merge(values, changes))


class Exact:
    """What a room hands over, in double precision and without validation."""

    def __init__(self, told: Trainee):
        self.told = told
        told.model.double()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.told, name)

    def load(self, draws):
        return doubled(self.told.load(draws))

    def validate(self):
        return None


def doubled(batch: Any) -> Any:
    """Return a batch with its floating point numbers in double precision."""
    if isinstance(batch, torch.Tensor):
        return batch.double() if batch.is_floating_point() else batch
    if isinstance(batch, Mapping):
        return {name: doubled(value) for name, value in batch.items()}
    return [doubled(value) for value in batch] if isinstance(batch, list | tuple) else batch


def trains_alike(folder: Path, port: int, stage: ModuleType, train: Callable[[Path], Path]) -> None:
    """Train in one process and in two; the weights must agree to 1e-8, and the losses of every step.

    stage: the module of the room's training stage. train: runs that stage into a folder, and returns the checkpoint.
    """

    def exactly(place: Path) -> None:
        honest = stage.fit
        stage.fit = lambda told, *rest, **more: honest(Exact(told), *rest, **more)
        train(place)

    for name in ("one", "two"):
        (folder / name).mkdir()
    assert in_child(exactly, folder / "one") == 0
    assert in_team(2, port, exactly, folder / "two") == [0, 0]
    one, two = (load_file(folder / name / "model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys() and any(value.dtype == torch.float64 for value in one.values())
    assert max(float((one[name].double() - two[name].double()).abs().max()) for name in one) < APART
    first, second = (rows(folder / name / "history.csv") for name in ("one", "two"))
    assert len(first) == len(second) == STEPS and first[0].keys() == second[0].keys()
    for a, b in zip(first, second, strict=True):
        assert all(abs(a[name] - b[name]) <= 1e-6 * (1 + abs(a[name])) for name in a), (a, b)


def rows(path: Path) -> list[dict[str, float]]:
    """Return the rows of a history."""
    head, *lines = (line.split(",") for line in path.read_text().splitlines())
    return [dict(zip(head, map(float, line), strict=True)) for line in lines]

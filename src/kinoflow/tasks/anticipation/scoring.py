"""A trained student: its checkpoint, and what it says of samples.

On a CPU each sample goes through the network by itself, on one thread: its scores depend on the sample alone. On a GPU several
go together.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kinoflow.datasets.actions import Classes, classes_of
from kinoflow.errors import DataError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.features.origin import Origin
from kinoflow.options import check
from kinoflow.progress import Progress
from kinoflow.tasks.anticipation.data import Sequences
from kinoflow.tasks.anticipation.model import Said, Student
from kinoflow.tasks.anticipation.options import AnticipationOptions
from kinoflow.training import checkpoint

ROOM, KIND = "anticipation", "student"
STUDENT = "student."  # what names of its weights begin with in a checkpoint
ON_GPU = 64  # samples that go through the network at once


@dataclass(frozen=True)
class Trained:
    """A student, and all that is needed to use it. counts: training samples of each action."""

    network: Student
    options: AnticipationOptions
    classes: Classes
    counts: tuple[int, ...]
    dataset: str
    teaching: dict[str, Any] = field(default_factory=dict)  # policies, records, missing; empty without a teacher
    origin: Origin = field(default_factory=Origin)  # how the features were made
    seed: int = 0

    def about(self) -> dict[str, Any]:
        """Return what a checkpoint says of itself, as JSON values; how the network is tested is not part of it."""
        return {
            "room": ROOM,
            "kind": KIND,
            "options": self.options.model_dump(mode="json", exclude={"test", "test_on"}),
            "network": self.network.about(),
            "classes": dataclasses.asdict(self.classes),
            "counts": self.counts,
            "dataset": self.dataset,
            "teaching": self.teaching,
            "origin": self.origin.about(),
            "seed": self.seed,
        }


@checkpoint.rebuilding
def read_checkpoint(path: Path) -> Trained:
    """Return the student of a checkpoint; DataError if it is another file."""
    tensors, about = checkpoint.read(path)
    if (about.get("room"), about.get("kind")) != (ROOM, KIND):
        raise DataError(
            f"{path}: this is no checkpoint of a student of anticipation; give a model.safetensors that anticipation-train has"
            " written"
        )
    network = Student.rebuild(about["network"])
    own = {name.removeprefix(STUDENT): value for name, value in tensors.items() if name.startswith(STUDENT)}
    checkpoint.load_into(network, own, path)
    return Trained(
        network=network.eval(),
        options=check(AnticipationOptions, about["options"], str(path)),
        classes=classes_of(about["classes"]),
        counts=tuple(about["counts"]),
        dataset=about["dataset"],
        teaching=about["teaching"],
        origin=Origin.from_about(about["origin"], str(path)),
        seed=about["seed"],
    )


@dataclass(frozen=True)
class Expected:
    """The scores of actions (C,) of what comes next, and (K, C) of each step that is rolled out; none: K is 0."""

    next: np.ndarray
    later: np.ndarray


class Scorer:
    """A student in the mode of evaluation."""

    def __init__(self, network: Student, how: Arithmetic):
        self.how, self.gpu = how, how.device.type == "cuda"
        self.network = network.to(how.device)

    def scores(self, sequences: Sequences, what: str) -> dict[str, np.ndarray]:
        """Return the scores of samples, {target: (N, C)} float32; where the network tells them, ``seconds`` (N,).

        what: the name under which progress is told. The network is left in the mode of evaluation.
        """
        self.network.eval()
        found: dict[str, list[np.ndarray]] = {}
        size = ON_GPU if self.gpu else 1
        with self.how.settled(), Progress(what, total=len(sequences), items="actions") as progress:
            for first in range(0, len(sequences), size):
                group = [sequences(number) for number in range(first, min(first + size, len(sequences)))]
                said = self.said(np.stack([seen.x for seen in group]), np.array([seen.length for seen in group]))
                told = said.scores | ({} if said.seconds is None else {"seconds": said.seconds})
                for name, values in told.items():
                    found.setdefault(name, []).append(values.float().cpu().numpy())
                progress.step(len(group))
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def said(self, x: np.ndarray, lengths: np.ndarray, maps: bool = False) -> Said:
        """Return what the network says of sequences x (B, T, ...) with so many steps each (B,)."""
        whole = (
            None if (lengths == x.shape[1]).all() else torch.from_numpy(lengths.astype(np.int64)).to(self.how.device)
        )
        with torch.inference_mode():
            return self.network(torch.from_numpy(x).to(self.how.device), whole, maps)

    def expected(self, x: np.ndarray, length: int) -> Expected:
        """Return what is expected after a sequence x (T, ...) of so many steps."""
        said = self.said(x[None], np.array([length]))
        scores = said.scores["action"][0].float().cpu().numpy()
        later = self.later(said) if self.network.ahead > 1 else None
        return Expected(scores, np.zeros((0, len(scores)), np.float32) if later is None else later[0])

    def later(self, said: Said) -> np.ndarray | None:
        """Return the scores (B, k, C) of actions of the steps that were rolled out; None: the head does not roll out."""
        if said.forecast.rolled is None:
            return None
        with torch.inference_mode():
            return self.network.told(said.forecast.rolled)["action"].float().cpu().numpy()

"""The stage that trains a network to say what is done in clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinoflow.features.arithmetic import Arithmetic
from kinoflow.media.options import FramesOptions
from kinoflow.media.reading import Source
from kinoflow.media.sample import evenly
from kinoflow.options import resolved
from kinoflow.stage import Folder, In, Out, State
from kinoflow.tasks.recognition import data, sampling, tuning
from kinoflow.tasks.recognition.data import Clip
from kinoflow.tasks.recognition.groups import policy
from kinoflow.tasks.recognition.inputs import channels, check_crops, prepare_training, shown
from kinoflow.tasks.recognition.loss import head_losses
from kinoflow.tasks.recognition.measures import check_groups
from kinoflow.tasks.recognition.model import Recogniser, channels_last
from kinoflow.tasks.recognition.options import ClipTestOptions, RecognitionOptions
from kinoflow.tasks.recognition.scoring import Scorer, Trained
from kinoflow.training import checkpoint
from kinoflow.training.checkpoint import run_name
from kinoflow.training.devices import device_of
from kinoflow.training.distributed import is_first
from kinoflow.training.groups import Group, one_group
from kinoflow.training.kept import checkpoints
from kinoflow.training.loop import Draw, Trainee, fit
from kinoflow.training.options import TESTING
from kinoflow.training.workplace import workplace

CLIPS_SHOWN = 4  # training clips that TensorBoard shows
SHOWN = 5  # the seed of what it shows


def recognition_train(
    videos: In,
    segments: In,
    model: Out,
    history: Out,
    place: State,
    options: RecognitionOptions,
    seed: int = 0,
    frames: list[In] | None = None,
    root: Folder | None = None,
    weights: In | None = None,
    classes: In | None = None,
    dataset: str = "",
    mirror: bool = True,
    device: str = "auto",
    code: str = "",
) -> None:
    """Train a network on clips, from frame shards or from the videos themselves. The same command continues a killed one.

    videos: the table of videos
    segments: the table of labelled segments; rows of phases are no clips
    model: the checkpoint to write, which says all that is needed to use it
    history: the table of losses and scores to write
    place: the folder for the state of the training; gone when it is done
    seed: of the first weights, the order of clips and their variations
    frames: the shards of frames (of flow, for input.kind: flow), all of the dataset's
    root: the folder of the videos, to decode frames from there in place of shards
    weights: a file of weights to begin with, in place of those of the options
    classes: the dataset's list of classes in their order, one a line, for heads with classes: file
    dataset: its name; heads of weights trained on the same dataset are taken over
    mirror: whether mirrored clips have the same labels
    device: cpu, cuda, or auto: CUDA where there is some
    code: fingerprint of the stage's code; found out if not given
    """
    listed = classes.read_text(encoding="utf-8").splitlines() if classes else ()
    plan = planned(options, segments, videos, data.Sources(frames or (), root), mirror, listed)
    network = Recogniser(
        options.network,
        channels(options.input),
        options.sampling.segments,
        {head: len(classes) for head, classes in plan.classes.items()},
        options.input.kind,
        seed,
    )
    first = str(weights) if weights else options.network.weights
    begun = tuning.begin(network, first, dataset, plan.classes)
    trained = Trained(channels_last(network), options, plan.classes, plan.counts(), plan.made, mirror, dataset)
    groups = policy(network, begun.heads) if options.policy == "tsn" else one_group(network)
    known = [
        videos,
        segments,
        *(frames or ()),
        *([classes] if classes else ()),
        *([first] if Path(first).is_file() else ()),
    ]
    with workplace(place, known, resolved(options, TESTING), seed, dataset, mirror, code) as mine:
        name = f"train {run_name(model)}"
        told = ClipTraining(trained, plan, groups, Arithmetic(device_of(device)))
        rows = fit(told, options.training, seed, mine, name, device=device, events=model.parent / "events")
        if is_first():
            rows.write_csv(history)
            for path in checkpoints(model, [(told.model, mine)], options.training.keep):
                checkpoint.save(path, network, trained.about(seed))


# ---------------------------------------------------------------- before anything runs


@dataclass(frozen=True)
class Plan:
    """What is trained on, after all checks."""

    source: Source
    made: FramesOptions | None  # how the frames are made; None: flow
    clips: list[Clip]
    targets: dict[str, np.ndarray]  # (N,) of each head
    classes: dict[str, tuple[str, ...]]
    validation: list[Clip]
    validation_labels: dict[str, list[str]]

    def counts(self) -> dict[str, tuple[int, ...]]:
        """Return the number of training clips of each class."""
        return {
            head: tuple(np.bincount(self.targets[head], minlength=len(classes)).tolist())
            for head, classes in self.classes.items()
        }


def planned(
    options: RecognitionOptions,
    segments: Path,
    videos: Path,
    sources: data.Sources,
    mirror: bool,
    listed: Sequence[str] = (),
) -> Plan:
    """Check all that can be known before a training, and return what it needs.

    Raises ConfigError or DataError that names the option, the clip or the class at fault.
    """
    check_crops(options.test, mirror)
    by_split = data.steps(segments, videos)
    training, held = data.held_out(data.chosen(by_split, options.train_on, "train_on"), options.hold_out, videos)
    validation = [*data.chosen(by_split, options.validate_on, "validate_on"), *held]
    data.check_heads(options.heads, training)
    classes = data.class_lists(options.heads, training, listed)
    check_groups(options.test, classes)
    made = sources.made(options)
    source, least = sources.of(options, made), sampling.needed(options.input)
    clips, checked = data.clips(training, source), data.clips(validation, source)
    data.check_lengths([*clips, *checked], least)
    labels = {head: [getattr(row, head) for row in validation] for head in classes}
    for head, names in classes.items():
        data.warn_of_unseen(labels[head], head, names)
    targets = {head: data.targets((getattr(row, head) for row in training), names) for head, names in classes.items()}
    return Plan(source, made, clips, targets, classes, checked, labels)


# ---------------------------------------------------------------- what the training loop asks for


class ClipTraining(Trainee):
    """Clips, and the network that learns from them."""

    def __init__(self, trained: Trained, plan: Plan, groups: Sequence[Group], how: Arithmetic):
        self.trained, self.plan, self.how = trained, plan, how
        self.model, self.groups, self.samples = trained.network, groups, len(plan.clips)
        self.weights = {head: trained.options.heads[head].weight for head in plan.classes}
        self.said: dict[str, Tensor] = {}  # scores of the last forward pass

    def load(self, draws: list[Draw]) -> dict[str, Any]:
        """Return clips (B, T, c, S, S) float32 and the classes of each head (B,)."""
        x = np.stack([self._clip(draw) for draw in draws])
        chosen = [draw.sample for draw in draws]
        targets = {head: torch.from_numpy(numbers[chosen]) for head, numbers in self.plan.targets.items()}
        return {"clips": torch.from_numpy(x), "targets": targets}

    def _clip(self, draw: Draw) -> np.ndarray:
        """Return a clip as one draw varies it, (T, c, S, S)."""
        options, clip, rng = self.trained.options, self.plan.clips[draw.sample], draw.rng()
        length = sampling.consecutive(options.input)
        moments = sampling.segments(clip.frames, options.sampling, length, "train", rng)
        numbers = sampling.windows(moments, clip.frames, options.input)  # (T, k)
        frames = self.plan.source.frames(clip.video, clip.first + numbers.ravel())
        return prepare_training(frames.reshape(*numbers.shape, *frames.shape[1:]), options, self.trained.mirror, rng)

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the weighted cross-entropy of each head."""
        self.said = self.model(batch["clips"])
        probabilities = self.trained.options.network.softmax_first
        return head_losses(self.said, batch["targets"], self.weights, probabilities)

    def scores(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return each head's share of clips told right in the last forward pass."""
        return {f"{head}_top1": _right(scores, batch["targets"][head]) for head, scores in self.said.items()}

    def validates(self) -> bool:
        """Whether there are validation clips."""
        return bool(self.plan.validation)

    def show(self, step: int) -> dict[str, np.ndarray]:
        """Return the frames of some training clips as the network is shown them, varied anew at every step."""
        some = evenly(self.samples, min(CLIPS_SHOWN, self.samples)).tolist()
        numbers = {self.plan.clips[i].segment: self._clip(Draw(i, step, 0, SHOWN)) for i in some}
        return {f"clips/{name}": shown(x, self.trained.options) for name, x in numbers.items()}

    def validate(self) -> dict[str, float] | None:
        """Return each head's share of validation clips told right, by one view of each: the centre of the picture."""
        if not self.plan.validation:
            return None
        scorer = Scorer(self.trained, ClipTestOptions(), self.how, mode="validate")
        found = scorer.scores(self.plan.validation, self.plan.source, "validation")
        return {f"{head}_top1": self._share(head, scores) for head, scores in found.items()}

    def _share(self, head: str, scores: np.ndarray) -> float:
        labels, names = self.plan.validation_labels[head], self.plan.classes[head]
        told = [names[number] for number in scores.argmax(axis=1)]
        counted = [(name, label) for name, label in zip(told, labels, strict=True) if label]
        return sum(name == label for name, label in counted) / max(1, len(counted))


def _right(scores: Tensor, targets: Tensor) -> Tensor:
    whole = scores.mean(1) if scores.ndim == 3 else scores
    return (whole.argmax(1) == targets).float().mean()

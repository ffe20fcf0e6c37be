"""What a training of a student reads, after all checks: samples, teachers, and the network with its first weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from kinoflow.datasets.actions import Classes, Rows, read_classes, read_rows
from kinoflow.errors import ConfigError, DataError
from kinoflow.features.origin import Origin
from kinoflow.media.options import FramesOptions
from kinoflow.options import check
from kinoflow.progress import log
from kinoflow.store.files import parse_json
from kinoflow.store.shards import Shard
from kinoflow.tasks.anticipation import data
from kinoflow.tasks.anticipation.backbones import WIDTHS
from kinoflow.tasks.anticipation.data import Reader, Samples, Sequences
from kinoflow.tasks.anticipation.ensemble import TeacherAttention
from kinoflow.tasks.anticipation.model import Student
from kinoflow.tasks.anticipation.options import AnticipationOptions
from kinoflow.tasks.anticipation.teaching import LOSSES, Teaching, taught
from kinoflow.training import checkpoint

Given = tuple[Sequence[Path] | None, Sequence[Path] | None, Path | None]  # feature shards, frame shards, a folder


@dataclass(frozen=True)
class Planned:
    """What is trained on, after all checks."""

    options: AnticipationOptions
    classes: Classes
    targets: dict[str, int]  # classes of each target
    sums: dict[str, tuple[int, ...]]  # verb and noun of each action, where scores are summed
    width: int
    training: Sequences
    validation: Sequences | None
    teaching: Teaching | None

    def counts(self) -> tuple[int, ...]:
        """Return the number of training samples of each action."""
        return tuple(np.bincount(self.training.samples.rows.action, minlength=len(self.classes.names)).tolist())


def planned(
    options: AnticipationOptions,
    actions: Path,
    classes_file: Path,
    given: Given,
    teacher: Sequence[Path],
    seed: int,
) -> Planned:
    """Check all that can be known before a training, and return what it needs.

    Raises ConfigError or DataError that names the option, the file or the action at fault.
    """
    classes = read_classes(classes_file)
    rows = read_rows(actions, classes)
    targets = data.check_targets(options.network.targets, classes)
    sums = _sums(options, classes)
    of_training = data.in_splits(rows, options.train_on, "train_on")
    held = data.held_out(rows, of_training, options.hold_out)
    checked = data.in_splits(rows, options.validate_on, "validate_on") | held
    training = data.samples(rows, data.only(rows, of_training & ~held, options.only), options)
    if not len(training):
        raise DataError(f"{actions}: no action to train on has a window before it; look at train_on and at sampling")
    source = data.source(options, classes, rows, *given)
    full = options.network.aggregator in ("mean", "transformer")

    def sequences(of: Samples, known: Rows) -> Sequences:
        return Sequences(of, Reader(source, options, known, [*targets, *sums], full))

    validation = data.samples(rows, checked, options) if checked.any() else None
    return Planned(
        options,
        classes,
        {**targets, **{name: classes.heads[name] for name in sums}},
        sums,
        WIDTHS.get(options.network.backbone, source.width),
        sequences(training, training.rows),
        None if validation is None else sequences(validation, validation.rows),
        _teaching(options, teacher, training, classes, seed),
    )


def _sums(options: AnticipationOptions, classes: Classes) -> dict[str, tuple[int, ...]]:
    if not options.network.summed:
        return {}
    if not classes.verb:
        raise ConfigError("network.summed: the dataset has no verbs and nouns; leave it out")
    return {"verb": classes.verb, "noun": classes.noun}


def _teaching(
    options: AnticipationOptions, teacher: Sequence[Path], training: Samples, classes: Classes, seed: int
) -> Teaching | None:
    used = [key for key in LOSSES if options.losses.get(key)]
    if not used:
        return None
    shuffle = seed if options.distill.shuffle else None
    found = taught(teacher, list(training.rows.uid), classes, options.max_missing_records, shuffle)
    for key in used:
        if key != "distill" and found.features is None:
            raise DataError(
                f"losses.{key}: the records hold no features of teachers, or of different widths; leave it out"
            )
    if "ens_distill" not in used and found.scores.shape[1] > 1:
        raise ConfigError(
            "teacher: several records are for the loss ens_distill; combine them into one first, or give one"
        )
    log.info("teacher: history policy %s", ", ".join(found.policies))
    return found


def network(plan: Planned, seed: int) -> nn.ModuleDict:
    """Return the student, and what is trained together with it, with their first weights."""
    options = plan.options
    student = Student(
        options.network,
        plan.width,
        plan.targets,
        options.sampling.steps,
        {name: list(ids) for name, ids in plan.sums.items()},
        seed,
    )
    parts: dict[str, nn.Module] = {"student": student}
    if options.losses.get("ens_distill") and plan.teaching:
        features = plan.teaching.features.shape[2]
        _check_width("ens_distill", plan.width, features)
        heads = options.distill.heads
        if features % heads:
            raise ConfigError(
                f"distill.heads: {heads} do not divide the {features} columns of the teachers' features; set another number"
            )
        parts["attention"] = TeacherAttention(features, heads, seed)
    for key in ("distill_feat", "distill_feat_mse"):
        if options.losses.get(key) and plan.teaching:
            _check_width(key, plan.width, plan.teaching.features.shape[2])
    return nn.ModuleDict(parts)


def _check_width(key: str, student: int, teacher: int) -> None:
    if student != teacher:
        raise ConfigError(
            f"losses.{key}: the student's features have {student} columns, the teacher's {teacher}; they must agree"
        )


def begin(student: Student, path: Path) -> None:
    """Copy the weights of another student that have the same name and shape; say how many."""
    tensors, _ = checkpoint.read(path)
    own = student.state_dict()
    found = {name.removeprefix("student."): value for name, value in tensors.items()}
    fitting = {name: found[name] for name, value in own.items() if name in found and found[name].shape == value.shape}
    if not fitting:
        raise DataError(f"{path}: none of its weights fits this network; give the checkpoint of a student alike")
    student.load_state_dict(own | fitting)
    log.info("weights %s: %d of %d taken over", path.name, len(fitting), len(own))


def origin_of(
    features: Sequence[Path] | None,
    pictures: Path | None,
    extractor: Path | None,
    basis: Path | None,
    frames: Sequence[Path] | None = None,
) -> Origin:
    """Return how features, or the frames themselves, are made, as a checkpoint says it.

    Raises ConfigError for files of features that are not of shards.
    """
    if features:
        return Origin.of(Shard(features[0]).attrs, extractor, basis, pictures)
    for name, file in (("pictures", pictures), ("extractor", extractor), ("basis", basis)):
        if file:
            raise ConfigError(f"{name}: this tells how features of shards are made, and there are none; leave it out")
    if not frames:
        return Origin()
    made = parse_json(Shard(frames[0]).attrs.get("options", "{}"))
    return Origin(frames=check(FramesOptions, made, str(frames[0])))

"""The stage that trains a student to say what comes next, from features or frames, with or without a teacher."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinoflow.errors import ConfigError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.features.origin import copy_beside
from kinoflow.media.sample import evenly
from kinoflow.metrics.anticipation import top_ks
from kinoflow.options import resolved
from kinoflow.stage import Folder, In, Out, State
from kinoflow.tasks.anticipation import loss
from kinoflow.tasks.anticipation.model import Said, Student
from kinoflow.tasks.anticipation.options import AnticipationOptions
from kinoflow.tasks.anticipation.planning import Planned, begin, network, origin_of, planned
from kinoflow.tasks.anticipation.schedule import kd_rate
from kinoflow.tasks.anticipation.scoring import Scorer, Trained
from kinoflow.tasks.anticipation.sources import seen_as_bytes
from kinoflow.training import checkpoint
from kinoflow.training.checkpoint import run_name
from kinoflow.training.devices import device_of
from kinoflow.training.distributed import is_first
from kinoflow.training.groups import one_group
from kinoflow.training.kept import checkpoints
from kinoflow.training.loop import Draw, Trainee, fit
from kinoflow.training.options import TESTING
from kinoflow.training.schedule import Plan as Steps
from kinoflow.training.schedule import base_rate
from kinoflow.training.workplace import workplace

BALANCE = 12  # first word of what seeds the balanced order
SHOW, SHOWN = 13, 4  # first word of what seeds the samples that are shown; how many


def anticipation_train(
    actions: In,
    classes: In,
    model: Out,
    history: Out,
    place: State,
    options: AnticipationOptions,
    seed: int = 0,
    features: list[In] | None = None,
    frames: list[In] | None = None,
    root: Folder | None = None,
    teacher: list[In] | None = None,
    weights: In | None = None,
    backbone: In | None = None,
    pictures: In | None = None,
    extractor: In | None = None,
    basis: In | None = None,
    dataset: str = "",
    device: str = "auto",
    code: str = "",
) -> None:
    """Train a student to say what is done next. The same command continues a killed one.

    actions: the table of actions, of `kinoflow action-sequences`
    classes: the table of classes that stands beside it
    model: the checkpoint to write, which says all that is needed to use it
    history: the table of losses and scores to write
    place: the folder for the state of the training; gone when it is done
    seed: of the first weights, the order of samples and their noise
    features: the shards of a feature or PCA set, all of the dataset's
    frames: the shards of frames, for a network with a backbone of its own
    root: a folder of feature files, or an LMDB, in place of shards
    teacher: the records of a teacher, or of several for the loss ens_distill
    weights: the checkpoint of another student to begin with; what does not fit stays as drawn
    backbone: the weights of the network that reads frames, in place of network.weights
    pictures: a shard of the frames that the features were computed from, which says how these are made
    extractor: the weights of the network behind the features; a copy goes beside the checkpoint, so that it reads videos alone
    basis: the components of the PCA that reduced the features; copied too
    dataset: its name
    device: cpu, cuda, or auto: CUDA where there is some
    code: fingerprint of the stage's code; found out if not given
    """
    plan = planned(_begun(options, backbone), actions, classes, (features, frames, root), teacher or (), seed)
    whole = network(plan, seed)
    student: Student = whole["student"]
    if weights:
        begin(student, weights)
    known = [actions, classes, *(features or ()), *(frames or ()), *(teacher or ()), *filter(None, (weights, backbone))]
    origin = origin_of(features, pictures, extractor, basis, frames)
    trained = Trained(
        student,
        options,
        plan.classes,
        plan.counts(),
        dataset,
        plan.teaching.about() if plan.teaching else {},
        origin,
        seed,
    )
    with workplace(place, known, resolved(options, TESTING), seed, dataset, code) as mine:
        told = StudentTrainee(whole, plan, Arithmetic(device_of(device)))
        name = f"train {run_name(model)}"
        rows = fit(told, options.training, seed, mine, name, device=device, events=model.parent / "events")
        if is_first():
            rows.write_csv(history)
            copy_beside(model, extractor, basis)
            for path in checkpoints(model, [(told.model, mine)], options.training.keep):
                checkpoint.save(path, whole, trained.about())


def _begun(options: AnticipationOptions, backbone: In | None) -> AnticipationOptions:
    """Return the options with the file of the backbone's weights, where one is given; ConfigError if no backbone reads it."""
    if backbone is None:
        return options
    if options.network.backbone == "identity":
        raise ConfigError(
            "backbone: this student reads features, no frames; leave the file out, or set network.backbone"
        )
    network = options.network.model_copy(update={"weights": str(backbone)})
    return options.model_copy(update={"network": network})


# ---------------------------------------------------------------- what the training loop asks for


class StudentTrainee(Trainee):
    """Samples, and the student that learns from them."""

    def __init__(self, whole: nn.ModuleDict, plan: Planned, how: Arithmetic):
        self.model, self.plan, self.how = whole, plan, how
        self.groups = one_group(whole)
        self.sequences = plan.training
        self.samples = len(plan.training) * plan.options.repeat
        self.used = {key: weight for key, weight in plan.options.losses.items() if weight}
        self.balance = self._class_weights() if plan.options.balance == "loss" else None
        self.past_mean = "all" if plan.options.parity else plan.options.past_mean
        self.said: Said | None = None

    # ------------------------------------------------------------ samples

    def load(self, draws: list[Draw]) -> dict[str, Any]:
        """Return a batch: x (B, T, D), lengths (B,), labels and past labels of each target, and what teachers say."""
        options, rows = self.plan.options, self.sequences.samples.rows
        numbers = [draw.sample % len(self.sequences) for draw in draws]
        rngs = [draw.rng() for draw in draws]
        seen = [self.sequences(number, rng) for number, rng in zip(numbers, rngs, strict=True)]
        x = np.stack([one.x for one in seen])
        if options.noise and options.network.backbone == "identity":
            noise = np.stack([rng.standard_normal(x.shape[1:], np.float32) for rng in rngs])
            x = x + np.float32(options.noise) * noise
        batch = {
            "x": torch.from_numpy(np.ascontiguousarray(x, np.float32)),
            "lengths": torch.tensor([one.length for one in seen]),
            "labels": {t: torch.from_numpy(rows.labels(t)[numbers]) for t in self.plan.targets},
            "past": {t: torch.from_numpy(np.stack([one.past[t] for one in seen])) for t in self.plan.targets},
            "seconds": torch.from_numpy(self.sequences.samples.seconds[numbers].astype(np.float32)),
        }
        teaching = self.plan.teaching
        if teaching:
            batch["there"] = torch.from_numpy(teaching.there[numbers])
            batch["teacher"] = torch.from_numpy(teaching.scores[numbers])
            if teaching.features is not None:
                batch["teacher_features"] = torch.from_numpy(teaching.features[numbers])
        return batch

    def show(self, step: int) -> dict[str, np.ndarray]:
        """Return what the network is shown of some training samples, varied as in training: videos (T, S, S, 3) uint8.

        Steps that are clips show the last frame of each. Nothing for students that read features.
        """
        if self.plan.options.network.backbone == "identity":
            return {}
        found = {}
        for number in evenly(len(self.sequences), min(SHOWN, len(self.sequences))).tolist():
            x = self.sequences(
                number, np.random.default_rng((SHOW, step, number))
            ).x  # (T, 3, S, S), or (T, 3, t, S, S)
            frames = x[:, :, -1] if x.ndim == 5 else x
            uid = self.sequences.samples.rows.uid[number]
            found[f"seen/{uid}"] = seen_as_bytes(frames).transpose(0, 2, 3, 1)
        return found

    def weigh(self, draws: list[Draw]) -> dict[str, float]:
        """Return the number of labelled steps, where the mean of past classes runs over these."""
        keys = [key for key in self.used if key.startswith("past_cls_")]
        if not keys or self.past_mean != "labelled":
            return {}
        past = [self.sequences.past(draw.sample % len(self.sequences), draw.rng()) for draw in draws]
        steps = self.plan.options.sampling.steps
        size = self.model["student"].aggregator.group or steps
        labels = {key: np.stack([each[key.removeprefix("past_cls_")] for each in past]) for key in keys}
        return {
            key: float((_grouped(torch.from_numpy(each), steps // size) != loss.NONE).sum())
            for key, each in labels.items()
        }

    def order(self, epoch: int, seed: int) -> Sequence[int] | None:
        """Return the samples of an epoch: all of them, or with ``balance: samples`` drawn so that classes come alike often."""
        if self.plan.options.balance != "samples":
            return None
        counts = np.array(self.plan.counts())
        shares = 1 / counts[self.sequences.samples.rows.action]
        shares = np.tile(shares, self.plan.options.repeat)
        rng = np.random.default_rng((BALANCE, seed, epoch))
        return rng.choice(self.samples, self.samples, p=shares / shares.sum()).tolist()

    def rate(self, step: int, plan: Steps) -> float | None:
        """Return the share of the base rate that the published schedule has at a step."""
        if self.plan.options.schedule != "kd":
            return None
        training, base = self.plan.options.training, base_rate(self.plan.options.training)
        lowest = self.plan.options.eta_min * base / training.learning_rate  # it grows with the batch as the rate does
        return kd_rate(step, base, training.warm_up * plan.unit, plan.steps, lowest) / base

    def _class_weights(self) -> dict[str, np.ndarray]:
        """Return the weights of classes by which all weigh alike, n / (K n_c); 0 for classes without a sample."""
        found, rows = {}, self.sequences.samples.rows
        for target, count in self.plan.targets.items():
            own = np.bincount(rows.labels(target), minlength=count)
            weights = np.zeros(count, np.float32)
            weights[own > 0] = len(rows) / ((own > 0).sum() * own[own > 0])
            found[target] = weights
        return found

    # ------------------------------------------------------------ losses

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the losses that have a weight, times these."""
        lengths = batch["lengths"]
        steps = batch["x"].shape[1]
        whole = None if bool((lengths == steps).all()) else lengths
        self.said = self.model["student"](batch["x"], whole)
        terms = {key: self._term(key, self.said, batch) for key in sorted(self.used)}
        return loss.weighted(terms, self.used)

    def _term(self, key: str, said: Said, batch: dict[str, Any]) -> Tensor:
        kind, _, target = key.rpartition("_")
        if kind == "cls":
            weights = None if self.balance is None else torch.from_numpy(self.balance[target]).to(batch["x"].device)
            return loss.class_loss(said.scores[target], batch["labels"][target], weights).mean()
        if kind == "past_cls":
            labels = _grouped(batch["past"][target], said.x.shape[1])
            losses = loss.class_loss(said.past[target], labels)
            return loss.mean_of_labelled(losses, labels, self.past_mean)
        if key == "gap":
            return (said.seconds - batch["seconds"]).square().mean()
        if key in ("feat", "nce", "quantised"):
            return self._of_features(key, said, batch["lengths"])
        return self._of_teacher(key, said, batch)

    def _of_features(self, key: str, said: Said, lengths: Tensor) -> Tensor:
        """Return the mean over samples of the mean over the steps that were to be predicted."""
        came = said.x[:, 1:].detach() if self.plan.options.detach else said.x[:, 1:]
        told = said.forecast.told[:, : came.shape[1]]
        if not came.shape[1]:
            return said.x.sum() * 0  # one step: nothing came after it
        if key == "feat":
            rows = (told - came).square().mean(2)
        elif key == "nce":
            rows = loss.info_nce(told, came)
        else:
            rows = loss.quantised(told, came, self.model["student"].centres)
        counted = (torch.arange(rows.shape[1], device=rows.device) < lengths[:, None] - 1).to(rows.dtype)
        if said.x.shape[1] != self.plan.options.sampling.steps:
            counted = torch.ones_like(rows)
        return ((rows * counted).sum(1) / counted.sum(1).clamp(min=1)).mean()

    def _of_teacher(self, key: str, said: Said, batch: dict[str, Any]) -> Tensor:
        there = batch["there"]
        if key == "distill":
            losses = loss.distillation(said.scores["action"], batch["teacher"][:, 0], self.plan.options.distill)
        elif key == "ens_distill":
            combined, _ = self.model["attention"](said.future, batch["teacher_features"], batch["teacher"])
            losses = loss.distillation(said.scores["action"], combined, self.plan.options.distill)
        else:
            compare = loss.cosine_loss if key == "distill_feat" else loss.normalised_mse
            losses = compare(said.future, batch["teacher_features"][:, 0])
        return loss.present(losses, there)

    # ------------------------------------------------------------ scores

    def scores(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return each target's share of samples told right in the last forward pass."""
        return {
            f"{target}_top1": (scores.argmax(1) == batch["labels"][target]).float().mean()
            for target, scores in self.said.scores.items()
        }

    def validates(self) -> bool:
        """Whether there are validation samples."""
        return self.plan.validation is not None

    def validate(self) -> dict[str, float] | None:
        """Return the shares of validation samples whose action is the likeliest, and among the five likeliest."""
        if self.plan.validation is None:
            return None
        found = Scorer(self.model["student"], self.how).scores(self.plan.validation, "validation")
        target = "action" if "action" in found else next(iter(self.plan.targets))
        labels = self.plan.validation.samples.rows.labels(target)
        shares = top_ks(found[target], labels, (1, min(5, self.plan.targets[target])))
        return {f"{target}_top{k}": share for k, share in shares.items()}


def _grouped(labels: Tensor, steps: int) -> Tensor:
    """Return the commonest label of each group of steps, (B, T') of (B, T): of equals the smallest."""
    if labels.shape[1] == steps:
        return labels
    groups = labels.unflatten(1, (steps, -1))
    return groups.mode(2).values

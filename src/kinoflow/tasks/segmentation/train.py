"""The stage that trains a hidden semi-Markov model of videos, with or without labels."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinoflow.errors import DataError
from kinoflow.features.origin import Origin, copy_beside
from kinoflow.options import resolved
from kinoflow.progress import log
from kinoflow.stage import In, Out, State
from kinoflow.tasks.segmentation import initial, limits
from kinoflow.tasks.segmentation.batches import batch_order, first_videos, mini_batches
from kinoflow.tasks.segmentation.data import Films, Item, read_films
from kinoflow.tasks.segmentation.fit import fit_supervised
from kinoflow.tasks.segmentation.loss import losses_of_videos
from kinoflow.tasks.segmentation.model import SegmentModel
from kinoflow.tasks.segmentation.options import SegmentationOptions
from kinoflow.tasks.segmentation.parts import Parts, by_task, label_counts, parted
from kinoflow.tasks.segmentation.spans import Span, cut
from kinoflow.tasks.segmentation.trained import MIXED, Trained
from kinoflow.training import checkpoint
from kinoflow.training.distributed import is_first
from kinoflow.training.groups import one_group
from kinoflow.training.history import History
from kinoflow.training.kept import checkpoints
from kinoflow.training.loop import Draw, Trainee, fit
from kinoflow.training.options import TESTING
from kinoflow.training.schedule import Plan
from kinoflow.training.workplace import workplace

FOLLOWED = "followed"  # heading of what is told of videos that choose nothing
VALIDATED = 16  # videos whose likelihood is found at once


def segmentation_train(
    videos: In,
    segments: In,
    features: list[In],
    model: Out,
    history: Out,
    place: State,
    options: SegmentationOptions,
    seed: int = 0,
    steps: In | None = None,
    narration: In | None = None,
    frames: list[In] | None = None,
    basis: In | None = None,
    weights: In | None = None,
    dataset: str = "",
    device: str = "auto",
    code: str = "",
) -> None:
    """Train a hidden semi-Markov model of videos. The same command continues a killed training.

    videos: the table of videos
    segments: the table of labelled segments; rows of phases are no steps
    features: the shards of features (or of their PCA), all of the dataset's
    model: the checkpoint to write, which says all that is needed to use it
    history: the table of likelihoods and norms to write
    place: the folder for the state of the training; gone when it is done
    seed: of the first values, and of the order of videos
    steps: the tasks' steps in their order: task, number, action; without it a task has the steps of its videos
    narration: windows in which a narrator speaks of a step: video, start, end, action
    frames: the shards of frames that the features were made of; with these the checkpoint can say how to read a video
    basis: the components of the features' PCA; a copy goes beside the checkpoint, so that it can be used with a video alone
    weights: the weights of the network behind the features; copied too
    dataset: its name
    device: cpu, cuda, or auto: CUDA where there is some
    code: fingerprint of the stage's code; found out if not given
    """
    films = read_films(videos, segments, features, options.rows, options.labels, steps, narration)
    origin = Origin.of(films.features.about, weights, basis, frames[0] if frames else None)
    limits.check(films, options.constraints, options.labelled, "constraints")
    limits.check(films, options.test.constraints, options.labelled, "test.constraints")
    parts = parted(films, options)
    for item in (*parts.train, *parts.validation, *parts.followed, *parts.test):
        films.rows(item)  # what is wrong with features is told before any training
    log.info("%d videos to train on, %d to validate on", len(parts.train), len(parts.validation))
    known = [videos, segments, *features, *filter(None, (steps, narration, basis, weights))]
    with workplace(place, known, resolved(options, TESTING), seed, dataset, code) as mine:
        name = f"train {model.parent.parent.name}/{model.parent.name}"
        groups = {MIXED: parts} if options.models == "mixed" else _by_task(parts)
        models, rows = {}, History()
        for number, (task, own_parts) in enumerate(groups.items()):
            said = f"{name} ({task})" if task else name
            events = model.parent / "events" / task if task else model.parent / "events"
            job = _Job(films, own_parts, options, seed)
            models[task], own = job.run(mine / str(number), said, device, events)
            rows.rows += [{"model": number} | row if task else row for row in own.rows]
        trained = Trained(
            models,
            options,
            films.vocabulary,
            films.features.columns,
            films.features.whole,
            films.seconds,
            label_counts([*parts.train, *parts.validation]),
            origin,
            dataset,
        )
        if is_first():
            rows.write_csv(history)
            copy_beside(model, weights, basis)
            jobs = [(each, mine / str(number)) for number, each in enumerate(models.values())]
            for path in checkpoints(model, jobs, options.training.keep):
                checkpoint.save(path, trained.whole(), trained.about(seed))


def _by_task(parts: Parts) -> dict[str, Parts]:
    validation, test, followed = by_task(parts.validation), by_task(parts.test), by_task(parts.followed)
    others = (validation, test, followed)
    return {task: Parts(own, *(some.get(task, []) for some in others)) for task, own in by_task(parts.train).items()}


# ---------------------------------------------------------------- one model


class _Job:
    """The training of one model."""

    def __init__(self, films: Films, parts: Parts, options: SegmentationOptions, seed: int):
        self.films, self.parts, self.train = films, parts, parts.train
        self.options, self.seed = options, seed

    def run(self, place: Path, name: str, device: str, events: Path) -> tuple[SegmentModel, History]:
        """Return the trained model, on the CPU, and what was recorded; a model that was done before is not trained again."""
        place.mkdir(exist_ok=True)
        model, done = self.build(), place / "done.safetensors"
        if done.exists():
            tensors, about = checkpoint.read(done)
            checkpoint.load_into(model, tensors, done)
            return model, History([dict(row) for row in about["rows"]])
        self.begin(model)
        trainee = StepTraining(model, self.films, self.parts, self.options, self.seed, name)
        rows = History()
        if self.options.learn in ("closed_form", "closed_then_gradient"):
            self.count(model)
            rows.rows.append(trainee.row(0))
        if self.options.learn != "closed_form":
            training = self.options.training
            if self.options.batches.carry:
                training = training.model_copy(update={"drop_last": True})  # the rest joins the next epoch, see load
            found = fit(trainee, training, self.seed, place, name, device=device, events=events)
            rows.rows += [with_means(row) for row in found.rows]
        model = model.cpu()
        if is_first():
            checkpoint.save(done, model, {"rows": [list(row.items()) for row in rows.rows]})  # in their order
        return model, rows

    def build(self) -> SegmentModel:
        """Return the model before it has seen anything."""
        how, vocabulary = self.options.model, self.films.vocabulary
        tied = vocabulary.tied() if self.options.labelled and self.options.labels.merged else None
        return SegmentModel(
            self.states(),
            self.films.features.width,
            rank=how.rank,
            longest=how.longest,
            duration=how.duration,
            normalise_durations=how.normalise_durations,
            log_deviation=how.log_deviation,
            tied=tied,
            kernel=how.kernel,
            seed=self.seed,
        )

    def states(self) -> int:
        """Return the number of states: as the options say, or one for each label (of the task)."""
        vocabulary, tasks = self.films.vocabulary, {item.task for item in self.train}
        wanted = self.options.model.states
        if not wanted:
            one = self.options.models == "per_task" and not self.options.labelled
            wanted = len(vocabulary.classes_of(tasks.pop())) if one else len(vocabulary.names)
        if not wanted:
            raise DataError("model.states: the videos have no labels, so it must be said how many states there are")
        return wanted

    def begin(self, model: SegmentModel) -> None:
        """Set the first Gaussians."""
        items = self.train
        if self.options.begin.rows == "original":
            items = [self.train[n] for n in first_videos([item.key for item in self.train])]
        rows = [self.films.rows(item) for item in items]
        count = len(model.means)
        how = self.options.begin.means or ("mean" if self.options.labelled else "sample")
        means, deviations = initial.gaussians(rows, count, how, self.seed)
        kind = model.means.dtype
        model.start_emissions(torch.from_numpy(means).to(kind), torch.from_numpy(deviations).to(kind))

    def count(self, model: SegmentModel) -> None:
        """Fit by counting."""
        rows = [self.films.rows(item) for item in self.train]
        spans = [spans_of(item, self.options) for item in self.train]
        fit_supervised(model, rows, spans, self.options.state_smoothing, self.options.length_smoothing)


def spans_of(item: Item, options: SegmentationOptions) -> list[Span]:
    """Return the labelled segments of a video, cut to what the model allows for."""
    longest = 2 if options.model.duration == "geometric" else options.model.longest
    return cut(item.labels[:, 0], longest)


def with_means(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the history with what is meant by its sums: the loss of a video and of a row, over all of these.

    What is said of followed videos has a heading of its own: it is no validation.
    """
    found = {name.replace(f"validation/{FOLLOWED}_", f"{FOLLOWED}/"): value for name, value in row.items()}
    nats, many, count = (found.pop(f"train/{name}", 0.0) for name in ("nats", "videos", "rows"))
    if many and count:
        found |= {"train/nll_per_video": nats / many, "train/nll_per_row": nats / count}
    return found


# ---------------------------------------------------------------- what the training loop asks for


class StepTraining(Trainee):
    """Videos, and the model that learns from them; a sample of the loop is a mini-batch of videos."""

    def __init__(
        self,
        model: SegmentModel,
        films: Films,
        parts: Parts,
        options: SegmentationOptions,
        seed: int,
        name: str = "training",
    ):
        self.model: nn.Module = model
        self.films, self.items, self.parts, self.options, self.seed = films, parts.train, parts, options, seed
        self.groups, self.keys, self.name = one_group(model), [item.key for item in parts.train], name
        self.learn = "gradient" if options.learn == "closed_then_gradient" else options.learn
        self.samples = len(mini_batches(self.keys, options.batches, seed))
        self.said: dict[str, float] = {}  # sums of the last forward pass
        self.norm = 0.0  # of the last step's gradient, before it was clipped
        self.seen, self.since = 0, time.monotonic()  # videos, for their speed

    # ------------------------------------------------------------ batches

    def order(self, epoch: int, seed: int) -> list[int]:
        """Return the order of an epoch's mini-batches."""
        return batch_order(self.samples, self.options.batches, self.seed, epoch)

    def load(self, draws: list[Draw]) -> dict[str, Any]:
        """Return the mini-batches of these draws; the first step of an epoch takes those left over from the one before."""
        wanted = [(draw.epoch, draw.sample) for draw in draws]
        if self.options.batches.carry and draws[0].position == 0 and draws[0].epoch:
            before = draws[0].epoch - 1
            whole = self.samples - self.samples % self.options.training.batch
            wanted = [(before, sample) for sample in self.order(before, self.seed)[whole:]] + wanted
        return {"batches": [self.batch(*each) for each in wanted], "count": len(draws)}

    def batch(self, epoch: int, number: int) -> dict[str, Any]:
        """Return one mini-batch: padded rows, lengths, and what is known of the steps."""
        chosen = mini_batches(self.keys, self.options.batches, self.seed, epoch)[number]
        return self.collate([self.items[n] for n in chosen], self.learn != "unsupervised")

    def collate(self, items: Sequence[Item], labels: bool) -> dict[str, Any]:
        """Return videos as one batch."""
        known = limits.collated(items, self.films, self.options.constraints, self.options.labelled)
        spans = {"spans": [spans_of(item, self.options) for item in items]} if labels else {}
        return padded([self.films.rows(item) for item in items], self.model) | known | spans

    # ------------------------------------------------------------ steps

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the mean over mini-batches of the mean loss of their videos."""
        found = [losses_of_videos(self.model, each, self.learn) for each in batch["batches"]]
        count = batch["count"]
        with torch.no_grad():
            nats = torch.stack([each.sum() for each in found]).sum()
        videos = sum(len(each) for each in found)
        rows = sum(each["rows"] for each in batch["batches"])
        self.said = {"nats": nats / count, "videos": videos / count, "rows": rows / count}
        self.seen += videos
        return {"nll": torch.stack([each.mean() for each in found]).sum() / count}

    def scores(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return sums over videos of the last pass, whose quotients the history shows, and the norm of all parameters."""
        return self.said | {"parameter_norm": norm_of(list(self.model.parameters()))}

    def rate(self, step: int, plan: Plan) -> None:
        """Take note of the gradient's norm: here all of a step's passes are done, and nothing has been clipped."""
        self.norm = float(norm_of([p.grad for p in self.model.parameters() if p.grad is not None]))

    def validates(self) -> bool:
        """Whether there are validation videos; the followed ones choose nothing."""
        return bool(self.parts.validation)

    def validate(self) -> dict[str, float] | None:
        """Return the likelihood of the validation videos, the norm of the last gradient, the likelihood of followed videos.

        The first number chooses, where one is to choose: never that of followed videos.
        """
        now = time.monotonic()
        log.info("%s: %.1f videos a second", self.name, self.seen / max(1e-9, now - self.since))
        found, followed = self.likelihoods()
        self.seen, self.since = 0, time.monotonic()
        return found | {"gradient_norm": self.norm} | {f"{FOLLOWED}_{name}": value for name, value in followed.items()}

    def likelihoods(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return what the model says of the rows of the validation videos, and of the followed ones; {} without such."""
        found, followed = self._likelihood(self.parts.validation), self._likelihood(self.parts.followed)
        chooses = {"log_likelihood": -found["nll_per_row"]} if found else {}
        return chooses | found, followed

    def _likelihood(self, items: Sequence[Item]) -> dict[str, float]:
        if not items:
            return {}
        where = next(self.model.parameters()).device
        scores = negative_log_likelihoods(self.model, self.films, items, where)
        rows, total = sum(item.frames for item in items), float(scores.sum())
        return {"nll_per_row": total / rows, "nll_per_video": total / len(scores)}

    def row(self, step: int) -> dict[str, Any]:
        """Return a row of the history for what was fitted without steps."""
        with torch.no_grad():
            found, followed = self.likelihoods()
            norm = float(norm_of(list(self.model.parameters())))
        numbers = {f"validation/{name}": value for name, value in found.items()}
        numbers |= {f"{FOLLOWED}/{name}": value for name, value in followed.items()}
        return {"step": step, "epoch": 0, "learning_rate": 0.0, "train/parameter_norm": norm} | numbers


def norm_of(tensors: Sequence[Tensor]) -> Tensor:
    """Return the L2 norm of all numbers of some tensors."""
    return torch.linalg.vector_norm(
        torch.stack([torch.linalg.vector_norm(tensor.detach().double()) for tensor in tensors])
    )


def padded(rows: Sequence[np.ndarray], model: nn.Module) -> dict[str, Any]:
    """Return videos of different lengths as one batch, zeros behind: x (B, T, D), lengths (B,), and the number of rows."""
    kind = next(model.parameters()).dtype
    lengths = [len(each) for each in rows]
    x = torch.zeros(len(rows), max(lengths), rows[0].shape[1], dtype=kind)
    for place, each in zip(x, rows, strict=True):
        place[: len(each)] = torch.from_numpy(each)
    return {"x": x, "lengths": torch.tensor(lengths), "rows": sum(lengths)}


def negative_log_likelihoods(
    model: SegmentModel, films: Films, items: Sequence[Item], device: torch.device, at_once: int = VALIDATED
) -> np.ndarray:
    """Return -log p(x) of each video, (N,) nats: of its rows alone, whatever is known of its steps."""
    found = np.zeros(len(items))
    order = sorted(range(len(items)), key=lambda n: (items[n].frames, n))  # neighbours in length need little padding
    with torch.no_grad():
        for first in range(0, len(order), at_once):
            chosen = order[first : first + at_once]
            batch = padded([films.rows(items[n]) for n in chosen], model)
            told = model.log_likelihood(batch["x"].to(device), batch["lengths"].to(device))
            found[chosen] = -told.double().cpu().numpy()
    if not np.isfinite(found).all():
        lost = items[int(np.argmin(np.isfinite(found)))]
        raise DataError(
            f"{lost.video!r}: its likelihood is {-found[~np.isfinite(found)][0]}; are its features far off?"
        )
    return found

"""The stage that tests a trained segmentation: likelihood, a row for each segment found, and scores beside baselines."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.metrics.segmentation import average_recall, averaged, pooled
from kinoflow.progress import log
from kinoflow.stage import Folder, In, Out, State
from kinoflow.store.files import write_json
from kinoflow.store.tables import write
from kinoflow.tasks.segmentation import baselines, limits, texts
from kinoflow.tasks.segmentation.baselines import Baseline
from kinoflow.tasks.segmentation.data import Films, Item, read_films
from kinoflow.tasks.segmentation.measures import images, measures, statistics_by_task
from kinoflow.tasks.segmentation.options import SegmentationTestOptions
from kinoflow.tasks.segmentation.parts import Parts, by_task, parted
from kinoflow.tasks.segmentation.scoring import Told, tell
from kinoflow.tasks.segmentation.train import negative_log_likelihoods
from kinoflow.tasks.segmentation.trained import MIXED, Trained, read_checkpoint
from kinoflow.training.devices import arithmetic, device_of

DIGITS = 6  # of numbers in tables
NEAREST = 4  # rows of each state that are listed


@dataclass(frozen=True, kw_only=True)
class Found:
    """A row of the table of predictions: a segment that was found."""

    video: str
    task: str
    start: float  # seconds
    end: float
    state: int  # -1: the constraints allow for no segmentation
    step: str  # the label that the state stands for; "" if none
    posterior: float  # mean over its rows of the probability of its state


@dataclass(frozen=True, kw_only=True)
class Near:
    """A row of the table of states: a row of features among those nearest to a state's mean, of those told to be of it."""

    state: int
    video: str
    time: float  # seconds
    distance: float  # standard deviations, root mean square over columns


def segmentation_evaluate(
    model: In,
    videos: In,
    segments: In,
    features: list[In],
    metrics: Out,
    predictions: Out,
    options: SegmentationTestOptions,
    states: Out | None = None,
    steps: In | None = None,
    narration: In | None = None,
    outside: Folder | None = None,
    texts_folder: State | None = None,
    splits: list[str] | None = None,
    device: str = "auto",
    threads: int = 1,
) -> None:
    """Test a trained segmentation: never trains it again, so that one run can be decoded in many ways.

    model: the checkpoint, model.safetensors of a segmentation run
    videos: the table of videos
    segments: the table of labelled segments
    features: the shards of features, all of the dataset's
    metrics: the measures to write, JSON
    predictions: the table of predictions to write: a row for each segment found
    states: a table to write of the rows of features that are nearest to each state's mean (one model of all tasks)
    steps: the tasks' steps in their order: task, number, action
    narration: windows in which a narrator speaks of a step: video, start, end, action
    outside: a folder of predictions that others made, to be scored beside: .txt, .npy or .json for each labelled video
    texts_folder: a folder to write a text file for each video into, as the published code does
    splits: the splits to test on; those of the run if not given
    device: cpu, cuda, or auto: CUDA where there is some
    threads: processor threads of torch
    """
    trained = read_checkpoint(model)
    given = trained.options
    where = device_of(device)
    films = read_films(videos, segments, features, given.rows, given.labels, steps, narration, trained.vocabulary)
    _check_columns(model, trained, films)
    limits.check(films, options.constraints, trained.labelled, "constraints")
    if options.assignment == "identity" and not trained.labelled:
        raise ConfigError("assignment: the states stand for no labels; take hungarian")
    parts = parted(films, given, splits)
    if not parts.test:
        raise ConfigError(f"splits: no video is in {', '.join(splits or given.test_on)}; give splits to test on")
    with arithmetic(where, threads):
        for each in trained.models.values():
            each.to(where)
        judge = _Judge(
            trained, films, parts, options, full_truth(films, parts.scored, videos, segments, trained, steps)
        )
        told = tell(
            trained.model_of,
            films,
            parts.test,
            options.constraints,
            options.decode,
            trained.labelled and options.valid,
            where,
            options.videos,
            f"test {model.parent.parent.name}",
        )
        found = {
            "videos": len(parts.test),
            "scored": len(parts.scored),
            "unannotated": len(parts.test) - len(parts.scored),
            "rows": sum(item.frames for item in parts.test),
            "states": trained.states,
            "parameters": sum(p.numel() for each in trained.models.values() for p in each.parameters()),
            "impossible": sum(not each.possible for each in told),
            "nll": judge.likelihoods(where),
        }
        found |= judge.scores(told)
        found |= {"baselines": judge.baselines(steps, device)} if parts.scored else {}
    if outside:
        said = texts.read(outside, parts.scored, trained.vocabulary, judge.whole)
        found["outside"] = judge.measured(Baseline(said, "identity"))
    write_json(metrics, found)
    labels = judge.labels(told)
    write(predictions, _rows(parts.test, told, labels, films), Found)
    if states:
        write(states, nearest(trained, films, parts.test, told), Near)
    if texts_folder:
        _write_texts(texts_folder, parts.test, told, labels, trained)
    log.info("%d videos tested, %d of them labelled", len(parts.test), len(parts.scored))


def _check_columns(path: Path, trained: Trained, films: Films) -> None:
    if films.features.columns.tolist() != trained.columns.tolist():
        raise DataError(
            f"{path}: it was trained on other columns than these features have; give the features of the run"
        )


def full_truth(
    films: Films, items: Sequence[Item], videos: Path, segments: Path, trained: Trained, steps: Path | None
) -> list[Item]:
    """Return videos with the labels of all rows, where every so manyth row is read: what is told of one holds for those after it."""
    given = trained.options
    if given.rows.subsample == 1 or given.labels.background == "removed":
        return list(items)
    every = given.rows.model_copy(update={"subsample": 1})
    shards = films.features.paths
    whole = read_films(videos, segments, shards, every, given.labels, steps, None, trained.vocabulary)
    known = {item.video: item for own in whole.splits.values() for item in own}
    return [known[item.video] for item in items]


# ---------------------------------------------------------------- scores


class _Judge:
    """Compares what is told with what is true."""

    def __init__(
        self, trained: Trained, films: Films, parts: Parts, options: SegmentationTestOptions, whole: Sequence[Item]
    ):
        self.trained, self.films, self.parts, self.options, self.whole = trained, films, parts, options, whole
        self.places = [
            n for n, item in enumerate(parts.test) if item.annotated
        ]  # of the scored videos among the tested
        auto = "identity" if trained.labelled else "hungarian"
        self.how = auto if options.assignment == "auto" else options.assignment
        self.train = [item for item in parts.train if item.annotated]

    def likelihoods(self, where: Any) -> dict[str, Any]:
        """Return the negative log likelihood of test and validation videos, per video and per row, beside a single Gaussian."""
        found: dict[str, Any] = {}
        for name, items in (("test", self.parts.test), ("validation", self.parts.validation)):
            if not items:
                continue
            rows, total = sum(item.frames for item in items), 0.0
            for task, own in by_task(items).items():
                total += float(negative_log_likelihoods(self.trained.model_of(task), self.films, own, where).sum())
            numbers = {"per_row": total / rows, "per_video": total / len(items)}
            numbers["gaussian_per_row"] = baselines.single_gaussian(self.films, self.parts.train, items)
            found |= numbers if name == "test" else {name: numbers}
        return found

    def measured(self, what: Baseline) -> dict[str, Any]:
        """Return the scores of predictions of the scored videos."""
        return measures(self._statistics(what.told, what.how))

    def _statistics(self, told: Sequence[np.ndarray], how: str) -> dict[str, Any]:
        words = self.trained.vocabulary
        return statistics_by_task(self.whole, self._spread(told), words, how, self.options.by_task)

    def _spread(self, told: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return predictions for all rows: each is repeated until the next one."""
        times = self.trained.options.rows.subsample
        return [
            each if len(each) == item.frames else np.repeat(each, times)[: item.frames]
            for each, item in zip(told, self.whole, strict=True)
        ]

    def scores(self, told: Sequence[Told]) -> dict[str, Any]:
        """Return the model's scores, and those of the best assignment (an oracle where states have labels)."""
        if not self.places:
            return {}
        states = [told[n].states for n in self.places]
        found = self.measured(Baseline(states, self.how))
        found["oracle"] = {k: v for k, v in self.measured(Baseline(states, "hungarian")).items() if k != "tasks"}
        if self.options.average_recall and self.trained.labelled:
            found["average_recall"] = self._average_recall([told[n] for n in self.places])
        return found

    def _average_recall(self, told: Sequence[Told]) -> dict[str, float]:
        words, items = self.trained.vocabulary, self.parts.scored
        tasks: dict[str, list[int]] = {}
        for number, item in enumerate(items):
            tasks.setdefault(item.task, []).append(number)
        found = []
        for task, numbers in tasks.items():
            steps = list(words.steps_of(task))
            truth, scores = [items[n].labels for n in numbers], [told[n].posteriors[:, steps] for n in numbers]
            found.append({"recall": average_recall(truth, scores, steps)})
        return {"averaged": averaged(found)[0].get("recall", 0.0), "pooled": pooled(found).get("recall", 0.0)}

    # ------------------------------------------------------------ baselines

    def baselines(self, steps: Path | None, device: str) -> dict[str, Any]:
        """Return the scores of all baselines that can be had."""
        found = {name: self.measured(what) for name, what in self._baselines(steps, device).items()}
        return {name: {key: own[key] for key in ("averaged", "pooled")} for name, own in found.items()}

    def _baselines(self, steps: Path | None, device: str) -> dict[str, Baseline]:
        items, films, options, train = self.parts.scored, self.films, self.options, self.parts.train
        states, rows = self.trained.states, [films.rows(item) for item in train]
        found = {"uniform": baselines.uniform(items, states), "clock": baselines.clock(items, train, states)}
        known = baselines.clusters(rows, states, options.baseline_seed, options.passes, mixture=False)
        found["kmeans"] = Baseline([known.nearest(films.rows(item)) for item in items], "hungarian")
        known = baselines.clusters(rows, states, options.baseline_seed, options.passes, mixture=True)
        found["mixture"] = Baseline([known.likeliest(films.rows(item)) for item in items], "hungarian")
        found["truth"] = baselines.truth(items)
        if self.trained.counts:
            found["majority"] = baselines.majority(items, self.trained.counts)
            found["sample"] = baselines.sample(items, self.trained.counts, options.baseline_seed)
        if steps and all(films.vocabulary.tasks[item.task] for item in items):
            found["canonical"] = baselines.in_order(items, films, options.background_share)
        if options.constraints.narration != "none":
            found["narration"] = baselines.narrated(items, films, options.constraints)
        if self.train:
            found["gaussian"] = baselines.gaussian(items, films, self.train)
        if self.train and options.classifiers:
            found |= self._classifiers(device)
        return found

    def _classifiers(self, device: str) -> dict[str, Baseline]:
        from kinoflow.tasks.segmentation.classifiers import KINDS, classified

        found = {}
        for kind in KINDS:
            with tempfile.TemporaryDirectory() as place:
                items, epochs, seed = self.parts.scored, self.options.classifiers, self.options.baseline_seed
                found[kind] = classified(kind, self.films, self.train, items, epochs, seed, Path(place), device)
        return found

    # ------------------------------------------------------------ labels of states

    def labels(self, told: Sequence[Told]) -> list[dict[int, int]]:
        """Return for each tested video which label each state stands for."""
        words = self.trained.vocabulary
        own = {label: label for label in range(len(words.names))} if self.trained.labelled else {}
        found: list[dict[int, int]] = [own for _ in told]
        if self.places and self.how == "hungarian":
            scored = [told[n].states for n in self.places]
            named = images(self.parts.scored, scored, words, self.how, self.options.by_task)
            for n, one in zip(self.places, named, strict=True):
                found[n] = one
        return found


# ---------------------------------------------------------------- tables and texts


def _rows(items: Sequence[Item], told: Sequence[Told], labels: Sequence[dict[int, int]], films: Films) -> list[Found]:
    names, found = films.vocabulary.names, []
    for item, each, own in zip(items, told, labels, strict=True):
        spans = films.spans(item)
        for state, first, end, sure in each.segments:
            row = Found(
                video=item.video,
                task=item.task,
                start=round(float(spans[first, 0]), DIGITS),
                end=round(float(spans[end - 1, 1]), DIGITS),
                state=state,
                step=names[own[state]] if state in own else "",
                posterior=round(sure, DIGITS),
            )
            found.append(row)
    return found


def nearest(trained: Trained, films: Films, items: Sequence[Item], told: Sequence[Told]) -> list[Near]:
    """Return the rows nearest to each state's mean, of videos apart where there are enough; none of models of single tasks."""
    model = trained.models.get(MIXED)
    if model is None:
        return []
    where = range(len(model.means)) if model.tied is None else model.tied
    means, scale = (each.detach().cpu().double().numpy() for each in (model.means, model.current_deviations()))
    found: dict[int, list[Near]] = {}
    for item, each in zip(items, told, strict=True):
        rows = films.rows(item).astype(np.float64)
        for state in np.unique(each.states[each.states >= 0]).tolist():
            own = np.flatnonzero(each.states == state)
            apart = np.sqrt((((rows[own] - means[where[state]]) / scale) ** 2).mean(axis=1))
            best = int(apart.argmin())  # one of each video: neighbours look alike
            near = round(float(apart[best]), DIGITS)
            row = Near(state=state, video=item.video, time=round(float(item.times[own[best]]), DIGITS), distance=near)
            found.setdefault(state, []).append(row)
    ranked = {state: sorted(own, key=lambda row: (row.distance, row.video))[:NEAREST] for state, own in found.items()}
    return [row for state in sorted(ranked) for row in ranked[state]]


def _write_texts(
    folder: Path, items: Sequence[Item], told: Sequence[Told], labels: Sequence[dict[int, int]], trained: Trained
) -> None:
    for item, each, own in zip(items, told, labels, strict=True):
        offset = len(trained.vocabulary.names)  # numbers of states that stand for no label
        states = np.array([own.get(state, offset + state) for state in each.states.tolist()])
        sure = [part[3] for part in each.segments]
        texts.write(folder, item, states, float(np.mean(sure)), trained.vocabulary)

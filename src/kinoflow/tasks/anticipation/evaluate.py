"""The stage that tests students, one or several together, on actions: a row for each action, and measures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.datasets.actions import Classes, Rows, read_classes, read_rows
from kinoflow.errors import ConfigError, DataError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.metrics.anticipation import best_k, time_to_action, top_k_recalls, top_ks
from kinoflow.metrics.classification import chance, majority
from kinoflow.metrics.scores import softmax
from kinoflow.stage import Folder, In, Out
from kinoflow.store.files import write_json
from kinoflow.store.tables import write
from kinoflow.tasks.anticipation import data
from kinoflow.tasks.anticipation.challenge import write_challenge
from kinoflow.tasks.anticipation.data import Reader, Samples, Sequences
from kinoflow.tasks.anticipation.mistakes import correlated, error_table
from kinoflow.tasks.anticipation.options import AnticipationOptions, AnticipationTestOptions
from kinoflow.tasks.anticipation.outcome import outcome
from kinoflow.tasks.anticipation.records import check_dataset, read_records
from kinoflow.tasks.anticipation.result_store import Scores, added, places, read_scores, same_classes, write_scores
from kinoflow.tasks.anticipation.rollout import Later, later_rows, rolled_out
from kinoflow.tasks.anticipation.scoring import Scorer, Trained, read_checkpoint
from kinoflow.tasks.anticipation.sources import Pictures, Source, View
from kinoflow.training.checkpoint import run_name
from kinoflow.training.devices import device_of

DIGITS = 6  # of probabilities in tables
STUDENT, TEACHER = "student", "teacher"


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A row of the table of predictions: what a student, or the teacher, says comes next."""

    uid: str
    video: str
    by: str  # student or teacher
    label: str
    predicted: str
    probability: float
    second: str
    third: str
    fourth: str
    fifth: str  # "" where there are fewer classes


def anticipation_evaluate(
    models: list[In],
    actions: In,
    classes: In,
    metrics: Out,
    predictions: Out,
    scores: Out,
    options: AnticipationTestOptions,
    features: list[In] | None = None,
    frames: list[In] | None = None,
    root: Folder | None = None,
    teacher: list[In] | None = None,
    base: In | None = None,
    splits: list[str] | None = None,
    challenge: Out | None = None,
    later: Out | None = None,
    device: str = "auto",
    threads: int = 1,
) -> None:
    """Test students on actions; several are fused, each with its weight.

    models: the checkpoints, model.safetensors of runs of anticipation
    actions: the table of actions
    classes: the table of classes
    metrics: the measures to write, JSON
    predictions: the table of predictions to write: a row for each action
    scores: all scores, targets and losses to write, HDF5
    features: the shards of a feature or PCA set, all of the dataset's
    frames: the shards of frames, for networks with a backbone of their own
    root: a folder of feature files, or an LMDB, in place of shards
    teacher: the records of a teacher, to stand beside
    base: the scores of the run without teacher, for the table of errors
    splits: the splits to test on; test if not given
    challenge: a file for a challenge's server to write, .json or .zip
    later: a table to write: of the first student, if it rolls out, the steps that it expects after each window, with the labels
        of these and of the windows test.ratios; without rows for others
    device: cpu, cuda, or auto: CUDA where there is some
    threads: threads of the processor; results do not depend on it
    """
    trained = [read_checkpoint(path) for path in models]
    table = read_classes(classes)
    _check(models, trained, table, options)
    rows = read_rows(actions, table)
    chosen = data.in_splits(rows, splits or ("test",), "splits")
    given = (features, frames, root)
    how = Arithmetic(device_of(device), threads=threads)
    tests = [Tested(each, rows, chosen, given, table, options) for each in trained]
    said = [test.scores(how, f"test {run_name(path)}") for test, path in zip(tests, models, strict=True)]
    found = _together(tests, said, options)
    of = rows.take(places(rows, found.uids))
    dropped = sorted(set(rows.uid[chosen]) - set(found.uids))
    told = _teacher(teacher, table, found.uids)
    write(predictions, prediction_rows(of, found.scores["action"], told, table), Prediction)
    write_scores(scores, found)
    if later:
        write(later, tests[0].later(how, f"roll out {run_name(models[0])}", options.ratios), Later)
    if challenge:
        verbs_nouns = found.marginals(table)
        write_challenge(challenge, options.challenge, found.uids, found.scores["action"], table, dropped, verbs_nouns)
    write_json(
        metrics,
        {
            "samples": len(found.uids),
            "dropped": len(dropped),
            "models": len(models),
            "parameters": sum(p.numel() for each in trained for p in each.network.parameters()),
            **measured(found, of, table),
            "baselines": _baselines(trained[0], of, table),
            **_beside(found, of, told, base, table),
            **_times(tests, said, how, options),
            "correlated": correlated(found.scores["action"], table.names, options.correlated),
        },
    )


# ---------------------------------------------------------------- before anything runs


def _check(
    models: Sequence[Path], trained: Sequence[Trained], table: Classes, options: AnticipationTestOptions
) -> None:
    if not models:
        raise ConfigError("models: give at least one checkpoint")
    if options.coefficients and len(options.coefficients) != len(models):
        raise ConfigError(
            f"coefficients: there are {len(options.coefficients)}, but {len(models)} models; give one for each"
        )
    for path, each in zip(models, trained, strict=True):
        if each.classes.names != table.names:
            raise DataError(
                f"{path}: it was trained on other classes ({each.classes.dataset!r}); test it on the dataset of its training"
            )
        if "action" not in each.network.classes:
            raise ConfigError(f"{path}: this network tells no actions; train one whose targets have action")


class Tested:
    """A student, and the samples that it is tested on."""

    def __init__(
        self,
        trained: Trained,
        rows: Rows,
        chosen: np.ndarray,
        given: tuple[Sequence[Path] | None, Sequence[Path] | None, Path | None],
        table: Classes,
        options: AnticipationTestOptions,
    ):
        self.trained, self.rows, self.chosen, self.table = trained, rows, chosen, table
        self.source = data.source(trained.options, table, rows, *given)
        self.views = _views(self.source, options)
        if trained.network.network.backbone == "identity" and self.source.width != trained.network.features:
            raise DataError(
                f"features: they have {self.source.width} columns, the network was trained on {trained.network.features};"
                " give those of its training"
            )
        self.samples = self.at(None)
        if not len(self.samples):
            raise DataError("no action to test on has a window before it; look at splits and at the window of the run")

    def at(self, gap: float | None) -> Samples:
        """Return the samples, at a gap of their own where one is given."""
        return data.samples(self.rows, self.chosen, self.trained.options, gap)

    def sequences(self, samples: Samples, view: View | None = None) -> Sequences:
        """Return what is seen of samples."""
        options = self.trained.options
        full = options.network.aggregator in ("mean", "transformer")
        return Sequences(samples, Reader(self.source, options, samples.rows, (), full, view))

    def scores(self, how: Arithmetic, what: str, gap: float | None = None) -> dict[str, np.ndarray]:
        """Return the scores {target: (N, C)} of the samples, means over the squares of frames that are seen."""
        samples = self.samples if gap is None else self.at(gap)
        scorer = Scorer(self.trained.network, how)
        every = [scorer.scores(self.sequences(samples, view), what) for view in self.views]
        if len(every) == 1:
            return every[0]
        return {target: np.mean([each[target] for each in every], axis=0, dtype=np.float32) for target in every[0]}

    def later(self, how: Arithmetic, what: str, ratios: Sequence[float]) -> Iterator[Later]:
        """Give the rows of the steps after each sample's window, if the student rolls out."""
        if self.trained.network.ahead > 1:
            views = [self.sequences(self.samples, view) for view in self.views]
            found = rolled_out(Scorer(self.trained.network, how), views, what)
            yield from later_rows(self.samples, self.trained.options, self.rows, self.table, ratios, found)


def _views(source: Source, options: AnticipationTestOptions) -> list[View | None]:
    """Return the squares of frames that are seen; ConfigError for several where no frames are read."""
    if options.crops == 1 and not options.mirrored:
        return [None]
    if not isinstance(source, Pictures):
        raise ConfigError("crops, mirrored: this student reads features, no frames; leave them out")
    ends = (0.0, 0.5, 1.0) if options.crops == 3 else (0.5,)
    flips = (False, True) if options.mirrored else (False,)
    return [View(source.view.short, (end, 0.5), flip) for end in ends for flip in flips]


# ---------------------------------------------------------------- scores


def _together(
    tests: Sequence[Tested], said: Sequence[dict[str, np.ndarray]], options: AnticipationTestOptions
) -> Scores:
    """Return the scores of a student, or those of all students added."""
    every = [_scores(test, own) for test, own in zip(tests, said, strict=True)]
    if len(every) == 1 and not options.coefficients and options.norm is None:
        return every[0]
    weights = options.coefficients or [1.0] * len(every)
    return added(every, tests[0].rows, tests[0].table, weights, options.norm)


def _scores(test: Tested, said: dict[str, np.ndarray]) -> Scores:
    """Return what a student has said of its samples."""
    of, table = test.samples, test.table
    scores = {target: values for target, values in said.items() if target != "seconds"}
    return Scores(list(of.rows.uid), table.names, scores, of.rows.action, of.start, of.end, table.dataset)


def _teacher(paths: Sequence[Path] | None, table: Classes, uids: Sequence[str]) -> np.ndarray | None:
    """Return the mean scores of teachers, (N, C); rows of NaN where a record is missing."""
    if not paths:
        return None
    found = []
    for path in paths:
        records = read_records(path)
        check_dataset(records, table, path)
        at = records.find(list(uids))
        if len(records.uids):
            scores = np.asarray(records.logits, np.float64)[np.maximum(at, 0)]
        else:
            scores = np.zeros((len(uids), len(table.names)))
        found.append(np.where((at >= 0)[:, None], scores, np.nan))
    return np.mean(found, axis=0)


# ---------------------------------------------------------------- measures


def measured(found: Scores, of: Rows, table: Classes) -> dict[str, Any]:
    """Return the measures of scores, JSON values, and the share of each action's rows told right under ``recall``."""
    recall = top_k_recalls(found.scores["action"], found.targets, 1)
    return {
        **outcome(found.scores, of, table),
        "loss": float(found.losses.mean()),
        "recall": {table.names[number]: share for number, share in recall.items()},
    }


def _baselines(trained: Trained, of: Rows, table: Classes) -> dict[str, Any]:
    """Return what needs no network: the actions most frequent in training, and guessing."""
    classes = len(table.names)
    few = min(5, classes)
    known = np.repeat(np.arange(classes), trained.counts)
    common = {
        "top1": majority(known, of.action) if len(known) else None,
        "top5": majority(known, of.action, few) if len(known) else None,
    }
    return {"majority": common, "chance": {"top1": chance(classes), "top5": chance(classes, few)}}


def _beside(found: Scores, of: Rows, told: np.ndarray | None, base: Path | None, table: Classes) -> dict[str, Any]:
    """Return the teacher's measures on the same actions, and who errs where."""
    more: dict[str, Any] = {}
    student = found.scores["action"].astype(np.float64)
    who: dict[str, np.ndarray] = {}
    if told is not None:
        there = ~np.isnan(told).any(1)
        more["teacher"] = {"samples": int(there.sum()), "missing": int((~there).sum())}
        if there.any():
            more["teacher"] |= outcome({"action": told[there]}, of.take(there), table)
        who[TEACHER] = told
    if base is not None:
        who["base"] = same_classes(base, read_scores(base), table.names).of(found.uids).astype(np.float64)
    if who:
        more["errors"] = error_table(found.targets, **who, **{STUDENT: student})
    return more


def _times(
    tests: Sequence[Tested], said: Sequence[dict[str, np.ndarray]], how: Arithmetic, options: AnticipationTestOptions
) -> dict[str, Any]:
    """Return top-1 and top-5 of the first student at several gaps, and the time to action over the actions that have all."""
    if not options.gaps:
        return {}
    gaps, test = sorted(options.gaps, reverse=True), tests[0]
    everywhere = set.intersection(*(set(test.at(gap).rows.uid) for gap in gaps))
    uids = [uid for uid in test.rows.uid if uid in everywhere]
    if not uids:
        raise ConfigError("gaps: no action has a window at all of them; give smaller ones")
    every = [(test.at(gap).rows.uid, test.scores(how, f"gap {gap:g} s", gap)["action"]) for gap in gaps]
    labels = test.rows.action[places(test.rows, uids)]
    columns = []
    for names, scores in every:
        place = {uid: i for i, uid in enumerate(names)}
        columns.append(scores[[place[uid] for uid in uids]])
    few = min(5, columns[0].shape[1])
    shares = [top_ks(scores, labels, (1, few)) for scores in columns]
    return {
        "gaps": {f"{gap:g}": {"top1": share[1], "top5": share[few]} for gap, share in zip(gaps, shares, strict=True)},
        "time_to_action": time_to_action(np.stack(columns, 1), labels, gaps, few),
    }


# ---------------------------------------------------------------- tables


def prediction_rows(of: Rows, student: np.ndarray, teacher: np.ndarray | None, table: Classes) -> Iterator[Prediction]:
    """Give the row of each action by the student, (N, C) scores, and where there is one by the teacher (NaN: nothing said)."""
    every = {STUDENT: student} | ({} if teacher is None else {TEACHER: teacher})
    told = {by: (np.isnan(scores).any(1), np.nan_to_num(scores)) for by, scores in every.items()}
    best = {by: best_k(scores, 5) for by, (_, scores) in told.items()}
    shares = {by: softmax(scores.astype(np.float64)) for by, (_, scores) in told.items()}
    for i in range(len(of)):
        for by, (nothing, _) in told.items():
            if nothing[i]:
                continue
            order = best[by][i]
            names = [*(table.names[k] for k in order), *[""] * (5 - len(order))]
            yield Prediction(
                uid=of.uid[i],
                video=of.video[i],
                by=by,
                label=table.names[of.action[i]],
                predicted=names[0],
                probability=round(float(shares[by][i, order[0]]), DIGITS),
                second=names[1],
                third=names[2],
                fourth=names[3],
                fifth=names[4],
            )


def window_of(options: AnticipationOptions) -> str:
    """Say when a student looks: ``until the action before ends``, ``until 1 s before the action``."""
    if options.window == "previous_end":
        return "until the action before ends"
    gap = options.sampling.gap
    return "during the action" if gap is None else f"until {gap:g} s before the action"

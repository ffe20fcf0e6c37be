"""What tests of the report's sections share: a dataset, and what runs on it have left behind, with made-up scores."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kinoflow.media.options import FramesOptions
from kinoflow.report import section
from kinoflow.report.section import Callout, Figure, Table
from kinoflow.store import shards, tables
from kinoflow.store.files import write_json
from kinoflow.store.tables import Segment, Video
from kinoflow.tasks.recognition import inputs
from kinoflow.tasks.recognition.evaluate import Confused, Prediction, _confusions, _predictions
from kinoflow.tasks.recognition.figures import recognition_section
from kinoflow.tasks.recognition.measures import Outcome, measures
from kinoflow.tasks.recognition.model import Recogniser
from kinoflow.tasks.recognition.options import ClipTestOptions, RecognitionOptions, SectionOptions
from kinoflow.tasks.recognition.scoring import Trained
from kinoflow.training import checkpoint
from kinoflow.training.history import History

VERBS, NOUNS = ("pull", "push", "roll", "slice", "sweep"), ("dough", "pan")
OBJECT = {"pull": "pan", "push": "pan", "roll": "dough", "slice": "dough", "sweep": "dough"}
GROUPS = {"slow": ("push", "pull"), "both": ("roll", "sweep")}
TEST = ClipTestOptions(groups=GROUPS, bits={"away": (("push", "roll"), ("pull", "sweep"))})


def options(heads: tuple[str, ...] = ("verb", "noun"), **more) -> RecognitionOptions:
    values = {
        "heads": {head: {"weight": 1 if head == heads[0] else 0.5} for head in heads},
        "sampling": {"segments": 4},
        "training": {"steps": 40, "batch": 4},
        **more,
    }
    values["network"] = {"backbone": "small"} | values.get("network", {})
    values["input"] = {"size": 16} | values.get("input", {})
    return RecognitionOptions.model_validate(values)


class Study:
    """A dataset of two training videos and a test video with a step of each class, and the results of runs on it."""

    def __init__(self, folder: Path, verbs: tuple[str, ...] = VERBS, test: ClipTestOptions = TEST, head: str = "verb"):
        self.folder, self.verbs, self.test, self.tests = folder, verbs, test, {}
        self.heads = {"verb": verbs, "noun": NOUNS} if head == "verb" else {head: verbs}
        self.rows = {split: list(self._steps(split)) for split in ("train", "test")}
        names = sorted({row.video: row.split for rows in self.rows.values() for row in rows}.items())
        videos = [Video(video=name, path=name, split=split, recording=name, status="readable") for name, split in names]
        tables.write(folder / "videos.csv", videos, Video)
        tables.write(folder / "segments.csv", [row for rows in self.rows.values() for row in rows], Segment)
        self._write_frames([video.video for video in videos])

    def _steps(self, split: str):
        for video in ("t1.mp4", "t2.mp4") if split == "train" else ("x\n.mp4",):
            for k, verb in enumerate(self.verbs):
                noun = OBJECT.get(verb, "pan")
                known = {"verb": verb, "noun": noun, "action": verb, "split": split}
                yield Segment(segment=f"{video}-{k}", video=video, start=float(k), end=k + 1.0, **known)

    def _write_frames(self, videos: list[str]) -> None:
        rng, count = np.random.default_rng(0), 8 * min(len(self.verbs), 10)
        with shards.writing(self.folder / "f.h5", {"store": "raw", "options": "{}"}, frames=True) as writer:
            for video in videos:
                writer.add(video, rng.integers(0, 256, (count, 24, 24, 3), np.uint8), np.arange(count) / 8)

    def clips(self, splits: tuple[str, ...] = ("test",)) -> list[Segment]:
        return [row for split in splits for row in self.rows[split]]

    def train(self, run: str, seed: int, given: RecognitionOptions) -> Path:
        """Write the checkpoint of a network that has learnt nothing."""
        counts = {head: len(classes) for head, classes in self.heads.items()}
        channels = inputs.channels(given.input)
        network = Recogniser(given.network, channels, given.sampling.segments, counts, given.input.kind, seed)
        place = self.folder / "results/s/recognition" / run / f"seed-{seed}"
        place.mkdir(parents=True)
        training = {
            head: tuple(sum(getattr(row, head) == name for row in self.rows["train"]) for name in classes)
            for head, classes in self.heads.items()
        }
        trained = Trained(network, given, self.heads, training, FramesOptions(), True, "kitchen")
        checkpoint.save(place / "model.safetensors", network, trained.about(seed))
        return place

    def run(
        self,
        name: str,
        seeds: int = 1,
        right: float = 0.6,
        splits: tuple[str, ...] = ("test",),
        labels: Callable[[Segment, str], str] = getattr,
        rows: int = 0,
        **more,
    ) -> None:
        """Write the results of a run that tells ``right`` of the clips right (a fifth more with each seed), of the rest the next class."""
        for seed in range(seeds):
            place = self.train(name, seed, options(tuple(self.heads), **more))
            found = {head: self._outcome(head, splits, right + 0.2 * seed, labels) for head in self.heads}
            tables.write(place / "predictions.csv", _predictions(self.clips(splits), found, False), Prediction)
            tables.write(place / "confusion.csv", _confusions(found), Confused)
            write_json(place / "metrics.json", {head: measures(each, self.test) for head, each in found.items()})
            self._history(seed, rows).write_csv(place / "history.csv")
        self.tests[name] = self.test

    def _outcome(self, head: str, splits: tuple[str, ...], right: float, labels: Callable) -> Outcome:
        classes, rows = self.heads[head], self.clips(splits)
        scores = np.zeros((len(rows), len(classes)), np.float32)
        for i, row in enumerate(rows):
            true = classes.index(getattr(row, head))
            scores[i, true if i < round(right * len(rows)) else (true + 1) % len(classes)] = 3 + i / 10
        names = [classes[k] for k in range(len(classes))]
        training = [sum(getattr(row, head) == name for row in self.rows["train"]) for name in names]
        return Outcome(scores, [labels(row, head) for row in rows], classes, training)

    def _history(self, seed: int, rows: int) -> History:
        made = History()
        for k in range(1, rows + 1):
            row = {"step": 5 * k, "epoch": k, "learning_rate": 0.003 / k}
            row |= {f"train/{head}": 2.0 / k + seed / 10 for head in self.heads}
            made.rows.append(row | ({f"validation/{next(iter(self.heads))}_top1": k / rows} if k % 2 else {}))
        return made

    def files(self, name: str) -> list[Path]:
        return sorted((self.folder / "results").rglob(name))

    def section(
        self,
        frames: bool = True,
        tests: bool = True,
        mix: random.Random | None = None,
        fusions: list[Path] = (),
        **more,
    ) -> section.Section:
        names = ("metrics.json", "history.csv", "predictions.csv", "confusion.csv", "model.safetensors")
        files = [self.files(name) for name in names]
        for each in files if mix else ():
            mix.shuffle(each)
        recognition_section(
            *files,
            self.folder / "videos.csv",
            self.folder / "segments.csv",
            self.folder / "section.json",
            SectionOptions(tests=self.tests if tests else {}, **more),
            frames=[self.folder / "f.h5"] if frames else None,
            fusions=list(fusions),
        )
        return section.read(self.folder / "section.json")


def table(found: section.Section, start: str) -> dict[str, tuple]:
    """The rows of the table whose caption begins so, by their first cell."""
    (one,) = [block for block in found.blocks if isinstance(block, Table) and block.caption.startswith(start)]
    return {str(row[0]): row[1:] for row in one.rows}


def figure(found: section.Section, start: str) -> Figure:
    (one,) = [block for block in found.blocks if isinstance(block, Figure) and block.alt.startswith(start)]
    return one


def warnings(found: section.Section) -> list[str]:
    return [block.text for block in found.blocks if isinstance(block, Callout) and block.tone == "warning"]


def kinds(found: section.Section) -> list[str]:
    return [str(getattr(block, "caption", "") or getattr(block, "text", "")) for block in found.blocks]

"""A tiny dataset: actions that follow a rule, features that show them dimly, and a teacher that knows the rule."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open

from kinoflow.datasets.actions import Action, Classes, read_rows, write_actions, write_classes
from kinoflow.store import shards
from kinoflow.tasks.anticipation.options import AnticipationOptions
from kinoflow.tasks.anticipation.planning import network, planned
from kinoflow.tasks.anticipation.records import Records, write_records
from kinoflow.tasks.anticipation.train import StudentTrainee

VERBS, NOUNS, WIDTH, RATE = ("cut", "mix", "put"), ("egg", "pan"), 8, 4.0
NAMES = tuple(f"{verb} {noun}" for verb in VERBS for noun in NOUNS)
CLASSES = Classes(
    dataset="tiny",
    rate=12.0,
    names=NAMES,
    texts=tuple(name.replace(" ", " <v> ") for name in NAMES),
    verb=(0, 0, 1, 1, 2, 2),
    noun=(0, 1, 0, 1, 0, 1),
    verbs=VERBS,
    nouns=NOUNS,
    many_shot={"verb": (0, 1), "noun": (0,), "action": (0, 2)},
)
STEPS = 7  # actions of a video


def next_action(past: list[int], rng: np.random.Generator) -> int:
    """The rule: the sum of the last two, now and then one more."""
    return (sum(past[-2:]) + 1 + int(rng.random() < 0.15)) % len(NAMES)


def teacher_scores(past: list[int]) -> np.ndarray:
    """What the teacher says after some actions: it knows the rule."""
    scores = np.full(len(NAMES), -4.0, np.float32)
    likely = (sum(past[-2:]) + 1) % len(NAMES)
    scores[likely], scores[(likely + 1) % len(NAMES)] = np.log(0.85), np.log(0.15)
    return scores


@dataclass(frozen=True)
class World:
    """Where the files lie."""

    folder: Path
    actions: Path
    classes: Path
    features: list[Path]
    teacher: Path

    @property
    def rows(self):
        return read_rows(self.actions, CLASSES)


def make(folder: Path, training: int = 14, test: int = 6) -> World:
    """Write tables, two feature shards and a teacher's records."""
    rng = np.random.default_rng(0)
    prototypes = rng.standard_normal((len(NAMES), WIDTH))
    actions, features, told = [], {}, {}
    for number in range(training + test):
        video, split = f"v{number:02d}.mp4", "train" if number < training else "test"
        past = list(rng.integers(len(NAMES), size=2))
        while len(past) < STEPS:
            past.append(next_action(past, rng))
        time = 0.5
        for k, action in enumerate(past):
            start, time = time, time + float(rng.uniform(1.5, 2.5))
            uid = f"{video}#{k}"
            names = {"action": int(action), "verb": CLASSES.verb[action], "noun": CLASSES.noun[action]}
            actions.append(
                Action(uid=uid, video=video, start=start, end=time, split=split, recording=f"p{number % 4}", **names)
            )
            told[uid] = teacher_scores(past[:k]) if k else np.zeros(len(NAMES), np.float32)
            time += 0.5
        times = np.arange(0.125, time, 1 / RATE)
        own = [a for a in actions if a.video == video]
        x = rng.standard_normal((len(times), WIDTH)) * 0.8
        for a in own:
            x[(times >= a.start) & (times < a.end)] += prototypes[a.action]
        features[video] = x.astype(np.float32), times
    folder.mkdir(parents=True, exist_ok=True)
    write_actions(folder / "actions.csv", actions)
    write_classes(folder / "classes.json", CLASSES)
    paths = [folder / "features-0.h5", folder / "features-1.h5"]
    for k, path in enumerate(paths):
        with shards.writing(path, {}, frames=False, width=WIDTH, dtype="float32") as writer:
            for video in sorted(features)[k::2]:
                writer.add(video, *features[video])
    write_records(folder / "teacher.h5", records(told))
    return World(folder, folder / "actions.csv", folder / "classes.json", paths, folder / "teacher.h5")


def records(told: dict[str, np.ndarray], names: tuple[str, ...] = NAMES, width: int = WIDTH) -> Records:
    """Records that say ``told`` {uid: scores}."""
    uids = sorted(told)
    logits = np.array([told[uid] for uid in uids], np.float32).reshape(len(uids), len(names))
    nothing = np.zeros((len(uids), 0), np.int32)
    return Records(
        uids=uids,
        classes=names,
        logits=logits,
        features=np.random.default_rng(1).standard_normal((len(uids), width)).astype(np.float32),
        history=nothing,
        lengths=np.zeros(len(uids), np.int32),
        targets=np.full(len(uids), -1, np.int32),
        dataset="tiny",
        policy="order",
        about={},
    )


def options(steps: int = 40, **more) -> AnticipationOptions:
    """A small student; ``more`` changes single values, those of mappings one by one."""
    values = {
        "sampling": {"steps": 8, "step_seconds": 1.0},
        "network": {"width": 16, "heads": 2, "layers": 1, "positions": 16, "dropout": 0.1},
        "losses": {"cls_action": 1.0, "past_cls_action": 0.5, "distill": 1.5},
        "training": {"steps": steps, "batch": 16, "learning_rate": 5e-3},
        "noise": 0.1,
    }
    for key, value in more.items():
        whole = isinstance(value, dict) and key != "losses"
        values[key] = values.get(key, {}) | value if whole else value
    return AnticipationOptions.model_validate(values)


def plan_of(world: World, wanted: AnticipationOptions, teacher=None, seed=0):
    """Return the plan of a training on the tiny dataset."""
    given = (world.features, None, None)
    return planned(wanted, world.actions, world.classes, given, [teacher or world.teacher], seed)


def trainee(world: World, wanted: AnticipationOptions, teacher=None) -> StudentTrainee:
    """Return what a training would train."""
    plan = plan_of(world, wanted, teacher)
    return StudentTrainee(network(plan, 0), plan, None)


def about(path: Path) -> dict:
    """Return what a checkpoint says of itself."""
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["kinoflow"])

"""A small world of actions with a rule: each action is followed by the next one, most of the time."""

import json
from pathlib import Path

import numpy as np

from kinoflow.datasets.actions import Action, Classes, write_actions, write_classes

VERBS, NOUNS = ("open", "take", "put"), ("jar", "pan")
NAMES = tuple(f"{verb} {noun}" for verb in VERBS for noun in NOUNS)
CLASSES = Classes(
    "toy",
    30.0,
    NAMES,
    tuple(f"{verb} <v> {noun}" for verb in VERBS for noun in NOUNS),
    tuple(i // 2 for i in range(6)),
    tuple(i % 2 for i in range(6)),
    VERBS,
    NOUNS,
    {"verb": (0, 1), "noun": (0,), "action": (0, 2)},
)


def sequence(rng: np.random.Generator, length: int = 8) -> list[int]:
    numbers = [int(rng.integers(6))]
    while len(numbers) < length:
        numbers.append((numbers[-1] + 1) % 6 if rng.random() < 0.9 else int(rng.integers(6)))
    return numbers


def write(folder: Path, videos: int = 40, seed: int = 0) -> tuple[Path, Path]:
    """Write actions.csv and classes.json; a quarter of the videos is the test."""
    rng, rows = np.random.default_rng(seed), []
    for video in range(videos):
        for i, number in enumerate(sequence(rng)):
            rows.append(
                Action(
                    uid=f"v{video:02d}#{i}",
                    video=f"v{video:02d}",
                    start=2.0 * i,
                    end=2.0 * i + 1.5,
                    action=number,
                    verb=CLASSES.verb[number],
                    noun=CLASSES.noun[number],
                    split="test" if video % 4 == 0 else "train",
                    recording=f"k{video % 3}",
                )
            )
    write_actions(folder / "actions.csv", rows)
    write_classes(folder / "classes.json", CLASSES)
    return folder / "actions.csv", folder / "classes.json"


def write_corpus(path: Path, lines: int = 40, seed: int = 1) -> Path:
    """Write sequences by the same rule; one of them has an action that is no class."""
    rng = np.random.default_rng(seed)
    texts = [" <a> ".join(CLASSES.texts[n] for n in sequence(rng)) for _ in range(lines)]
    texts[0] += " <a> juggle <v> pan"
    path.write_text("".join(json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(texts)))
    return path

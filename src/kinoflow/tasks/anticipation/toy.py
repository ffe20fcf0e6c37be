"""A toy dataset on which distillation from text shows within a minute: no videos, no pictures.

A random sparse grammar: the next action is drawn by the last one or by the last two, half of the time each. Text are many
sequences; videos are few, and their features show each action dimly: its prototype and noise. The teacher counts actions in
text and training videos (a trigram) and sees the true last two actions; the student sees features.
"""

import numpy as np

from kinoflow.datasets.actions import Action, Classes, write_actions, write_classes
from kinoflow.stage import Out
from kinoflow.store.shards import writing
from kinoflow.tasks.anticipation.ngram import Ngram
from kinoflow.tasks.anticipation.options import AnticipationToyOptions
from kinoflow.tasks.anticipation.records import Records, write_records

SPLITS = ("train", "test")
MIXED = 0.5  # share of the draws that look back by one action only


def anticipation_toy(
    actions: Out, classes: Out, shard: Out, records: Out, options: AnticipationToyOptions, seed: int = 0
) -> None:
    """Write the toy dataset: tables, features and a teacher's records of the last action of every video.

    actions: the table of actions to write
    classes: the table of classes to write
    shard: the feature shard to write: a row for each action
    records: the teacher's records to write
    seed: of all that is drawn
    """
    rng = np.random.default_rng(seed)
    grammar = Grammar(options, rng)
    text = [grammar.sequence(options.length, rng) for _ in range(options.text)]
    videos = {
        f"{split}{number:05d}": grammar.sequence(options.observed + 1, rng)
        for split, count in zip(SPLITS, (options.train, options.test), strict=True)
        for number in range(count)
    }
    prototypes = rng.standard_normal((options.classes, options.width))
    names = tuple(f"action{number:04d}" for number in range(options.classes))
    table = Classes(dataset="toy", rate=1.0, names=names, texts=names)
    write_classes(classes, table)
    write_actions(actions, (row for video, sequence in videos.items() for row in _rows(video, sequence)))
    with writing(shard, {}, frames=False, width=options.width, dtype="float32") as writer:
        for video, sequence in videos.items():
            noise = options.noise * rng.standard_normal((len(sequence), options.width))
            writer.add(video, (prototypes[sequence] + noise).astype(np.float32), np.arange(len(sequence)) + 0.5)
    teacher = Ngram(options.classes).add_sequences(text)
    teacher.add_sequences(sequence for video, sequence in videos.items() if video.startswith(SPLITS[0]))
    write_records(records, _told(teacher, videos, table))


class Grammar:
    """What follows an action, and what follows two."""

    def __init__(self, options: AnticipationToyOptions, rng: np.random.Generator):
        count, shape = options.classes, np.full(options.classes, options.sparsity)
        self.first = _edges(rng.dirichlet(shape, count))
        # One row for each pair would fill the memory where there are many classes: rows are drawn when they are met.
        self.second: dict[tuple[int, int], np.ndarray] = {}
        self.shape, self.seed = shape, int(rng.integers(2**63))

    def sequence(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """Return a sequence of actions, (length,) int64; the first two are drawn evenly."""
        found = rng.integers(len(self.shape), size=2).tolist()
        while len(found) < length:
            edges = self.first[found[-1]] if rng.random() < MIXED else self._second(found[-2], found[-1])
            found.append(int(np.searchsorted(edges, rng.random() * edges[-1], "right").clip(max=len(edges) - 1)))
        return np.array(found[:length], np.int64)

    def _second(self, before: int, last: int) -> np.ndarray:
        if (before, last) not in self.second:
            own = np.random.default_rng((self.seed, before, last))
            self.second[before, last] = _edges(own.dirichlet(self.shape))
        return self.second[before, last]


def _edges(shares: np.ndarray) -> np.ndarray:
    return np.cumsum(shares, axis=-1)


def _rows(video: str, sequence: np.ndarray) -> list[Action]:
    split = SPLITS[0] if video.startswith(SPLITS[0]) else SPLITS[1]
    return [
        Action(
            uid=f"{video}-{k}",
            video=video,
            start=float(k),
            end=k + 1.0,
            action=int(action),
            split=split,
            recording=video,
        )
        for k, action in enumerate(sequence)
    ]


def _told(teacher: Ngram, videos: dict[str, np.ndarray], table: Classes) -> Records:
    """Return the teacher's records of the last action of every video."""
    history = np.stack([sequence[:-1] for sequence in videos.values()])
    return Records(
        uids=[f"{video}-{len(sequence) - 1}" for video, sequence in videos.items()],
        classes=table.names,
        logits=teacher.scores(history),
        features=np.zeros((len(videos), 0), np.float32),
        history=history.astype(np.int32),
        lengths=np.full(len(videos), history.shape[1], np.int32),
        targets=np.array([sequence[-1] for sequence in videos.values()], np.int32),
        dataset=table.dataset,
        policy="order",
        about={"teacher": "trigram"},
    )

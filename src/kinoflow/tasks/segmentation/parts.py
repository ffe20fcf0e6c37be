"""Which videos of a dataset are trained on, validated on and tested on."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kinoflow.errors import ConfigError
from kinoflow.tasks.segmentation.data import NAMED, Films, Item, tell_lost
from kinoflow.tasks.segmentation.options import SegmentationOptions

HELD_OUT_SEED = 1234  # of the shuffle that decides which training videos are validated on, as in CrossTask


@dataclass(frozen=True)
class Parts:
    """The videos of a run."""

    train: list[Item]
    validation: list[Item]
    test: list[Item]
    followed: list[Item] = field(default_factory=list)  # whose likelihood is written down while it is trained

    @property
    def scored(self) -> list[Item]:
        """The videos of the test that somebody has labelled: others are never scored."""
        return [item for item in self.test if item.annotated]


def parted(films: Films, options: SegmentationOptions, test_on: Sequence[str] | None = None) -> Parts:
    """Return the videos that are trained on, validated on and tested on; no video is in two of these.

    Those that are followed may be tested, too; they are never trained or validated on.

    test_on: splits in place of the options'. Raises ConfigError if nothing is left to train on.
    """
    pool = films.chosen(options.train_on, "train_on")
    if options.cross_validation:
        pool, test = cross_validation(pool, options.cross_validation.seed, options.cross_validation.videos)
        if not test:
            raise ConfigError("cross_validation: no task has more videos than are trained on; lower videos")
    else:
        names = test_on or options.test_on
        test = films.chosen(names, "test_on") if any(name in films.splits for name in names) else []
    tested = {item.video for item in test}
    pool = [item for item in pool if item.video not in tested]
    if options.labelled:
        free = options.learn == "unsupervised" and options.constraints.ordering != "video"
        known = [item for item in pool if item.annotated or (free and item.task in films.vocabulary.tasks)]
        tell_lost([item.video for item in pool if item not in known], "have no labels and are not trained on")
        pool = known
    train, validation = _validation(films, pool, options)
    if options.limit:
        train = [item for own in by_task(train).values() for item in own[: options.limit]]
    train += (
        [item for item in films.chosen(options.related, "related") if item.video not in tested]
        if options.related
        else []
    )
    if not train:
        raise ConfigError("train_on: no video is left to train on; look at hold_out, hold_out_share and at the labels")
    return Parts(train, validation, test, _followed(films, options, [*train, *validation]))


def _followed(films: Films, options: SegmentationOptions, used: Iterable[Item]) -> list[Item]:
    seen = {item.video for item in used}
    chosen = films.chosen(options.follow_on, "follow_on") if options.follow_on else []
    return [item for item in chosen if item.video not in seen]


def by_task(items: Iterable[Item]) -> dict[str, list[Item]]:
    """Return videos by task, tasks sorted as texts."""
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.task, []).append(item)
    return {task: found[task] for task in sorted(found)}


def _validation(films: Films, pool: list[Item], options: SegmentationOptions) -> tuple[list[Item], list[Item]]:
    """Part the pool into what is trained on and what is validated on."""
    if options.validate_on:
        chosen = films.chosen(options.validate_on, "validate_on")
        names = {item.video for item in chosen}
        return [item for item in pool if item.video not in names], chosen
    if options.hold_out:
        seen = {item.recording or item.video for item in pool}
        lost = sorted(set(options.hold_out) - seen)
        if lost:
            some = ", ".join(map(repr, sorted(seen)[:NAMED]))
            raise ConfigError(f"hold_out: no training video is of the recording {lost[0]!r}; give some of {some}, ...")
        parts: tuple[list[Item], list[Item]] = ([], [])
        for item in pool:
            parts[(item.recording or item.video) in options.hold_out].append(item)
        return parts
    held = {
        item.video for own in by_task(pool).values() for item in shuffled(own)[: int(options.hold_out_share * len(own))]
    }
    return [item for item in pool if item.video not in held], [item for item in pool if item.video in held]


def shuffled(items: Sequence[Item], seed: int = HELD_OUT_SEED) -> list[Item]:
    """Return the videos of one task in an order that their own order and the seed decide."""
    mixed = list(items)
    random.Random(seed).shuffle(mixed)
    return mixed


def cross_validation(pool: Sequence[Item], seed: int, videos: int) -> tuple[list[Item], list[Item]]:
    """Part the pool: of each task's videos, sorted by name and shuffled, the first are trained on and the others tested on."""
    train, test = [], []
    for own in by_task(pool).values():
        mixed = shuffled(sorted(own, key=lambda item: item.video), seed)
        train += mixed[:videos]
        test += mixed[videos:]
    return train, test


def label_counts(items: Iterable[Item]) -> dict[str, dict[int, int]]:
    """Return how many rows of each task have each label."""
    found: dict[str, Counter[int]] = {}
    for item in items:
        if item.annotated:
            found.setdefault(item.task, Counter()).update(item.labels[:, 0].tolist())
    return {task: dict(sorted(counts.items())) for task, counts in found.items()}

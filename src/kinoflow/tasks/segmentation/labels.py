"""From labelled segments to a label for each row: the classes there are, which of them a task has, in which order they come.

A task is a recipe with named steps in an order. Labels are numbers of classes; rows of features stand for stretches of time.
Zhukov et al. 2019 (arXiv 1903.08225), Fried et al. 2020 (arXiv 2005.03684).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kinoflow.errors import ConfigError
from kinoflow.metrics.segmentation import segments
from kinoflow.tasks.segmentation.options import LabelsOptions

BACKGROUND, FIRST = "BKG", "BKG_FIRST"
SLACK = 1e-9  # seconds that binary fractions may be wrong by

Stretch = tuple[float, float, str]  # start and end in seconds, name of a step


@dataclass(frozen=True)
class Vocabulary:
    """The classes, and what the tasks are made of.

    tasks: the steps of each task in their order, tasks in theirs. task_specific, background: as the options of labels say.
    """

    tasks: Mapping[str, tuple[str, ...]]
    task_specific: bool = False
    background: str = "one"

    @classmethod
    def of(cls, tasks: Mapping[str, Sequence[str]], options: LabelsOptions) -> "Vocabulary":
        """Return the classes of tasks {name: steps}."""
        return cls({task: tuple(steps) for task, steps in tasks.items()}, options.task_specific, options.background)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all classes: backgrounds first, sorted; then the steps, task by task; each once."""
        behind = {name for task in self.tasks for name in self._background_names(task)}
        steps = (self._name(task, step) for task, own in self.tasks.items() for step in own)
        return tuple(dict.fromkeys([*sorted(behind), *steps]))

    @cached_property
    def index(self) -> dict[str, int]:
        """{name: number} of the classes."""
        return {name: number for number, name in enumerate(self.names)}

    @cached_property
    def backgrounds(self) -> tuple[int, ...]:
        """The classes that are background."""
        found = {self.index[name] for task in self.tasks for name in self._background_names(task)}
        return tuple(sorted(found))

    def _name(self, task: str, name: str) -> str:
        return f"{task} {name}" if self.task_specific else name

    def _background_names(self, task: str) -> list[str]:
        """Return the background classes of a task: before any step, then after each."""
        if self.background == "previous":
            return [self._name(task, FIRST), *(self._name(task, f"{BACKGROUND}_{step}") for step in self.tasks[task])]
        return [self._name(task, BACKGROUND)]

    def backgrounds_of(self, task: str) -> tuple[int, ...]:
        """Return the background classes of a task; with background: previous before any step, then after each of them."""
        return tuple(self.index[name] for name in self._background_names(task))

    def steps_of(self, task: str) -> tuple[int, ...]:
        """Return the classes of a task's steps, in their order."""
        return tuple(self.index[self._name(task, step)] for step in self.tasks[task])

    def classes_of(self, task: str) -> tuple[int, ...]:
        """Return the classes that a video of the task may have, in increasing order."""
        behind = () if self.background == "removed" else self.backgrounds_of(task)
        return tuple(sorted({*behind, *self.steps_of(task)}))

    def chain_of(self, task: str) -> tuple[int, ...]:
        """Return the classes in the order in which a video of the task goes through them (background: previous or removed)."""
        steps = self.steps_of(task)
        if self.background != "previous":
            return steps
        first, *behind = self.backgrounds_of(task)
        return (first, *(label for pair in zip(steps, behind, strict=True) for label in pair))

    def tied(self) -> tuple[int, ...] | None:
        """Return for each class the one whose look and duration it shares: the first background of its task; None if all differ."""
        if self.background != "previous":
            return None
        found = list(range(len(self.names)))
        for task in self.tasks:
            first, *others = self.backgrounds_of(task)
            for label in others:
                found[label] = min(found[label], found[first])
        return tuple(found)

    def as_json(self) -> dict:
        """Return JSON values to build it again."""
        tasks = [[task, list(steps)] for task, steps in self.tasks.items()]
        return {"tasks": tasks, "task_specific": self.task_specific, "background": self.background}

    @classmethod
    def from_json(cls, values: dict) -> "Vocabulary":
        """Build it again."""
        tasks = {task: tuple(steps) for task, steps in values["tasks"]}
        return cls(tasks, values["task_specific"], values["background"])


# ---------------------------------------------------------------- from segments to rows


def inside(stretches: Iterable[Stretch], steps: Sequence[str], times: np.ndarray, half: float, rule: str) -> np.ndarray:
    """Return which steps each row belongs to, (T, S) bool.

    stretches: segments; those of other names are left out. times: (T,) seconds of the rows' middles; half: of their length.
    rule: ``middle`` (a row's middle lies in [start, end)) or ``overlap`` (it has some time in common with the segment).
    """
    found = np.zeros((len(times), len(steps)), bool)
    place = {step: number for number, step in enumerate(steps)}
    reach = half if rule == "overlap" else 0.0
    for start, end, name in stretches:
        if name in place:
            begun = times + reach > start + SLACK if reach else times >= start - SLACK
            found[:, place[name]] |= begun & (times - reach < end - SLACK)
    return found


def row_labels(hits: np.ndarray, vocabulary: Vocabulary, task: str) -> np.ndarray:
    """Return the labels of each row, steps in their order, (T, M) int64 padded with -1; a row without a step is background.

    hits: (T, S) bool, what `inside` returns for the task's steps.
    """
    steps = np.array(vocabulary.steps_of(task), np.int64)
    count = hits.sum(axis=1)
    labels = np.full((len(hits), max(1, int(count.max(initial=0)))), -1, np.int64)
    rows, columns = np.nonzero(hits)
    labels[rows, (np.cumsum(hits, axis=1) - 1)[rows, columns]] = steps[columns]
    still = count == 0
    if vocabulary.background == "previous":
        last = np.where(still, -1, hits.shape[1] - 1 - hits[:, ::-1].argmax(axis=1) if hits.shape[1] else -1)
        seen = np.maximum.accumulate(np.where(still, -1, np.arange(len(hits))))  # the last row with a step
        last = np.where(seen >= 0, last[seen], -1)
        labels[still, 0] = np.array(vocabulary.backgrounds_of(task))[last[still] + 1]
    else:
        labels[still, 0] = vocabulary.backgrounds_of(task)[0]
    return labels


def own_chain(labels: np.ndarray) -> np.ndarray:
    """Return a video's own list of classes, (S,): an element for each run of its rows' first labels (T, M)."""
    return segments(labels[:, 0])[0]


def canonical(vocabulary: Vocabulary, task: str, rows: int, background: float) -> np.ndarray:
    """Return the labels (rows,) of a video that goes through its task's steps in order, all as long.

    background: share of rows before, between and after the steps. Without it the last step fills the rest.
    """
    steps = vocabulary.steps_of(task)
    if not steps:
        raise ConfigError(f"the task {task!r} has no steps to lay out in order")
    length = max(rows - int(rows * background), len(steps)) // len(steps)
    gap = max(0, rows - len(steps) * length) // (len(steps) + 1)
    still = vocabulary.backgrounds_of(task)[0]
    gap = gap if background else 0
    told = [label for step in steps for label in [still] * gap + [step] * length]
    told += [still if background else steps[-1]] * max(0, rows - len(told))
    return np.array(told[:rows], np.int64)

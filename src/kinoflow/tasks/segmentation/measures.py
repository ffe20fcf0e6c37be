"""From what is told of videos to nested numbers: each task by itself, averaged and pooled."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kinoflow.metrics import segmentation as metrics
from kinoflow.metrics.segmentation import Statistics
from kinoflow.tasks.segmentation.data import Item
from kinoflow.tasks.segmentation.labels import Vocabulary

ALL = "all"  # the one task where tasks are not told apart


def one_background(labels: np.ndarray, vocabulary: Vocabulary, task: str) -> np.ndarray:
    """Return labels with all background classes of a task as its first one: which step came last is not scored."""
    first, *others = vocabulary.backgrounds_of(task)
    return np.where(np.isin(labels, others), first, labels)


def assignment(
    items: Sequence[Item], told: Sequence[np.ndarray], vocabulary: Vocabulary, how: str, names: Sequence[np.ndarray]
) -> dict[int, int]:
    """Return which predicted label stands for which true one; ``names``: the true labels, one background each."""
    if how == "hungarian":
        return metrics.hungarian(np.concatenate([each[:, 0] for each in names]), np.concatenate(told))
    tasks = {item.task for item in items}
    possible = {label for task in tasks for label in (*vocabulary.classes_of(task), *vocabulary.backgrounds_of(task))}
    return metrics.identity(sorted(possible))


def grouped(items: Sequence[Item], by_task: bool) -> dict[str, list[int]]:
    """Return the numbers of videos that are scored together."""
    found: dict[str, list[int]] = {}
    for number, item in enumerate(items):
        found.setdefault(item.task if by_task else ALL, []).append(number)
    return {task: found[task] for task in sorted(found)}


def prepared(
    items: Sequence[Item], told: Sequence[np.ndarray], vocabulary: Vocabulary, how: str
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return true and predicted labels with one background for each task, where predictions are labels (``how``: identity)."""
    truth = [one_background(item.labels, vocabulary, item.task) for item in items]
    if how == "identity":
        told = [one_background(each, vocabulary, item.task) for each, item in zip(told, items, strict=True)]
    return truth, list(told)


def statistics_by_task(
    items: Sequence[Item], told: Sequence[np.ndarray], vocabulary: Vocabulary, how: str, by_task: bool
) -> dict[str, Statistics]:
    """Return the scores of each task. told: (T,) labels or states of each video; how: identity or hungarian."""
    truth, said = prepared(items, told, vocabulary, how)
    found = {}
    for task, numbers in grouped(items, by_task).items():
        own, names, words = ([part[n] for n in numbers] for part in (items, truth, said))
        image = assignment(own, words, vocabulary, how, names)
        found[task] = metrics.statistics(names, words, vocabulary.backgrounds, image)
    return found


def measures(tasks: dict[str, Statistics]) -> dict[str, Any]:
    """Return numbers: averaged over tasks, pooled, how many tasks an average leaves out, and each task if there are several."""
    means, left = metrics.averaged(tasks.values())
    found: dict[str, Any] = {"averaged": means, "pooled": metrics.pooled(tasks.values()), "left_out": left}
    if len(tasks) > 1:
        found["tasks"] = {task: metrics.pooled([own]) for task, own in tasks.items()}
    return found


def images(
    items: Sequence[Item], told: Sequence[np.ndarray], vocabulary: Vocabulary, how: str, by_task: bool
) -> list[dict[int, int]]:
    """Return for each video which label each state stands for, {state: label}; states that stand for none are not in it."""
    truth, said = prepared(items, told, vocabulary, how)
    found: dict[int, dict[int, int]] = {}
    for numbers in grouped(items, by_task).values():
        own, names, words = ([part[n] for n in numbers] for part in (items, truth, said))
        image = assignment(own, words, vocabulary, how, names)
        occurring = (
            {int(label) for each in names for label in np.unique(each[:, 0])} if how == "hungarian" else set(image)
        )
        names_of = {state: label for label, state in image.items() if label in occurring}
        found |= dict.fromkeys(numbers, names_of)
    return [found[n] for n in range(len(items))]

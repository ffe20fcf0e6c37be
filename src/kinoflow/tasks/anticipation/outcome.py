"""What is told of anticipated actions: JSON values, shares from 0 to 1. N rows, C actions."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from kinoflow.datasets.actions import Classes, Rows
from kinoflow.metrics import anticipation as metrics

FEW = 5  # classes of the wider share


def outcome(scores: Mapping[str, np.ndarray], rows: Rows, classes: Classes) -> dict[str, Any]:
    """Return the measures of scores of the actions (N, C), and of verbs and nouns by heads of their own where given.

    ``verb`` and ``noun`` have three readings: ``own`` (the head of its own), ``marginal`` (sums of the actions'
    probabilities) and ``decomposed`` (verbs of the best actions). Where tests were added ``own_verb`` and ``marginal_verb`` are
    among the scores, sums of the tests' own probabilities, and stand for the first two. ``subsets``: the same of parts of the validation; a
    tail part is measured by its own kind of label. What has no row is None.
    """
    found = _whole(scores, rows, classes)
    names = sorted({name for text in rows.subsets for name in text.split()})
    parts: dict[str, Any] = {}
    for name in names:
        inside = np.array([name in text.split() for text in rows.subsets], bool)
        part = _whole({head: each[inside] for head, each in scores.items()}, rows.take(inside), classes)
        kind, _, head = name.partition("_")
        if head:
            parts.setdefault(kind, {})[head] = part[head]
            parts[kind].setdefault("rows", {})[head] = part["rows"]
        else:
            parts[kind] = part
    return found | {"subsets": parts}


def _whole(scores: Mapping[str, np.ndarray], rows: Rows, classes: Classes) -> dict[str, Any]:
    found: dict[str, Any] = {"rows": len(rows), "action": _actions(scores["action"], rows, classes)}
    for head in ("verb", "noun") if classes.verb else ():
        found[head] = _labels(head, scores, rows, classes)
    return found


def _actions(scores: np.ndarray, rows: Rows, classes: Classes) -> dict[str, Any]:
    labels, count = rows.action, len(classes.names)
    ks = [k for k in range(1, FEW + 1) if k <= count]
    found: dict[str, Any] = {f"top{k}": share for k, share in metrics.top_ks(scores, labels, ks).items()}
    found |= {
        "class_mean": metrics.class_mean_top1(scores, labels),
        "class_mean_all": metrics.class_mean_top1(scores, labels, "all"),
        "recall5": metrics.mean_top_k_recall(scores, labels, FEW),
        "classes_present": len(np.unique(labels)),
    }
    if classes.many_shot:
        either = metrics.many_shot_or(classes.verb, classes.noun, classes.many_shot["verb"], classes.many_shot["noun"])
        official = classes.many_shot["action"]
        found |= {
            "recall5_ms_or": metrics.mean_top_k_recall(scores, labels, FEW, either.tolist()),
            "recall5_ms_official": metrics.mean_top_k_recall(scores, labels, FEW, official),
            "ms_top1": metrics.many_shot_accuracy(scores, labels, official, 1),
            "ms_top5": metrics.many_shot_accuracy(scores, labels, official, FEW),
        }
    return {name: _number(value) for name, value in found.items()}


def _labels(head: str, scores: Mapping[str, np.ndarray], rows: Rows, classes: Classes) -> dict[str, Any]:
    labels, ids = rows.labels(head), np.array(getattr(classes, head))
    count = classes.heads[head]
    marginal = scores.get(f"marginal_{head}")
    if marginal is None:
        marginal = metrics.marginalise(scores["action"], ids, count)
    found = {
        "marginal": _few(marginal, labels, classes.many_shot.get(head)),
        "decomposed": {f"top{k}": metrics.decomposed_top_k(scores["action"], rows.action, ids, k) for k in (1, FEW)},
    }
    own = scores.get(head, scores.get(f"own_{head}"))
    return found | ({} if own is None else {"own": _few(own, labels, classes.many_shot.get(head))})


def _few(scores: np.ndarray, labels: np.ndarray, many_shot: tuple[int, ...] | None) -> dict[str, Any]:
    ks = [k for k in (1, FEW) if k <= scores.shape[1]]
    found = {f"top{k}": share for k, share in metrics.top_ks(scores, labels, ks).items()}
    found["recall5"] = metrics.mean_top_k_recall(scores, labels, FEW)
    if many_shot:
        found["recall5_ms"] = metrics.mean_top_k_recall(scores, labels, FEW, many_shot)
    return {name: _number(value) for name, value in found.items()}


def _number(value: float) -> float | int | None:
    return value if isinstance(value, int) or not math.isnan(value) else None

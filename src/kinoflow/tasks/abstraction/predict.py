"""The stage `name`: what clips have in common, by a checkpoint alone."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.errors import ConfigError
from kinoflow.features.remake import remade
from kinoflow.metrics.scores import softmax
from kinoflow.progress import log
from kinoflow.stage import In, Out, State
from kinoflow.store.files import write_json
from kinoflow.tasks.abstraction.checkpoints import Trained, read_checkpoint
from kinoflow.tasks.abstraction.evaluate import OWN
from kinoflow.tasks.abstraction.items import Items, item_features
from kinoflow.tasks.abstraction.model import ClipClassifier
from kinoflow.tasks.abstraction.options import NameOptions
from kinoflow.training.devices import device_of

MOST, FEWEST_FOR_ODD, DIGITS = 6, 3, 6


@dataclass(frozen=True)
class Answer:
    """What is told of a set of clips: the node, the way to it from the root, the best nodes with scores, the odd clip."""

    node: str
    path: list[str]
    best: list[tuple[str, float]]  # empty for a classifier, which scores classes of single clips only
    odd: int | None  # number of the clip; None: fewer than three, or nothing to tell it by
    distances: list[float]  # of each clip from what the set has in common; empty without an odd one


def name(
    clips: list[State],
    checkpoint: In,
    options: NameOptions,
    weights: In | None = None,
    json: Out | None = None,
    device: str = "auto",
) -> None:
    """Say what 1 to 6 clips have in common: the node of the taxonomy, its path, the best nodes, the odd clip.

    clips: video files; their order matters to the model, unless it was trained with network.symmetrise
    checkpoint: the model, model.safetensors of an abstraction run, in its folder
    weights: the weights of the network behind the features, where the checkpoint's folder has no copy of them
    json: the answer to write as JSON
    device: cpu, cuda, or auto: CUDA where there is some
    """
    if not 1 <= len(clips) <= MOST:
        raise ConfigError(f"clips: give 1 to {MOST} clips, not {len(clips)}")
    trained = read_checkpoint(checkpoint)
    trained.network.to(device_of(device))
    stretch = (options.start, np.inf if options.end is None else options.end)
    features = clip_features(clips, trained, checkpoint.parent, weights, stretch, device)
    found = told(trained, features, options.top)
    _say(clips, found)
    if json is not None:
        write_json(json, _as_json(clips, found))


def clip_features(
    clips: Sequence[Path],
    trained: Trained,
    folder: Path,
    weights: Path | None,
    stretch: tuple[float, float],
    device: str,
) -> np.ndarray:
    """Return the features (n, D) float32 of clips, each a stretch of a video, from its start to its end in seconds.

    folder: that of the checkpoint, with copies of weights and components. weights: a file, where there is no copy.
    Raises ConfigError or DataError, in one sentence, for what is missing or a file that cannot be read.
    """
    names = tuple(os.fspath(path) for path in clips)
    items = Items(
        names=names,
        labels=np.full((len(names), 1), -1, np.int32),
        videos=names,
        start=np.full(len(names), stretch[0]),
        end=np.full(len(names), stretch[1]),
        texts=("",) * len(names),
        recordings=names,
    )
    with remade(clips, trained.origin, folder, weights, device) as shard:
        return item_features(items, [shard.path], trained.options.rows)


def told(trained: Trained, features: np.ndarray, top: int) -> Answer:
    """Return what is told of a set of clips by their features (n, D); DataError if the model reads larger sets only."""
    tree, reader = trained.taxonomy, trained.reader()
    if isinstance(trained.network, ClipClassifier):
        label, best = tree.lca(reader.classes(features).argmax(axis=1).tolist()), []
    else:
        shares = softmax(reader.logits(features[None])[0, :, -1])  # (C,) of the whole set
        order = np.argsort(-shares, kind="stable")[:top]
        label, best = int(order[0]), [(tree.names[each], round(float(shares[each]), DIGITS)) for each in order]
    path = [tree.names[each] for each in tree.path(label)[::-1]]
    odd, distances = None, []
    if len(features) >= FEWEST_FOR_ODD:
        found = reader.odd(features[None])
        own = next((found[space] for space in OWN if not isinstance(found[space], str)), None)
        if own is not None:
            odd, distances = int(own[0].argmax()), [round(float(each), DIGITS) for each in own[0]]
    return Answer(tree.names[label], path, best, odd, distances)


def _say(clips: Sequence[Path], found: Answer) -> None:
    log.info("in common: %s (%s)", found.node, " > ".join(found.path))
    for node, share in found.best:
        log.info("  %5.1f %%  %s", 100 * share, node)
    if found.odd is not None:
        log.info(
            "the odd one: %r (distances: %s)", str(clips[found.odd]), ", ".join(f"{d:.3f}" for d in found.distances)
        )


def _as_json(clips: Sequence[Path], found: Answer) -> dict[str, Any]:
    return {
        "clips": [str(each) for each in clips],
        "node": found.node,
        "path": found.path,
        "best": [{"node": node, "share": share} for node, share in found.best],
        "odd": None if found.odd is None else str(clips[found.odd]),
        "distances": found.distances,
    }

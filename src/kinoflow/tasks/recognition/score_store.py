"""What a test has said of every clip, as one HDF5 file: what is added to other tests' scores afterwards.

/about (1,) utf-8 JSON: models, parameters, probabilities, clips {segment, video}, and of each head classes, training, labels
/scores_<head> (N, K) float32
attrs: room "recognition", kind "scores"
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.options import check
from kinoflow.store import hdf5
from kinoflow.store.files import parse_json, replacing
from kinoflow.store.shards import put, roomy
from kinoflow.tasks.recognition.measures import Outcome
from kinoflow.tasks.recognition.options import ClipTestOptions

ROOM, KIND = "recognition", "scores"
PREFIX = "scores_"
MEASURED = {"groups", "bits"}  # options that say what is measured


@dataclass(frozen=True)
class Scores:
    """What a test has said of N clips, and how that is measured."""

    segments: list[str]
    videos: list[str]
    heads: dict[str, Outcome]  # the main one first
    probabilities: bool  # whether the scores are such
    models: int
    parameters: int
    test: ClipTestOptions  # of which groups and bits count


def write_scores(path: Path, found: Scores) -> None:
    """Write the file in one piece; the same scores, the same bytes."""
    size = sum(each.scores.size * 4 for each in found.heads.values()) + 200 * len(found.segments)
    text = json.dumps(_about(found)).encode()  # all other characters than those of ASCII are escaped
    with replacing(path) as new, roomy(new, size) as file:
        hdf5.tell(file, {"kind": KIND, "room": ROOM})
        put(file, "about", np.array([text], np.bytes_))
        for head, outcome in found.heads.items():
            put(file, f"{PREFIX}{head}", np.asarray(outcome.scores, np.float32))


def _about(found: Scores) -> dict[str, Any]:
    heads = {
        head: {"classes": list(each.classes), "training": list(each.training), "labels": list(each.labels)}
        for head, each in found.heads.items()
    }
    return {
        "segments": found.segments,
        "videos": found.videos,
        "heads": heads,
        "probabilities": found.probabilities,
        "models": found.models,
        "parameters": found.parameters,
        "test": found.test.model_dump(mode="json", include=MEASURED),
    }


def read_scores(path: Path) -> Scores:
    """Return what `write_scores` has written; DataError if it is another file."""
    try:
        with h5py.File(path, "r") as file:
            told = hdf5.told(file)
            if (told.get("room"), told.get("kind")) != (ROOM, KIND):
                raise KeyError("room")
            about = parse_json(hdf5.array(file, "about")[0].decode())
            heads = {head: _outcome(hdf5.array(file, f"{PREFIX}{head}"), each) for head, each in about["heads"].items()}
        found = Scores(
            segments=[str(name) for name in about["segments"]],
            videos=[str(name) for name in about["videos"]],
            heads=heads,
            probabilities=bool(about["probabilities"]),
            models=int(about["models"]),
            parameters=int(about["parameters"]),
            test=check(ClipTestOptions, about["test"], str(path)),
        )
        _check(found)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file of scores") from None
    except (OSError, KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError, ConfigError) as error:
        raise DataError(
            f"{path}: these are no scores that recognition-evaluate has written ({error}); test again"
        ) from None
    return found


def _outcome(scores: np.ndarray, about: Mapping[str, Any]) -> Outcome:
    return Outcome(
        scores, [str(x) for x in about["labels"]], tuple(about["classes"]), [int(n) for n in about["training"]]
    )


def _check(found: Scores) -> None:
    """Raise ValueError if parts of a file do not fit each other."""
    clips = len(found.segments)
    if not found.heads or len(found.videos) != clips or len(set(found.segments)) != clips:
        raise ValueError("clips without heads or videos, or told twice")
    for head, each in found.heads.items():
        if each.scores.shape != (clips, len(each.classes)) or len(each.labels) != clips:
            raise ValueError(f"the scores of {head!r} are not those of {clips} clips")
        if len(each.training) != len(each.classes) or not np.isfinite(each.scores).all():
            raise ValueError(f"{head!r} has scores that are no numbers, or counts of other classes")

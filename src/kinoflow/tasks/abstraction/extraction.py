"""Features of clips that are in no dataset, made as those that a model was trained on: by the stages that made these."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.options import FeaturesOptions, PcaOptions
from kinoflow.media.examine import examine
from kinoflow.media.isolate import StoppedError, isolated
from kinoflow.media.options import FramesOptions
from kinoflow.options import check
from kinoflow.store import tables
from kinoflow.store.files import parse_json, sha256_of
from kinoflow.store.tables import PARTLY, READABLE, Probed
from kinoflow.tasks.abstraction.checkpoints import DRAWN, Extractor
from kinoflow.tasks.abstraction.items import Items, item_features
from kinoflow.training import checkpoint

SECONDS, MEGABYTES, PIXELS = 300.0, 2048, 35_389_440  # that looking at one file may take; its largest picture


def clip_features(
    clips: Sequence[Path],
    extractor: Extractor,
    folder: Path,
    weights: Path | None,
    rows: int | None,
    stretch: tuple[float, float],
    device: str,
) -> np.ndarray:
    """Return the features (n, D) float32 of clips, each a stretch of a video, from its start to its end in seconds.

    folder: that of the checkpoint, with copies of weights and components. weights: a file, where there is no copy.
    Raises ConfigError or DataError, in one sentence, for what is missing or a file that cannot be read.
    """
    if not extractor.options or extractor.options.get("from") == "files":
        raise ConfigError(
            "the model was trained on feature files from outside, so clips alone are not enough: make their features in the"
            " same way and use `kinoflow abstraction-evaluate`"
        )
    file = _weights(extractor, folder, weights)
    names = [os.fspath(path) for path in clips]
    for each in names:
        _check_readable(each)
    with tempfile.TemporaryDirectory() as place:
        shard = _shard(sorted(set(names), key=os.fsencode), extractor, folder, file, Path(place), device)
        items = Items(
            names=tuple(names),
            labels=np.full((len(names), 1), -1, np.int32),
            videos=tuple(names),
            start=np.full(len(names), stretch[0]),
            end=np.full(len(names), stretch[1]),
            texts=("",) * len(names),
            recordings=tuple(names),
        )
        return item_features(items, [shard], rows)


def _weights(extractor: Extractor, folder: Path, given: Path | None) -> Path | None:
    """Return the file of the weights, the right one; None if they are drawn."""
    wanted = extractor.attrs.get("weights", DRAWN)
    if wanted == DRAWN:
        return None
    file = given or (folder / extractor.weights if extractor.weights else None)
    if file is None or not file.exists():
        raise ConfigError(
            f"the features were made with weights that are not beside the checkpoint: give by --weights the file whose SHA-256"
            f" is {wanted} (the checkpoint of the run, or the file that `kinoflow features` was given)"
        )
    if sha256_of(file) != wanted:
        raise DataError(
            f"{file}: these are other weights than those that the features were made with (SHA-256 {wanted})"
        )
    return file


def _check_readable(video: str) -> None:
    if not os.path.exists(video):
        raise DataError(f"clips: there is no file {video!r}; correct the name")
    try:
        looked = isolated(examine, video, False, PIXELS, seconds=SECONDS, megabytes=MEGABYTES)
    except StoppedError as error:
        raise DataError(f"{video!r} cannot be read: {error}") from None
    if looked["status"] not in (READABLE, PARTLY):
        raise DataError(f"{video!r} cannot be read ({looked['status']}): {looked['reason']}")


def _shard(
    names: Sequence[str], extractor: Extractor, folder: Path, weights: Path | None, place: Path, device: str
) -> Path:
    """Return a shard with the features of videos, as the stages of the workflow make it."""
    table, frames, features, reduced = (place / name for name in ("probe.csv", "frames.h5", "features.h5", "pca.h5"))
    rows = [Probed(video=each, status=READABLE, kept=True, sha256=sha256_of(each)) for each in names]
    tables.write(table, rows, Probed)
    values = {key: value for key, value in extractor.options.items() if key != "blocks"}
    options = check(FeaturesOptions, values, "the checkpoint")
    given: dict = {"root": Path(), "table": table}
    if options.source == "frames":
        from kinoflow.media import frames as stage

        stage.frames(Path(), table, frames, _frames_options(extractor, weights), code="name")
        given = {"frames": frames}
    if options.backbone == "trained":
        _by_its_room(features, values, weights, given, device)
    else:
        from kinoflow.features import extract

        file = None if weights is None else str(weights)
        extract.features(features, options, **given, weights=file, device=device, code="name")
    return _reduced(features, reduced, extractor, folder) if "pca" in extractor.attrs else features


def _by_its_room(features: Path, options: dict, weights: Path | None, given: dict[str, Path], device: str) -> None:
    """Let the room of a trained network make features: by its command, for rooms know each other by files alone."""
    files = [word for name, path in given.items() for word in (f"--{name}", os.fspath(path))]
    words = ("recognition-features", "--shard", features, "--weights", weights, *files, "--device", device)
    command = [
        sys.executable,
        "-m",
        "kinoflow",
        *map(os.fspath, words),
        "--code",
        "name",
        "--options",
        json.dumps(options),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or ["it ended without a word"]
        raise DataError(f"the features cannot be made: {said[-1]}")


def _frames_options(extractor: Extractor, weights: Path | None) -> FramesOptions:
    if extractor.frames:
        return extractor.frames
    if extractor.options.get("backbone") == "trained" and weights:
        made = checkpoint.read(weights)[1].get("frames")
        if made:
            return check(FramesOptions, made, str(weights))
    raise ConfigError(
        "the checkpoint does not say how the frames behind its features are made: train again with --frames, a shard of them"
    )


def _reduced(features: Path, reduced: Path, extractor: Extractor, folder: Path) -> Path:
    from kinoflow.features.pca import pca_apply

    options = check(PcaOptions, parse_json(extractor.attrs["pca"]), "the checkpoint")
    basis = folder / (extractor.basis or "basis.safetensors")
    if not basis.exists():
        raise ConfigError(
            f"the features are reduced, and their components are not beside the checkpoint: put basis.safetensors of the PCA"
            f" there{f', whose SHA-256 is {extractor.basis_hash}' if extractor.basis_hash else ''}"
        )
    if extractor.basis_hash and sha256_of(basis) != extractor.basis_hash:
        raise DataError(f"{basis}: these are other components than those that the features were reduced to")
    if options.by_task:
        raise ConfigError("by_task: the features are reduced task by task, and a clip's task is not known")
    pca_apply(features, basis, reduced, options)
    return reduced

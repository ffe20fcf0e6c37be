"""Features of videos that are in no dataset, made as those that a model was trained on: by the stages that made these."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.options import FeaturesOptions, PcaOptions
from kinoflow.features.origin import Origin
from kinoflow.media.options import FramesOptions
from kinoflow.options import check
from kinoflow.store import tables
from kinoflow.store.files import parse_json, sha256_of, write_json
from kinoflow.store.shards import Shard
from kinoflow.store.tables import PARTLY, READABLE, Probed

SECONDS, MEGABYTES, PIXELS = 300.0, 2048, 35_389_440  # that looking at one file may take; its largest picture
SOURCES = Path(__file__).parents[2]  # where the package lies that a child must run too


@contextmanager
def remade(
    videos: Sequence[Path], origin: Origin, folder: Path, weights: Path | None, device: str, task: str = ""
) -> Iterator[Shard]:
    """Give a shard with the features of videos, each under its name as given; it is gone after the block.

    folder: that of the checkpoint, with copies of weights and components. weights: a file, where there is no copy. task: of
    the videos, for components of each task. Raises ConfigError or DataError, in one sentence, for what is missing or a file
    that cannot be read.
    """
    file = weights_of(origin, folder, weights)
    names = sorted({os.fspath(path) for path in videos}, key=os.fsencode)
    for name in names:
        check_readable(name)
    with tempfile.TemporaryDirectory() as place:
        features = _features(names, origin, file, Path(place), device)
        yield Shard(_reduced(features, names, origin, folder, task) if origin.reduced else features)


@contextmanager
def remade_frames(videos: Sequence[Path], options: FramesOptions) -> Iterator[Path]:
    """Give a shard with the frames of videos, each under its name as given; it is gone after the block.

    Raises DataError, which names the video, if one cannot be read.
    """
    from kinoflow.media import frames as stage

    names = sorted({os.fspath(path) for path in videos}, key=os.fsencode)
    for name in names:
        check_readable(name)
    with tempfile.TemporaryDirectory() as place:
        shard = Path(place, "frames.h5")
        stage.frames(Path(), _table(names, Path(place)), shard, options, code="remade")
        yield shard


def weights_of(origin: Origin, folder: Path, weights: Path | None) -> Path | None:
    """Return the file of the weights that make features, None if they are drawn, after seeing that nothing is missing.

    folder, weights: as of ``remade``. Raises ConfigError or DataError, in one sentence, if something is.
    """
    if origin.outside:
        raise ConfigError(
            "the model was trained on feature files from outside, so videos alone are not enough: make their features in the"
            " same way, and give these"
        )
    if origin.reduced:
        origin.basis_file(folder)
    return origin.weights_file(folder, weights)


def check_readable(video: str) -> tuple[float, float]:
    """Return where a video begins and ends, seconds; DataError, which names it and the reason, if it cannot be read."""
    from kinoflow.media.examine import examine
    from kinoflow.media.isolate import StoppedError, isolated

    if not Path(video).is_file():
        raise DataError(f"there is no file {video!r}; correct the name")
    try:
        looked = isolated(examine, video, False, PIXELS, seconds=SECONDS, megabytes=MEGABYTES)
    except StoppedError as error:
        raise DataError(f"{video!r} cannot be read: {error}") from None
    if looked["status"] not in (READABLE, PARTLY):
        raise DataError(f"{video!r} cannot be read ({looked['status']}): {looked['reason']}")
    return looked["start"], looked["start"] + looked["duration"]


def _features(names: Sequence[str], origin: Origin, weights: Path | None, place: Path, device: str) -> Path:
    """Return a shard with the features of videos, as the stages of the workflow make it, before any PCA."""
    frames, features = (place / name for name in ("frames.h5", "features.h5"))
    table = _table(names, place)
    values = {key: value for key, value in origin.options.items() if key != "blocks"}
    options = check(FeaturesOptions, values, "the checkpoint")
    given: dict[str, Path] = {"root": Path(), "table": table}
    if options.source == "frames":
        from kinoflow.media import frames as stage

        stage.frames(Path(), table, frames, _frames_options(origin, weights), code="remade")
        given = {"frames": frames}
    if options.backbone == "trained":
        _by_its_room(features, values, weights, given, device)
    else:
        from kinoflow.features import extract

        file = None if weights is None else str(weights)
        extract.features(features, options, **given, weights=file, device=device, code="remade")
    return features


def _table(names: Sequence[str], place: Path) -> Path:
    """Return the table of these videos, as the stage that looks at files writes it."""
    table = place / "probe.csv"
    rows = [Probed(video=each, status=READABLE, kept=True, sha256=sha256_of(each)) for each in names]
    tables.write(table, rows, Probed)
    return table


def _by_its_room(features: Path, options: dict, weights: Path | None, given: dict[str, Path], device: str) -> None:
    """Let the room of a trained network make features: by its command, for rooms know each other by files alone."""
    files = [word for name, path in given.items() for word in (f"--{name}", os.fspath(path))]
    room = "alignment" if _about(weights).get("room") == "alignment" else "recognition"
    words = [f"{room}-features", "--shard", str(features), "--weights", str(weights), *files, "--device", device]
    words += ["--code", "remade", "--options", json.dumps(options)]
    path = os.pathsep.join(filter(None, (str(SOURCES), os.environ.get("PYTHONPATH"))))
    ended = subprocess.run(
        [sys.executable, "-m", "kinoflow", *words],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or ["it ended without a word"]
        raise DataError(f"the features cannot be made: {said[-1]}")


def _about(weights: Path | None) -> dict:
    """Return what the checkpoint of a run says of itself; nothing without a file."""
    from kinoflow.training import checkpoint

    return checkpoint.read(weights)[1] if weights else {}


def _frames_options(origin: Origin, weights: Path | None) -> FramesOptions:
    if origin.frames:
        return origin.frames
    if origin.backbone == "trained":
        made = _about(weights).get("frames")
        if made:
            return check(FramesOptions, made, str(weights))
    raise ConfigError(
        "the checkpoint does not say how the frames behind its features are made: train again with a shard of them"
    )


def _reduced(features: Path, names: Sequence[str], origin: Origin, folder: Path, task: str) -> Path:
    from kinoflow.features.pca import pca_apply

    options = check(PcaOptions, parse_json(origin.attrs["pca"]), "the checkpoint")
    if options.by_task and not task:
        raise ConfigError("task: the features are reduced task by task, and the task of a video alone is not known")
    roles, reduced = features.with_name("roles.json"), features.with_name("reduced.h5")
    write_json(roles, {name: ["", task, ""] for name in names})
    pca_apply(features, origin.basis_file(folder), reduced, options, roles)
    return reduced

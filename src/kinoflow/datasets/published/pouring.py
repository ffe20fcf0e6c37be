"""Pouring, as the authors of TCC published it: TFRecord files of sequence examples, a video in each.

context: name (bytes), len, label (-1), label_string, framelabels_string    lists: video (a JPEG a frame), frame_labels
"""

import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kinoflow.datasets.published.clips import Clip, compare, make, safe_name, write_tables
from kinoflow.datasets.published.files import Files
from kinoflow.datasets.published.tfrecord import SequenceExample, examples
from kinoflow.errors import DataError
from kinoflow.progress import Progress, log
from kinoflow.stage import Folder, Out, State
from kinoflow.store.files import key_of

SPLITS = {"train": "train", "val": "validation", "test": "test"}
RECORDS = r".*?({})-(\d+)-of-(\d+)\.tfrecord"
ACTION = "pouring"
COUNTS = {"train": 70, "validation": 14}  # clips


def convert_pouring(records: Folder, videos: State, labels: Out, splits: Out) -> None:
    """Turn the TFRecord files of Pouring into mp4 files (25 frames a second) and tables for `kinoflow index`.

    Checksums are checked; a clip that is there already is not made again. TensorFlow is not needed.

    records: the folder of the TFRecord files, as pouring_train-0-of-2.tfrecord
    videos: the folder to write the clips into
    labels: the table of labels to write: every clip, and its phases (phase 0 to phase 4) in seconds
    splits: the table of splits to write: train and validation
    """
    files, clips = _files(records), []
    with Progress("convert-pouring", total=len(files), items="files") as progress:
        for split, path in files:
            for number, example in enumerate(examples(path)):
                clips.append(_convert(example, split, videos, f"{path}, record {number}"))
            progress.step()
    write_tables(labels, splits, clips, videos)
    compare("clips", Counter(clip.split for clip in clips), COUNTS)
    log.info("%d clips", len(clips))


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Return (split, file); DataError if there is none, or one of those that its name counts is missing."""
    pattern, found = RECORDS.format("|".join(SPLITS)), []
    for path in Files(folder).all(pattern):
        split, number, count = re.fullmatch(pattern, path.name, re.IGNORECASE).groups()
        found.append((SPLITS[split.lower()], int(number), int(count), path))
    if not found:
        raise DataError(f"{folder}: there is no file as pouring_train-0-of-2.tfrecord in this folder; fetch them there")
    for split in sorted({row[0] for row in found}):
        own = [row for row in found if row[0] == split]
        missing = set(range(own[0][2])) - {row[1] for row in own}
        if missing:
            raise DataError(
                f"{own[0][3]}: number {min(missing)} of its {own[0][2]} parts is not in the folder; fetch it, too"
            )
    return [(split, path) for split, number, _, path in sorted(found, key=lambda row: (row[0], row[1]))]


def _convert(example: SequenceExample, split: str, videos: Path, where: str) -> Clip:
    """Make the clip of a record."""
    name = example.context.get("name") or [b""]
    if not isinstance(name[0], bytes) or "video" not in example.lists or "frame_labels" not in example.lists:
        raise DataError(f"{where}: a name, video or frame_labels is missing; check which file it is")
    clip = safe_name(name[0].decode("utf-8", "replace"), where)
    pictures = [picture for values in example.lists["video"] for picture in values]
    numbers = [number for values in example.lists["frame_labels"] for number in values]
    if not all(isinstance(picture, bytes) for picture in pictures) or not all(isinstance(n, int) for n in numbers):
        raise DataError(
            f"{where}: video is a list of JPEG files, frame_labels of whole numbers, and here one is not; check which file it is"
        )
    told = example.context.get("len") or [len(pictures)]
    if not pictures or len(numbers) != len(pictures) or told[0] != len(pictures):
        raise DataError(
            f"{where}: {clip!r} has {len(pictures)} pictures, {len(numbers)} labels and the length {told[0]};"
            " these must be the same and above 0: fetch the file again"
        )
    digest = hashlib.sha256(b"".join(hashlib.sha256(picture).digest() for picture in pictures)).hexdigest()
    make(videos, f"{clip}.mp4", key_of(digest), lambda: _frames(pictures, f"{where}: {clip!r}"))
    phases = [f"phase {number}" if number >= 0 else "" for number in numbers]
    return Clip(clip, split, ACTION, phases)


def _frames(pictures: list[bytes], where: str) -> Iterator[np.ndarray]:
    from PIL import Image

    size = None
    for number, picture in enumerate(pictures):
        try:
            with Image.open(io.BytesIO(picture)) as image:
                frame = np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            raise DataError(f"{where}: picture {number} is no whole JPEG; fetch the file again") from None
        size = size or frame.shape
        if frame.shape != size:
            raise DataError(f"{where}: picture {number} has another size than the first; fetch the file again")
        yield frame

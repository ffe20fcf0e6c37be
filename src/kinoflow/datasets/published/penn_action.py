"""Penn Action as alignment uses it: frames and MATLAB labels of the release, and the phase labels of TCC's authors.

    frames/NNNN/MMMMMM.jpg, labels/NNNN.mat (field action)          the release
    {train,val}/ACTION/NNNN*.npy, one whole number a frame          the phase labels; their folders say split and action

13 actions have phase labels, in the order in which published class numbers count them (pushup before pullup).
"""

import os
import re
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from kinoflow.datasets.published.clips import Clip, compare, make, safe_name, write_tables
from kinoflow.datasets.published.media import Missing, report
from kinoflow.datasets.published.options import PennActionOptions
from kinoflow.errors import DataError
from kinoflow.media.isolate import StoppedError, isolated
from kinoflow.progress import Progress, log
from kinoflow.stage import Folder, Out, State
from kinoflow.store.files import key_of, write_text
from kinoflow.store.folders import quick_content_hash, visible_files

RELEASE = {  # clips for training, for validation, phases of each action
    "baseball_pitch": (103, 63, 4),
    "baseball_swing": (113, 57, 3),
    "bench_press": (69, 71, 2),
    "bowl": (134, 85, 3),
    "clean_and_jerk": (40, 42, 6),
    "golf_swing": (87, 77, 3),
    "jumping_jacks": (56, 56, 4),
    "pushup": (102, 106, 2),
    "pullup": (98, 101, 2),
    "situp": (50, 50, 2),
    "squat": (111, 115, 4),
    "tennis_forehand": (79, 74, 3),
    "tennis_serve": (98, 69, 4),
}
ACTIONS = tuple(RELEASE)
DROPPED = ("jump_rope", "strum_guitar")  # actions of the release that nobody compares
PHASES = {action: phases for action, (_, _, phases) in RELEASE.items()}
SPLITS = {"train": "train", "val": "validation"}
SECONDS, MEGABYTES = 30, 1000  # limits of reading a MATLAB file of some kB


def convert_penn_action(
    release: Folder,
    phases: Folder,
    videos: State,
    labels: Out,
    splits: Out,
    options: PennActionOptions,
    classes: Out | None = None,
    missing: Out | None = None,
) -> None:
    """Turn the frames of Penn Action into mp4 files (25 frames a second) and tables for `kinoflow index`.

    Where frames and phase labels of a clip differ in number, the longer of them is thinned evenly. A clip that is there
    already is not made again.

    release: the folder that holds the release's folders frames and labels
    phases: the folder that holds the phase labels' folders train and val
    videos: the folder to write the clips into
    labels: the table of labels to write: every clip with its action, and its phases in seconds
    splits: the table of splits to write: train and validation; an action is its clips' task
    classes: the list of actions to write, one a line, in the published order
    missing: a table to write of the clips that have phase labels, but no frames: split, clip, action, reason
    """
    wanted, clips, lost = _wanted(phases), [], []
    with Progress("convert-penn-action", total=len(wanted), items="clips") as progress:
        for split, action, path in wanted:
            found = _convert(release, path, split, action, videos, options)
            if isinstance(found, Clip):
                clips.append(found)
            else:
                lost.append(found)
            progress.step()
    report(missing, lost, len(wanted))
    write_tables(labels, splits, clips, videos)
    _compare(clips)
    if classes:
        there = {clip.action for clip in clips}
        write_text(classes, "".join(f"{action}\n" for action in ACTIONS if action in there))
    log.info("%d clips, %d missing", len(clips), len(lost))


def _compare(clips: Sequence[Clip]) -> None:
    """Warn of actions that have another number of clips than was published."""
    found = Counter(f"{clip.action} {clip.split}" for clip in clips)
    published = {f"{name} {split}": row[i] for name, row in RELEASE.items() for i, split in enumerate(SPLITS.values())}
    compare("clips", found, published)


def thinned(longer: int, shorter: int) -> np.ndarray:
    """Return which of ``longer`` items stay where there are ``shorter`` of the others: floor(j * longer / shorter).

    >>> thinned(5, 3).tolist()
    [0, 1, 3]
    """
    return np.arange(shorter, dtype=np.int64) * longer // max(1, shorter)


def _wanted(folder: Path) -> list[tuple[str, str, Path]]:
    """Return (split, action, file of phase labels) of every clip, sorted."""
    found, dropped = [], 0
    for place, split in SPLITS.items():
        for path in sorted(Path(folder, place).glob("*/*.npy")):
            if path.parent.name in DROPPED:
                dropped += 1
                continue
            if path.parent.name not in ACTIONS:
                raise DataError(
                    f"{path}: {path.parent.name!r} is none of the 13 actions with phase labels ({', '.join(ACTIONS)})"
                )
            found.append((split, path.parent.name, path))
    if dropped:
        log.info("%d clips of %s are left out, as published", dropped, " or ".join(DROPPED))
    if not found:
        raise DataError(f"{folder}: there is no file as train/bowl/0001.npy in this folder; put the phase labels there")
    return found


def _convert(
    release: Path, path: Path, split: str, action: str, videos: Path, options: PennActionOptions
) -> Clip | Missing:
    """Make a clip; Missing if the release has not got it."""
    number = re.match(r"\d+", path.stem)
    if not number:
        raise DataError(f"{path}: the name of a file of phase labels begins with the clip's number, as in 0001.npy")
    name = safe_name(f"{number[0]}_{action}", str(path))
    folder, mat = release / "frames" / number[0], release / "labels" / f"{number[0]}.mat"
    if not folder.is_dir() or not mat.is_file():
        reason = "no folder of frames" if not folder.is_dir() else "no file in labels"
        return Missing(split=split, clip=os.path.join("frames", number[0]), action=action, reason=reason)
    told = _action_of(mat)
    if told != action:
        raise DataError(f"{path} is of {action}, but {mat} says {told}; take the phase labels of the same release")
    pictures = [file for file in visible_files(folder) if re.fullmatch(r"\d+\.jpe?g", file, re.IGNORECASE)]
    if not pictures:
        return Missing(split=split, clip=os.path.join("frames", number[0]), action=action, reason="no frames")
    numbers = _phases(path, action)
    length = min(len(pictures), len(numbers))
    if len(pictures) != len(numbers):
        log.info("%s: %d frames, %d labels: the longer is thinned", name, len(pictures), len(numbers))
    chosen = [folder / pictures[i] for i in thinned(len(pictures), length)]
    key = key_of(quick_content_hash(folder), options.size, length)
    make(videos, f"{name}.mp4", key, lambda: _frames(chosen, options.size))
    kept = numbers[thinned(len(numbers), length)]
    return Clip(name, split, action, [f"phase {n}" if n >= 0 else "" for n in kept], task=action)


def _action_of(path: Path) -> str:
    """Return the action that a MATLAB file of the release names. SciPy may crash on a damaged one, so a child reads it."""
    from scipy.io import loadmat

    try:
        return isolated(_named_action, loadmat, path, seconds=SECONDS, megabytes=MEGABYTES)
    except StoppedError:
        raise DataError(f"{path}: this is no MATLAB file with a field action; unpack the release again") from None


def _named_action(loadmat: Callable[..., dict], path: Path) -> str:
    return str(np.ravel(loadmat(path, variable_names=["action"])["action"])[0])


def _phases(path: Path, action: str) -> np.ndarray:
    """Return the phase of each frame, (L,) int64."""
    try:
        with open(path, "rb") as file:  # np.load takes other formats for one
            found = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, tokenize.TokenError):
        raise DataError(f"{path}: this is no file of phase labels (a NumPy array of numbers); fetch it again") from None
    numbers = np.ravel(found)
    if not len(numbers) or numbers.dtype.kind not in "iuf" or not np.array_equal(numbers, numbers.astype(np.int64)):
        raise DataError(f"{path}: phase labels are one whole number a frame; check which file this is")
    if numbers.max() >= PHASES[action]:
        raise DataError(
            f"{path}: the phase {int(numbers.max())} is not one of the {PHASES[action]} of {action}, counted from 0"
        )
    return numbers.astype(np.int64)


def _frames(paths: Sequence[Path], size: int) -> Iterator[np.ndarray]:
    from PIL import Image

    for path in paths:
        try:
            with Image.open(path) as image:
                yield np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            raise DataError(f"{path}: this picture cannot be read; unpack the release again") from None

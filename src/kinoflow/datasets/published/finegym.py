"""FineGym: event clips cut out of long videos, and the elements in them (Gym99, Gym288).

    finegym_annotation_info_v1.0.json   {video: {E_ssssss_eeeeee: {event, timestamps: [[start, end]],
                                         segments: null | {A_ssss_eeee: {stages, timestamps: [[start, end], ...]}}}}}
    gym99_train_element_v1.0.txt, gym99_val_element.txt             lines "VIDEO_E_..._A_... CLASS", classes from 0
    gym99_categories.txt                                            lines "Clabel: N; set: N; Glabel: N; name"

Seconds of an event count from the video's start, those of its elements from the event's. The last stage of an element that
has several (vaults) is what is labelled.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.datasets.published.clips import FPS, Clip, compare, make, safe_name, write_tables
from kinoflow.datasets.published.files import Files, lines, read_json
from kinoflow.datasets.published.media import Missing, report
from kinoflow.datasets.published.options import FineGymOptions
from kinoflow.errors import ConfigError, DataError
from kinoflow.progress import Progress, log
from kinoflow.stage import Folder, Out, State
from kinoflow.store.files import key_of, quick_hash, write_text

EVENTS = {1: "vault", 2: "floor exercise", 3: "balance beam", 4: "uneven bars"}
LISTS = {"train": r"gym{0}_train_element(_v1\.[01])?\.txt", "validation": r"gym{0}_val_element(_v1\.[01])?\.txt"}
ELEMENTS = {  # of the lists of version 1.0
    99: {"train": 20_484, "validation": 8_521},
    288: {"train": 22_671, "validation": 9_646},
}
CATEGORY = re.compile(r"Clabel:\s*(\d+);\s*set:\s*(\d+);\s*Glabel:\s*(\d+);\s*(.+)")
ELEMENT = re.compile(r"(.+)_(E_\d+_\d+)_(A_\d+_\d+)\s+(\d+)")
SUFFIXES = (".mp4", ".mkv", ".webm")  # of a raw video; the first that is there is taken
WIDTH, HEIGHT = 640, 360
SLACK = 0.001  # seconds by which a time stamp may be late
NONE = -1


@dataclass(frozen=True)
class Event:
    """An event clip that is to be cut."""

    video: str
    event: str  # E_ssssss_eeeeee
    split: str

    @property
    def name(self) -> str:
        """The name of the clip."""
        return f"{self.video}_{self.event}"


def cut_finegym(
    annotations: Folder,
    root: Folder,
    videos: State,
    labels: Out,
    splits: Out,
    options: FineGymOptions,
    classes: Out | None = None,
    missing: Out | None = None,
    workers: int = 1,
) -> None:
    """Cut the event clips of FineGym (640 x 360, 25 frames a second) and write tables for `kinoflow index`.

    Every clip is cut at its exact time and encoded once; one that is there already is not made again. Videos that are
    gone are reported.

    annotations: the folder of the annotation json, the lists of elements and the list of categories
    root: the folder of the raw videos, VIDEO.mp4, .mkv or .webm
    videos: the folder to write the clips into
    labels: the table of labels to write: every clip with its event, and the elements in it (as phases) in seconds
    splits: the table of splits to write: train and validation; an event is its clips' task
    classes: the list of elements to write, one a line, in their order
    missing: a table to write of the clips that cannot be cut: split, clip, action, reason
    workers: clips that are cut at the same time
    """
    if workers < 1:
        raise ConfigError(f"--workers: {workers} threads cut nothing; give 1 or more")
    files = Files(annotations)
    known = _annotation(files)
    names = class_names(files, options.classes)
    listed = {split: elements(files, pattern, len(names), options.classes) for split, pattern in LISTS.items()}
    compare("elements", {split: len(own) for split, own in listed.items()}, ELEMENTS[options.classes])
    elsewhere = _unknown(listed, known)
    events, both = chosen(listed, known, options.additional)
    if elsewhere or both:
        text = (
            "elements whose event is not in the json: %d; events with elements of both lists, which count as train: %d"
        )
        log.warning(text, elsewhere, both)
    clips, lost = [], []
    with Progress("cut-finegym", total=len(events), items="clips") as progress:
        for found in _all(lambda each: _cut(each, known, listed[each.split], names, root, videos), events, workers):
            if isinstance(found, Clip):
                clips.append(found)
            else:
                lost.append(found)
            progress.step()
    report(missing, lost, len(events))
    write_tables(labels, splits, clips, videos)
    if classes:
        write_text(classes, "".join(f"{name}\n" for name in names))
    log.info("%d clips, %d missing", len(clips), len(lost))


# ---------------------------------------------------------------- annotation files


def class_names(files: Files, count: int) -> list[str]:
    """Return the names of Gym99 or Gym288's classes, all different: where two elements share a name their sets follow it.

    Without the list of categories, numbers stand for names.
    """
    path = files.find(rf"gym{count}_categories\.txt")
    if path is None:
        return [f"element {number}" for number in range(count)]
    rows = []
    for where, text in lines(path):
        found = CATEGORY.fullmatch(text)
        if not found or int(found[1]) != len(rows):
            raise DataError(f"{where}: {text!r} should begin with Clabel: {len(rows)}; fetch the file again")
        rows.append((found[4], f"{found[4]} [set {found[2]}]"))
    if len(rows) != count:
        raise DataError(f"{path}: there are {len(rows)} classes, and Gym{count} has {count}; fetch the file again")
    short = [name for name, _ in rows]
    return [long if short.count(name) > 1 else name for name, long in rows]


def elements(files: Files, pattern: str, classes: int, count: int) -> dict[str, int]:
    """Return {VIDEO_E_..._A_...: class} of a list of elements, in the order of the file."""
    path = files.need(pattern.format(count), f"gym{count}_train_element_v1.0.txt or gym{count}_val_element.txt")
    found: dict[str, int] = {}
    for where, text in lines(path):
        element = ELEMENT.fullmatch(text)
        if not element or int(element[4]) >= classes:
            raise DataError(
                f"{where}: {text!r} should be an element and its class below {classes}; fetch the file again"
            )
        found["_".join(element.groups()[:3])] = int(element[4])
    return found


def _annotation(files: Files) -> dict[str, dict[str, Any]]:
    path = files.need(r"finegym_annotation_info(_v1\.[01])?\.json", "finegym_annotation_info_v1.0.json")
    known = read_json(path, dict, "annotation of FineGym")
    for video, events in known.items():
        for name, event in events.items() if isinstance(events, dict) else ((video, None),):
            if not _is_event(event):
                raise DataError(f"{path}: {video!r}, {name!r} has no event and timestamps; fetch the file again")
    return known


def _is_event(event: Any) -> bool:
    """Whether this is an event with its times, in seconds, start before end."""
    if not isinstance(event, dict) or not isinstance(event.get("event"), int):
        return False
    segments = event.get("segments") or {}
    spans = [event.get("timestamps"), *(each.get("timestamps") for each in segments.values() if isinstance(each, dict))]
    return isinstance(segments, dict) and len(spans) == len(segments) + 1 and all(map(_are_spans, spans))


def _are_spans(spans: Any) -> bool:
    return (
        isinstance(spans, list)
        and bool(spans)
        and all(
            isinstance(span, list)
            and len(span) == 2
            and all(isinstance(second, int | float) and not isinstance(second, bool) for second in span)
            and span[0] <= span[1]
            for span in spans
        )
    )


def _unknown(listed: Mapping[str, Mapping[str, int]], known: Mapping[str, Mapping[str, Any]]) -> int:
    """Count the listed elements whose event the annotation has not got."""
    return sum(_parts(name)[1] not in known.get(_parts(name)[0], {}) for names in listed.values() for name in names)


def _parts(element: str) -> tuple[str, str]:
    """Return video and event of VIDEO_E_..._A_...; ids of videos may hold _E_ and _A_ themselves."""
    clip = element.rpartition("_A_")[0]
    video, _, event = clip.rpartition("_E_")
    return video, f"E_{event}"


def chosen(
    listed: Mapping[str, Mapping[str, int]], known: Mapping[str, Mapping[str, Any]], additional: bool
) -> tuple[list[Event], int]:
    """Return the events to cut, sorted by split and name, and how many of them both lists name.

    additional: those without a listed element too, as training clips.
    """
    found: dict[tuple[str, str], str] = {}
    both = set()
    for split in ("validation", "train"):  # training comes last, and counts
        for element in listed[split]:
            video, event = _parts(element)
            if event in known.get(video, {}):
                if found.setdefault((video, event), split) != split:
                    both.add((video, event))
                found[video, event] = split
    if additional:
        for video, events in known.items():
            for event in events:
                found.setdefault((video, event), "train")
    rows = [Event(video, event, split) for (video, event), split in found.items()]
    return sorted(rows, key=lambda row: (row.split, row.name)), len(both)


def frame_labels(
    video: str, event: str, segments: Mapping[str, Any] | None, listed: Mapping[str, int], frames: int, fps: int
) -> np.ndarray:
    """Return the class of each frame of an event clip, (frames,) int64, -1 where none is.

    Of every listed element, in the order of the file, the last stage counts: frames trunc(start * fps) to trunc(end * fps),
    both included. Later elements overwrite earlier ones.
    """
    labels = np.full(frames, NONE, np.int64)
    for name, segment in (segments or {}).items():
        number = listed.get(f"{video}_{event}_{name}")
        if number is not None:
            start, end = segment["timestamps"][-1]
            labels[int(start * fps) : int(end * fps) + 1] = number
    return labels


# ---------------------------------------------------------------- cutting


def _all(cut: Callable[[Event], Clip | Missing], events: list[Event], workers: int) -> Iterator[Clip | Missing]:
    """Cut; yield what becomes of each event, in their order."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(cut, events)
    finally:
        pool.shutdown(cancel_futures=True)


def _cut(
    event: Event,
    known: Mapping[str, Mapping[str, Any]],
    listed: Mapping[str, int],
    names: Sequence[str],
    root: Path,
    videos: Path,
) -> Clip | Missing:
    """Make a clip; Missing if its video is gone, unreadable, or ends before it."""
    told = known[event.video][event.event]
    action = EVENTS.get(told["event"], f"event {told['event']}")
    name = safe_name(event.name, "the annotation json")
    path = next((root / f"{event.video}{end}" for end in SUFFIXES if (root / f"{event.video}{end}").is_file()), None)
    if path is None:
        return Missing(split=event.split, clip=name, action=action, reason="no video")
    start, end = told["timestamps"][0]
    key = key_of(quick_hash(path), start, end)
    try:
        moments = on_screen(path, start, end)
        if not len(moments):
            return Missing(split=event.split, clip=name, action=action, reason="the video ends before it")
        make(videos, f"{name}.mp4", key, lambda: _frames(path, moments))
    except DataError as error:
        return Missing(split=event.split, clip=name, action=action, reason=str(error))
    numbers = frame_labels(event.video, event.event, told.get("segments"), listed, len(moments), FPS)
    phases = [names[number] if number >= 0 else "" for number in numbers]
    return Clip(name, event.split, action, phases, task=action)


def on_screen(path: Path, start: float, end: float) -> np.ndarray:
    """Return the numbers of the frames on screen at start + k / 25 seconds, until the end or that of the video, (n,)."""
    from kinoflow.media.decode import frame_index, telling
    from kinoflow.media.sample import frame_gap

    with telling(path):
        times = frame_index(path).times
    if not len(times):
        return np.zeros(0, np.int64)
    wanted = start + np.arange(max(1, round((end - start) * FPS))) / FPS
    wanted = wanted[wanted < times[-1] + frame_gap(times) - SLACK]
    return np.searchsorted(times, wanted + SLACK, side="right").clip(min=1) - 1


def _frames(path: Path, moments: np.ndarray) -> Iterator[np.ndarray]:
    """Yield frames (360, 640, 3) uint8 with these numbers."""
    from PIL import Image

    from kinoflow.media.decode import decode_at, frame_index, telling
    from kinoflow.media.options import FramesOptions

    given = 0
    with telling(path):
        for frames, _ in decode_at(path, frame_index(path), moments, FramesOptions(size=HEIGHT)):
            for frame in frames:
                if frame.shape[:2] != (HEIGHT, WIDTH):
                    frame = np.asarray(Image.fromarray(frame).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
                given += 1
                yield frame
        if given < len(moments):
            raise DataError(f"{len(moments)} frames are wanted, {given} come out")

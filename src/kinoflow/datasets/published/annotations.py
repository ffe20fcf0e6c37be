"""The stage that turns annotation files of a published dataset into the tables of labels and splits that `index` reads."""

from dataclasses import dataclass
from pathlib import Path

from kinoflow.datasets.published.dataset import read_published
from kinoflow.datasets.published.entries import Entry, Published
from kinoflow.datasets.published.media import Folders, Missing, Videos, report
from kinoflow.datasets.published.options import AnnotationsOptions
from kinoflow.errors import ConfigError, DataError
from kinoflow.progress import log
from kinoflow.stage import Folder, In, Out
from kinoflow.store import tables
from kinoflow.store.files import write_text
from kinoflow.store.tables import Probed


@dataclass(frozen=True, kw_only=True)
class Label:
    """A row of the labels: the whole clip is its class."""

    video: str
    start: str = ""
    end: str = ""
    action: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Side:
    """A row of the splits."""

    video: str
    split: str
    recording: str


def annotations(
    annotations: Folder,
    labels: Out,
    splits: Out,
    options: AnnotationsOptions,
    root: Folder | None = None,
    classes: Out | None = None,
    missing: Out | None = None,
    inventory: In | None = None,
) -> None:
    """Turn the annotation files of a published dataset into tables of labels and splits for `kinoflow index`.

    With the folder of the videos, clips are found there by their names, in whatever folder and with whatever suffix, and
    those that are not there are left out of the tables and reported. The same with an inventory, but that missing clips stay
    in the tables: `kinoflow index` stops where they are too many. Without either, videos are named as published.

    annotations: the folder of the dataset's annotation files
    labels: the table of labels to write: video, start, end (empty: the whole video), action, text
    splits: the table of splits to write: video, split, recording
    root: the folder of the videos (or of the folders of pictures)
    classes: the list of classes to write, one a line, in the order that the dataset gives them
    missing: a table to write of the clips that are not in the folder: split, clip, action, reason
    inventory: the table of all videos (or folders of pictures) found, in place of looking at the folder
    """
    if root and inventory:
        raise ConfigError("root and inventory exclude each other: both tell which clips there are")
    found = read_published(annotations, options)
    place, total = _media(root, inventory, options, found.folders), sum(map(len, found.splits.values()))
    named = {split: [(entry, place.find(entry)) for entry in entries] for split, entries in found.splits.items()}
    lost = [
        _lost(split, entry, place, found) for split, pairs in named.items() for entry, video in pairs if video is None
    ]
    report(missing, lost, total)
    if len(lost) == total:
        raise DataError(
            f"{root or inventory}: none of the {total} clips is there, as {lost[0].clip!r}; give the folder of the videos"
        )
    kept = place.expected if inventory else lambda entry: ""
    there = {
        split: [(entry, name) for entry, video in pairs if (name := video or kept(entry))]
        for split, pairs in named.items()
    }
    tables.write(labels, _labels(there, found), Label)
    tables.write(splits, _sides(there), Side)
    if classes:
        write_text(classes, "".join(f"{name}\n" for name in found.classes))
    log.info("%s", ", ".join(f"{split}: {len(pairs)} videos" for split, pairs in there.items()))


class _Anywhere:
    """Clips whose places are not looked at: each is where it was published."""

    def __init__(self, folders: bool):
        self._folders = folders

    def expected(self, entry: Entry) -> str:
        return entry.folders[0] if self._folders else entry.video

    find = expected


def _media(
    root: Path | None, inventory: Path | None, options: AnnotationsOptions, published: bool
) -> Folders | Videos | _Anywhere:
    """Return where clips are looked for. published: whether they are published as folders of pictures."""
    folders = options.media == "folders" or (options.media == "published" and published)
    if inventory:
        names = [row.video for row in tables.read(inventory, Probed)]
        return Folders(inventory.parent, names) if folders else Videos(names)
    if root is None:
        return _Anywhere(folders)
    return Folders(root) if folders else Videos.below(root, options.include, options.exclude)


def _lost(split: str, entry: Entry, place: Folders | Videos | _Anywhere, found: Published) -> Missing:
    action = "" if entry.label is None else found.classes[entry.label]
    what = "folder" if isinstance(place, Folders) else "video"
    return Missing(split=split, clip=place.expected(entry), action=action, reason=f"no {what}")


def _labels(there: dict[str, list[tuple[Entry, str]]], found: Published) -> list[Label]:
    return [
        Label(video=video, action=found.classes[entry.label], text=entry.text)
        for pairs in there.values()
        for entry, video in pairs
        if entry.label is not None
    ]


def _sides(there: dict[str, list[tuple[Entry, str]]]) -> list[Side]:
    return [
        Side(video=video, split=split, recording=entry.recording)
        for split, pairs in there.items()
        for entry, video in pairs
    ]

"""The stage that writes list files of a published dataset, in the layout that its published readers know."""

from dataclasses import dataclass, field
from pathlib import Path

from kinoflow.datasets.published.dataset import read_published
from kinoflow.datasets.published.entries import Entry
from kinoflow.datasets.published.media import Folders, Missing, Videos, report
from kinoflow.datasets.published.options import ListFilesOptions
from kinoflow.progress import Progress, log
from kinoflow.stage import Folder, Out, State
from kinoflow.store.clip_lists import Clip, write_list
from kinoflow.store.files import write_text

NAMES = {"train": "train", "validation": "val", "test": "test"}
NO_CLASS = 0  # what published lists of a test split without answers say


@dataclass
class _Split:
    """What becomes of one split's clips."""

    clips: list[Clip] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    rows: list[Missing] = field(default_factory=list)


def list_files(
    annotations: Folder, frames: Folder, out: State, options: ListFilesOptions, missing: Out | None = None
) -> None:
    """Write the list files of a published dataset: a line for each clip that is there, in the order of its annotation files.

    Written are train_videofolder.txt, val_videofolder.txt and test_videofolder.txt, as far as there are such splits,
    category.txt (the classes in order, but for Kinetics, whose annotation files hold that list already), and
    missing_..._videofolder.txt with the folders of the clips that are not there (for Kinetics always).

    annotations: the folder of the dataset's annotation files
    frames: the folder below which the clips' folders of pictures (or the videos) lie
    out: the folder to write the lists into
    missing: a table to write of the clips that are not there or empty: split, clip, action, reason
    """
    found = read_published(annotations, options)
    place = Folders(frames) if options.media == "folders" else Videos.below(frames, options.include, options.exclude)
    splits = {}
    with Progress("list-files", total=sum(map(len, found.splits.values())), items="clips") as progress:
        for split, entries in found.splits.items():
            splits[split] = _Split()
            for entry in entries:
                _place(entry, split, place, frames, found.classes, options, splits[split])
                progress.step()
    for split, result in splits.items():
        _write(out, NAMES[split], result, always=options.kind == "kinetics", first_class=options.first_class)
    if not found.listed:
        write_text(out / "category.txt", "\n".join(found.classes))
    _say_unknown(found.splits)
    rows = [row for result in splits.values() for row in result.rows]
    report(missing, rows, sum(map(len, found.splits.values())))


def _place(
    entry: Entry,
    split: str,
    place: Folders | Videos,
    root: Path,
    classes: list[str],
    options: ListFilesOptions,
    result: _Split,
) -> None:
    """Put a clip into the list of its split, or to what is missing."""
    name, expected = place.find(entry), place.expected(entry)
    action = "" if entry.label is None else classes[entry.label]
    count = place.count(name) if name and isinstance(place, Folders) else None
    if name is None:
        result.missing.append(f"{root.absolute()}/{expected}")
    else:
        label = NO_CLASS if entry.label is None else entry.label
        result.clips.append(Clip(f"{options.prefix}{name}", count, label))
    if name is None or count == 0:
        what = "folder" if options.media == "folders" else "video"
        reason = f"no {what}" if name is None else "the folder is empty"
        result.rows.append(Missing(split=split, clip=name or expected, action=action, reason=reason))


def _write(out: Path, name: str, result: _Split, always: bool, first_class: int) -> None:
    write_list(out / f"{name}_videofolder.txt", result.clips, first_class)
    missing = out / f"missing_{name}_videofolder.txt"
    if result.missing or always:
        write_text(missing, "\n".join(result.missing))
    else:
        missing.unlink(missing_ok=True)  # of an earlier run, when something was missing
    log.info("%s: %d clips in the list, %d missing", name, len(result.clips), len(result.missing))


def _say_unknown(splits: dict[str, list[Entry]]) -> None:
    for split, entries in splits.items():
        unknown = sum(entry.label is None for entry in entries)
        if unknown:
            log.info(
                "%s: the class of %d clips is not known; as in published lists, class %d stands for it",
                split,
                unknown,
                NO_CLASS,
            )

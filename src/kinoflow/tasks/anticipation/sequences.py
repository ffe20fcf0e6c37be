"""The stage that reads the sequences of actions of any dataset: one table of segments, and one of classes."""

from collections.abc import Sequence
from pathlib import Path

from kinoflow.datasets.actions import Action, Classes, checked, write_actions, write_classes
from kinoflow.datasets.published import breakfast_actions, egtea, epic, salads
from kinoflow.datasets.published.files import Files
from kinoflow.errors import ConfigError, DataError
from kinoflow.stage import Folder, In, Out
from kinoflow.store.tables import Segment, Video, read
from kinoflow.tasks.anticipation.text_options import SequencesOptions


def action_sequences(
    actions: Out,
    classes: Out,
    options: SequencesOptions,
    annotations: Folder | None = None,
    videos: In | None = None,
    segments: In | None = None,
    dataset: str = "",
) -> None:
    """Read the actions of a dataset, with their times, sorted and checked; say how many overlap.

    actions: the table of segments to write: uid, video, start, end, action, verb, noun (numbers), split, recording, subsets
    classes: the table of classes to write, JSON
    annotations: the folder of the dataset's annotation files
    videos: the table of videos (kind: segments)
    segments: the table of labelled segments (kind: segments); rows of phases are left out
    dataset: its name (kind: segments); the published ones have theirs
    """
    rows, table = _read(options, annotations, videos, segments, dataset)
    if not rows:
        raise DataError(f"{annotations or segments}: there is no action; look at the annotation files")
    write_actions(actions, rows)
    write_classes(classes, table)


def _read(
    options: SequencesOptions, annotations: Path | None, videos: Path | None, segments: Path | None, dataset: str
) -> tuple[list[Action], Classes]:
    if options.kind == "segments":
        if not (videos and segments):
            raise ConfigError("kind: segments needs the tables of videos and segments")
        return of_tables(videos, segments, dataset or "segments", options.rate)
    if annotations is None:
        raise ConfigError(f"kind: {options.kind} needs the folder of its annotation files")
    files = Files(annotations)
    if options.kind in ("epic55", "epic100"):
        return epic.read(files, options.kind)
    if options.kind == "egtea":
        return egtea.read(files, options.split)
    return (salads if options.kind == "salads" else breakfast_actions).read(files, options.split, options.people)


def of_tables(videos: Path, segments: Path, dataset: str, rate: float) -> tuple[list[Action], Classes]:
    """Return the actions and classes of kinoflow's own tables; classes are numbered by their names.

    Verbs and nouns are labels only if each action has one and the same of both wherever it stands. Raises DataError for a
    segment whose video is not in the table of videos.
    """
    known = {row.video: row for row in read(videos, Video)}
    listed = [row for row in read(segments, Segment) if row.action and not row.phase]
    for row in listed:
        if row.video not in known:
            raise DataError(
                f"{segments}: the video {row.video!r} of {row.segment!r} is not in {videos}; index them again"
            )
    table = _table(listed, dataset, rate)
    number = {name: i for i, name in enumerate(table.names)}
    rows = []
    for row in listed:
        action, video = number[row.action], known[row.video]
        rows.append(
            Action(
                uid=row.segment,
                video=row.video,
                start=row.start,
                end=row.end,
                action=action,
                verb=table.verb[action] if table.verb else -1,
                noun=table.noun[action] if table.noun else -1,
                split=row.split or video.split,
                recording=video.recording or row.video,
            )
        )
    return checked(rows, table, lambda i: f"{segments}, {rows[i].uid}"), table


def _table(rows: Sequence[Segment], dataset: str, rate: float) -> Classes:
    names = tuple(sorted({row.action for row in rows}))
    parts = {(row.action, row.verb, row.noun) for row in rows}
    whole = len(parts) == len(names) and all(verb and noun for _, verb, noun in parts)
    if not whole:
        return Classes(dataset, rate, names, names)
    verb_of, noun_of = ({part[0]: part[i] for part in parts} for i in (1, 2))
    verbs, nouns = (tuple(sorted(set(of.values()))) for of in (verb_of, noun_of))
    return Classes(
        dataset,
        rate,
        names,
        tuple(f"{verb_of[name]} <v> {noun_of[name]}" for name in names),
        tuple(verbs.index(verb_of[name]) for name in names),
        tuple(nouns.index(noun_of[name]) for name in names),
        verbs,
        nouns,
    )

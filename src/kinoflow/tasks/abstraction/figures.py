"""The stage `abstraction-section`: how well runs name sets, complete them and find the odd one, and sets to look at."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kinoflow.errors import DataError
from kinoflow.progress import log
from kinoflow.report import section as sections
from kinoflow.report.results import labels_seen
from kinoflow.report.section import Block, Callout, Figure, Heading, Section, Text, code
from kinoflow.stage import In, Out
from kinoflow.store.files import parse_json
from kinoflow.store.shards import COLOURS, Shard
from kinoflow.store.tables import Segment, read
from kinoflow.tasks.abstraction import comparison as tables
from kinoflow.tasks.abstraction import drawing, results, set_files
from kinoflow.tasks.abstraction.options import AbstractionSectionOptions
from kinoflow.tasks.abstraction.pictures import Row, Tile, sheet
from kinoflow.tasks.abstraction.results import Run
from kinoflow.tasks.abstraction.subsets import keys
from kinoflow.tasks.abstraction.taxonomy import Taxonomy

if TYPE_CHECKING:
    from kinoflow.tasks.abstraction.evaluate import Named, Placed

ORDER = 70


def abstraction_section(
    metrics: list[In],
    predictions: list[In],
    placed: list[In],
    models: list[In],
    sets: In,
    segments: In,
    section: Out,
    options: AbstractionSectionOptions,
    frames: list[In] | None = None,
    comparison: In | None = None,
) -> None:
    """Make the report's section on the abstraction runs of a dataset.

    metrics: the measures of every run and seed, at .../<run>/seed-<number>/<file> as all files of runs
    predictions: the tables of named subsets
    placed: the tables of candidates and of members of sets with an odd one
    models: the checkpoints; one of each run is enough
    sets: the sets that were named
    segments: the dataset's table of labelled segments
    section: the section file to write
    frames: shards of the dataset's frames, for pictures of clips; without them sets are shown without
    comparison: the table of kinds of vectors, as `kinoflow taxonomy` writes it
    """
    runs, first = results.read_runs(metrics, predictions, placed, models)
    names = sorted({run.dataset for run in runs})
    if len(names) > 1:
        raise DataError(f"models: runs of different datasets ({', '.join(names)}) do not go into one section")
    main, tree = runs[0], first.taxonomy
    blocks = [
        *_opening(runs, options.seen),
        tables.runs_table(runs),
        Heading("Naming what a set has in common"),
        tables.naming_table(runs, "exact", "Subsets named right, in percent, by their size: exactly"),
        tables.naming_table(
            runs, "tied", "Subsets named right, in percent: any of the nearest common ancestors counts"
        ),
        Text(_ties(main)),
        Heading("The odd one out, and completing sets"),
        tables.odd_table(runs),
        tables.completion_table(runs),
        tables.spaces_table(main),
        *_people(main),
        Heading("The taxonomy"),
        *drawing.blocks(tree),
        *_vectors(comparison),
    ]
    if options.sets:
        seed = main.typical()
        thumbnails = Thumbnails(segments, frames or ())
        given = set_files.read_sets(sets, tree)
        who = f"{main.name}, seed {seed}"
        named, places = main.seeds[seed].named(), main.seeds[seed].places()
        blocks += [Heading("Sets to look at"), *_named_sets(given, named, tree, thumbnails, options.sets, who)]
        blocks += [*_rankings(places, thumbnails, options.sets, who), *_odd(places, thumbnails, options.sets, who)]
    title = f"Abstraction: {names[0]}" if names[0] else "Abstraction"
    sections.write(section, Section(title, ORDER, tuple(blocks), _summary(runs)))
    log.info("abstraction: %d runs", len(runs))


# ---------------------------------------------------------------- in words


def _mean(values: Mapping[int, float]) -> float:
    return sum(values.values()) / len(values) if values else float("nan")


def _summary(runs: Sequence[Run]) -> str:
    main = runs[0]
    said = [f"{main.name} names {_mean(main.values('naming', 'exact', 'n2_4')):.0%} of sets of 2 to 4 right"]
    others = [run for run in runs[1:] if run.options.network.kind in ("head", "classifier")]
    said += [f"{run.name} {_mean(run.values('naming', 'exact', 'n2_4')):.0%}" for run in others]
    odd, raw = (_mean(main.values("odd_one_out", space, "top1", "mean")) for space in ("own", "mean"))
    tail = f"; it finds {odd:.0%} of odd ones, raw features {raw:.0%}" if odd == odd else ""
    return f"{', '.join(said)}{tail}."


def _opening(runs: Sequence[Run], seen: Mapping[str, str]) -> list[Block]:
    main = runs[0]
    sets = int(_mean(main.values("naming", "sets")))
    text = (
        f"Given a set of clips: the lowest concept of the taxonomy that covers all of them ({sets} sets of the test, each with"
        " all its subsets), the order in which candidates would join it, and the clip that does not fit. All baselines have the"
        " same sets, steps and seeds. Published values: not available to us."
    )
    found: list[Block] = [Text(text), *labels_seen(seen)]
    heads = [run for run in runs if run.options.network.kind == "head"]
    if heads and main.options.network.kind == "sam":
        own, other = (run.values("naming", "exact", "n2_4") for run in (main, heads[0]))
        both = sorted(own.keys() & other.keys())
        if both:
            gains = [100 * (own[seed] - other[seed]) for seed in both]
            gain = f"{sum(gains) / len(gains):+.1f}".replace("-", "−")
            each = ", ".join(f"{value:+.1f}".replace("-", "−") for value in gains)
            found.append(
                Callout(
                    f"{code(main.name)} names sets of 2 to 4 clips better than a head on their mean by {gain} points ({each} by seed)."
                )
            )
    return found


def _ties(run: Run) -> str:
    share = _mean(run.values("naming", "tied_share"))
    if not share:
        return "No subset of two clips or more has several common ancestors that are equally near: both tables say the same."
    return (
        f"Several common ancestors are equally near for {share:.1%} of subsets of two clips or more; the deepest is the label, of"
        " equally deep ones that of the smallest number."
    )


def _people(run: Run) -> list[Block]:
    agreement = run.values("human", "agreement")
    if not agreement:
        return []
    return [Text(f"People agree with each other by rho {_mean(agreement):.2f} on the mean over annotated records.")]


def _vectors(comparison: Path | None) -> list[Block]:
    """Return the table of how alike nodes are by their distance, for every kind of vectors."""
    return [drawing.vectors_table(parse_json(comparison.read_text("utf-8")))] if comparison else []


# ---------------------------------------------------------------- sets to look at


class Thumbnails:
    """The middle frame of a clip, out of shards of frames; None where there is none."""

    def __init__(self, segments: Path, frames: Iterable[Path]):
        self._rows = {row.segment: row for row in read(segments, Segment) if not row.phase}
        shards = [shard for shard in map(Shard, frames) if shard.shape is not None and shard.channels == COLOURS]
        self._shards = {video: shard for shard in shards for video in shard.videos}

    def __getitem__(self, name: str) -> np.ndarray | None:
        row = self._rows.get(name)
        video = row.video if row else name
        shard = self._shards.get(video)
        if shard is None:
            return None
        times = shard.times(video)
        middle = (row.start + row.end) / 2 if row else times[len(times) // 2]
        return shard.frames(video, np.array([np.abs(times - middle).argmin()]))[0]

    def action(self, name: str) -> str:
        """Return what is done in a clip, or its name."""
        row = self._rows.get(name)
        return (row.action if row else "") or name


def _spread(numbers: Sequence[int], count: int) -> list[int]:
    """Return ``count`` of the numbers, spread evenly over them."""
    count = min(count, len(numbers))
    return [numbers[(2 * i + 1) * len(numbers) // (2 * count)] for i in range(count)]


def _named_sets(
    sets: set_files.Sets, rows: "Sequence[Named]", tree: Taxonomy, pictures: Thumbnails, count: int, who: str
) -> list[Block]:
    whole = {row.record: row for row in rows if row.subset == keys(sets.n)[-1]}
    shown = []
    for wanted in (True, False):
        found = sorted(record for record, row in whole.items() if row.hit == wanted)
        shown += _spread(found, count // 2) if found and count > 1 else []
    if not shown:
        return []
    made = []
    for record in shown:
        row, names = whole[record], [sets.names[i] for i in sets.items[record]]
        told = [f"true: {_path(tree, row.label)}", f"told: {_path(tree, row.predicted)}"]
        tiles = tuple(Tile(pictures[name], (pictures.action(name),)) for name in names)
        made.append(Row(tuple(told), tiles, row.hit))
    alt = "; ".join(f"{whole[r].label}, told {whole[r].predicted}" for r in shown)
    caption = (
        f"Sets of the test and what {who} takes for what they have in common, with the way to it from the root: green where it is"
        " one of the nearest common ancestors, else orange."
    )
    return [Figure(f"Sets named right and wrong: {alt}", caption, image=sheet(made))]


def _path(tree: Taxonomy, node: str) -> str:
    return " > ".join(tree.names[label] for label in tree.path(tree.label(node))[::-1])


def _records(rows: "Sequence[Placed]", task: str) -> dict[int, "list[Placed]"]:
    found: dict[int, list[Placed]] = {}
    for row in rows:
        if row.task == task:
            found.setdefault(row.record, []).append(row)
    return found


def _rankings(rows: "Sequence[Placed]", pictures: Thumbnails, count: int, who: str) -> list[Block]:
    records = _records(rows, "completion")
    made = []
    for record in _spread(sorted(records), count):
        told = sorted(records[record], key=lambda row: row.distance)
        best = min(row.truth for row in told)
        tiles = tuple(
            Tile(
                pictures[row.video],
                (pictures.action(row.video), f"told {max(0.0, row.distance):.2f}", f"true {max(0.0, row.truth):.2f}"),
                row.truth == best,
                i == 0,
            )
            for i, row in enumerate(told)
        )
        made.append(Row((f"candidates to join: {told[0].common}",), tiles, told[0].truth == best))
    if not made:
        return []
    caption = (
        f"Candidates in the order of {who}, nearest first, with told and true distances; a frame around the truly nearest, green"
        " where it comes first."
    )
    return [Figure(f"{len(made)} rankings of candidates", caption, image=sheet(made))]


def _odd(rows: "Sequence[Placed]", pictures: Thumbnails, count: int, who: str) -> list[Block]:
    records = _records(rows, "odd")
    made = []
    for record in _spread(sorted(records), count):
        members = sorted(records[record], key=lambda row: row.place)
        farthest = max(members, key=lambda row: row.distance)
        tiles = tuple(
            Tile(
                pictures[row.video],
                (pictures.action(row.video), f"{max(0.0, row.distance):.2f}{' (told)' if row is farthest else ''}"),
                row.truth > 0,
                row is farthest,
            )
            for row in members
        )
        told = f"told: {pictures.action(farthest.video)}"
        made.append(Row((f"all but one: {members[0].common}", told), tiles, farthest.truth > 0))
    if not made:
        return []
    caption = (
        f"Sets with an odd one, which has a frame around it, green where it is told, and the distances of {who}: the farthest is"
        " told."
    )
    return [Figure(f"{len(made)} sets with an odd one", caption, image=sheet(made))]

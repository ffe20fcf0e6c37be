"""The stage `segmentation-section`: which models were trained, how well they cut videos, what their states are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kinoflow.errors import DataError
from kinoflow.media.sample import evenly
from kinoflow.progress import log
from kinoflow.report import section as sections
from kinoflow.report.results import labels_seen
from kinoflow.report.section import Block, Callout, Column, Figure, Heading, Section, Table, Text, code, counted
from kinoflow.stage import In, Out
from kinoflow.store.tables import Segment, Video, read
from kinoflow.tasks.segmentation import drawing, results, states
from kinoflow.tasks.segmentation.options import SegmentationSectionOptions
from kinoflow.tasks.segmentation.pictures import Pictures, sheet
from kinoflow.tasks.segmentation.results import Run
from kinoflow.tasks.segmentation.timelines import Bar, Lane, timeline

if TYPE_CHECKING:
    from kinoflow.tasks.segmentation.evaluate import Found, Near

ORDER = 40
FRAMES = 12  # most pictures below a timeline
FREE = ("uniform", "clock", "kmeans", "mixture")  # of as many states as the run, which get labels as its own do
BASELINES = (*FREE, "majority", "sample", "canonical", "narration", "gaussian")
LEARNT = ("linear", "mlp", "tagger", "truth")
ABOUT = {
    "uniform": "each video in equal parts",
    "clock": "the time since the video's beginning, in equal parts of the longest training video",
    "kmeans": "the nearest of the centres that k-means finds in the training rows",
    "mixture": "the likeliest component of a Gaussian mixture of the training rows",
    "majority": "the commonest label of the task in the training",
    "sample": "labels drawn as often as the training has them",
    "canonical": "the task's steps in their order, all as long",
    "narration": "the first step in whose windows a row lies",
    "gaussian": "the likeliest label of each row by itself, with a Gaussian for each label from labelled training rows",
    "linear": "a linear classifier of single rows, trained on labels",
    "mlp": "a classifier of single rows with a hidden layer, trained on labels",
    "tagger": "a recurrent network that reads the whole video, trained on labels",
    "truth": "the true labels, one a row: the most that can be reached",
    "outside": "predictions that others made",
}
MEASURES = (
    ("rows right", ("pooled", "mof")),
    ("rows of steps right", ("pooled", "mof_non_bg")),
    ("edit", ("pooled", "edit")),
    ("F1@25", ("pooled", "f1_25")),
    ("step recall", ("pooled", "center_step_recall_non_bg")),
)


def segmentation_section(
    metrics: list[In],
    histories: list[In],
    predictions: list[In],
    models: list[In],
    videos: In,
    segments: In,
    section: Out,
    options: SegmentationSectionOptions,
    frames: list[In] | None = None,
    states_tables: list[In] | None = None,
) -> None:
    """Make the report's section on the segmentation runs of a dataset.

    metrics: the measures of every run and seed, at .../<run>/seed-<number>/<file> as all files of runs
    histories: the tables of likelihoods during training
    predictions: the tables of segments found
    models: the checkpoints; one of each run is enough
    videos: the dataset's table of videos
    segments: the dataset's table of labelled segments
    section: the section file to write
    frames: shards of the dataset's frames, for pictures; without them there are none
    states_tables: the tables of states that the tests have written, for the frames nearest to states
    """
    runs = results.read_runs(metrics, histories, predictions, models)
    names = sorted({run.trained.dataset for run in runs})
    if len(names) > 1:
        raise DataError(f"models: runs of different datasets ({', '.join(names)}) do not go into one section")
    rows, known = read(segments, Segment), {row.video: row for row in read(videos, Video)}
    pictures = Pictures(frames or ())
    best = results.best_run(runs)
    blocks = [
        *_opening(runs, best, options.seen),
        _models(runs),
        *_accuracies(runs, best),
        *_likelihoods(runs),
        *_curves(runs),
    ]
    shown = best or runs[0]
    seed = shown.typical()
    if options.timelines:
        blocks += _timelines(shown, seed, rows, known, pictures, options.timelines)
    near = _near(states_tables or (), shown.name, shown.model_seed)
    of = shown.model_seed if shown.model_seed in shown.seeds else seed
    blocks += states.blocks(shown, of, rows, near, pictures, options.states, options.nearest)
    title = f"Segmentation: {names[0]}" if names[0] else "Segmentation"
    sections.write(section, Section(title, ORDER, tuple(blocks), _summary(runs, best)))
    log.info("segmentation: %d runs", len(runs))


def _near(paths: Iterable[Path], run: str, seed: int) -> "list[Near]":
    from kinoflow.tasks.segmentation.evaluate import Near

    for path in paths:
        if (path.parent.parent.name, path.parent.name) == (run, f"seed-{seed}"):
            return read(path, Near)
    return []


# ---------------------------------------------------------------- in words


def _opening(runs: Sequence[Run], best: Run | None, seen: Mapping[str, str]) -> list[Block]:
    first = next(iter(runs[0].seeds.values())).metrics
    unlabelled = int(first.get("unannotated", 0))
    said = (
        f"{counted(len(runs), 'hidden semi-Markov model')}, tested on {counted(first['videos'], 'video')}"
        f" ({counted(first['rows'], 'row')} of features)."
    )
    if unlabelled:
        said += f" Nobody has labelled {unlabelled} of {first['videos']}: these count in the likelihood, and are scored nowhere."
    found: list[Block] = [Text(said), *labels_seen(seen)]
    unsupervised = [run for run in runs if not run.trained.labelled]
    if unsupervised and best:
        found.append(
            Text(
                "States of models that learnt without labels are given the labels with which the most rows of the test are"
                " right (Hungarian assignment); k-means and the cuts that look at no feature get the same help."
            )
        )
    if best is None:
        return [*found, Callout("No tested video has a label: only likelihoods can be told.", "warning")]
    return [*found, Callout(_finding(best, code))]


def _finding(best: Run, mark: Callable[[str], str] = str) -> str:
    """Say what the best run reaches, beside the best of its baselines (of a run without labels those that saw none), and k-means."""
    share = best.mean(*results.ACCURACY) or 0.0
    rivals = BASELINES if best.trained.labelled else FREE
    means = {name: best.mean("baselines", name, *results.ACCURACY) for name in rivals}
    known = {name: mean for name, mean in means.items() if mean is not None}
    said = f"{mark(best.name)} puts {share:.1%} of the rows into the right step"
    if not known:
        return f"{said}."
    first = max(known, key=lambda name: known[name])
    how = "more than" if share > known[first] else "less than" if share < known[first] else "as many as"
    said += f", {how} the best baseline, {mark(first)}: {known[first]:.1%}"
    return said + (f" ({mark('kmeans')}: {known['kmeans']:.1%})." if "kmeans" in known and first != "kmeans" else ".")


def _summary(runs: Sequence[Run], best: Run | None) -> str:
    return _finding(best) if best else f"{counted(len(runs), 'run')}; no tested video has a label."


# ---------------------------------------------------------------- tables and curves


def _models(runs: Sequence[Run]) -> Table:
    columns = (
        Column("run", "name"),
        Column("model"),
        Column("seeds", "number", "d"),
        Column("parameters", "number", "d"),
        Column("NLL of a row", "number", ".3f"),
        Column("one Gaussian", "number", ".3f"),
        Column("NLL of a video", "number", ".1f"),
    )
    rows = tuple(
        (
            run.name,
            run.described(),
            len(run.seeds),
            int(run.mean("parameters") or 0),
            run.mean("nll", "per_row"),
            run.mean("nll", "gaussian_per_row"),
            run.mean("nll", "per_video"),
        )
        for run in runs
    )
    notes = (
        "Negative log likelihood of the tested rows in nats, full constants: comparable only between models of the same features.",
    )
    return Table("Models", columns, rows, notes=notes)


def _accuracies(runs: Sequence[Run], best: Run | None) -> list[Block]:
    if best is None:
        return []
    columns = (Column("run or baseline", "name"), Column("states", "number", "d"))
    columns += tuple(Column(name, "number", ".1%") for name, _ in MEASURES)
    scored = [run for run in runs if run.mean(*results.ACCURACY) is not None]
    rows: list[tuple] = [(run.name, run.states, *(run.mean(*keys) for _, keys in MEASURES)) for run in scored]
    seen: set[tuple] = set()
    for run in scored:
        for place in (("outside",), *(("baselines", name) for name in (*BASELINES, *LEARNT))):
            values = tuple(run.mean(*place, *keys) for _, keys in MEASURES)
            row = (place[-1], run.states if place[-1] in FREE else None, *values)
            if values[0] is not None and row not in seen:
                seen.add(row)
                rows.append(row)
    highlight = tuple(n for n, row in enumerate(rows[: len(scored)]) if row[0] == best.name)
    notes = (
        "Means over seeds. Rows right: background counts. Edit: one minus edit distance of the steps' sequence; F1@25: segments"
        " that overlap a true one by a quarter of their union; step recall: steps in the middle of whose prediction they are.",
    )
    shown = {row[0] for row in rows[len(scored) :]}
    notes += ("; ".join(f"{name}: {said}" for name, said in ABOUT.items() if name in shown) + ".",)
    if any(name in shown for name in FREE):
        free = ", ".join(name for name in FREE if name in shown)
        notes += (
            f"{free}: as many parts or clusters as the run has states, with the labels that make the most rows right.",
        )
    return [Table("Rows and segments told right", columns, tuple(rows), notes=notes, highlight=highlight)]


def _likelihoods(runs: Sequence[Run]) -> list[Block]:
    """Return a figure for each set of features that models without labels read: nats of different ones say nothing together."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if not run.trained.labelled and run.options.models == "mixed" and run.values("nll", "per_row"):
            groups.setdefault(run.rows_read(), []).append(run)
    return [_likelihood(own, len(groups) > 1) for own in groups.values()]


def _likelihood(runs: Sequence[Run], one_of_several: bool) -> Figure:
    series: dict[str, dict[int, list[float]]] = {}
    for run in runs:
        how = run.options.model
        name = "dense" if how.rank is None else f"rank {how.rank}"
        name += ", geometric durations" if how.duration == "geometric" else ""
        series.setdefault(name, {}).setdefault(run.states, []).extend(run.values("nll", "per_row").values())
    names = sorted(series, key=lambda name: (not name.startswith("rank"), len(name), name))
    which = f" ({', '.join(run.name for run in runs)}, which read the same features)" if one_of_several else ""
    caption = f"Lower is better. Dots are seeds, lines go through their means.{which}"
    picture = drawing.likelihoods({name: series[name] for name in names})
    return Figure("Negative log likelihood of a test row against states and rank", caption, svg=picture)


def _curves(runs: Sequence[Run]) -> list[Block]:
    """Return curves of validation, or of training where there is none; and of followed videos, which choose nothing."""
    learnt = _curve(runs, "validation/nll_per_row", "NLL of a validation row")
    learnt = learnt or _curve(runs, "train/nll_per_row", "NLL of a training row")
    names = sorted({split for run in runs for split in run.options.follow_on})
    return learnt + _curve(runs, "followed/nll_per_row", f"NLL of a row of {', '.join(names)}")


def _curve(runs: Sequence[Run], column: str, words: str) -> list[Block]:
    found = {}
    for run in runs:
        seeds = [[(row["epoch"], row[column]) for row in own.history if column in row] for own in run.seeds.values()]
        seeds = [curve for curve in seeds if len(curve) > 1]
        if seeds and run.options.models == "mixed":
            found[run.name] = seeds
    return (
        [Figure(f"{words} during training", "A line for each seed.", svg=drawing.curves(found, words))] if found else []
    )


# ---------------------------------------------------------------- timelines


def _timelines(
    run: Run, seed: int, segments: Sequence[Segment], videos: dict[str, Video], pictures: Pictures, count: int
) -> list[Block]:
    column = run.options.labels.column
    truth: dict[str, list[Segment]] = {}
    for row in segments:
        if not row.phase and getattr(row, column):
            truth.setdefault(row.video, []).append(row)
    told: dict[str, list[Found]] = {}
    for found in run.seeds[seed].predictions:
        told.setdefault(found.video, []).append(found)
    names = [name for name in told if name in truth] or list(told)
    chosen = [names[n] for n in evenly(len(names), min(count, len(names)))] if names else []
    blocks: list[Block] = []
    for name in chosen:
        own, true = told[name], sorted(truth.get(name, ()), key=lambda row: row.start)
        lanes = [
            _lane("true", [Bar(row.start, row.end, getattr(row, column)) for row in true], name, pictures),
            _lane("found", [Bar(row.start, row.end, _name(row), row.posterior) for row in own], name, pictures),
        ]
        task = videos[name].task if name in videos else ""
        shown = f"{name}{f' ({task})' if task else ''}"
        said = f"{shown}: true steps, and those that {run.name}, seed {seed}, finds"
        blocks.append(Figure(said, f"{shown}, {run.name}, seed {seed}: {_caption(own)}", svg=timeline(lanes)))
        blocks += _frames(name, own, pictures)
    if not blocks:
        return []
    text = (
        "Above the true steps, below what was found; the same step has the same colour in both. White: background. Below each"
        " segment the frame in its middle, as much of it as there is room for."
    )
    return [Heading("Timelines"), Text(text), *blocks]


def _lane(title: str, bars: Sequence[Bar], video: str, pictures: Pictures) -> Lane:
    """Return a lane of bars with the frames in their middles, where the video has frames."""
    return Lane(title, tuple(bars), pictures.at(video, [(bar.start + bar.end) / 2 for bar in bars]))


def _name(row: "Found") -> str:
    return "" if row.step.split(" ")[-1].startswith("BKG") else row.step or f"state {row.state}"


def _caption(own: "Sequence[Found]") -> str:
    sure = sum(row.posterior * (row.end - row.start) for row in own) / max(
        1e-9, sum(row.end - row.start for row in own)
    )
    return f"{counted(len(own), 'segment')}; the probability of the state that is told is {sure:.0%} on average."


def _frames(video: str, own: "Sequence[Found]", pictures: Pictures) -> list[Block]:
    """Return the middle frame of the longest segments, in their order."""
    longest = sorted(sorted(own, key=lambda row: (row.start - row.end, row.start))[:FRAMES], key=lambda row: row.start)
    found = pictures.at(video, [(row.start + row.end) / 2 for row in longest])
    if not found:
        return []
    said = "; ".join(f"{row.start:.1f}–{row.end:.1f} s {row.step or f'state {row.state}'}" for row in longest)
    alt = f"Middle frames of the longest segments of {video}"
    return [
        Figure(
            alt,
            f"{video}: middle frames of its longest segments, in order: {said}.",
            image=sheet([found], least=FRAMES // 2),
        )
    ]

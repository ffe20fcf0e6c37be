"""The stage `anticipation-section`: what students foresee, with and without a teacher, and where they look."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kinoflow.datasets.actions import Classes, Rows, read_classes, read_rows
from kinoflow.errors import ConfigError
from kinoflow.metrics.anticipation import gains as class_gains
from kinoflow.progress import log
from kinoflow.report import section as sections
from kinoflow.report.results import at, labels_seen, numbers, placed, told
from kinoflow.report.section import Block, Callout, Column, Figure, Heading, Section, Table, Text, code
from kinoflow.stage import Folder, In, Out
from kinoflow.tasks.anticipation import data, drawing
from kinoflow.tasks.anticipation.evaluate import STUDENT, TEACHER, Prediction, window_of
from kinoflow.tasks.anticipation.mistakes import WORDS
from kinoflow.tasks.anticipation.options import AnticipationSectionOptions
from kinoflow.tasks.anticipation.results import Run, best_run, read_runs
from kinoflow.tasks.anticipation.rollout import Later
from kinoflow.tasks.anticipation.strips import examples, spread, strips

ORDER = 60
MOST = 8  # classes with the largest gains, and as many with the largest losses
MEASURES = (("top1", "top-1"), ("top5", "top-5"), ("class_mean", "class mean"), ("recall5", "mean top-5 recall"))


def anticipation_section(
    metrics: list[In],
    histories: list[In],
    predictions: list[In],
    scores: list[In],
    models: list[In],
    actions: In,
    classes: In,
    section: Out,
    options: AnticipationSectionOptions,
    features: list[In] | None = None,
    root: Folder | None = None,
    frames: list[In] | None = None,
    fusions: list[In] | None = None,
    summaries: list[In] | None = None,
    later: list[In] | None = None,
) -> None:
    """Make the report's section on the students of a dataset.

    metrics: the measures of every run and seed, at .../<run>/seed-<number>/<file> as all files of runs
    histories: the tables of losses and scores during training
    predictions: the tables of predictions
    scores: the scores, HDF5
    models: the checkpoints
    actions: the table of actions
    classes: the table of classes
    section: the section file to write
    features: the shards of features, for the picture of attention; without them there is none
    root: a folder of feature files, in place of shards
    frames: shards of the dataset's frames, for pictures of what was seen; without them there are none
    fusions: the measures of sums of students, at places alike
    summaries: the means over students or sums, at places alike
    later: the tables of later steps; without them none that is rolled out is shown
    """
    runs = read_runs(metrics, histories, predictions, scores, models, later or ())
    table = read_classes(classes)
    rows = read_rows(actions, table)
    pairs = _pairs(runs, options.pairs)
    shown = pairs[0] if pairs else (best_run(runs),)
    blocks: list[Block] = [
        *_opening(runs, pairs, options),
        _results(runs, pairs, options.teachers),
        *_together(fusions or (), summaries or (), options),
        *_gains(pairs, table),
        *_errors(runs, pairs),
        *_correlated(pairs[0][0] if pairs else best_run(runs)),
        *_curves(runs),
        *examples(shown, rows, frames or (), options.videos),
        *_rolled_out(runs, shown[0], rows, frames or (), options.videos),
        *_attention(runs, pairs, rows, table, features, root),
    ]
    title = f"Anticipation: {table.dataset}"
    sections.write(section, Section(title, ORDER, tuple(blocks), _summary(runs, pairs)))
    log.info("anticipation: %d runs", len(runs))


Pair = tuple[Run, Run]  # with a teacher, without


def _pairs(runs: Sequence[Run], wanted: Mapping[str, str]) -> list[Pair]:
    by_name = {run.name: run for run in runs}
    for name in (name for pair in wanted.items() for name in pair):
        if name not in by_name:
            raise ConfigError(f"pairs: there is no run {name!r}; the runs are {', '.join(by_name)}")
    return [(by_name[a], by_name[b]) for a, b in wanted.items()]


# ---------------------------------------------------------------- in words


def gain(pair: Pair, key: str) -> list[float]:
    """Return the gains of a measure, one for each seed that both have."""
    own, other = (run.values("action", key) for run in pair)
    return [own[seed] - other[seed] for seed in sorted(own.keys() & other.keys())]


def _points(values: Sequence[float]) -> str:
    return f"{100 * sum(values) / len(values):+.1f}".replace("-", "−") if values else ""


def _summary(runs: Sequence[Run], pairs: Sequence[Pair]) -> str:
    run = pairs[0][0] if pairs else best_run(runs)
    said = f"{run.name} foresees {told(run.values('action', 'top1').values())} of the next actions"
    for pair in pairs[:1]:
        said += f", {_points(gain(pair, 'top1'))} points over {pair[1].name}, which has no teacher"
    return said + "."


def _opening(runs: Sequence[Run], pairs: Sequence[Pair], options: AnticipationSectionOptions) -> list[Block]:
    tested = sorted({int(result.metrics["samples"]) for run in runs for result in run.seeds.values()})
    windows = dict.fromkeys(_window(run) for run in runs)
    said = f"{len(runs)} runs, tested on {'–'.join(map(str, tested))} actions. What is seen: {'; '.join(windows)}."
    known = {run.name: options.policies.get(run.name) or _policy(run) for run in runs}
    taught = ", ".join(f"{code(name)} {policy}" for name, policy in known.items() if policy)
    if taught:
        said += f" History policy of the teachers: {taught}."
    found: list[Block] = [Text(said), *labels_seen(options.seen)]
    for pair in pairs:
        gains = gain(pair, "top1")
        if gains:
            each = ", ".join(_points([value]) for value in gains)
            text = f"{code(pair[0].name)} over {code(pair[1].name)}: {_points(gains)} points top-1, {_points(gain(pair, 'top5'))} top-5"
            found.append(Callout(f"{text} (seed by seed: {each})."))
    return found


def _trained(run: Run):
    from kinoflow.tasks.anticipation.scoring import read_checkpoint

    return read_checkpoint(run.seeds[run.typical()].model)


def _window(run: Run) -> str:
    return window_of(_trained(run).options)


def _policy(run: Run) -> str:
    return ", ".join(dict.fromkeys(_trained(run).teaching.get("policies", ())))


# ---------------------------------------------------------------- tables and figures


def _results(runs: Sequence[Run], pairs: Sequence[Pair], teachers: Mapping[str, str]) -> Table:
    over = {pair[0].name: pair for pair in pairs}
    titles = [title for _, title in MEASURES]
    titles[1:1] = ["top-1 gain"] if pairs else []  # beside top-1
    columns = (Column("run", "name"), Column("seeds", "number", "d"), *(Column(title, "number") for title in titles))

    def line(name: str, seeds: int | None, cells: Sequence[str], gained: str = "") -> tuple:
        return (name, seeds, cells[0], *((gained,) if pairs else ()), *cells[1:])

    rows = []
    for run in runs:
        cells = [told(run.values("action", key).values()) for key, _ in MEASURES]
        rows.append(
            line(run.name, len(run.seeds), cells, _points(gain(over[run.name], "top1")) if run.name in over else "")
        )
    beside = [
        *(
            (" ".join(("teacher", name)).strip(), of, ("teacher", "action"))
            for name, of in _taught_by(runs, teachers).items()
        ),
        ("majority", runs, ("baselines", "majority")),
        ("chance", runs, ("baselines", "chance")),
    ]
    for name, of, keys in beside:
        values = [sorted({v for run in of for v in run.values(*keys, key).values()}) for key, _ in MEASURES]
        if any(values):
            rows.append(line(name, None, [told(each) for each in values]))
    best = runs.index(best_run(runs))
    notes = (
        "Mean over seeds, and the lowest and highest. Class mean: mean recall of the classes present. Teachers are told the true"
        " labels of what was done before. Majority: always the actions that training has most of.",
    )
    return Table("Next actions foreseen", columns, tuple(rows), notes=notes, highlight=(best,) if len(runs) > 1 else ())


def _taught_by(runs: Sequence[Run], teachers: Mapping[str, str]) -> dict[str, list[Run]]:
    """Return the runs of each teacher; those of which it is not known stand together, as of ""."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        if run.values("teacher", "action", "top1"):
            found.setdefault(teachers.get(run.name, ""), []).append(run)
    return found


def _together(fusions: Sequence[Path], summaries: Sequence[Path], options: AnticipationSectionOptions) -> list[Block]:
    found: dict[tuple[str, str], list[dict]] = {}
    for kind, paths in (("fusions", fusions), ("summaries", summaries)):
        for (name, _), path in placed(paths).items():
            found.setdefault((kind, name), []).append(numbers(path))
    if not found:
        return []
    columns = (
        *(Column("name", "name"), Column("what"), Column("seeds", "number", "d")),
        *(Column(title, "number") for _, title in MEASURES),
    )
    rows = []
    for (kind, name), seeds in found.items():
        last = ("mean",) if kind == "summaries" else ()
        cells = ([at(each, ("action", key, *last)) for each in seeds] for key, _ in MEASURES)
        shares = (told(value for value in values if value is not None) for values in cells)
        rows.append((name, options.together.get(f"{kind}.{name}", ""), len(seeds), *shares))
    return [Table("Students together", columns, tuple(rows), notes=("Mean over seeds, and the lowest and highest.",))]


def _gains(pairs: Sequence[Pair], table: Classes) -> list[Block]:
    found: list[Block] = [Heading("Which actions the teacher helps to foresee")] if pairs else []
    for ours, theirs in pairs:
        own, other = _recalls(ours, theirs, table), _recalls(theirs, ours, table)
        ranked = list(class_gains(other, own).items())
        if not any(value for _, value in ranked):
            found.append(Text(f"None: {code(ours.name)} and {code(theirs.name)} foresee as much of every action."))
            continue
        shown = ranked if len(ranked) <= 2 * MOST else [*ranked[:MOST], *ranked[-MOST:]]
        rows = [(table.names[number], value) for number, value in shown]
        best = ", ".join(f"{name} {_points([value])}" for name, value in rows[:3])
        left = "" if len(shown) == len(ranked) else f" The {MOST} largest and the {MOST} smallest of {len(ranked)}."
        caption = (
            f"Recall of each action, {code(ours.name)} less {code(theirs.name)}, mean over the seeds of both.{left}"
        )
        found.append(Figure(f"Gains of actions: {best}", caption, svg=drawing.gains(rows)))
    return found


def _recalls(run: Run, other: Run, table: Classes) -> dict[int, float]:
    """Return the mean recall of each class over the seeds that both runs have."""
    seeds = sorted(run.seeds.keys() & other.seeds.keys()) or sorted(run.seeds)
    found: dict[int, list[float]] = {}
    for seed in seeds:
        for name, share in run.seeds[seed].metrics["recall"].items():
            found.setdefault(table.names.index(name), []).append(share)
    return {number: sum(shares) / len(shares) for number, shares in found.items()}


def _errors(runs: Sequence[Run], pairs: Sequence[Pair]) -> list[Block]:
    """Return the table of who is right where: of pairs with the same student without a teacher as ``base``."""
    rows: list[tuple[str, str, float]] = []
    for pair in pairs:
        seeds = sorted(pair[0].seeds.keys() & pair[1].seeds.keys())
        counts = [_three(*(run.seeds[seed].predictions for run in pair)) for seed in seeds]
        counts = [each for each in counts if each]
        rows += [(pair[0].name, who, float(np.mean([each[who] for each in counts]))) for who in (counts or [{}])[0]]
    paired = {row[0] for row in rows}
    for run in (run for run in runs if run.name not in paired):
        counts = [result.metrics["errors"] for result in run.seeds.values() if "errors" in result.metrics]
        for who in counts[0] if counts else ():
            rows.append((run.name, who, float(np.mean([each.get(who, 0) for each in counts]))))
    if not rows:
        return []
    columns = (Column("run", "name"), Column("who is right"), Column("actions", "number", ".1f"))
    notes = ("Mean over seeds. Base: the same student without a teacher.",) if paired else ("Mean over seeds.",)
    return [Table("Who errs where", columns, tuple(rows), notes=notes)]


def _three(taught: Sequence[Prediction], alone: Sequence[Prediction]) -> dict[str, int]:
    """Count the actions by whether teacher, student without and student with it are right; none where no teacher told."""
    told = ((TEACHER, taught), (STUDENT, alone), (STUDENT, taught))
    right = [{row.uid: row.predicted == row.label for row in rows if row.by == by} for by, rows in told]
    uids = set.intersection(*map(set, right))
    found = Counter(tuple(each[uid] for each in right) for uid in uids)
    names = {
        bits: ", ".join(f"{who} {WORDS[bit]}" for who, bit in zip((TEACHER, "base", STUDENT), bits, strict=True))
        for bits in itertools.product((False, True), repeat=3)
    }
    return {name: found[bits] for bits, name in names.items()} if uids else {}


def _correlated(run: Run) -> list[Block]:
    """Return the classes whose probabilities rise and fall together the most, in the run's typical seed."""
    told = run.seeds[run.typical()].metrics.get("correlated") or []
    if not told:
        return []
    columns = (Column("class"), Column("class"), Column("correlation", "number", ".2f"))
    rows = tuple((each["first"], each["second"], each["correlation"]) for each in told)
    return [Table("Classes that are expected together", columns, rows, notes=(f"Of {code(run.name)}, one seed.",))]


def _curves(runs: Sequence[Run]) -> list[Block]:
    histories = {run.name: [result.history for result in run.seeds.values()] for run in runs}
    columns = {name for seeds in histories.values() for rows in seeds for row in rows for name in row}
    wanted = {
        "loss: next action": "train/cls_action",
        "loss: teacher": "train/distill",
        "training: top-1": "train/action_top1",
        "validation: top-1": "validation/action_top1",
    }
    panels = {title: column for title, column in wanted.items() if column in columns}
    if not panels:
        return []
    last = [
        f"{run} {next((rows[-1].get('train/cls_action', 0.0) for rows in seeds if rows), 0.0):.3g}"
        for run, seeds in histories.items()
    ]
    caption = "By optimisation step; losses times their weights. Thick: mean over seeds; thin: each seed."
    alt = f"Training curves; loss of the next action at the end: {', '.join(last)}"
    return [Heading("Training"), Figure(alt, caption, svg=drawing.curves(histories, panels))]


# ---------------------------------------------------------------- what comes after the next step


def _rolled_out(runs: Sequence[Run], first: Run, rows: Rows, frames: Sequence[Path], count: int) -> list[Block]:
    """Return the steps that students roll out before some actions, with what was done then, and the frames that they had seen.

    first: the run whose windows are shown already.
    """
    place = {str(uid): i for i, uid in enumerate(rows.uid)}
    lines, blocks = [], []
    for run in runs:
        result = run.seeds[run.typical()]
        by_uid: dict[str, list[Later]] = {}
        for step in result.later:
            if step.predicted:
                by_uid.setdefault(step.uid, []).append(step)
        uids = [uid for uid in spread(result.scores.uids, rows, place, count) if uid in by_uid]
        end = dict(zip(result.scores.uids, result.scores.end.tolist(), strict=True))
        lines += [_later(step, run.name, end[uid]) for uid in uids for step in by_uid[uid]]
        blocks += strips(uids, rows, place, result.scores, frames) if run is not first else []
    if not lines:
        return []
    columns = (
        *(Column("before", "name"), Column("by", "name"), Column("seconds after", "number"), Column("expected")),
        *(Column("probability (%)", "number", ".1f"), Column("done then")),
    )
    notes = (
        "Each step that is predicted from the one before, classified as the next action is. Done then: what most of the step"
        " shows in the annotation (of single frames: the last moment), — for nothing.",
    )
    table = Table("Steps that are rolled out", columns, tuple(lines), notes=notes)
    return [Heading("What is expected later"), *blocks, table]


def _later(step: Later, run: str, end: float) -> tuple:
    """Return the line of a step. end: of what was seen, seconds."""
    said = f"✓ {step.predicted}" if step.predicted == step.label else step.predicted
    after = f"{step.start - end:.1f}–{step.end - end:.1f}"
    return step.uid, run, after, said, 100 * (step.probability or 0.0), step.label or "—"


# ---------------------------------------------------------------- where it looks


def _attention(
    runs: Sequence[Run],
    pairs: Sequence[Pair],
    rows: Rows,
    table: Classes,
    features: Sequence[Path] | None,
    root: Path | None,
) -> list[Block]:
    """Return the picture of where a student looks before the action in the middle of the tested ones."""
    if not features and root is None:
        return []
    run = pairs[0][0] if pairs else best_run(runs)
    trained, scores = _trained(run), run.seeds[run.typical()].scores
    network = trained.network.network
    if network.head != "avt_h" or network.backbone != "identity" or network.aggregator in ("mean", "transformer"):
        return []
    from kinoflow.features.arithmetic import Arithmetic
    from kinoflow.tasks.anticipation.scoring import Scorer
    from kinoflow.training.devices import device_of

    i = len(scores.uids) // 2
    row = int(np.flatnonzero(rows.uid == scores.uids[i])[0])
    source = data.source(trained.options, table, rows, features, None, root)
    reader = data.Reader(source, trained.options, rows, ("action",), False)
    seen = reader.seen(rows.video[row], float(scores.start[i]), float(scores.end[i]))
    said = Scorer(trained.network, Arithmetic(device_of("cpu"))).said(seen.x[None], np.array([seen.length]), maps=True)
    n = seen.length
    maps = [weights[0].mean(0)[:n, :n].numpy() for weights in said.forecast.maps]
    done = [table.names[k] if k >= 0 else "—" for k in seen.past["action"][:n]]
    caption = (
        f"{code(run.name)} before {code(str(scores.uids[i]))} ({table.names[int(scores.targets[i])]}): mean over heads of"
        " how much each step (row, with what is done in it) looks at the steps up to itself (columns)."
    )
    alt = f"Attention of {len(maps)} layers over {n} steps; what comes next is told from the last row"
    return [Heading("Where it looks"), Figure(alt, caption, svg=drawing.attention(maps, seen.times[:n], done))]

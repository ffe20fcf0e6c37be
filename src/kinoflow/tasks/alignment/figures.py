"""The stage `alignment-section`: which networks were trained, how well they align clips, and what that looks like."""

from collections.abc import Mapping, Sequence

from kinoflow.errors import DataError
from kinoflow.progress import log
from kinoflow.report import section as sections
from kinoflow.report.results import labels_seen
from kinoflow.report.section import Block, Callout, Section, Text, code
from kinoflow.stage import In, Out
from kinoflow.store.files import parse_json
from kinoflow.store.shards import Shard
from kinoflow.tasks.alignment import comparison, data, results, showcase, training_views
from kinoflow.tasks.alignment.comparison import told
from kinoflow.tasks.alignment.options import AlignmentSectionOptions
from kinoflow.tasks.alignment.results import Run

ORDER = 50


def alignment_section(
    metrics: list[In],
    histories: list[In],
    models: list[In],
    embeddings: list[In],
    videos: In,
    segments: In,
    section: Out,
    options: AlignmentSectionOptions,
    frames: list[In] | None = None,
    splits: list[str] | None = None,
) -> None:
    """Make the report's section on the alignment runs of a dataset.

    metrics: the measures of every run and seed, at .../<run>/seed-<number>/<file> as all files of runs
    histories: the tables of losses and scores during training
    models: the checkpoints; one of each run is enough
    embeddings: the shards of vectors that tests have written; the best run's are enough
    videos: the dataset's table of videos
    segments: the dataset's table of labelled segments
    section: the section file to write
    frames: shards of the dataset's frames, for pictures; without them there are none
    splits: the splits that were tested on; test if not given
    """
    runs = results.read_runs(metrics, histories, models, embeddings)
    if not runs:
        raise DataError("metrics: no run is given; train and test one first")
    names = sorted({run.dataset for run in runs})
    if len(names) > 1:
        raise DataError(f"models: runs of different datasets ({', '.join(names)}) do not go into one section")
    best = results.best_run(runs)
    blocks = [
        *_opening(runs, best, options.seen),
        comparison.networks(runs),
        *comparison.measured(runs, best),
        *comparison.low_labels(runs, best),
        *comparison.ablations(runs, best),
        *comparison.curves(runs),
        *_example(best, videos, segments, frames or (), splits or ("test",)),
    ]
    title = f"Alignment: {names[0]}" if names[0] else "Alignment"
    sections.write(section, Section(title, ORDER, tuple(blocks), _summary(best)))
    log.info("alignment: %d runs", len(runs))


# ---------------------------------------------------------------- in words


def _summary(best: Run) -> str:
    parts, key = [], results.key_of("AP", best)
    if tau := best.values("tau", "test"):
        untrained = told(best.values("untrained", "tau", "test").values(), 2)
        parts.append(
            f"{best.name} keeps the order of frames with a tau of {told(tau.values(), 2)} (untrained {untrained})"
        )
    if best.values(*key):
        raw = told(best.values("pixels", *key).values(), 2)
        parts.append(f"AP@{key[1]} {told(best.values(*key).values(), 2)}, raw pixels {raw}")
    if parts:
        return "; ".join(parts) + "."
    others = [(name, found) for name in results.MEASURES if (found := best.values(*results.key_of(name, best)))]
    said = [f"{comparison.title(name, best)} {told(found.values(), 2)}" for name, found in others]
    return f"{best.name}: {', '.join(said)}." if said else _unmeasured(best)


def _unmeasured(best: Run) -> str:
    if comparison.tested(best) == 1:
        return "One test clip: the order of frames and the same moments are measured between clips; two are needed."
    return f"Nothing could be measured of {best.name}."


def _opening(runs: Sequence[Run], best: Run, seen: Mapping[str, str]) -> list[Block]:
    clips = comparison.tested(best)
    said = (
        f"A network gives every frame a vector, so that the same moment of an action has the same vector in every clip."
        f" {len(runs)} {'run' if len(runs) == 1 else 'runs'}, trained on {best.clips} {'clip' if best.clips == 1 else 'clips'}"
        " without labels unless said otherwise,"
        f" and tested on {clips} {'other' if clips == 1 else 'others'}."
    )
    found: list[Block] = [
        Text(said),
        Text(f"Labels that the backbone of {code(best.name)} had seen: {best.seen}."),
        *labels_seen(seen),
    ]
    if clips == 1:
        found.append(Callout(_unmeasured(best), "warning"))
    clock = best.values("clock", "tau", "test")
    own = best.values("tau", "test")
    if clock and own and max(clock.values()) >= min(own.values()):
        text = f"A clock alone has a tau of {told(clock.values())}: tau tells less about the networks here than what is found by them."
        found.append(Callout(text, "warning"))
    at = results.key_of("AP", best)[-1]
    gains = [
        (name, best.values("over", "untrained", key)) for name, key in (("tau", "tau"), (f"AP@{at}", f"retrieval_{at}"))
    ]
    told_gains = [f"{name} {told(values.values())}" for name, values in gains if values]
    if told_gains:
        finding = f"{code(best.name)} over the same network untrained: {', '.join(told_gains)}."
        found.append(Callout(finding))
    return found


# ---------------------------------------------------------------- an example


def _example(best: Run, videos: In, segments: In, frames: Sequence[In], splits: Sequence[str]) -> list[Block]:
    """Return pictures of the best run's typical seed, and of what it was trained on; nothing if its vectors are not given."""
    having = [seed for seed, result in best.seeds.items() if result.embeddings]
    if not having:
        return []
    seed = best.typical() if best.typical() in having else having[0]
    path, who = best.seeds[seed].embeddings, f"{best.name}, seed {seed}"
    shard = Shard(path)
    every = int(parse_json(shard.attrs.get("options", "{}")).get("every", 1))
    pictures = best.options.network.backbone != "features" and bool(frames)
    if not pictures:
        example = showcase.Example.of(_bare(shard), path, 1)
        return showcase.blocks(example, None, best.options.network.normalise, who) if example else []
    source = data.sources(best.options, frames, (), None).read
    by_split = data.clips(segments, videos, source, best.options)
    trained = [clip for split in best.options.train_on for clip in by_split.get(split, ())]
    example = showcase.Example.of(_largest(data.chosen(by_split, splits, "splits")), path, every)
    shown = training_views.blocks(trained, source, best.options, best.mirror, best.name)
    if example is None:
        return shown
    return [*shown, *showcase.blocks(example, source, best.options.network.normalise, who, every)]


def _largest(clips: Sequence[data.Clip]) -> list[data.Clip]:
    """Return the clips of the set that has the most of them, the first of equals."""
    return max(data.by_set(clips).values(), key=len)


def _bare(shard: Shard) -> list[data.Clip]:
    """Return the clips of a shard of vectors, of which nothing but the times of their frames is known."""
    return [data.Clip(name, name, 0, shard.times(name), ("",) * len(shard.times(name))) for name in shard.videos]

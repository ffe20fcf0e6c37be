"""The stage `recognition-section`: which networks were trained, how well they tell clips apart, and where they err."""

from collections import Counter
from collections.abc import Sequence

from kinoflow.errors import DataError
from kinoflow.progress import log
from kinoflow.report import section as sections
from kinoflow.report.section import Block, Callout, Section, Text, code, counted
from kinoflow.stage import In, Out
from kinoflow.store.tables import Segment, Video, read
from kinoflow.tasks.recognition import comparison, results
from kinoflow.tasks.recognition.comparison import clips, heads, span
from kinoflow.tasks.recognition.data import steps, whole_videos
from kinoflow.tasks.recognition.mistakes import confusions
from kinoflow.tasks.recognition.options import SectionOptions
from kinoflow.tasks.recognition.recall import bits, groups
from kinoflow.tasks.recognition.results import Run
from kinoflow.tasks.recognition.strips import strips

ORDER = 30
NAMED = 5  # classes that a sentence names


def recognition_section(
    metrics: list[In],
    histories: list[In],
    predictions: list[In],
    confusion: list[In],
    models: list[In],
    videos: In,
    segments: In,
    section: Out,
    options: SectionOptions,
    frames: list[In] | None = None,
    fusions: list[In] | None = None,
) -> None:
    """Make the report's section on the recognition runs of a dataset.

    metrics: the measures of every run and seed, at .../<run>/seed-<number>/<file> as all files of runs
    histories: the tables of losses and scores during training
    predictions: the tables of predictions
    confusion: the tables of confusions
    models: the checkpoints; one of each run is enough
    videos: the dataset's table of videos
    segments: the dataset's table of labelled segments
    section: the section file to write
    frames: shards of the dataset's frames, for pictures of clips; without them there are none
    fusions: the measures of ensembles of these runs, at places alike
    """
    runs = results.read_runs(metrics, histories, predictions, confusion, models, options.tests)
    data = Clips(segments, videos)
    names = sorted({run.dataset for run in runs})
    if len(names) > 1:
        raise DataError(f"models: runs of different datasets ({', '.join(names)}) do not go into one section")
    head = results.main_head(runs)
    best = results.best_run(runs, head)
    blocks = [
        *_opening(runs, head, best, data),
        *_warnings(runs, data),
        comparison.networks(runs),
        *comparison.accuracies(runs, head),
        *comparison.ensembles(fusions or (), options.together, runs, head),
        *groups(runs, head, lambda run: (data.training(run), data.tested(run))),
        *bits(runs, head),
        *comparison.curves(runs),
    ]
    seed = best.typical(head) if best else None
    if best and seed is not None:
        rows = [row for row in best.seeds[seed].predictions if row.head == head]
        blocks += confusions(best, head, seed)
        blocks += strips(rows, data.by_name, frames or (), f"{best.name}, seed {seed},")
    title = f"Recognition: {names[0]}" if names[0] else "Recognition"
    sections.write(section, Section(title, ORDER, tuple(blocks), _summary(runs, head, best)))
    log.info("recognition: %d runs", len(runs))


class Clips:
    """The labelled segments of a dataset, as runs use them."""

    def __init__(self, segments: In, videos: In):
        self._rows = whole_videos(videos) | steps(segments, videos)
        self._recordings = {row.video: row.recording for row in read(videos, Video)}
        self.by_name = {row.segment: row for rows in self._rows.values() for row in rows}
        self._splits = {row.segment: split for split, rows in self._rows.items() for row in rows}

    def training(self, run: Run) -> list[Segment]:
        """Return the clips that a run was trained on."""
        held = set(run.options.hold_out)
        rows = (row for split in dict.fromkeys(run.options.train_on) for row in self._rows.get(split, ()))
        return [row for row in rows if self._recordings[row.video] not in held]

    def tested(self, run: Run) -> list[Segment]:
        """Return the clips that a run was tested on; DataError if the table has them no more."""
        lost = [name for name in run.tested if name not in self.by_name]
        if lost:
            raise DataError(
                f"{run.name}: the tested clip {lost[0]!r} is not in the table of segments; test the run again"
            )
        return [self.by_name[name] for name in run.tested]

    def splits(self, run: Run) -> list[str]:
        """Return the splits that tested clips are of."""
        return sorted({self._splits[row.segment] for row in self.tested(run)})


# ---------------------------------------------------------------- in words


def _summary(runs: Sequence[Run], head: str, best: Run | None) -> str:
    if best is None:
        return f"{counted(len(runs), 'run')}; no tested clip has a label."
    top1 = list(best.values(head, "top1").values())
    chance = list(best.values(head, "chance", "top1").values())
    number = clips([best], head)
    said = f"{best.name} tells {_mean(top1)} of {number} test {'clip' if number == '1' else 'clips'} right ({head})"
    others = [f"{run.name} {_mean(found)}" for run in runs if run is not best and (found := _top1(run, head))]
    return f"{said}; {', '.join([*others, f'chance {_mean(chance)}'])}."


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.1%}"


def _top1(run: Run, head: str) -> list[float]:
    return list(run.values(head, "top1").values())


def _opening(runs: Sequence[Run], head: str, best: Run | None, data: Clips) -> list[Block]:
    seeds = span(len(run.seeds) for run in runs)
    classes = {of: span(len(run.heads[of]) for run in runs if of in run.heads) for of in heads(runs, head)}
    among = ", ".join(f"{code(of)} ({number})" for of, number in classes.items())
    splits = sorted({split for run in runs for split in data.splits(run)})
    tested = span(len(run.tested) for run in runs)
    said = (
        f"{counted(len(runs), 'run')} with {seeds} {'seed' if seeds == '1' else 'seeds'} each, tested on"
        f" {tested} {'clip' if tested == '1' else 'clips'} of {_listed(splits)}."
        f" What is told, and among how many classes: {among}."
    )
    if best is None:
        return [Text(said), Callout(f"No tested clip has a label of {code(head)}: nothing can be measured.", "warning")]
    top1 = _top1(best, head)
    over = f", the mean of {len(top1)} seeds" if len(top1) > 1 else " with one seed"
    finding = f"{code(best.name)} tells the most clips right: {_mean(top1)} of {clips([best], head)}{over}."
    return [Text(said), *([Callout(finding)] if len(runs) > 1 else [])]


def _warnings(runs: Sequence[Run], data: Clips) -> list[Block]:
    found: list[Block] = []
    memory: dict[str, list[str]] = {}
    for run in runs:
        known = {row.segment for row in data.training(run)}
        again = sum(row.segment in known for row in data.tested(run))
        if again:
            part = f"all {again}" if again == len(run.tested) else f"{again} of {len(run.tested)}"
            memory.setdefault(part, []).append(run.name)
    for part, names in memory.items():
        text = f"Memory test: {part} test clips of {_listed(names)} are training clips too; this tells what was learnt by heart"
        found.append(Callout(f"{text}, not what becomes of clips that were never seen.", "warning"))
    unseen: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        for head in run.heads:
            lost = run.unseen(head)
            if lost:
                unseen.setdefault((head, _classes(lost)), []).append(run.name)
    for (head, classes), names in unseen.items():
        text = (
            f"Not in the training clips of {_listed(names)}: {classes}. Nothing told of these test clips can be right"
        )
        found.append(Callout(f"{code(head)}: {text}; they count as wrong.", "warning"))
    return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(code, names))


def _classes(lost: Counter[str]) -> str:
    ranked = sorted(lost, key=lambda name: (-lost[name], name))
    more = f" and {len(ranked) - NAMED} more" if len(ranked) > NAMED else ""
    kinds = "class" if len(ranked) == 1 else "classes"
    return f"{len(ranked)} {kinds} with {counted(lost.total(), 'clip')} ({_listed(ranked[:NAMED])}{more})"

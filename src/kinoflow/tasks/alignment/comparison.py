"""Runs side by side: tables of networks, of how well they align beside what needs no training, and of ablations."""

from collections.abc import Iterable, Sequence
from statistics import mean
from typing import TYPE_CHECKING

from kinoflow.report import style
from kinoflow.report.section import Block, Column, Figure, Table
from kinoflow.tasks.alignment import results
from kinoflow.tasks.alignment.results import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

BASELINES = {"clock": "clock", "pixels": "raw pixels", "untrained": "untrained"}
NAMES = {
    "tau": "Kendall's tau",
    "AP": "AP@{}",
    "phases": "phases ({} %)",
    "progress": "progress ({} %)",
    "probe": "probe ({} %)",
}
EXPLAINED = {
    "tau": "Tau: whether nearest neighbours keep the order of frames.",
    "AP": "AP@K: share of a frame's K nearest frames in other clips that are of its phase.",
    "phases": "Phases: frames told right by a linear classifier, from the labels of so many training clips.",
    "progress": "Progress: R² of a regression, from the labels of so many training clips.",
    "probe": "Probe: frames told right by FineGym's linear probe, from the labels of so many training clips.",
}
CLOCK = "A clock knows the share of the clip that has passed and nothing else: tau says little where it is high for it."
MINUS = "−"


def told(values: Iterable[float], digits: int = 3) -> str:
    """Say the mean of some seeds, and behind it the lowest and highest, if these differ: ``0.71 (0.68–0.74)``; a dash of none.

    >>> told([0.5, 0.25], 2)
    '0.38 (0.25–0.50)'
    """
    found = list(values)
    if not found:
        return "–"
    text, low, high = (f"{value:.{digits}f}" for value in (mean(found), min(found), max(found)))
    text += f" ({low}–{high})" if low != high else ""
    return text.replace("-", MINUS)


def networks(runs: Sequence[Run]) -> Table:
    """Return the table of networks: what they are, what they were trained on, what labels their backbones had seen."""
    columns = (
        Column("run", "name"),
        Column("network"),
        Column("backbone"),
        Column("stages frozen", "number"),
        Column("reads"),
        Column("trained for", "number"),
        Column("labels that its backbone had seen"),
    )
    rows = []
    for run in runs:
        network, view, training = run.options.network, run.options.sampling, run.options.training
        length = f"{training.steps} steps" if training.steps else f"{training.epochs} epochs"
        reads = (
            f"{view.frames} frames, {run.options.augment.size} px"
            if network.backbone != "features"
            else f"{view.frames} rows"
        )
        frozen = "–" if network.backbone == "features" else str(network.frozen)
        rows.append(
            (
                run.name,
                results.described(run),
                network.backbone,
                frozen,
                reads,
                f"{length} × {training.batch}",
                run.seen,
            )
        )
    note = "Trained for: length × clips of a step. Labels seen: by the weights that the training began with, and in it."
    return Table("The networks", columns, tuple(rows), notes=(note,))


def tested(run: Run) -> int:
    """Return the number of clips that a run was tested on."""
    return int(next(iter(run.values("clips").values()), 0))


def measured(runs: Sequence[Run], best: Run) -> list[Block]:
    """Return the table of all measures, with a clock, raw pixels and the untrained network beside the runs; none of none."""
    having = [name for name in results.MEASURES if any(run.values(*results.key_of(name, run)) for run in runs)]
    if not having:
        return []
    keys = {name: results.key_of(name, best) for name in having}
    columns = (
        Column("run", "name"),
        Column("seeds", "number", "d"),
        *(Column(title(name, best), "number") for name in having),
    )
    rows: list[tuple] = [
        (run.name, len(run.seeds), *(told(run.values(*keys[name]).values()) for name in having)) for run in runs
    ]
    for key, name in BASELINES.items():
        said = f"{name} {best.name}" if key == "untrained" else name
        rows.append((said, None, *(told(sorted({*best.values(key, *keys[each]).values()})) for each in having)))
    clips = tested(best)
    explained = " ".join(dict.fromkeys(EXPLAINED[name] for name in having))
    notes = (f"The mean over seeds, and the lowest and highest of them. {explained}", CLOCK)
    caption = f"How well {clips} test clips are aligned" if clips != 1 else "How well one test clip is told"
    return [Table(caption, columns, tuple(rows), notes if "tau" in having else notes[:1], (runs.index(best),))]


def title(name: str, run: Run) -> str:
    """Return the title of a measure's column, as a run's metrics have it: ``AP@5``, ``phases (100 %)``."""
    keys = results.key_of(name, run)
    return NAMES[name].format(keys[1].replace("_", ".") if len(keys) > 1 else "")


def low_labels(runs: Sequence[Run], best: Run) -> list[Block]:
    """Return the table of phases told right from few labels; nothing if one share only was tested."""
    parts = results.shares(best, "phases")
    if len(parts) < 2:
        return []
    columns = (Column("run", "name"), *(Column(f"{part.replace('_', '.')} %", "number") for part in parts))
    rows = [(run.name, *(told(run.values("classification", part, "test").values()) for part in parts)) for run in runs]
    for key, name in BASELINES.items():
        rows.append((name, *(told(best.values(key, "classification", part, "test").values()) for part in parts)))
    return [Table("Phases told right, by the share of training clips whose labels are used", columns, tuple(rows))]


def ablations(runs: Sequence[Run], best: Run) -> list[Block]:
    """Return the table of what other options cost, in pairs of seeds; nothing with a single run."""
    others = [run for run in runs if run is not best]
    if not others:
        return []
    columns = (
        Column("run", "name"),
        Column(f"differs from {best.name} in"),
        Column("tau", "number"),
        Column("AP", "number"),
        Column("phases", "number"),
    )
    rows = []
    for run in others:
        said = ", ".join(results.differing(run, best)) or "nothing but its first weights or data"
        rows.append((run.name, said, *(_gap(run, best, name) for name in ("tau", "AP", "phases"))))
    note = "Differences to it, in the mean over the seeds that both have; below 0: worse than it."
    return [Table(f"What makes a difference to {best.name}", columns, tuple(rows), notes=(note,))]


def _gap(run: Run, best: Run, name: str) -> str:
    key = results.key_of(name, best)
    own, other = run.values(*key), best.values(*key)
    both = sorted(own.keys() & other.keys())
    if not both:
        return "–"
    return f"{mean(own[seed] - other[seed] for seed in both):+.3f}".replace("-", MINUS)


def curves(runs: Sequence[Run]) -> list[Block]:
    """Return the figure of losses during training; nothing if none were recorded."""
    lines = {run.name: [_line(result.history) for result in run.seeds.values()] for run in runs}
    kept = {name: [line for line in found if line[0]] for name, found in lines.items()}
    kept = {name: found for name, found in kept.items() if found}
    if not kept:
        return []

    def draw(figure: "Canvas") -> None:
        axes = figure.subplots()
        for number, (name, found) in enumerate(kept.items()):
            colour, dash = style.SERIES[number % len(style.SERIES)], style.LINES[number % len(style.LINES)]
            for i, (x, y) in enumerate(found):
                how = {"marker": "o", "markersize": 4} if len(x) == 1 else {}  # of one point there is no line
                axes.plot(x, y, color=colour, linestyle=dash, linewidth=1.0, label=name if i == 0 else None, **how)
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        figure.legend(loc="outside lower center", ncols=4)

    caption = "Losses while training, a line for each seed. Losses of different algorithms do not compare."
    return [Figure("Losses during training", caption, svg=style.svg(draw, 6.5, 3.2))]


def _line(history: Sequence[results.Row]) -> tuple[list[float], list[float]]:
    pairs = [(row["step"], row["train/loss"]) for row in history if "train/loss" in row and "step" in row]
    return [x for x, _ in pairs], [y for _, y in pairs]

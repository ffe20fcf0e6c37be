"""What the states of a model are: how often, how long, what they stand for, and the frames that look most like them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kinoflow.report.section import Block, Column, Figure, Heading, Table, Text, code
from kinoflow.store.tables import Segment
from kinoflow.tasks.segmentation.pictures import Pictures, sheet
from kinoflow.tasks.segmentation.results import Run

if TYPE_CHECKING:
    from kinoflow.tasks.segmentation.evaluate import Found, Near


@dataclass(frozen=True)
class State:
    """A state, as the tested videos show it."""

    number: int
    share: float  # of the tested time
    segments: int
    seconds: float  # of a segment, mean
    step: str  # the label that it stands for
    truth: tuple[tuple[str, float], ...]  # true steps in its time, with their shares, the largest first


def states_of(found: "Sequence[Found]", segments: Sequence[Segment], column: str) -> list[State]:
    """Return the states that occur, the most frequent first."""
    total = sum(row.end - row.start for row in found) or 1.0
    truth: dict[str, list[Segment]] = {}
    for row in segments:
        if not row.phase:
            truth.setdefault(row.video, []).append(row)
    states: dict[int, list[Found]] = {}
    for row in found:
        if row.state >= 0:
            states.setdefault(row.state, []).append(row)
    made = [_state(number, own, truth, column, total) for number, own in states.items()]
    return sorted(made, key=lambda state: (-state.share, state.number))


def _state(number: int, own: "Sequence[Found]", truth: dict[str, list[Segment]], column: str, total: float) -> State:
    seconds, named, labelled = 0.0, dict[str, float](), 0.0
    for row in own:
        seconds += row.end - row.start
        labelled += (row.end - row.start) * (row.video in truth)
        for true in truth.get(row.video, ()):
            common = min(row.end, true.end) - max(row.start, true.start)
            if common > 0:
                name = getattr(true, column)
                named[name] = named.get(name, 0.0) + common
    ranked = sorted(named, key=lambda name: (-named[name], name))
    shares = tuple((name, named[name] / labelled) for name in ranked[:3]) if labelled else ()
    return State(number, seconds / total, len(own), seconds / len(own), own[0].step, shares)


def blocks(
    run: Run,
    seed: int,
    segments: Sequence[Segment],
    near: "Sequence[Near]",
    pictures: Pictures,
    count: int,
    nearest: int,
) -> list[Block]:
    """Return a table of the most frequent states, and a figure for each with the frames nearest to its mean."""
    if not count:
        return []
    found = states_of(run.seeds[seed].predictions, segments, run.options.labels.column)
    shown = found[:count]
    if not shown:
        return []
    expected = _expected(run) if seed == run.model_seed else {}
    columns = (
        Column("state", "number", "d"),
        Column("share of time", "number", ".1%"),
        Column("segments", "number", "d"),
        Column("mean segment, s", "number", ".2f"),
        Column("duration of the model, s", "number", ".2f"),
        Column("stands for"),
        Column("true steps in its time"),
    )
    rows = tuple(
        (each.number, each.share, each.segments, each.seconds, expected.get(each.number), each.step, _truth(each))
        for each in shown
    )
    said = (
        f"{len(found)} of {run.states} states occur in the tested videos. A segment is a run of one state; the model's duration"
        " is the rate of its Poisson distribution: longer runs are several segments of the model."
    )
    table = Table(f"States of {run.name}, seed {seed}: the {len(shown)} most frequent", columns, rows, notes=(said,))
    return [Heading("States"), table, *_figures(run, seed, shown, near, pictures, nearest)]


def _truth(state: State) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in state.truth)


def _expected(run: Run) -> dict[int, float]:
    """Return the mean duration of each state in seconds, as the model has it."""
    if len(run.trained.models) > 1:
        return {}
    model = next(iter(run.trained.models.values()))
    table = model.duration_table().detach().double().numpy()[1:]  # (K - 1, L) log factors of 1 .. K - 1 rows
    weights = np.exp(table - table.max(axis=0))
    rows = (weights * np.arange(1, len(table) + 1)[:, None]).sum(axis=0) / weights.sum(axis=0)
    return {number: float(rows[number]) * run.trained.seconds for number in range(len(rows))}


def _figures(
    run: Run, seed: int, shown: Sequence[State], near: "Sequence[Near]", pictures: Pictures, nearest: int
) -> list[Block]:
    made: list[Block] = []
    for state in shown:
        rows = [row for row in near if row.state == state.number][:nearest]
        frames = [picture for row in rows for picture in pictures.at(row.video, [row.time])]
        if frames:
            where = ", ".join(f"{row.video} at {row.time:.1f} s" for row in rows)
            said = f"State {state.number}" + (f" ({state.step})" if state.step else "")
            made.append(Figure(f"{said}: the frames nearest to its mean", f"{said}: {where}.", image=sheet([frames])))
    if not made:
        return []
    said = f"The frames whose features are nearest to each state's mean, of different videos ({code(run.name)}, seed {seed})."
    return [Text(said), *made]

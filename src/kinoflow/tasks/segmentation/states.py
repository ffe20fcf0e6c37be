"""What the states of a model are: how often, how long, what they stand for, and the frames that look most like them.

Beside a table of the most frequent ones, each has a page of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kinoflow.report.section import Block, Column, Figure, Heading, Table, Text, code, counted
from kinoflow.store.tables import Segment
from kinoflow.tasks.segmentation import drawing
from kinoflow.tasks.segmentation.pictures import Pictures, sheet
from kinoflow.tasks.segmentation.results import Run

if TYPE_CHECKING:
    from kinoflow.tasks.segmentation.evaluate import Found, Near

PLACES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of a segment whose frames are averaged
AVERAGED = 200  # segments


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
    """Return a table of the most frequent states, and a page for each: durations, mean segment, frames nearest to its mean."""
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
        f"States that occur in the tested videos: {len(found)} of {run.states}. A segment is a run of one state; the model's duration"
        " is the rate of its Poisson distribution: longer runs are several segments of the model. It counts rows, which in the"
        f" training last {run.trained.seconds:.3g} s (median)."
    )
    most = f"the {len(shown)} most frequent" if len(shown) > 1 else "the most frequent"
    table = Table(f"States of {run.name}, seed {seed}: {most}", columns, rows, notes=(said,))
    pages = [block for state in shown for block in _page(run, seed, state, near, pictures, nearest)]
    return [Heading("States"), table, *pages]


def _truth(state: State) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in state.truth)


def _expected(run: Run) -> dict[int, float]:
    """Return the mean duration of each state in seconds, as the model has it."""
    shares = _durations(run)
    if shares is None:
        return {}
    rows = np.arange(1, len(shares) + 1) @ shares
    return {number: float(rows[number]) * run.trained.seconds for number in range(len(rows))}


def _durations(run: Run) -> np.ndarray | None:
    """Return how likely a segment of each state has 1 .. K - 1 rows, (K - 1, L).

    None of models of single tasks, and of hidden Markov models, whose segments have one row each.
    """
    if len(run.trained.models) > 1 or run.options.model.duration == "geometric":
        return None
    model = next(iter(run.trained.models.values()))
    table = model.duration_table().detach().double().numpy()[1:]  # log factors of 1 .. K - 1 rows
    weights = np.exp(table - table.max(axis=0))
    return weights / weights.sum(axis=0)


# ---------------------------------------------------------------- a page for each


def _page(run: Run, seed: int, state: State, near: "Sequence[Near]", pictures: Pictures, nearest: int) -> list[Block]:
    """Return a state's page: what it is in words, how long it lasts, its mean segment, the frames nearest to its mean."""
    own = [row for row in run.seeds[seed].predictions if row.state == state.number]
    named = f"State {state.number}" + (f": {state.step}" if state.step else "")
    said = (
        f"{state.share:.1%} of the tested time, {counted(state.segments, 'segment')} of {state.seconds:.2f} s on average"
        f" ({code(run.name)}, seed {seed})."
    )
    truth = ", ".join(f"{code(name)} {share:.0%}" for name, share in state.truth)
    said += f" True steps in its time: {truth}." if truth else ""
    seconds, shares = run.trained.seconds, _durations(run) if seed == run.model_seed else None
    model = [] if shares is None else [(rows * seconds, share) for rows, share in enumerate(shares[:, state.number], 1)]
    line = " Line: the model's own, of which a longer one found is several." if model else ""
    drawn = drawing.durations([row.end - row.start for row in own], model, seconds)
    blocks: list[Block] = [
        Heading(named),
        Text(said),
        Figure(f"{named}: how long its segments last", f"Bars: segments found.{line}", svg=drawn),
    ]
    means, count = _mean_segment(own, pictures)
    rows = [row for row in near if row.state == state.number][:nearest]
    frames = [picture for row in rows for picture in pictures.at(row.video, [row.time])]
    if not means:
        return blocks
    said = f"Above, the mean of the frames of {counted(count, 'segment')}, {', '.join(f'{p:.0%}' for p in PLACES)} of the way through."
    if frames:
        said += f" Below, nearest to its mean: {', '.join(f'{row.video} at {row.time:.1f} s' for row in rows)}."
    alt = f"{named}: its mean segment, and the frames nearest to its mean"
    return [*blocks, Figure(alt, said, image=sheet([means, frames] if frames else [means]))]


def _mean_segment(own: "Sequence[Found]", pictures: Pictures) -> tuple[list[np.ndarray], int]:
    """Return the mean of segments' frames at some places between beginning and end, and of how many; none without frames."""
    sums: np.ndarray | None = None
    count = 0
    for row in own[:AVERAGED]:
        frames = pictures.at(row.video, [row.start + place * (row.end - row.start) for place in PLACES])
        if frames and (sums is None or sums.shape[1:] == frames[0].shape):
            sums = np.stack(frames).astype(np.float64) + (0 if sums is None else sums)
            count += 1
    if sums is None:
        return [], 0
    return list(np.round(sums / count).astype(np.uint8)), count

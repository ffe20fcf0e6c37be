"""The stage `segment`: a video, or a file of its features, cut into steps by a checkpoint alone."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from kinoflow.errors import ConfigError, DataError
from kinoflow.progress import log
from kinoflow.stage import In, Out
from kinoflow.store import tables
from kinoflow.store.files import write_text
from kinoflow.tasks.segmentation.constraints import Constraints
from kinoflow.tasks.segmentation.options import SegmentOptions
from kinoflow.tasks.segmentation.scoring import Told, decoded
from kinoflow.tasks.segmentation.sources import rows_of
from kinoflow.tasks.segmentation.timelines import Bar, Lane, timeline
from kinoflow.tasks.segmentation.trained import MIXED, Trained, read_checkpoint
from kinoflow.training.devices import arithmetic, device_of

DIGITS = 6  # of numbers in the table
SAID = 8  # segments that are said where no table is asked for


@dataclass(frozen=True, kw_only=True)
class Step:
    """A row of the table: a segment of the video."""

    start: float  # seconds
    end: float
    state: int
    step: str  # "" where states stand for no labels
    posterior: float


def segment(
    source: In,
    checkpoint: In,
    options: SegmentOptions,
    weights: In | None = None,
    table: Out | None = None,
    picture: Out | None = None,
    device: str = "auto",
    threads: int = 1,
) -> None:
    """Cut one video into steps, with a checkpoint alone.

    source: the video, or its features: npy, npz, HDF5, or a feature shard
    checkpoint: model.safetensors of a segmentation run, in its folder
    weights: the weights of the network behind the features of a video, where the checkpoint's folder has no copy of them
    table: a table to write: start, end, state, step, posterior; without table and picture the longest segments are said
    picture: a timeline to write, SVG
    device: cpu, cuda, or auto: CUDA where there is some
    threads: processor threads of torch
    """
    trained, where = read_checkpoint(checkpoint), device_of(device)
    _check_task(trained, options.task)
    rows, edges = rows_of(source, trained, checkpoint.parent, options, weights, device)
    model = trained.model_of(options.task).to(where)
    limited = None
    if trained.labelled and options.task:
        limited = Constraints(states=torch.tensor(trained.vocabulary.classes_of(options.task), device=where))
    with arithmetic(where, threads), torch.no_grad():
        kind = next(model.parameters()).dtype
        x = torch.from_numpy(rows).to(where, kind)[None]
        told = decoded(model, x, torch.tensor([len(rows)], device=where), limited, options.decode)[0]
    if not told.possible:
        raise DataError(f"{source}: the model allows for no segmentation of its {len(rows)} rows")
    found = _steps(told, edges, trained)
    if table is not None:
        tables.write(table, found, Step)
    if picture is not None:
        write_text(picture, drawn(source, found))
    if table is None and picture is None:
        _say(found)
    log.info("%r: %d segments", source.name, len(found))


def _check_task(trained: Trained, task: str) -> None:
    if task and task not in trained.vocabulary.tasks and task not in trained.models:
        known = ", ".join(map(repr, sorted(trained.vocabulary.tasks))) or "none"
        raise ConfigError(f"task: the checkpoint knows no task {task!r}; known are {known}")
    if not task and MIXED not in trained.models:
        raise ConfigError(
            f"task: the checkpoint has a model for each task; give one of {', '.join(sorted(trained.models))}"
        )


def _steps(told: Told, edges: np.ndarray, trained: Trained) -> list[Step]:
    names = trained.vocabulary.names
    return [
        Step(
            start=round(float(edges[first]), DIGITS),
            end=round(float(edges[end]), DIGITS),
            state=state,
            step=names[state] if trained.labelled else "",
            posterior=round(sure, DIGITS),
        )
        for state, first, end, sure in told.segments
    ]


def drawn(source: Path, found: list[Step]) -> str:
    """Return the timeline of a video as SVG."""
    bars = tuple(Bar(row.start, row.end, row.step or f"state {row.state}", row.posterior) for row in found)
    return timeline([Lane(source.name, bars)])


def _say(found: list[Step]) -> None:
    longest = sorted(found, key=lambda row: (row.start - row.end, row.start))[:SAID]
    for row in sorted(longest, key=lambda row: row.start):
        log.info(
            "%.2f s to %.2f s: %s (%.0f %%)", row.start, row.end, row.step or f"state {row.state}", 100 * row.posterior
        )

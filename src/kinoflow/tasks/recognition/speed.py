"""The stage `recognition-speed`: how long networks take for a clip, and for a frame of a running video, on this machine.

What it writes differs from run to run, so it does not belong among results: the report shows it with time and memory.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

from kinoflow.errors import ConfigError
from kinoflow.progress import Progress
from kinoflow.report import section as sections
from kinoflow.report.section import Column, Section, Table
from kinoflow.stage import In, Out
from kinoflow.tasks.recognition import results

ORDER = 999
LEAST, MOST, SECONDS = 5, 50, 1.0  # passes that are timed: at least, at most, and for how long
Row = tuple[str, str, str, float, float | None]


def recognition_speed(models: list[In], section: Out) -> None:
    """Measure how long networks take for a clip and for a frame, on one thread of this machine's processor.

    models: the checkpoints; the first of each run is measured
    section: the section file to write; the page shows its table in the section on time and memory
    """
    networks: dict[str, Path] = {}
    for path in sorted(models):
        networks.setdefault(path.parent.parent.name, path)
    rows: list[Row] = []
    with Progress("speed of networks", total=len(networks), items="networks") as progress:
        for name, path in networks.items():
            rows.append(_measured(name, path))
            progress.step()
    columns = (
        Column("run", "name"),
        Column("network"),
        Column("reads"),
        Column("ms for a clip", "number", ".1f"),
        Column("ms for a frame of a running video", "number", ".1f"),
    )
    notes = (
        "Median time of the network alone, on one thread of the processor, one view of a clip at a time. A dash: the network"
        " cannot read frames one by one, for it looks ahead or puts several together.",
    )
    table = Table("How long networks take for a clip and for a frame", columns, tuple(rows), notes=notes)
    sections.write(section, Section("Speed of recognition", ORDER, (table,)))


def _measured(name: str, path: Path) -> Row:
    import torch

    from kinoflow.tasks.recognition.scoring import read_checkpoint

    trained = read_checkpoint(path)
    shape = results.view(trained.options)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            clip = torch.zeros(1, *shape)
            whole = _milliseconds(lambda: trained.network(clip))
            streamed = _streamed(trained.network, trained.options.input.kind)
            one = streamed and _milliseconds(lambda: streamed(clip[:, 0]))
    finally:
        torch.set_num_threads(threads)
    return name, results.described(trained.options), results.seen(trained.options), whole, one


def _streamed(network, kind: str) -> Callable | None:
    """Return what reads frame after frame; None if the network cannot."""
    from kinoflow.tasks.recognition.stream import FrameByFrame

    if kind == "flow":  # a running video brings none
        return None
    try:
        return FrameByFrame(network).scores
    except ConfigError:
        return None


def _milliseconds(work: Callable[[], object]) -> float:
    """Return the median time of a call; the first one is not counted."""
    work()
    found: list[float] = []
    while len(found) < LEAST or (len(found) < MOST and sum(found) < SECONDS):
        began = perf_counter()
        work()
        found.append(perf_counter() - began)
    return 1000 * median(found)

"""The stage `segmentation-speed`: what a step of training costs with more and more states, on this machine.

What it writes differs from run to run, so it does not belong among results: the report shows it with time and memory.
"""

from statistics import median
from time import process_time

from kinoflow.progress import Progress
from kinoflow.report import section as sections
from kinoflow.report.section import Block, Column, Figure, Section, Table
from kinoflow.stage import In, Out
from kinoflow.tasks.segmentation import drawing

ORDER = 999
STATES, DENSE = (16, 32, 64, 128, 256, 512), (16, 32, 64, 128, 256)
FRAMES, LONGEST, RANK = 150, 20, 16  # of the made-up video, as in the specification's table
TIMED, PATIENCE = 5, 20.0  # steps that are timed; seconds after which a series ends


def segmentation_speed(models: list[In], section: Out) -> None:
    """Measure what a step of training costs against the number of states, low rank and dense, on one thread of the processor.

    models: the checkpoints; the first one says how wide rows are
    section: the section file to write; the page shows it in the section on time and memory
    """
    from kinoflow.tasks.segmentation.trained import read_checkpoint

    width = len(read_checkpoint(sorted(models)[0]).columns)
    found = measured(width)
    columns = (Column("model"), Column("states", "number"), Column("CPU seconds of a step", "number", ".4f"))
    rows = tuple((name, states, seconds) for name, points in found.items() for states, seconds in points.items())
    said = f"{FRAMES} rows of {width} columns, longest segment {LONGEST - 1} rows, rank {RANK}"
    blocks: tuple[Block, ...] = (
        Figure(
            "CPU seconds of a step against hidden states, low rank and dense",
            f"Likelihood and gradient of one video: {said}. Both axes are logarithmic: low rank grows with the states, dense with"
            " their square.",
            svg=drawing.costs(found),
        ),
        Table(
            "What a step of segmentation's training costs", columns, rows, notes=(f"Median of {TIMED} steps; {said}.",)
        ),
    )
    sections.write(section, Section("Cost of segmentation", ORDER, blocks))


def measured(width: int) -> dict[str, dict[int, float]]:
    """Return CPU seconds of a step by kind of model and number of states."""
    series = {f"low rank ({RANK})": (STATES, RANK), "dense": (DENSE, None)}
    found: dict[str, dict[int, float]] = {name: {} for name in series}
    total = sum(len(states) for states, _ in series.values())
    with Progress("cost of segmentation", total=total, items="models") as progress:
        for name, (states, rank) in series.items():
            for each in states:
                spent = _seconds(each, width, rank)
                found[name][each] = spent
                progress.step()
                if spent * TIMED > PATIENCE:
                    break
    return found


def _seconds(states: int, width: int, rank: int | None) -> float:
    import torch

    from kinoflow.tasks.segmentation.model import SegmentModel

    model = SegmentModel(states, width, rank=rank, longest=LONGEST)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, FRAMES, width, generator=generator)
    model.start_emissions(torch.randn(states, width, generator=generator), torch.ones(width))
    lengths, spent = torch.tensor([FRAMES]), []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(TIMED + 1):  # the first one is not counted
            began = process_time()
            (-model.log_likelihood(x, lengths).mean()).backward()
            spent.append(process_time() - began)
    finally:
        torch.set_num_threads(threads)
    return median(spent[1:])

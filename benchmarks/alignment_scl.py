"""The sequence contrastive loss against its formulas written out over the whole batch.

    python benchmarks/alignment_scl.py                  about a minute; --repeats 15; --json FILE adds a line

Forward and backward of 4 videos x 2 views x 240 frames, D = 128, float32, one thread, negatives single_noself; without
padding, and with 45 of 240 frames of every view padded (padded frames of the whole batch are negatives of weight 1e-6).
Both sides see the same numbers; that loss and gradient agree is checked in the run.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from measure import Case, measure, write_line

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
VIDEOS, FRAMES, WIDTH, LENGTH = 4, 240, 128, 900
PADDED = (0, 45)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="rounds, each measures everything once")
    parser.add_argument("--json", metavar="FILE", help="append the numbers as one JSON line")
    given = parser.parse_args()
    for padded in PADDED:
        arguments = {"padded": padded, "repeats": given.repeats}
        times = measure(Case(f"{padded} padded", both_ways, arguments, imports)).value
        ratios = [b / a for a, b in zip(times["blocks"], times["written out"], strict=True)]
        ours, theirs = (1000 * statistics.median(times[name]) for name in ("blocks", "written out"))
        print(
            f"{padded:>3} of {FRAMES} padded: blocks {ours:.1f} ms, written out {theirs:.1f} ms, ratio"
            f" {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}, {len(ratios)} rounds)"
        )
        write_line(given.json, {"benchmark": "alignment_scl", "padded": padded, "ratios": ratios} | times)


def imports() -> None:
    import tests.tasks.alignment.formulas  # noqa: F401

    import kinoflow.tasks.alignment.scl  # noqa: F401


def both_ways(padded: int, repeats: int) -> dict[str, list[float]]:
    """Return CPU-seconds of forward and backward, either way, one for each round."""
    import torch
    from tests.tasks.alignment.formulas import scl_written_out

    from kinoflow.tasks.alignment.options import SclOptions
    from kinoflow.tasks.alignment.scl import scl_loss

    torch.manual_seed(0)
    torch.set_num_threads(1)
    z = torch.nn.functional.normalize(torch.randn(VIDEOS, 2, FRAMES, WIDTH), dim=-1)
    steps = torch.stack([torch.randperm(LENGTH)[:FRAMES].sort().values for _ in range(2 * VIDEOS)]).view(z.shape[:3])
    masks = torch.ones(z.shape[:3])
    if padded:
        masks[..., -padded:], steps[..., -padded:] = 0, LENGTH - 1
    lengths, options = torch.full((VIDEOS, 2), LENGTH), SclOptions()

    def work(way: Callable) -> tuple[float, torch.Tensor]:
        x = z.clone().requires_grad_()
        loss = way(x, steps, masks, lengths, options)
        loss.backward()
        return loss.item(), x.grad

    ways = {"blocks": scl_loss, "written out": scl_written_out}
    (one, first), (two, second) = (work(way) for way in ways.values())
    assert abs(one - two) <= 1e-5 * (1 + abs(two)), f"the losses differ: {one}, {two}"
    assert torch.allclose(first, second, rtol=1e-3, atol=1e-6), "the gradients differ"
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.process_time()
            work(way)
            times[name].append(time.process_time() - start)
    return times


if __name__ == "__main__":
    main()

"""What comes next after every step of a video: one causal pass and a stream with cached keys against a pass per prefix.

    python benchmarks/anticipation_dense.py          about half a minute; --repeats 5; --json FILE adds a line

A student of D 32, H 64, 2 layers, 480 steps, float32, one thread. The three ways take turns, so that other load of the machine
meets all; what is printed are ratios of CPU time, prefix by prefix over the other way. All three must agree to 1e-5.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from measure import Case, measure, write_line

FEATURES, WIDTH, LAYERS, HEADS, STEPS, CLASSES = 32, 64, 2, 4, 480, 41
TARGETS = {"one pass": 50, "stream": 4}
TOLERANCE = 1e-5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="rounds, each measures everything once")
    parser.add_argument("--json", metavar="FILE", help="append the numbers as one JSON line")
    given = parser.parse_args()
    found = measure(Case("dense", dense, {"repeats": given.repeats}, imports)).value
    print(f"largest difference: {found['difference']:.1e}")
    slow = found["seconds"]["prefixes"]
    print(f"prefix by prefix: {statistics.median(slow):.2f} CPU-s")
    for way, target in TARGETS.items():
        ratios = [a / b for a, b in zip(slow, found["seconds"][way], strict=True)]
        low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
        print(
            f"{way:<9} {statistics.median(found['seconds'][way]):.4f} CPU-s, {middle:.1f} times as fast"
            f" ({low:.1f} to {high:.1f}, {len(ratios)} rounds; wanted: {target})"
        )
    write_line(given.json, {"benchmark": "anticipation_dense", **found})


# ---------------------------------------------------------------- what is measured


def imports() -> None:
    import kinoflow.tasks.anticipation.dense  # noqa: F401


def dense(repeats: int) -> dict:
    """Return CPU-seconds of each way, one for each round, and the largest difference of their scores."""
    import torch

    from kinoflow.tasks.anticipation.dense import streamed, whole
    from kinoflow.tasks.anticipation.model import Student
    from kinoflow.tasks.anticipation.options import StudentOptions

    torch.set_num_threads(1)
    options = StudentOptions(width=WIDTH, heads=HEADS, layers=LAYERS)
    model = Student(options, FEATURES, {"action": CLASSES}, STEPS).eval()
    x = torch.randn(STEPS, FEATURES, generator=torch.Generator().manual_seed(0))

    @torch.inference_mode()
    def prefixes() -> torch.Tensor:
        return torch.cat([model(x[None, : t + 1]).scores["action"] for t in range(STEPS)])

    ways: dict[str, Callable] = {
        "prefixes": prefixes,
        "one pass": lambda: whole(model, x)["action"],
        "stream": lambda: streamed(model, x)["action"],
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    said = {way: work() for way, work in ways.items()}  # warms up
    difference = max((said["prefixes"] - said[way]).abs().max().item() for way in TARGETS)
    assert difference < TOLERANCE, f"the ways differ by {difference}"
    for _ in range(repeats):
        for way, work in ways.items():
            start = time.process_time()
            work()
            seconds[way].append(time.process_time() - start)
    return {"seconds": seconds, "difference": difference}


if __name__ == "__main__":
    main()

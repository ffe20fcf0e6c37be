"""Kendall's tau over all ordered pairs of 100 videos against a double loop of scipy's cdist and kendalltau.

    python benchmarks/alignment_tau.py                  about three minutes; --repeats 1; --json FILE adds a line

100 videos of 40 frames, and of 150, D = 128, float32, one thread. Both must find the same mean.
"""

import argparse
import statistics
import time

from measure import Case, measure, write_line

VIDEOS, WIDTH, LENGTHS = 100, 128, (40, 150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1, help="rounds, each measures everything once")
    parser.add_argument("--json", metavar="FILE", help="append the numbers as one JSON line")
    given = parser.parse_args()
    for frames in LENGTHS:
        arguments = {"frames": frames, "repeats": given.repeats}
        times = measure(Case(f"tau, {frames} frames", both_ways, arguments, imports)).value
        ratios = [b / a for a, b in zip(times["together"], times["pair by pair"], strict=True)]
        ours, theirs = (statistics.median(times[name]) for name in ("together", "pair by pair"))
        print(
            f"{VIDEOS} videos of {frames} frames: {ours:.2f} s, pair by pair {theirs:.1f} s, ratio"
            f" {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}, {len(ratios)} rounds)"
        )
        write_line(given.json, {"benchmark": "alignment_tau", "frames": frames, "ratios": ratios} | times)


def imports() -> None:
    import scipy.spatial.distance
    import scipy.stats  # noqa: F401

    import kinoflow.metrics.alignment  # noqa: F401


def both_ways(frames: int, repeats: int) -> dict[str, list[float]]:
    """Return CPU-seconds of both ways, one for each round."""
    import numpy as np

    from kinoflow.metrics.alignment import kendalls_tau

    rng = np.random.default_rng(0)
    course = np.cumsum(rng.standard_normal((frames, WIDTH)), 0)
    noise = rng.standard_normal((VIDEOS, frames, WIDTH)) * frames**0.5
    videos = list((course + noise).astype(np.float32))
    ways = {"together": kendalls_tau, "pair by pair": pair_by_pair}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        found = []
        for name, way in ways.items():
            start = time.process_time()
            found.append(way(videos))
            times[name].append(time.process_time() - start)
        assert abs(found[0] - found[1]) < 1e-9, f"the two ways differ: {found}"
    return times


def pair_by_pair(videos) -> float:
    import numpy as np
    from scipy.spatial.distance import cdist
    from scipy.stats import kendalltau

    taus = [
        kendalltau(np.arange(len(x)), cdist(x, y, "sqeuclidean").argmin(1)).statistic
        for i, x in enumerate(videos)
        for j, y in enumerate(videos)
        if i != j
    ]
    return float(np.nanmean(taus))


if __name__ == "__main__":
    main()

"""Dynamic time warping with costs and path against a double loop in Python.

    python benchmarks/alignment_dtw.py                  about a minute; --repeats 3; --json FILE adds a line

Two videos of 2000 frames, D = 128, float32, one thread. Costs (squared Euclidean distances) and the way back are part of all
sides; loops take their costs from scipy's cdist. One loop is over arrays, as it is usually written, the other over lists,
which is about twice as fast. All must find the same path.
"""

import argparse
import statistics
import time

from measure import Case, measure, write_line

FRAMES, WIDTH = 2000, 128
OURS, LOOPS = "anti-diagonals", ("loop over arrays", "loop over lists")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="rounds, each measures everything once")
    parser.add_argument("--json", metavar="FILE", help="append the numbers as one JSON line")
    given = parser.parse_args()
    times = measure(Case("dtw", all_ways, {"repeats": given.repeats}, imports)).value
    ours = statistics.median(times[OURS])
    for name in LOOPS:
        ratios = [b / a for a, b in zip(times[OURS], times[name], strict=True)]
        print(
            f"{FRAMES} x {FRAMES}: {OURS} {ours:.3f} s, {name} {statistics.median(times[name]):.2f} s, ratio"
            f" {statistics.median(ratios):.0f} ({min(ratios):.0f} to {max(ratios):.0f}, {len(ratios)} rounds)"
        )
    write_line(given.json, {"benchmark": "alignment_dtw"} | times)


def imports() -> None:
    import scipy.spatial.distance  # noqa: F401

    import kinoflow.tasks.alignment.dtw  # noqa: F401


def all_ways(repeats: int) -> dict[str, list[float]]:
    """Return CPU-seconds of all ways, one for each round."""
    import numpy as np

    from kinoflow.tasks.alignment.dtw import distances, dtw

    rng = np.random.default_rng(0)
    x = np.cumsum(rng.standard_normal((FRAMES, WIDTH)), 0).astype(np.float32)
    y = x[np.sort(rng.integers(0, FRAMES, FRAMES))] + rng.standard_normal((FRAMES, WIDTH)).astype(np.float32)

    def ours() -> list[tuple[int, int]]:
        path = dtw(distances(x, y))
        return list(zip(path.query.tolist(), path.key.tolist(), strict=True))

    ways = {
        OURS: ours,
        LOOPS[0]: lambda: double_loop(x, y, lists=False),
        LOOPS[1]: lambda: double_loop(x, y, lists=True),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        found = []
        for name, way in ways.items():
            start = time.process_time()
            found.append(way())
            times[name].append(time.process_time() - start)
        assert found[0] == found[1] == found[2], "the ways find different paths"
    return times


def double_loop(x, y, lists: bool) -> list[tuple[int, int]]:
    """Warp as it is written down, cell by cell."""
    import numpy as np
    from scipy.spatial.distance import cdist

    costs = cdist(x, y, "sqeuclidean")
    n, m = costs.shape
    total = np.full((n + 1, m + 1), np.inf)
    total[0, 0] = 0
    if not lists:
        for i in range(n):
            for j in range(m):
                total[i + 1, j + 1] = costs[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
        return way_back(total)
    costs, total = costs.tolist(), total.tolist()
    for i in range(n):
        for j in range(m):
            total[i + 1][j + 1] = costs[i][j] + min(total[i][j], total[i][j + 1], total[i + 1][j])
    return way_back(total)


def way_back(total) -> list[tuple[int, int]]:
    i, j = len(total) - 2, len(total[0]) - 2
    path = [(i, j)]
    while i or j:
        steps = ((i - 1, j - 1), (i - 1, j), (i, j - 1))
        i, j = min((total[a + 1][b + 1], k, (a, b)) for k, (a, b) in enumerate(steps) if a >= 0 and b >= 0)[2]
        path.append((i, j))
    return path[::-1]


if __name__ == "__main__":
    main()

"""Reading feature shards in random order against a bare memory map of .npy.

    python benchmarks/shards.py                 half a minute; --repeats 5; --json FILE adds a line

300 videos, 200 MB of float16, every video read once in random order and summed up, from a warm page cache.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from measure import Case, compare, table, write_line

VIDEOS, ROWS, WIDTH, ROUNDS = 300, 340, 1024, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="pairs of interleaved runs")
    parser.add_argument("--json", metavar="FILE", help="append the numbers as one JSON line")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        pair = compare(
            Case("shard", read_shard, {"folder": folder}, imports),
            Case("bare memory map", read_map, {"folder": folder}, imports),
            given.repeats,
        )
        h5py = compare(
            Case("shard", read_shard, {"folder": folder}, imports),
            Case("h5py slices of the same file", read_h5py, {"folder": folder}, imports),
            given.repeats,
        )
    print(table([*pair.first, *pair.second, *h5py.second]))
    print(
        f"  {pair.ratio():.2f} of the speed of a bare memory map ({min(pair.ratios()):.2f} to {max(pair.ratios()):.2f})"
    )
    print(f"  {h5py.ratio():.2f} times the speed of h5py slices")
    write_line(given.json, {"benchmark": "shards"} | pair.record())


def write(folder: Path) -> None:
    """Write the same features as a shard and as .npy."""
    from kinoflow.store.shards import writing

    x = np.random.default_rng(0).standard_normal((VIDEOS * ROWS, WIDTH), np.float32).astype(np.float16)
    np.save(folder / "x.npy", x)
    with writing(folder / "x.h5", {}, frames=False) as shard:
        for i in range(VIDEOS):
            shard.add(f"video{i:03d}", x[i * ROWS : (i + 1) * ROWS], np.arange(ROWS))


# ---------------------------------------------------------------- what is measured


def imports() -> None:
    import kinoflow.store.shards  # noqa: F401


def _orders() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.permutation(VIDEOS) for _ in range(ROUNDS)]


def _touch(rows: np.ndarray) -> int:
    return int(rows.view(np.uint64).sum(dtype=np.uint64) & np.uint64(0xFFFF))  # reads every byte, at memory speed


def read_shard(folder: str) -> int:
    from kinoflow.store.shards import Shard

    shard = Shard(Path(folder, "x.h5"))
    return sum(_touch(shard.rows(f"video{i:03d}")) for order in _orders() for i in order)


def read_map(folder: str) -> int:
    x = np.load(Path(folder, "x.npy"), mmap_mode="r")
    return sum(_touch(x[i * ROWS : (i + 1) * ROWS]) for order in _orders() for i in order)


def read_h5py(folder: str) -> int:
    import h5py

    with h5py.File(Path(folder, "x.h5"), "r") as file:
        x = file["x"]
        return sum(_touch(x[i * ROWS : (i + 1) * ROWS]) for order in _orders() for i in order)


if __name__ == "__main__":
    main()

"""Abstraction sets: a million sets of four with the labels of all their subsets, against one common ancestor at a time.

    python benchmarks/abstraction_sets.py                    three minutes; --repeats 1 for one; --json FILE adds a line

The graph is that of Multi-Moments (389 nodes, kinoflow.tasks.abstraction.wordnet; the file of the shared data where the
dictionary is not installed), with a million videos, no video twice in a set, at most 10 % of the sets about the root. Drawing
is measured in memory, writing apart: its memory must not grow with the number of sets. One at a time: for each subset of two
and more the sum over the same distance matrix, in one call for each subset (2,000 sets, scaled to a million).
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measure import ROOT, Case, compare, measure, table, write_line

SETS, VIDEOS, SINGLE = 1_000_000, 1_000_000, 2_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="pairs of interleaved runs")
    parser.add_argument("--json", metavar="FILE", help="append the numbers as one JSON line")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        graph = str(Path(folder, "graph.json"))
        print(f"graph of {prepare(graph)} nodes", flush=True)
        arguments = {"graph": graph}
        pair = compare(
            Case(f"{SETS:,} sets, all labels at once", draw, arguments, imports),
            Case(f"{SINGLE:,} sets, one label at a time", single, arguments, imports),
            given.repeats,
        )
        written = [
            [
                measure(Case(f"drawing and writing {count:,} sets", write, {"graph": graph, "count": count}, imports))
                for _ in range(given.repeats)
            ]
            for count in (SETS // 10, SETS)
        ]
    print(table([*pair.first, *pair.second, *(run for runs in written for run in runs)]))
    speedup = pair.ratio() * SETS / SINGLE
    root = pair.first[0].value["root"]
    print(
        f"all at once is {speedup:.0f} times as fast as one at a time, scaled (wanted: 15, the median of {given.repeats});"
        f" {statistics.median(run.cpu for run in pair.first):.1f} CPU-s (wanted: 30); {root:.1%} of the sets are about the root"
    )
    for count, runs in zip((SETS // 10, SETS), written, strict=True):
        seconds, size, grown = (
            statistics.median(run.value[name] for run in runs) for name in ("seconds", "bytes", "growth")
        )
        print(f"writing {count:,} sets: {seconds:.1f} CPU-s, {size / 1e6:.0f} MB, {grown:.0f} MB more memory meanwhile")
    values = {"speedup": speedup, "written": [run.value for runs in written for run in runs]}
    write_line(given.json, {"benchmark": "abstraction_sets"} | pair.record() | values)


def prepare(graph: str) -> int:
    """Write the graph of Multi-Moments; return the number of its nodes."""
    from kinoflow.tasks.abstraction import taxonomy_files, wordnet

    shared = Path(os.environ.get("KINOFLOW_SHARED", ROOT.parent / "shared"))
    if (wordnet.DEBIAN / "data.verb").is_file():
        names = (shared / "data/annotations/moments/category_multi_momentsv2.txt").read_text().split("\n")
        taxonomy = wordnet.taxonomy([name.strip() for name in names if name.strip()], wordnet.DEBIAN)
    else:
        taxonomy = taxonomy_files.read(shared / "data/taxonomies/moments_graph_wordnet30.json")
    taxonomy_files.write(graph, taxonomy)
    return len(taxonomy)


def imports() -> None:
    import kinoflow.tasks.abstraction.sets
    import kinoflow.tasks.abstraction.taxonomy_files  # noqa: F401


def _drawn(graph: str, count: int) -> tuple[Any, Any]:
    from kinoflow.tasks.abstraction import taxonomy_files
    from kinoflow.tasks.abstraction.items import Items
    from kinoflow.tasks.abstraction.options import SamplingOptions
    from kinoflow.tasks.abstraction.sets import draw_sets

    taxonomy, rng = taxonomy_files.read(graph), np.random.default_rng(0)
    labels = rng.integers(0, taxonomy.num_class, (VIDEOS, 1)).astype(np.int32)
    names = tuple(map(str, range(VIDEOS)))
    items = Items(names, labels, names, np.zeros(VIDEOS), np.ones(VIDEOS), ("",) * VIDEOS, names)
    return taxonomy, draw_sets(taxonomy, items, count, SamplingOptions(), np.random.default_rng(0))


def draw(graph: str) -> dict[str, float]:
    """Draw a million sets with all their labels; check what was promised of them."""
    taxonomy, sets = _drawn(graph, SETS)
    ordered = np.sort(sets.items, 1)
    assert len(sets) == SETS and not (ordered[:, 1:] == ordered[:, :-1]).any(), "a video is in a set twice"
    root = float((sets.labels[:, -1] == taxonomy.root).mean())
    assert root <= 0.1, "too many sets about the root"
    return {"root": root}


def single(graph: str) -> int:
    """Find the labels of sets subset by subset, each in a call of its own."""
    from kinoflow.tasks.abstraction import taxonomy_files
    from kinoflow.tasks.abstraction.subsets import subsets

    taxonomy = taxonomy_files.read(graph)
    classes = np.random.default_rng(0).integers(0, taxonomy.num_class, (SINGLE, 4))
    found = [[taxonomy.lca(row[list(members)]) for members in subsets(4)] for row in classes]
    assert (np.array(found) == taxonomy.subset_labels(classes)).all(), "the two ways differ"
    return len(found)


def write(graph: str, count: int) -> dict[str, float]:
    """Draw sets and write them; what writing takes alone."""
    import resource
    import time

    from kinoflow.tasks.abstraction.set_files import write_sets

    taxonomy, sets = _drawn(graph, count)
    path, held = Path(graph).with_name(f"sets-{count}.json"), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    write_sets(path, sets, taxonomy)
    seconds = time.process_time() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held) * 1024 / 1e6
    return {"seconds": seconds, "bytes": path.stat().st_size, "growth": grown}


if __name__ == "__main__":
    main()

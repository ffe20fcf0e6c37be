"""Histories of all segments of EPIC-KITCHENS-55, and mean top-5 recall, against the ways they are usually computed.

    python benchmarks/anticipation_text.py      two to four minutes; --repeats 5; --json FILE adds a line

Histories: three policies, the last 15 actions, all 28 472 segments, against a DataFrame that is filtered for every segment
(timed on 200 segments spread over the table, and scaled). Both must give the same histories of these segments. The annotations
are those in the shared folder (KINOFLOW_SHARED); without them rows of the same number are drawn.
Recall: 4979 x 2513 float32 scores with ties, against a stable argsort of every row; both must give the same number.
"""

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure import ROOT, Case, measure, write_line

SEGMENTS, VIDEOS, LOOKED_UP, LAST = 28472, 272, 200, 15
ROWS, CLASSES = 4979, 2513


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--repeats", type=int, default=5, help="rounds, each measures everything but the slow histories"
    )
    parser.add_argument("--json", metavar="FILE", help="append the numbers as one JSON line")
    given = parser.parse_args()
    found = measure(Case("histories", both_histories, {"repeats": given.repeats}, imports)).value
    ratio = found["scaled"] / statistics.median(found["ours"])
    print(f"histories of {found['rows']} {found['source']} segments, three policies, last {LAST}:")
    print(f"  all at once   {statistics.median(found['ours']):8.3f} CPU-s")
    print(f"  row by row    {found['scaled']:8.1f} CPU-s (scaled from {LOOKED_UP} segments): {ratio:.0f} times as long")
    recall = measure(Case("recall", both_recalls, {"repeats": given.repeats}, imports)).value
    ratios = [slow / fast for fast, slow in zip(recall["ours"], recall["sorting"], strict=True)]
    print(f"mean top-5 recall of {ROWS} x {CLASSES} scores:")
    print(f"  counting      {statistics.median(recall['ours']):8.3f} CPU-s")
    print(
        f"  stable sort   {statistics.median(recall['sorting']):8.3f} CPU-s: {statistics.median(ratios):.1f} times as long"
    )
    print(f"                ({min(ratios):.1f} to {max(ratios):.1f}, {len(ratios)} rounds)")
    write_line(given.json, {"benchmark": "anticipation_text", "histories": found | {"ratio": ratio}, "recall": recall})


# ---------------------------------------------------------------- what is measured


def imports() -> None:
    import pandas  # noqa: F401

    import kinoflow.metrics.anticipation
    import kinoflow.tasks.anticipation.histories  # noqa: F401


def both_histories(repeats: int) -> dict[str, Any]:
    """Return CPU-seconds of all histories at once, one for each round, and row by row, scaled to all segments."""
    from kinoflow.tasks.anticipation.histories import POLICIES, histories

    rows, source = segments()
    times = []
    for _ in range(repeats + 1):  # the first round warms up
        start = time.process_time()
        found = {policy: histories(rows, 30.0, policy, 1.0, LAST).rows for policy in POLICIES}
        times.append(time.process_time() - start)
    chosen = np.linspace(0, len(rows) - 1, LOOKED_UP).astype(int)
    frame = data_frame(rows)
    start = time.process_time()
    looked = {policy: [row_by_row(frame, i, policy) for i in chosen] for policy in POLICIES}
    slow = time.process_time() - start
    for policy in POLICIES:
        for i, past in zip(chosen, looked[policy], strict=True):
            mine = found[policy][i]
            assert mine[mine >= 0].tolist() == past, f"segment {i} has another history under {policy}"
    return {"ours": times[1:], "scaled": slow * len(rows) / LOOKED_UP, "rows": len(rows), "source": source}


def segments() -> tuple[Any, str]:
    """Return the real segments where they are at hand, else drawn ones."""
    from kinoflow.datasets.actions import Action, Rows, in_order
    from kinoflow.datasets.published import epic
    from kinoflow.datasets.published.files import Files

    folder = Path(os.environ.get("KINOFLOW_SHARED", ROOT.parent / "shared")) / "data" / "epic55"
    if folder.is_dir():
        return Rows.of(epic.read(Files(folder), "epic55")[0]), "real"
    rng = np.random.default_rng(0)
    video, start = rng.integers(0, VIDEOS, SEGMENTS), rng.integers(0, 40000, SEGMENTS) / 30
    end = start + rng.integers(15, 200, SEGMENTS) / 30
    made = (
        Action(uid=str(i), video=f"v{video[i]:03d}", start=start[i], end=end[i], action=0, split="train")
        for i in range(SEGMENTS)
    )
    return Rows.of(in_order(made)), "drawn"


def data_frame(rows: Any) -> Any:
    import pandas

    frames = {name: np.rint(getattr(rows, name) * 30).astype(int) for name in ("start", "end")}
    return pandas.DataFrame({"video": rows.video, **frames})


def row_by_row(frame: Any, i: int, policy: str) -> list[int]:
    """Return the history of one segment, as a filter of the whole table."""
    row = frame.iloc[i]
    past = frame[(frame["video"] == row["video"]) & (frame.index < i)]
    if policy != "order":
        past = (
            past[past["start"] < row["start"] - 30] if policy == "started" else past[past["end"] <= row["start"] - 30]
        )
    return past.index[-LAST:].tolist()


def both_recalls(repeats: int) -> dict[str, list[float]]:
    """Return CPU-seconds of either way, one for each round."""
    from kinoflow.metrics.anticipation import mean_top_k_recall

    scores, labels = scored()
    ways = {"ours": lambda: mean_top_k_recall(scores, labels, 5), "sorting": lambda: recall_by_sorting(scores, labels)}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 1):  # the first round warms up
        values = set()
        for name, way in ways.items():
            start = time.process_time()
            values.add(way())
            times[name].append(time.process_time() - start)
        assert len(values) == 1, "the two ways give different recalls"
    return {name: each[1:] for name, each in times.items()}


def recall_by_sorting(scores: np.ndarray, labels: np.ndarray) -> float:
    best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    hits = (best == labels[:, None]).any(axis=1)
    return float(np.mean([hits[labels == each].mean() for each in np.unique(labels)]))


def scored() -> tuple[np.ndarray, np.ndarray]:
    """Return scores with ties (ROWS, CLASSES) float32, and labels."""
    rng = np.random.default_rng(0)
    scores = np.round(rng.standard_normal((ROWS, CLASSES), dtype=np.float32), 2)
    return scores, rng.integers(0, CLASSES, ROWS)


if __name__ == "__main__":
    main()

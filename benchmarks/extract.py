"""Feature extraction against the same network over tensors that lie ready.

    python benchmarks/extract.py                about three minutes; --repeats 5; --json FILE adds a line

resnet50 on 224 px pictures, weights drawn, float32, channels last, 16 pictures at once, one thread: `Extractor.rows` from a
video (decode, scale, normalise, network, to the stored type) in turn with the bare network over batches made before. Decoding
and writing the shard are measured apart; what is left over is what the stage adds.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from clips import make_clip
from measure import Case, measure, write_line

SECONDS = 4  # 120 pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="rounds, each measures everything once")
    parser.add_argument("--json", metavar="FILE", help="append the numbers as one JSON line")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_clip(Path(folder, "clip.mp4"), "640x360", SECONDS)
        case = Case("extraction", extraction, {"folder": folder, "repeats": given.repeats}, imports)
        result = measure(case)
    times = result.value
    for name in ("extraction", "network", "decoding", "writing"):
        print(f"{name:<12} {statistics.median(times[name]):8.2f} CPU-s")
    rounds = zip(times["extraction"], times["decoding"], times["network"], strict=True)
    ratios = [(whole - decoding) / network for whole, decoding, network in rounds]
    print(f"  extraction without decoding: {statistics.median(ratios):.3f} of the bare network", end=" ")
    print(f"({min(ratios):.3f} to {max(ratios):.3f}, {len(ratios)} rounds); peak {result.peak:.0f} MB above imports")
    write_line(given.json, {"benchmark": "extract", "ratios": ratios, "peak": result.peak} | times)


# ---------------------------------------------------------------- what is measured


def imports() -> None:
    import torchvision.models

    import kinoflow.features.extract  # noqa: F401

    torchvision.models.resnet50()


def extraction(folder: str, repeats: int) -> dict[str, Any]:
    """Return CPU-seconds of each part, one for each round."""
    import torch

    from kinoflow.features.arithmetic import PICTURES
    from kinoflow.features.extract import Extractor
    from kinoflow.features.options import FeaturesOptions
    from kinoflow.features.plan import planned
    from kinoflow.features.sources import DecodedVideos
    from kinoflow.features.transforms import decoding
    from kinoflow.store.shards import writing
    from kinoflow.store.tables import READABLE, Probed

    options = FeaturesOptions.model_validate({"from": "video", "backbone": "resnet50", "dtype": "float32"})
    plan = planned(options, None, "cpu")
    row = Probed(video="clip.mp4", status=READABLE, kept=True, sha256="0")
    source = DecodedVideos(Path(folder), [row], decoding(plan.pictures))
    times: dict[str, list[float]] = {"extraction": [], "network": [], "decoding": [], "writing": []}
    with plan.how.settled():
        extractor = Extractor(plan, source)
        frames = np.concatenate([block.copy() for _, _, block in source.blocks("clip.mp4", everything)])
        ready = [
            plan.pictures(torch.from_numpy(part))
            for part in np.array_split(frames, range(PICTURES, len(frames), PICTURES))
        ]
        ready = [part.contiguous(memory_format=torch.channels_last) for part in ready]
        for _ in range(repeats + 1):  # the first round warms up
            with timed(times["extraction"]):
                rows, row_times = extractor.rows("clip.mp4")
            with timed(times["network"]), torch.inference_mode():
                bare = [extractor.backbone(batch) for batch in ready]
            with timed(times["decoding"]):
                for _ in source.blocks("clip.mp4", everything):
                    pass
            with timed(times["writing"]), writing(Path(folder, "x.h5"), {}, frames=False) as shard:
                shard.add("clip.mp4", rows, row_times)
    assert np.array_equal(np.concatenate([part.numpy() for part in bare]), rows), (
        "the two sides computed different features"
    )
    return {name: values[1:] for name, values in times.items()}


def everything(numbers: np.ndarray) -> np.ndarray:
    return np.ones(len(numbers), bool)


class timed:  # noqa: N801 - reads as a statement
    """Append the CPU-seconds of a block to a list."""

    def __init__(self, into: list[float]):
        self.into = into

    def __enter__(self) -> None:
        self.start = time.process_time()

    def __exit__(self, *error: Any) -> None:
        self.into.append(time.process_time() - self.start)


if __name__ == "__main__":
    main()

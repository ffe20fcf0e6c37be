"""What optical flow costs, and what it sees, method by method.

    python benchmarks/flow.py [--frames 60] [--size 256] [--methods dis_fast,dis_medium] [--json FILE]

Cost: CPU milliseconds per stored row, of real footage (JPEG frames, 16 : 9, short side ``size``), reading and coding included.
Accuracy: a textured disc moves over a still textured ground; the mean error in pixels, inside the disc and outside of it.
"""

import argparse
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measure import Case, measure, write_line

METHODS = ("dis_ultrafast", "dis_fast", "dis_medium", "tvl1")
MOTIONS = ((2.0, 0.0), (-1.0, 3.0), (6.0, 2.0))  # pixels to the right, down


def imports() -> None:
    """Load what is not to be counted."""
    import cv2  # noqa: F401

    import kinoflow.media.flow  # noqa: F401


def stage(folder: str, method: str) -> int:
    """Run the stage on the frame shard of a folder; return the bytes of what it wrote."""
    from kinoflow.media.flow import flow
    from kinoflow.media.options import FlowOptions

    out = Path(folder, f"{method}.h5")
    flow(Path(folder, "frames.h5"), out, FlowOptions(method=method), code="1")
    return out.stat().st_size


def write_frames(folder: Path, size: int, count: int) -> int:
    """Write a frame shard of one film; return how many frames it has."""
    from clips import make_clip

    from kinoflow.media.decode import decode_video
    from kinoflow.media.options import FramesOptions
    from kinoflow.store.shards import encode_jpeg, writing

    film = make_clip(folder / "film.mp4", "640x360" if size <= 360 else "1280x720", count / 30)
    blocks = [block for block, _ in decode_video(film, FramesOptions(size=size))]
    frames = np.concatenate(blocks)
    with writing(folder / "frames.h5", {"store": "jpeg", "options": "{}"}, frames=True) as writer:
        writer.add("film", (encode_jpeg(f, 90) for f in frames), np.arange(len(frames)) / 30, frames.shape[1:3])
    return len(frames)


def waves(seed: int, size: int, smooth: float, dx: float = 0.0, dy: float = 0.0) -> np.ndarray:
    """A texture moved dx to the right and dy down, (size, size) of 0 to 255."""
    rng = np.random.default_rng(seed)
    y, x = (grid - shift for grid, shift in zip(np.mgrid[:size, :size], (dy, dx), strict=True))
    total = sum(
        np.cos(rng.normal(0, 1 / smooth) * x + rng.normal(0, 1 / smooth) * y + rng.uniform(0, 7)) for _ in range(60)
    )
    return np.clip(127.5 + 8 * total, 0, 255)


def disc(size: int, radius: float, seed: int, dx: float, dy: float) -> tuple[np.ndarray, np.ndarray]:
    """A picture (size, size, 3) uint8 as JPEG leaves it, and where the disc is (size, size) bool."""
    from PIL import Image

    y, x = np.mgrid[:size, :size] - size / 2
    inside = np.hypot(x - dx, y - dy) < radius
    picture = np.where(inside, waves(seed + 50, size, 3, dx, dy), waves(seed, size, 8)).round().astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=90)
    with Image.open(out) as image:
        return np.repeat(np.asarray(image)[..., None], 3, axis=2), inside


def errors(method: str, size: int, radius: float, seeds: int) -> dict[str, list[float]]:
    """Return the mean error in pixels of each of MOTIONS, inside and outside of the disc."""
    from kinoflow.media.flow import flow
    from kinoflow.media.options import FlowOptions
    from kinoflow.store.shards import Shard, writing

    found = np.zeros((len(MOTIONS), 2))
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "frames.h5"), Path(folder, "flow.h5")
        for i, (dx, dy) in enumerate(MOTIONS):
            for seed in range(seeds):
                (first, inside), (second, _) = disc(size, radius, seed, 0, 0), disc(size, radius, seed, dx, dy)
                with writing(source, {"store": "raw", "options": "{}"}, frames=True) as writer:
                    writer.add("disc", np.stack([first, second]), [0.0, 1.0])
                flow(source, out, FlowOptions(method=method, store="raw"), code="1")
                motion = (Shard(out).frames("disc")[0] - 127.5) * 20 / 127.5
                wrong = np.hypot(motion[..., 0] - dx * inside, motion[..., 1] - dy * inside)
                found[i] += wrong[inside].mean() / seeds, wrong[~inside].mean() / seeds
    return {"inside": found[:, 0].tolist(), "outside": found[:, 1].tolist()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--json", metavar="FILE", help="append the numbers as JSON lines")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = write_frames(Path(folder), given.size, given.frames)
        print(
            f"{rows} frames, short side {given.size}; a disc of radius {given.size / 20:.0f} moved by {MOTIONS} pixels"
        )
        for method in given.methods.split(","):
            run = measure(Case(method, stage, {"folder": folder, "method": method}, before=imports))
            off = errors(method, given.size, given.size / 20, seeds=1 if method == "tvl1" else 3)
            record: dict[str, Any] = {"benchmark": "flow", "method": method, "size": given.size, "rows": rows, **off}
            record |= {"ms": 1000 * run.cpu / rows, "peak": run.peak, "bytes": run.value}
            said = ", ".join(f"{name} {' '.join(f'{v:.2f}' for v in values)}" for name, values in off.items())
            print(f"{method:14} {record['ms']:8.2f} ms a row, {run.value / rows / 1e3:6.1f} kB a row, error {said}")
            write_line(given.json, record)


if __name__ == "__main__":
    main()

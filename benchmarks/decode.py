"""Decoding: all frames at model size against the ffmpeg command line; 8 exact frames against torchcodec.

    python benchmarks/decode.py                 about two minutes; --repeats 3; --json FILE adds a line

All frames: short side 256, RGB, as CPU-seconds of the process and its children. The command line pipes rawvideo and scales in
its default one step. A few frames: at the size they are stored in; opening the file is counted on both sides, building an
index on neither (torchcodec opens in approximate mode, which scans nothing), and ours must equal a full decode bit for bit.
A reference that is not installed is reported as not run.
"""

import argparse
import hashlib
import importlib.util
import resource
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from clips import SIZES, make_clip
from measure import Case, Comparison, compare, table, write_line

SHORT, FEW = 256, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="pairs of interleaved runs")
    parser.add_argument("--json", metavar="FILE", help="append the numbers as one JSON line")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record = {
            "all frames": all_frames(Path(folder), given.repeats),
            "few frames": few_frames(Path(folder), given.repeats),
        }
    write_line(given.json, {"benchmark": "decode"} | record)


def all_frames(folder: Path, repeats: int) -> dict[str, Any]:
    """Compare decoding everything at three sizes."""
    if not shutil.which("ffmpeg"):
        print("all frames: NOT RUN, there is no ffmpeg command here")
        return {"not run": "no ffmpeg command"}
    ratios = {}
    for size in SIZES:
        clip = str(make_clip(folder / f"{size}.mp4", size, 20 if size != "1280x720" else 10))
        pair = compare(
            Case(f"kinoflow, all frames, {size}", decode_all, {"path": clip}, imports),
            Case(f"ffmpeg pipe, all frames, {size}", decode_by_pipe, {"path": clip, "size": size}),
            repeats,
        )
        assert pair.first[0].value == pair.second[0].value, "the two sides gave different numbers of frames"
        ratios[size] = _told(pair, pair.ratios("cpu"))
    return ratios


def few_frames(folder: Path, repeats: int) -> dict[str, Any]:
    """Compare 8 frames spread over clips of long and short groups of pictures."""
    if importlib.util.find_spec("torchcodec") is None:
        print("few frames: NOT RUN, torchcodec is not installed")
        return {"not run": "torchcodec is not installed"}
    ratios = {}
    for size, seconds, gop in (("640x360", 30, 250), ("1280x720", 8, 250), ("320x240", 30, 250), ("640x360", 30, 32)):
        name = f"{size}, {seconds} s, GOP {gop}"
        clip = str(make_clip(folder / f"few-{size}-{gop}.mp4", size, seconds, gop))
        arguments = {"path": clip, "short": min(SIZES[size])}
        pair = compare(
            Case(f"kinoflow, 8 frames, {name}", pick, arguments, imports),
            Case(f"torchcodec, 8 frames, {name}", pick_by_torchcodec, {"path": clip}, import_torchcodec),
            repeats,
        )
        inner = [b.value["cpu"] / a.value["cpu"] for a, b in zip(pair.first, pair.second, strict=True)]
        assert pair.first[0].value["equal"], "the frames differ from those of a full decode"
        ratios[name] = _told(pair, inner)
    return ratios


def _told(pair: Comparison, ratios: list[float]) -> dict[str, Any]:
    print(table([*pair.first, *pair.second]))
    median = statistics.median(ratios)
    print(f"  {median:.2f}x per CPU-second ({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} runs)", flush=True)
    return {"ratio": median, "ratios": ratios, "peak": pair.first[0].peak}


# ---------------------------------------------------------------- what is measured


def imports() -> None:
    import kinoflow.media.decode  # noqa: F401


def import_torchcodec() -> None:
    from torchcodec.decoders import VideoDecoder  # noqa: F401


def decode_all(path: str) -> int:
    from kinoflow.media.decode import decode_video
    from kinoflow.media.options import FramesOptions

    return sum(len(frames) for frames, _ in decode_video(path, FramesOptions(size=SHORT)))


def decode_by_pipe(path: str, size: str) -> int:
    width, height = SIZES[size]
    width = 2 * round(width * SHORT / height / 2)
    command = ["ffmpeg", "-v", "error", "-i", path, "-vf", f"scale={width}:{SHORT}"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    frame, count = bytearray(width * SHORT * 3), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=len(frame)) as process:
        while process.stdout.readinto(frame) == len(frame):
            count += 1
    return count


def pick(path: str, short: int) -> dict[str, Any]:
    """Seek 8 frames; the check against a full decode is outside the measured part."""
    from kinoflow.media.decode import decode_at, decode_video, frame_index
    from kinoflow.media.options import FramesOptions

    options, index = FramesOptions(size=short), frame_index(path)
    wanted = _spread(len(index.times))
    found, cpu = _timed(
        lambda: np.concatenate([frames.copy() for frames, _ in decode_at(path, index, wanted, options)])
    )
    numbers, number, equal = set(wanted.tolist()), 0, []
    for frames, _ in decode_video(path, options):
        for frame in frames:
            if number in numbers:
                equal.append(_hash(frame))
            number += 1
    return {"cpu": cpu, "equal": equal == [_hash(frame) for frame in found]}


def pick_by_torchcodec(path: str) -> dict[str, Any]:
    from torchcodec.decoders import VideoDecoder

    def decode() -> Any:
        decoder = VideoDecoder(path, seek_mode="approximate", num_ffmpeg_threads=1)
        return decoder.get_frames_at(_spread(decoder.metadata.num_frames).tolist()).data

    frames, cpu = _timed(decode)
    return {"cpu": cpu, "frames": len(frames)}


def _timed(decode: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call gives and the median CPU-seconds of five, after one that warms what the process needs but once."""
    decode()
    spent = []
    for _ in range(5):
        start = _cpu()
        found = decode()
        spent.append(_cpu() - start)
    return found, statistics.median(spent)


def _spread(count: int) -> np.ndarray:
    return ((np.arange(FEW) + 0.5) * count / FEW).astype(np.int64)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _hash(frame: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(frame)).hexdigest()


if __name__ == "__main__":
    main()

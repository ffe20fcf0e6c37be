"""Clips to measure with: real footage joined and encoded with x264 (CRF 23, preset medium, GOP up to 250, 3 B-frames)."""

import os
from fractions import Fraction
from pathlib import Path

import av
from av.video.reformatter import VideoReformatter

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("mmaction2_demo.mp4", "skateboarding_dog.mp4", "cockatoo.mp4", "mmcv_test.mp4", "v_GGSY1Qvo990.mp4")
SIZES = {"320x240": (320, 240), "640x360": (640, 360), "1280x720": (1280, 720)}


def footage() -> list[Path]:
    """Return the real videos to cut from; SystemExit with what to do where they are not there."""
    folder = Path(os.environ.get("KINOFLOW_SHARED", ROOT.parent / "shared")) / "data/videos"
    found = [folder / name for name in SOURCES if (folder / name).exists()]
    if not found:
        raise SystemExit(f"no real footage in {folder}: set KINOFLOW_SHARED to a folder with data/videos")
    return found


def make_clip(path: Path, size: str, seconds: float, gop: int = 250) -> Path:
    """Encode ``seconds`` of footage at ``size`` (a key of SIZES), 30 frames per second."""
    width, height = SIZES[size]
    scale, count, wanted = VideoReformatter(), 0, int(seconds * 30)
    with av.open(str(path), "w", format="mp4") as out:
        options = {"crf": "23", "preset": "medium", "g": str(gop), "bf": "3"}
        stream = out.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        while count < wanted:
            for source in footage():
                with av.open(str(source)) as video:
                    for frame in video.decode(video=0):
                        if count == wanted:
                            break
                        small = scale.reformat(frame, width=width, height=height, format="yuv420p")
                        small.pts, small.time_base = count, Fraction(1, 30)
                        count += 1
                        out.mux(stream.encode(small))
        out.mux(stream.encode())
    return path

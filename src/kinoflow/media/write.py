"""Writing mp4 files whose bytes depend on the frames alone."""

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from kinoflow.store.files import replacing

# One thread and no macroblock-tree look-ahead: with it x264 reads memory that it never wrote when the picture is a few
# macroblocks wide, and two runs differ.
X264 = "threads=1:mbtree=0"


def write_video(
    path: str | Path, frames: Iterable[np.ndarray], fps: int, *, crf: int = 23, gop: int = 48, preset: str = "veryfast"
) -> None:
    """Encode frames (H, W, 3) uint8, sides even, as H.264 yuv420p in mp4; the file appears when it is complete."""
    convert = VideoReformatter()
    with replacing(path) as new, av.open(str(new), "w", format="mp4") as out:
        options = {"crf": str(crf), "preset": preset, "g": str(gop), "x264-params": X264}
        stream = out.add_stream("libx264", rate=fps, options=options)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for i, picture in enumerate(frames):
            if i == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            for packet in stream.encode(convert.reformat(frame, format="yuv420p", threads=1)):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)

"""The stage that computes optical flow: how far each point of a frame has moved in the next one.

A frame shard becomes a flow shard of the same videos, frames and times. Row t holds the motion from frame t to frame t + 1;
the last row repeats the one before it, so that rows and frames keep their numbers and no standstill is invented where a
video ends (a window of fields that stays at the last frame then reads the last motion). A video of one frame stands still.

A row is (H, W, 2) uint8: motion to the right, motion down. Motion v in pixels becomes the byte round(127.5 + 127.5 v / bound)
between 0 and 255, halves to the even number, as the published two-stream systems store it: 128 is no motion, one byte is
bound / 127.5 pixels, a byte u is read as (u - 127.5) bound / 127.5, and 255 - u is the motion the other way round.

The bytes depend on the frames and on the version of OpenCV, on no thread and no other video. OpenCV's code for newer
processors rounds in other ways, so it is switched off; it is no faster here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.media.kept import Put, fill
from kinoflow.media.options import FlowOptions
from kinoflow.options import resolved
from kinoflow.progress import log
from kinoflow.stage import In, Out
from kinoflow.store.files import key_of
from kinoflow.store.planes import encode_planes
from kinoflow.store.shards import COLOURS, Shard

BLOCK = 32  # frames read at once
STILL = 128  # the byte of no motion
SMALLEST = 12  # pixels; DIS needs one side as long
PRESETS = {"dis_ultrafast": 0, "dis_fast": 1, "dis_medium": 2}  # OpenCV's numbers of them

Estimate = Callable[[np.ndarray, np.ndarray], np.ndarray]  # two gray pictures (H, W) uint8 -> motion (H, W, 2) float32


def flow(frames: In, shard: Out, options: FlowOptions, code: str = "") -> None:
    """Compute the optical flow between neighbouring frames of a shard.

    A video that fails stops the stage, but not before the others are done; their flow is not computed again.

    frames: the frame shard
    shard: the flow shard to write
    code: fingerprint of the stage's code; found out if not given
    """
    source, settings = _opened(frames), resolved(options)
    attrs = {"store": options.store, "channels": 2, "options": settings}
    keys = {video: key_of(source.content(video), settings, code) for video in source.videos}
    with _settled():
        fill(shard, keys, attrs, lambda video, put: _compute(source, video, options, put), "flow", "videos")


def _opened(path: Path) -> Shard:
    source = Shard(path)
    if source.shape is None or source.channels != COLOURS:
        raise DataError(f"{path}: this shard holds no frames; give one that `kinoflow frames` has made")
    return source


def _compute(source: Shard, video: str, options: FlowOptions, put: Put) -> None:
    height, width = (int(side) for side in source.shape[source.videos.index(video)])
    if options.method in PRESETS and max(height, width) < SMALLEST:
        raise DataError(
            f"{video!r}: method {options.method} needs pictures of {SMALLEST} pixels or more, and these are"
            f" {width} x {height}; take tvl1, or larger frames"
        )
    rows = fields(source, video, options)
    pictures = (row.tobytes() if options.store == "raw" else encode_planes(row, options.quality) for row in rows)
    times = source.times(video)
    put(pictures, times, (height, width))
    log.info("computed the flow of %r: %d frames", video, len(times))


def fields(source: Shard, video: str, options: FlowOptions) -> Iterator[np.ndarray]:
    """Yield the flow of each frame of a video to the next, (H, W, 2) uint8; the last one twice.

    DataError if a frame cannot be read.
    """
    estimate = _estimator(options.method)  # anew for every video: DIS keeps the scales that the first size asked for
    before = row = None
    for gray in _gray(source, video):
        if before is not None:
            row = to_bytes(estimate(before, gray), options.bound)
            yield row
        before = gray
    if before is not None:
        yield np.full((*before.shape, 2), STILL, np.uint8) if row is None else row


def _gray(source: Shard, video: str) -> Iterator[np.ndarray]:
    """Yield the frames of a video as luma, (H, W) uint8."""
    import cv2

    count = len(source.times(video))
    for first in range(0, count, BLOCK):
        for frame in source.frames(video, np.arange(first, min(first + BLOCK, count))):
            yield cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def to_bytes(motion: np.ndarray, bound: float) -> np.ndarray:
    """Turn motion in pixels, any shape, into bytes: -bound and below 0, none 128, bound and above 255."""
    scaled = np.rint(motion * np.float32(127.5 / bound) + np.float32(127.5))
    return scaled.clip(0, 255).astype(np.uint8)


def _estimator(method: str) -> Estimate:
    import cv2

    if method in PRESETS:
        found = cv2.DISOpticalFlow_create(PRESETS[method])
    elif hasattr(cv2, "optflow"):
        found = cv2.optflow.DualTVL1OpticalFlow_create()
    else:
        raise ConfigError(
            "method: tvl1 is not in the OpenCV that is installed; install opencv-contrib-python-headless in its place,"
            " or take a method dis_..."
        )
    return lambda first, second: found.calc(first, second, None)


@contextmanager
def _settled() -> Iterator[None]:
    """Let OpenCV compute in one way on every machine: one thread, no GPU, no code for newer processors, no IPP."""
    import cv2

    threads, optimised, opencl = cv2.getNumThreads(), cv2.useOptimized(), cv2.ocl.useOpenCL()
    cv2.setNumThreads(1)
    cv2.setUseOptimized(False)
    cv2.ocl.setUseOpenCL(False)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        cv2.setUseOptimized(optimised)
        cv2.ocl.setUseOpenCL(opencl)

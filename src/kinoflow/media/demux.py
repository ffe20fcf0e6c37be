"""A video file opened, its packets and their decoding one by one; what packets tell without being decoded.

Nothing that a header declares (counts, durations) is used here: only packets and frames that are there.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from kinoflow.errors import DataError

PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails  # stored as video streams, but no film
FALLBACK_RATE = 25.0  # frames per second of streams that tell no rate
FALL_BACK = 1.0  # seconds by which a time stamp is earlier than the last one where another recording was appended

av.logging.set_level(av.logging.PANIC)  # FFmpeg's chatter; what is wrong with a video stands in the probe table


class NoVideoError(DataError):
    """The file opens, but holds no film."""


class TooLargeError(DataError):
    """The file declares pictures larger than allowed."""

    def __init__(self, width: int, height: int, max_pixels: int):
        super().__init__(f"it declares pictures of {width} x {height} pixels, more than max_pixels = {max_pixels}")


@contextmanager
def opened(path: str | Path, max_pixels: int | None = None) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and give its container and its first real video stream, ready to be decoded by one thread.

    max_pixels: larger pictures are refused before their memory is asked for, inside FFmpeg too.

    Raises NoVideoError if there is no film inside, TooLargeError, DataError if there is no decoder for it, av.FFmpegError if
    the file does not open. Only the file itself is read: a playlist that points into the network leads nowhere.
    """
    limits = {} if max_pixels is None else {"max_pixels": str(max_pixels)}
    container, said = _open(path, limits)
    with container:
        films = [stream for stream in container.streams.video if not stream.disposition & PICTURES]
        if not films:
            only = "a cover picture, but no film" if container.streams.video else "no pictures"
            raise NoVideoError(f"it holds {only}")
        codec = films[0].codec_context
        if codec is None:
            raise DataError("there is no decoder for its codec")
        if max_pixels is not None:
            _refuse_large(codec.width, codec.height, said, max_pixels)
        codec.thread_type, codec.thread_count, codec.options = "NONE", 1, limits
        yield container, films[0]


def _open(path: str | Path, limits: dict[str, str]) -> tuple[InputContainer, list[tuple[int, str, str]]]:
    """Open a file; return what FFmpeg complained of meanwhile too."""
    name = str(Path(path).absolute())  # a relative one might look like the address of a protocol
    reading = {"protocol_whitelist": "file"}
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as said:
            return av.open(name, options=limits, container_options=reading, metadata_errors="replace"), said
    finally:
        av.logging.set_level(av.logging.PANIC)


def _refuse_large(width: int, height: int, said: list[tuple[int, str, str]], max_pixels: int) -> None:
    if width * height > max_pixels:
        raise TooLargeError(width, height, max_pixels)
    if width * height == 0:  # FFmpeg did not go on with what it refused
        for _, _, text in said:
            if found := re.search(r"Picture size (\d+)x(\d+) exceeds", text):
                raise TooLargeError(int(found[1]), int(found[2]), max_pixels)


def packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """Yield the packets of a stream that hold data, to the end of the file; raise av.FFmpegError where reading breaks off."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except IndexError:
        return  # PyAV trips at the end of files in which streams appear late (TS, FLV); all packets have come by then


def until_broken(source: Iterable[Packet]) -> Iterator[Packet]:
    """Yield packets up to where reading breaks off: the probe has said that such a file is cut short, ffmpeg reads it alike."""
    try:
        yield from source
    except MemoryError:
        raise
    except av.FFmpegError:
        return


def decoding(stream: VideoStream, source: Iterable[Packet]) -> Iterator[list[av.VideoFrame] | None]:
    """Decode packet by packet: yield each one's frames (some have none), None where decoding failed.

    The frames that the decoder still holds after the last packet come last. Only a lack of memory ends it.
    """
    for packet in source:
        yield _decode(stream, packet)
    yield _decode(stream, None)


def _decode(stream: VideoStream, packet: Packet | None) -> list[av.VideoFrame] | None:
    try:
        return stream.codec_context.decode(packet)
    except MemoryError:  # some of FFmpeg's errors are this one
        raise
    except av.FFmpegError:
        return None


def frame_rate(stream: VideoStream) -> float:
    """Return the frame rate that a stream claims, for streams without time stamps."""
    return float(stream.guessed_rate or stream.average_rate or FALLBACK_RATE)


class Clock:
    """From time stamps to seconds as a player counts them: zero is the container's start.

    Without a container start, the first frame's time is zero. A frame without a time stamp follows the last one by one
    frame of the claimed rate; so without any, times are frame number / rate. Where time stamps begin anew (files joined end
    to end), time goes on.
    """

    def __init__(self, container: InputContainer, stream: VideoStream):
        self._base, self._rate = stream.time_base, frame_rate(stream)
        self._start = None if container.start_time is None else container.start_time / av.time_base
        if self._start is not None and stream.start_time is not None:
            own = stream.start_time * self._base.numerator / self._base.denominator
            if abs(own - self._start) < 1.5 / av.time_base:  # the container rounds its start to microseconds
                self._start = own
        self._last, self._unstamped, self._shift = None, 0, 0.0

    def __call__(self, pts: int | None) -> float:
        """Return the time of the next frame, seconds; to be asked for in the order in which frames are shown."""
        if pts is None:
            self._unstamped += 1
            if self._last is None:
                return (self._unstamped - 1) / self._rate
            return self._last + self._unstamped / self._rate
        seconds = pts * self._base.numerator / self._base.denominator
        if self._start is None:
            self._start = seconds
        seconds += self._shift - self._start
        if self._last is not None and seconds < self._last - FALL_BACK:
            onward = self._last + 1 / self._rate
            self._shift, seconds = self._shift + onward - seconds, onward
        self._last, self._unstamped = seconds, 0
        return seconds


@dataclass(frozen=True)
class PacketIndex:
    """The frames of a video in the order in which they are shown, as its packets tell."""

    pts: np.ndarray  # (T,) int64 time stamps, increasing
    times: np.ndarray  # (T,) seconds
    keys: list[int]  # time stamps of key frames, increasing; hidden ones (before an edit list's start) too
    trusted: bool  # whether the decoder gives frames the very time stamps of their packets, so that seeking finds them


def packet_index(path: str | Path) -> PacketIndex:
    """Read all packets of a video, decode none; raise DataError or av.FFmpegError if it does not open.

    It is not trusted if there is any sign of damage (then packets and frames differ), if time stamps are missing, come twice
    or begin anew, or if pictures are reordered while the container stores decoding times only (AVI, and what was copied from
    it): the demuxer then invents time stamps.
    """
    shown, keys, delays, sound, last = [], [], set(), True, None
    with opened(path) as (container, stream):
        try:
            for packet in packets(container, stream):
                sound = sound and not packet.is_corrupt and (packet.is_keyframe or bool(keys))
                if packet.is_keyframe and packet.pts is not None:
                    keys.append(packet.pts)
                if not packet.is_discard:
                    shown.append(packet.pts)
                if packet.pts is not None and packet.dts is not None:
                    delays.add(packet.pts - packet.dts)
                    sound, last = sound and (last is None or packet.dts >= last), packet.dts
        except av.FFmpegError:
            sound = False
        stamped = sorted(pts for pts in shown if pts is not None)
        clock = Clock(container, stream)
        times = np.array([clock(pts) for pts in stamped], np.float64)
        reorders = stream.codec_context.has_b_frames
        invented = reorders and ("avi" in container.format.name.split(",") or len(delays) < 2 < len(shown))
    unique = len(set(stamped)) == len(shown)
    return PacketIndex(np.array(stamped, np.int64), times, sorted(keys), sound and unique and not invented)

"""What is learned of one video by looking at it. To be called in a child process: broken files crash decoders.

A video is partly readable if there is any sign of damage: bytes that its container declares are not there, reading breaks
off, packets that the container marks as damaged, packets that cannot be decoded, frames that the decoder marks as damaged,
pictures lost before the first key frame. Declared durations and counts are no signs: sound files have wrong ones.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from av.packet import Packet

from kinoflow.errors import DataError
from kinoflow.media.demux import Clock, NoVideoError, decoding, frame_rate, opened, packets
from kinoflow.media.extent import missing_bytes
from kinoflow.media.picture import quarter_turns
from kinoflow.media.sample import frame_gap
from kinoflow.store.tables import NO_VIDEO, PARTLY, READABLE, UNREADABLE


def examine(path: str | Path, decode: bool, max_pixels: int) -> dict[str, Any]:
    """Return the columns of ``tables.Probed`` that a look at the video tells: status, reason, and what is in it.

    decode: decode everything; else packets are read, and decoded only up to the first frame, which tells size and rotation.
    Then frames are counted as packets that are not hidden by an edit list, from the first key frame on. (The two counts
    differ where packets are damaged without a sign, and for codecs with packets that show nothing.)
    max_pixels: larger pictures are refused, before their memory is asked for.
    """
    missing = 0
    try:
        if Path(path).stat().st_size == 0:
            return {"status": UNREADABLE, "reason": "the file is empty"}
        missing = missing_bytes(path)
        with opened(path, max_pixels) as (container, stream):
            return _look(container, stream, decode, missing)
    except NoVideoError as error:
        return {"status": NO_VIDEO, "reason": str(error)}
    except DataError as error:
        return {"status": UNREADABLE, "reason": str(error)}
    except MemoryError:  # some of FFmpeg's errors are this one
        raise
    except av.FFmpegError as error:
        detail = error.log[2].strip() if error.log else error.strerror
        return {"status": UNREADABLE, "reason": _sentence(f"it does not open as a video: {detail}", _cut(missing))}
    except OSError as error:
        return {"status": UNREADABLE, "reason": f"the file cannot be read: {error.strerror}"}


@dataclass
class _Tally:
    """What is counted while packets pass by."""

    stamps: list[int | None] = field(default_factory=list)  # of the packets that show something
    restarts: list[int] = field(default_factory=list)  # places in it where time begins anew: recordings were joined
    last: int | None = None  # the decoding time of the last packet; it never goes back inside a recording
    before: int = 0  # how many of them come before the first key frame
    begun: bool = False  # whether a key frame has come
    marked: int = 0  # packets that the container marks as damaged
    broken: str = ""  # why reading ended before the end

    def watch(self, source: Iterable[Packet]) -> Iterator[Packet]:
        try:
            for packet in source:
                self.begun = self.begun or packet.is_keyframe
                self.marked += packet.is_corrupt
                if packet.dts is not None:
                    if self.last is not None and packet.dts < self.last:
                        self.restarts.append(len(self.stamps))
                    self.last = packet.dts
                if not packet.is_discard:
                    self.stamps.append(packet.pts)
                    self.before += not self.begun
                yield packet
        except MemoryError:
            raise
        except av.FFmpegError as error:
            self.broken = error.strerror

    def in_order(self) -> list[int | None]:
        """Return the stamps in the order in which pictures are shown."""
        bounds = [0, *self.restarts, len(self.stamps)]
        runs = [self.stamps[start:end] for start, end in pairwise(bounds)]
        return [pts for run in runs for pts in sorted(run, key=lambda pts: (pts is not None, pts))]

    def lost(self) -> int:
        """Return how many packets show nothing because no key frame came before them; 0 if none is marked as one."""
        return self.before if self.begun else 0


def _look(container: Any, stream: Any, decode: bool, missing: int) -> dict[str, Any]:
    tally, first, failed, corrupt, stamps = _Tally(), {}, 0, 0, []
    source = tally.watch(packets(container, stream))
    for frames in decoding(stream, source):
        failed += frames is None
        for frame in frames or ():
            first = first or _picture(frame, stream)
            corrupt += frame.is_corrupt
            stamps.append(frame.pts)
        if first and not decode:
            break
    for _ in source:  # what check: demux reads without decoding
        pass
    if not first:
        why = "no frame can be decoded" if tally.stamps else "it holds no pictures"
        return {"status": UNREADABLE, "reason": _sentence(why, _cut(missing))}
    lost = tally.lost()
    if not decode:
        stamps, failed, corrupt = tally.in_order()[lost:], 0, 0
    elif len(stamps) >= len(tally.stamps):
        lost = 0  # the container's marks are wrong: everything came out
    damage = _sentence(
        _cut(missing),
        f"reading breaks off: {tally.broken}" if tally.broken else "",
        f"packets that the container marks as damaged: {tally.marked}" if tally.marked else "",
        f"packets that cannot be decoded: {failed}" if failed else "",
        f"frames that the decoder marks as damaged: {corrupt}" if corrupt else "",
        f"packets before the first key frame: {lost}" if lost else "",
    )
    return {
        "status": PARTLY if damage else READABLE,
        "reason": damage,
        "frames": len(stamps),
        "bad_packets": failed if decode else tally.marked,
        "corrupt_frames": corrupt,
        **first,
        **_timing(stamps, Clock(container, stream), frame_rate(stream)),
    }


def _picture(frame: av.VideoFrame, stream: Any) -> dict[str, Any]:
    aspect = stream.sample_aspect_ratio
    return {
        "width": frame.width,
        "height": frame.height,
        "rotation": quarter_turns(frame.rotation) * 90,
        "pixel_aspect": f"{aspect.numerator}:{aspect.denominator}" if aspect else "1:1",
    }


def _timing(stamps: list[int | None], clock: Clock, rate: float) -> dict[str, float]:
    """Start: the first frame's time. Duration: from there to the last frame's time, and one usual gap. fps: the mean."""
    times = sorted(clock(pts) for pts in stamps)
    duration = times[-1] - times[0] + (frame_gap(times) or 1 / rate)
    return {"start": round(times[0], 6), "duration": round(duration, 6), "fps": round(len(times) / duration, 6)}


def _cut(missing: int) -> str:
    return f"the file is cut: {missing} of the bytes that its container declares are missing" if missing else ""


def _sentence(*parts: str) -> str:
    return "; ".join(filter(None, parts))

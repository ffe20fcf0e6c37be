"""Options of the stages that open videos and work on their pictures: probe, frames, flow, pictures, export-frames."""

import string
from typing import Annotated, Literal, Protocol, Self, TypeVar

from pydantic import AfterValidator, model_validator

from kinoflow.options import Form, Options, option


def _template(text: str, needed: str, **values: str | int) -> str:
    """Return a template filled in; ValueError if ``needed``, one of the names that it may hold, is not in it."""
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
        filled = text.format(**values) if names <= {*values} else ""
    except (ValueError, LookupError, AttributeError):
        names, filled = set(), ""
    if needed not in names or not filled:
        known = " and ".join(f"{{{name}}}" for name in values)
        raise ValueError(
            f"{text!r} is no template: {{{needed}}} must stand in it; {known} may, with formats as in :05d"
        )
    return filled


def _picture_name(text: str) -> str:
    name = _template(text, "frame", frame=1, name="x")
    if "/" in name or name.startswith("."):
        raise ValueError(f"{text!r} names no file that can be seen in the clip's folder: leave / and a leading . out")
    return text


def _clip_folder(text: str) -> str:
    if _template(text, "path" if "{path" in text else "name", path="x", name="x").startswith("/"):
        raise ValueError(f"{text!r} names no folder below the root: leave the leading / out")
    return text


PictureName = Annotated[
    str, AfterValidator(_picture_name), Form("the name of a file with {frame:05d} in it, and {name} where it is needed")
]
ClipFolder = Annotated[str, AfterValidator(_clip_folder), Form("a path with {path} or {name} in it")]


class _Part(Protocol):
    """Options that name a part of a video."""

    start: float  # seconds
    end: float | None


Part = TypeVar("Part", bound=_Part)


def begins_before_it_ends(part: Part) -> Part:
    """Return options that name a part of a video; ValueError if it ends before it begins."""
    if part.end is not None and part.end <= part.start:
        raise ValueError(f"end: {part.end:g} s is not after start: {part.start:g} s")
    return part


class ProbeOptions(Options):
    """How videos are examined, and which of the damaged ones are kept."""

    check: Literal["demux", "decode"] = option(
        "demux",
        "demux: read every packet, decode none (fast, sees cut and broken containers); decode: decode every frame too",
        "",
    )
    max_corrupt: float = option(
        0.05,
        "largest share of bad packets and corrupt frames with which a partly readable video is kept",
        "share of frames",
        ge=0,
        le=1,
    )
    timeout: float = option(
        300.0, "time that one video may take before it is recorded as unreadable", "seconds", gt=0, le=86400
    )
    memory: int = option(
        2048, "memory that one video may take before it is recorded as unreadable", "MB", ge=128, le=1048576
    )
    max_pixels: int = option(
        35_389_440, "largest picture that is accepted (default: 8192 x 4320)", "pixels", ge=256, le=4_000_000_000
    )


class FramesOptions(Options):
    """Which frames are decoded, to which size, and how they are stored."""

    size: int = option(
        256,
        "short side of the stored frames (both sides with shape crop and squash); even",
        "pixels",
        ge=16,
        le=2160,
        multiple_of=2,
    )
    shape: Literal["keep", "crop", "squash"] = option(
        "keep",
        "keep: scale the short side to size; crop: then cut the centre square; squash: scale both sides to size",
        "",
    )
    rate: float | None = option(
        None, "frames taken per second of video, by time stamps; empty: all frames", "frames per second", gt=0, le=1000
    )
    count: int | None = option(
        None, "frames taken per video, spread evenly over it, in place of a rate", "frames", ge=1, le=100000
    )
    store: Literal["raw", "jpeg"] = option(
        "jpeg", "raw: uncompressed pixels (small data); jpeg: compressed pictures", ""
    )
    quality: int = option(90, "JPEG quality", "percent", ge=1, le=100)
    interpolation: Literal["area", "bilinear", "bicubic"] = option("area", "how pictures are scaled", "")
    upright: bool = option(True, "turn pictures as the file's rotation asks for (phone videos)", "")
    square_pixels: bool = option(
        True, "stretch pictures whose pixels are not square to the shape they are shown in", ""
    )

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> Self:
        if self.rate is not None and self.count is not None:
            raise ValueError("rate and count exclude each other: give one of them")
        return self


class FlowOptions(Options):
    """How the motion from each frame to the next is found, and how it is stored."""

    method: Literal["dis_ultrafast", "dis_fast", "dis_medium", "tvl1"] = option(
        "dis_medium",
        "dis_...: dense inverse search, about 2, 3 or 13 milliseconds for two frames of 256 x 340 pixels; ultrafast and fast"
        " lose small things that move; tvl1: TV-L1, 100 times slower, as in the published two-stream systems",
        "",
    )
    bound: float = option(
        20.0,
        "motion that becomes the largest byte, to each side; faster motion counts as this",
        "pixels of the frames",
        gt=0,
        le=1000,
    )
    store: Literal["raw", "jpeg"] = option(
        "jpeg", "raw: uncompressed bytes (small data); jpeg: compressed, about a twentieth of raw", ""
    )
    quality: int = option(90, "JPEG quality", "percent", ge=1, le=100)


class ExportOptions(Options):
    """How videos become folders of numbered pictures."""

    height: int = option(
        256,
        "height of the pictures, the width keeps the shape (the published ones: Kinetics 331, Something v2 256)",
        "pixels",
        ge=16,
        le=4320,
    )
    pattern: PictureName = option(
        "img_{frame:05d}.jpg", "name of a picture: {frame} is its number, from 1; {name} its folder's name", ""
    )
    quality: int = option(95, "JPEG quality", "percent", ge=1, le=100)


class NumberedOptions(Options):
    """How the pictures of a clip are numbered, and how fast they follow each other."""

    pattern: PictureName = option(
        "{frame:05d}.jpg",
        "name of a picture: {frame} is its number, {name} its folder's name; of optical flow in two files the one with x",
        "",
    )
    pattern_y: PictureName | None = option(
        None, "name of the picture with y, for published optical flow whose x and y lie in two gray files", ""
    )
    first: int = option(1, "number of a clip's first picture", "", ge=0, le=1_000_000)
    rate: float = option(12.0, "pictures per second", "pictures per second", gt=0, le=1000)


class FolderFramesOptions(FramesOptions):
    """Which pictures of a clip become frames, and how they are stored."""

    pictures: NumberedOptions = option(NumberedOptions(), "how the pictures are numbered", "")

    @model_validator(mode="after")
    def _frames_are_one_file_each(self) -> Self:
        if self.pictures.pattern_y:
            raise ValueError("pictures.pattern_y: it is for optical flow, and these are frames")
        return self


class FolderFlowOptions(Options):
    """Which pictures of a clip hold its optical flow, and how it is stored."""

    pictures: NumberedOptions = option(NumberedOptions(), "how the pictures are numbered", "")
    store: Literal["raw", "jpeg"] = option("jpeg", "raw: uncompressed bytes; jpeg: compressed anew", "")
    quality: int = option(90, "JPEG quality", "percent", ge=1, le=100)


class PicturesOptions(Options):
    """Where the numbered pictures of a clip lie, and how they are packed."""

    folder: ClipFolder = option(
        "{path}",
        "folder of a clip: {path} is what the list says, {name} its last part ({name:0>6}: filled up to six characters)",
        "path",
    )
    pattern: PictureName = option(
        "img_{frame:05d}.jpg",
        "name of a picture: {frame} is its number, {name} the clip's name; of flow in two files the one with x",
        "",
    )
    pattern_y: PictureName | None = option(
        None, "name of the picture with y, for flow whose x and y lie in two gray files", ""
    )
    first: int = option(1, "number of a clip's first picture", "", ge=0, le=1_000_000)
    counted: Literal["frames", "files"] = option(
        "frames", "what the list counts: frames, or files (two a frame where x and y lie in two)", ""
    )
    content: Literal["frames", "flow"] = option(
        "frames", "frames of a film, or optical flow: x in red and y in green, or in two files", ""
    )
    rate: float = option(
        30.0, "pictures per second (12 for Something v1 and Jester)", "pictures per second", gt=0, le=1000
    )
    store: Literal["jpeg", "raw"] = option(
        "jpeg",
        "jpeg: JPEG files of frames stay as they are, byte for byte, flow is coded anew; raw: pixels, of files of any format",
        "",
    )
    quality: int = option(95, "JPEG quality of flow that is coded anew", "percent", ge=1, le=100)
    shortest: int = option(
        1, "clips with fewer pictures than this are left out, and named in the log", "pictures", ge=1, le=1_000_000
    )

    @model_validator(mode="after")
    def _two_files_are_flow(self) -> Self:
        if self.pattern_y and self.content != "flow":
            raise ValueError("pattern_y: a second file is for content: flow")
        if self.pattern_y == self.pattern:
            raise ValueError("pattern_y: it must differ from pattern, or x and y are the same file")
        return self

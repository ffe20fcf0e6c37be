"""Options of the stages that open videos: probe and frames."""

from typing import Literal, Self

from pydantic import model_validator

from kinoflow.options import Options, option


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

"""Options of the report."""

from typing import Annotated

from pydantic import Field

from kinoflow.options import Options, option


class ReportOptions(Options):
    """What the report shows."""

    title: str = option("", "headline of the report; empty: the study's name", "")
    sheet_videos: int = option(8, "videos on a contact sheet; 0: no contact sheet", "videos", ge=0, le=64)
    sheet_frames: int = option(8, "frames of each video on a contact sheet", "frames", ge=1, le=32)
    variance_shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = option(
        (0.9, 0.95, 0.99), "shares of the variance for which the report tells the components needed", "share"
    )

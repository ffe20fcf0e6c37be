"""Options of the report."""

from kinoflow.options import Options, option


class ReportOptions(Options):
    """What the report shows."""

    title: str = option("", "headline of the report; empty: the study's name", "")
    sheet_videos: int = option(8, "videos on a contact sheet", "videos", ge=1, le=64)
    sheet_frames: int = option(8, "frames of each video on a contact sheet", "frames", ge=1, le=32)

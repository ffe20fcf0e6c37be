"""Options of the report."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kinoflow.options import Name, Options, option


class ReportOptions(Options):
    """What the report shows."""

    title: str = option("", "headline of the report; empty: the study's name", "")
    sheet_videos: int = option(8, "videos on a contact sheet; 0: no contact sheet", "videos", ge=0, le=64)
    sheet_frames: int = option(8, "frames of each video on a contact sheet", "frames", ge=1, le=32)
    variance_shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = option(
        (0.9, 0.95, 0.99), "shares of the variance for which the report tells the components needed", "share"
    )


Room = Literal[
    "recognition",
    "clip_fusions",
    "segmentation",
    "alignment",
    "teachers",
    "ensembles",
    "anticipation",
    "fusions",
    "summaries",
    "abstraction",
]
Level = Annotated[float, Field(ge=-1e9, le=1e9)]


class ClaimOptions(Options):
    """A claim: a run is better than others, or than a number, by more than a bar."""

    claim: str = option(..., "a sentence that may turn out false", "", min_length=1)
    room: Room = option(..., "the room whose runs are compared", "")
    treatment: Name = option(..., "the run that should be better", "")
    baseline: Name | tuple[Name, ...] | Level = option(
        ..., "the run that should be worse, several (the best of them in each seed), or a number such as chance", ""
    )
    metric: str = option(..., "the number compared: its place in metrics.json, such as verb.top1", "", min_length=1)
    against: str = option(
        "",
        "the number of the baseline that it is compared with, where that is another one, such as one of another method",
        "",
    )
    test: Name | None = option(None, "which of the runs' further tests (tests.<name>); empty: test", "")
    bar: float = option(
        0.0, "improvement that must be exceeded (below 0: not much worse)", "unit of the metric", ge=-1e9, le=1e9
    )
    better: Literal["higher", "lower"] = option("higher", "which values of the metric are the better ones", "")
    unit: str = option("share", "unit of the metric", "")


class PublishedFigure(Options):
    """A figure that others have published, and the run of the study that it is compared with."""

    room: Room = option(..., "the room of the run", "")
    run: Name = option(..., "the run that is like the published one", "")
    test: Name | None = option(None, "which of the run's further tests (tests.<name>); empty: test", "")
    metric: str = option("action.top1", "what is measured: its place in metrics.json", "", min_length=1)
    unit: Literal["%", "nats"] = option("%", "its unit; a share is shown in percent", "")
    value: float | None = option(
        ...,
        "the published figure, in that unit; null: no source could be looked up (not verified)",
        "unit",
        ge=0,
        le=1e9,
    )
    source: str = option(..., "where it is published, and of which network", "", min_length=1)
    recalled: bool = option(False, "quoted from memory: not looked up again", "")

    @model_validator(mode="after")
    def _fits_its_unit(self) -> Self:
        if self.value is None and self.recalled:
            raise ValueError("recalled: there is no value that could be; leave it out")
        if self.unit == "%" and (self.value or 0) > 100:
            raise ValueError(f"value: {self.value:g} % is more than all")
        return self


class ClaimsOptions(Options):
    """All claims of a study, and what others have published."""

    claims: dict[Name, ClaimOptions] = option({}, "the claims, by name", "")
    published: tuple[PublishedFigure, ...] = option((), "the published figures", "")

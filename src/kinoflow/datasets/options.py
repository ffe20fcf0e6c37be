"""Options of a dataset: where it comes from, what in it is a video, what its labels say, how it is split."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from kinoflow.datasets.kitchen.options import KitchenOptions
from kinoflow.datasets.published.options import (
    AnnotationFilesOptions,
    FineGymRelease,
    PennActionRelease,
    PouringRelease,
)
from kinoflow.media.options import NumberedOptions, ProbeOptions
from kinoflow.options import Form, Name, Options, PathBelow, UserPath, option

Column = Annotated[int, Field(ge=0, le=1_000_000)]


class KitchenSource(KitchenOptions):
    """The embedded dataset, rendered by the workflow."""

    kind: Literal["kitchen"] = option(..., "rendered by the workflow itself", "")


class FolderSource(Options):
    """A folder of the user's own files."""

    kind: Literal["folder"] = option(..., "a folder that is there already", "")
    path: UserPath = option(..., "the folder; a relative path counts from the config file's folder", "path")


class FileOptions(Options):
    """One file of a download."""

    url: Annotated[str, Form("an address: https://..., http://... or file://...")] | None = option(
        None,
        "address of the file; may be empty only where there is a form: the file is then put into place by hand",
        "URL",
        pattern=r"^(https?|file)://",
    )
    sha256: Annotated[str, Form("64 hexadecimal digits, small letters")] | None = option(
        None,
        "checksum; empty if the owner publishes none: it is then recorded at the first download and compared from then on",
        "hex",
        pattern=r"^[0-9a-f]{64}$",
    )
    name: PathBelow = option(..., "path below the dataset's raw folder; none of its parts may begin with a dot", "path")
    unpack: bool = option(
        False,
        "unpack the archive (zip, tar, gz, bz2, xz; recognised by content) into a folder beside it, named like it "
        "without .zip, .tar.gz and the like",
        "",
    )


class DownloadOptions(Options):
    """Files fetched from the network, or put into place by hand where a form must be signed."""

    files: tuple[FileOptions, ...] = option((), "the files to fetch", "")
    form: str = option(
        "",
        "for a dataset behind a licence form: the steps to take, told when its files are not in place; nothing is fetched",
        "text",
    )
    place: UserPath | None = option(
        None,
        "a local folder that already holds the files: they are taken from there, verified like fetched ones",
        "path",
    )
    attempts: int = option(
        5, "attempts in a row without a new byte after which a file counts as failed", "attempts", ge=1, le=100
    )
    patience: float = option(30.0, "longest wait for the server's next bytes", "seconds", gt=0, le=3600)
    max_unpacked: float = option(2000.0, "largest size to which the archives may unpack", "GB", gt=0, le=1e6)

    @model_validator(mode="after")
    def _files_are_told_apart(self) -> Self:
        names = {file.name for file in self.files}
        if len(names) < len(self.files):
            raise ValueError("files: two files have the same name")
        for file in self.files:
            parts = file.name.split("/")
            above = next((whole for n in range(1, len(parts)) if (whole := "/".join(parts[:n])) in names), None)
            if above:
                raise ValueError(f"files: {above!r} cannot be a file and the folder of {file.name!r}")
            if not (file.url or self.form):
                raise ValueError(f"files: {file.name!r} needs a url, or the dataset a form that tells how to get it")
        return self


class DownloadSource(DownloadOptions):
    """A dataset that is fetched."""

    kind: Literal["download"] = option(..., "fetched from its owner", "")
    videos: str = option("", "sub-folder of the raw folder in which the videos (or feature files) lie", "path")


class FeatureFilesOptions(Options):
    """How feature files from outside (npy, npz, HDF5; one per video) are to be read."""

    rate: float = option(1.0, "feature rows per second of video", "rows per second", gt=0, le=1e6)
    start: float = option(0.0, "time of the first row", "seconds", ge=-1e6, le=1e6)
    orientation: Literal["T x D", "D x T"] = option("T x D", "whether rows (T x D) or columns (D x T) follow time", "")
    key: str = option("", "name of the array inside npz and HDF5 files; empty if they hold just one", "")
    blocks: dict[Name, tuple[Column, Column]] = option(
        {}, "named blocks of columns, first and last + 1: {i3d: [0, 1024], audio: [3072, 3200]}", "columns"
    )
    dtype: Literal["float16", "float32"] = option("float16", "type in which features are stored", "")

    @model_validator(mode="after")
    def _blocks_hold_columns(self) -> Self:
        for name, (first, last) in self.blocks.items():
            if first >= last:
                raise ValueError(f"blocks.{name}: [{first}, {last}] holds no column; give the first and the last + 1")
        return self


class DrawOptions(Options):
    """How splits are drawn where none are given: by the recording's name and the seed alone."""

    test: float = option(0.2, "share of recordings for testing", "share", ge=0, lt=1)
    validation: float = option(0.0, "share of recordings for validation", "share", ge=0, lt=1)
    seed: int = option(0, "seed of the draw", "", ge=0, le=2**32 - 1)

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.test + self.validation >= 1:
            raise ValueError(f"test {self.test} and validation {self.validation} leave nothing for training")
        return self


class IndexOptions(Options):
    """What is known of each video beyond its pixels: labels, splits, recordings."""

    labels: UserPath | None = option(
        None,
        "CSV of labelled segments: video,start,end,action and, if known,"
        " verb,noun,phase,variant,text,split,recording,task",
        "path",
    )
    splits: UserPath | None = option(
        None, "CSV with one row per video: video,split and, if known, recording,task", "path"
    )
    class_per_folder: bool = option(
        False, "take each video's first folder as its action, from its beginning to its end", ""
    )
    recording: str = option(
        "",
        "regular expression; what its first group finds in a video's path names the recording, unless a CSV does;"
        " empty: every video is its own",
        "regex",
    )
    draw: DrawOptions = option(DrawOptions(), "how splits are drawn where the annotations give none", "")
    max_unreadable: float = option(
        0.2,
        "largest share of unreadable videos, and of labelled videos that are not there, before the run stops",
        "share of videos",
        ge=0,
        le=1,
    )

    @field_validator("recording")
    @classmethod
    def _has_a_group(cls, value: str) -> str:
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"{value!r} is no regular expression: {error}") from None
        if value and not groups:
            raise ValueError(f"{value!r} has no group; put round brackets around what names the recording")
        return value

    @model_validator(mode="after")
    def _one_source_of_labels(self) -> Self:
        if self.labels and self.class_per_folder:
            raise ValueError("labels and class_per_folder exclude each other; leave one of them out")
        return self


class AnnotatedOptions(AnnotationFilesOptions):
    """The annotation files of a published dataset: labels, splits and the order of classes (or steps) come from them."""

    kind: Literal[
        "kinetics",
        "kinetics_csv",
        "something_v1",
        "something_v2",
        "jester",
        "ucf101",
        "hmdb51",
        "list_files",
        "crosstask",
        "breakfast",
    ] = option(
        ...,
        "the dataset that the annotation files belong to; kinetics_csv: lists path,label without a header; list_files:"
        " train_videofolder.txt, val_videofolder.txt, test_videofolder.txt of any dataset, and category.txt, its classes",
        "",
    )
    split: int = option(1, "which of the three splits (ucf101, hmdb51), or of the four (breakfast)", "", ge=1, le=4)
    path: UserPath | None = option(
        None,
        "the folder of the annotation files, as they were published; empty: they are not read (crosstask, fetched: those"
        " that were fetched)",
        "path",
    )

    @model_validator(mode="after")
    def _splits_there_are(self) -> Self:
        if self.split > 3 and self.kind != "breakfast":
            raise ValueError(f"split: {self.kind} has no split {self.split}; give 1, 2 or 3")
        return self

    @property
    def long(self) -> bool:
        """Whether videos are long ones with many labels each: steps of tasks."""
        return self.kind in ("crosstask", "breakfast")


class ScanOptions(Options):
    """Which files of a folder are videos, and how a touched one is told from a changed one."""

    include: tuple[str, ...] = option(
        ("*",),
        "globs on paths below the root (* also matches /): which files (folders of pictures) are videos",
        "globs",
        min_length=1,
    )
    exclude: tuple[str, ...] = option(
        (), "globs of files that are none (folder/* for whole folders); hidden files never are", "globs"
    )
    watch: Literal["content", "quick", "names"] = option(
        "content",
        "how a touched video is told from a changed one: whole content, size and three samples, or not at all (names)",
        "",
    )
    shards: int = option(16, "parts that are worked on at once; results do not depend on it", "shards", ge=1, le=1024)
    content: Literal["videos", "pictures", "features"] = option(
        "videos", "videos; pictures: clips that are folders of numbered pictures; features: feature files alone", ""
    )


class DatasetOptions(ScanOptions):
    """A dataset of the study."""

    source: Annotated[KitchenSource | FolderSource | DownloadSource, Field(discriminator="kind")] = option(
        ..., "where it comes from", ""
    )
    mirror: bool = option(
        True,
        "a mirrored clip keeps its labels; false where classes tell left from right: clips are never mirrored then",
        "",
    )
    probe: ProbeOptions = option(ProbeOptions(), "how videos are examined", "")
    convert: Annotated[PouringRelease | PennActionRelease | FineGymRelease, Field(discriminator="kind")] | None = (
        option(None, "a published release that the source holds, to be turned into clips, labels and splits first", "")
    )
    annotations: AnnotatedOptions | None = option(
        None, "labels and splits from the annotation files of a published dataset, in place of tables of your own", ""
    )
    pictures: NumberedOptions = option(
        NumberedOptions(), "how pictures are numbered and how fast they follow (content: pictures)", ""
    )
    index: IndexOptions = option(IndexOptions(), "labels, splits, recordings", "")
    files: FeatureFilesOptions = option(FeatureFilesOptions(), "how feature files are read (content: features)", "")

    @model_validator(mode="after")
    def _clips_are_made_of_files(self) -> Self:
        if self.convert and (self.source.kind == "kitchen" or self.content != "videos"):
            raise ValueError("convert: clips are made of a folder's or a download's files, and are videos")
        if self.convert and self.annotations:
            raise ValueError("convert: labels and splits come with the release, so leave annotations out")
        return self

    @model_validator(mode="after")
    def _labels_come_from_one_place(self) -> Self:
        if self.annotated and (self.index.labels or self.index.splits or self.index.class_per_folder):
            raise ValueError(
                f"{'convert' if self.convert else 'annotations'}: labels and splits come from these files, so leave out"
                " index.labels, index.splits and index.class_per_folder"
            )
        if self.annotated and self.source.kind == "kitchen":
            raise ValueError("annotations: the kitchen brings its own labels")
        return self

    @property
    def annotated(self) -> bool:
        """Whether labels and splits come from the files of a published dataset."""
        if self.annotations is None:
            return self.convert is not None
        fetched = self.annotations.kind == "crosstask" and self.source.kind == "download"
        return fetched or self.annotations.path is not None

    @property
    def linked(self) -> bool:
        """Whether a file may stand for videos of several tasks (CrossTask), so that links to files are read in place of them."""
        return self.annotated and self.annotations is not None and self.annotations.kind == "crosstask"

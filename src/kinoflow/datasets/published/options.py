"""Options of the stages that read the files of published datasets."""

from typing import Literal

from kinoflow.options import Options, PathBelow, option


class AnnotationFilesOptions(Options):
    """Which published dataset it is, and how its annotation files are read."""

    kind: Literal[
        "kinetics", "kinetics_csv", "something_v1", "something_v2", "jester", "ucf101", "hmdb51", "list_files"
    ] = option(
        ...,
        "the dataset that the annotation files belong to; kinetics_csv: lists path,label without a header; list_files:"
        " train_videofolder.txt, val_videofolder.txt, test_videofolder.txt of any dataset, and category.txt, its classes",
        "",
    )
    split: int = option(1, "which of the three splits (ucf101, hmdb51)", "", ge=1, le=3)
    order: Literal["sorted", "file"] = option(
        "sorted",
        "order of the classes of something_v1 and jester, which give them no numbers: sorted by name, or as in the file",
        "",
    )
    class_count: int | None = option(
        None, "classes that there must be; empty: as many as published (Kinetics: 400)", "classes", ge=1, le=1_000_000
    )
    first_class: int = option(
        0,
        "number of the first class in list files (1 in published lists of videos, whose readers subtract it)",
        "",
        ge=0,
        le=1,
    )


class WhichFilesOptions(Options):
    """Which files of a folder may be videos."""

    include: tuple[str, ...] = option(
        ("*",), "globs on paths below the root (* also matches /): which files may be videos", "globs", min_length=1
    )
    exclude: tuple[str, ...] = option((), "globs of files that are none (folder/* for whole folders)", "globs")


class PublishedOptions(WhichFilesOptions, AnnotationFilesOptions):
    """Which published dataset it is, how its files are read, and which files may be its videos."""


class ListFilesOptions(PublishedOptions):
    """How list files are written."""

    media: Literal["folders", "videos"] = option(
        "folders", "what the list names: folders of pictures, with their numbers of files, or video files", ""
    )
    prefix: str = option(
        "", "text before each name; the published lists of Something v1 (and Jester) have something/v1/img/", ""
    )


class AnnotationsOptions(PublishedOptions):
    """How labels and splits are written."""

    media: Literal["published", "folders", "videos"] = option(
        "published",
        "what stands for a clip: a folder of pictures or a video file; published: folders for something_v1, jester and lists"
        " of folders",
        "",
    )


class PennActionOptions(Options):
    """How clips of Penn Action are made."""

    size: int = option(224, "sides of the clips' pictures; even", "pixels", ge=16, le=1080, multiple_of=2)


class FineGymOptions(Options):
    """Which classes of FineGym label the event clips, and which clips are cut."""

    classes: Literal[99, 288] = option(99, "the elements that are labelled: those of Gym99 or of Gym288", "classes")
    additional: bool = option(False, "cut events without a labelled element too, for training without labels", "")


class PouringRelease(Options):
    """The TFRecord files of Pouring, in the source's folder or in folders in it."""

    kind: Literal["pouring"] = option(..., "Pouring's TFRecord files", "")


class PennActionRelease(PennActionOptions):
    """Penn Action, and the phase labels that TCC's authors share."""

    kind: Literal["penn_action"] = option(..., "frames and labels of Penn Action, and phase labels", "")
    release: PathBelow = option("Penn_Action", "sub-folder of the source with the folders frames and labels", "path")
    phases: PathBelow = option("labels_dir", "sub-folder with the phase labels: train and val", "path")


class FineGymRelease(FineGymOptions):
    """FineGym's annotation files and its long videos."""

    kind: Literal["finegym"] = option(..., "annotation files and long videos of FineGym", "")
    annotations: PathBelow = option("annotations", "sub-folder of the source with the annotation files", "path")
    raw: PathBelow = option("raw", "sub-folder with the long videos", "path")


class VideoAnnotationsOptions(Options):
    """Which published dataset of long videos it is, and how labels and splits are written."""

    kind: Literal["crosstask", "breakfast"] = option(..., "the dataset that the annotation files belong to", "")
    split: int = option(1, "breakfast: which of the splits s1 to s4, by persons", "", ge=1, le=4)
    suffix: str = option(
        ".npy", "suffix of the videos (or feature files) where it is not looked which there are", "", pattern=r"^\.\w+$"
    )

"""Options of how embeddings are measured, in tests and while a network is trained."""

from typing import Annotated, Literal

from pydantic import Field

from kinoflow.options import Name, Options, option

Fraction = Annotated[float, Field(gt=0, le=1)]
Neighbours = Annotated[int, Field(ge=1, le=10000)]
Task = Literal["kendalls_tau", "retrieval", "classification", "progression", "probe"]


class ProbeOptions(Options):
    """The linear probe of FineGym: a linear layer on frozen embeddings, by gradient steps."""

    learning_rate: float = option(50.0, "the learning rate, for embeddings of length 1; 0.1 else", "", gt=0, le=1000)
    epochs: int = option(100, "passes over the videos", "epochs", ge=1, le=100000)
    batch: int = option(10, "videos of one step; the last incomplete one is left out", "videos", ge=1, le=65536)


class MeasuringOptions(Options):
    """How embeddings are measured."""

    tasks: tuple[Task, ...] = option(
        ("kendalls_tau", "retrieval", "classification", "progression"),
        "what is measured: order of nearest neighbours, share of neighbours of the same phase, phases by a linear classifier,"
        " progress by regression, FineGym's linear probe",
        "",
        min_length=1,
    )
    distance: Literal["sqeuclidean", "cosine"] = option("sqeuclidean", "distance of embeddings", "")
    stride: int = option(1, "every so-manieth frame counts in kendalls_tau and retrieval", "frames", ge=1, le=10000)
    neighbours: tuple[Neighbours, ...] = option(
        (5, 10, 15), "numbers of neighbours of retrieval", "frames", min_length=1
    )
    fractions: tuple[Fraction, ...] = option(
        (0.1, 0.5, 1.0), "shares of the training videos whose labels are used", "share", min_length=1
    )
    classifier: Literal["linear", "svm_linear", "svm_rbf"] = option("linear", "the classifier of phases", "")
    probe: ProbeOptions = option(ProbeOptions(), "the linear probe", "")
    chunk: int = option(
        1000, "frames of a video that are embedded at once; longer ones are cut evenly", "frames", ge=1, le=10**6
    )
    chunk_overlap: float = option(
        0.0, "share of a chunk that lies in the one before; embeddings there are averaged", "share", ge=0, le=0.5
    )
    every: int = option(1, "every so-manieth frame of a video is embedded", "frames", ge=1, le=10000)
    most: int | None = option(
        None, "clips for training, and for testing, that are read at most; empty: all", "clips", ge=2, le=10**6
    )


class ValidationOptions(MeasuringOptions):
    """How embeddings are measured during training: what is quick, if nothing else is asked for."""

    tasks: tuple[Task, ...] = option(
        ("retrieval", "kendalls_tau"),
        "what is measured, as in test; classification, progression and probe embed the training clips each time, too",
        "",
        min_length=1,
    )
    neighbours: tuple[Neighbours, ...] = option((5,), "numbers of neighbours of retrieval", "frames", min_length=1)


class AlignmentTestOptions(MeasuringOptions):
    """How embeddings are tested; with every number stand those of a clock, of raw pixels and of the untrained network."""

    pixels: int = option(8, "raw pixels are compared on pictures of so many rows and columns", "pixels", ge=1, le=256)


class FurtherTestOptions(AlignmentTestOptions):
    """A further test of the same weights, of other clips where it says so."""

    frames: Name | None = option(
        None, "the shards to test on in place of the run's, those of another dataset for example: a key of frames", ""
    )
    test_on: tuple[str, ...] | None = option(
        None, "splits that are tested on; empty: as the run says", "", min_length=1
    )
    sets: Literal["none", "task"] | None = option(
        None, "clips that are tested apart from others; empty: as the run says", ""
    )

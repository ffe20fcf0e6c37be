"""Options of the abstraction room: how sets are named, completed and checked for the odd one out."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kinoflow.media.options import begins_before_it_ends
from kinoflow.options import Name, Options, option
from kinoflow.training.options import TrainingOptions

Scale = Annotated[int, Field(ge=1, le=8)]

# ---------------------------------------------------------------- the taxonomy and the vectors of its nodes


class VectorsOptions(Options):
    """The semantic vectors of taxonomy nodes, which the model learns to predict."""

    kind: Literal["graph", "gloss_lsa", "corpus_ppmi", "fasttext"] = option(
        "graph",
        "graph: from the taxonomy alone; gloss_lsa: from the words of names, paths and glosses; corpus_ppmi: from which words"
        " stand together in a text; fasttext: from a file of word vectors (.vec)",
        "",
    )
    graph: Literal["codes", "laplacian"] = option(
        "codes",
        "codes: the mean of fixed random directions of a node and all nodes above it; laplacian: the smoothest"
        " eigenvectors of the graph",
        "",
    )
    width: int = option(300, "numbers of a vector, E", "", ge=2, le=4096)
    window: int = option(5, "corpus_ppmi: words to each side that count as standing together", "words", ge=1, le=50)
    videos: Literal["class", "captions"] = option(
        "class", "what a clip's own vector is made of: its class, or the words of its caption (not with graph)", ""
    )
    seed: int = option(0, "seed of the random directions", "", ge=0, le=2**32 - 1)

    @model_validator(mode="after")
    def _has_words(self) -> Self:
        if self.kind == "graph" and self.videos == "captions":
            raise ValueError("videos: captions: the kind graph knows no words; take another kind, or class")
        return self


class EditOptions(Options):
    """A change of the taxonomy before anything is made of it: an ablation of what its names or its shape are good for."""

    permute: Literal["none", "concrete", "abstract", "all"] = option(
        "none", "exchange the places of nodes at random: classes, abstract nodes, or both among their kind", ""
    )
    swap: tuple[tuple[str, str], ...] = option((), "pairs of nodes that change places", "")
    drop: int = option(0, "classes, drawn at random, that are left out", "classes", ge=0, le=1_000_000)
    keep_only_dropped: bool = option(False, "leave out all classes but the drawn ones instead", "")
    splice: bool = option(False, "leave out abstract nodes that have a single child", "")
    seed: int = option(0, "seed of what is drawn", "", ge=0, le=2**32 - 1)


class TaxonomyOptions(Options):
    """The taxonomy: where its nodes and edges come from, and the semantic vectors of its nodes."""

    source: Literal["kitchen", "file", "wordnet"] = option(
        "kitchen",
        "kitchen: the embedded dataset's; file: a node-link JSON, a list of edges or indented text; wordnet: above the verbs"
        " of the classes, from WordNet's dictionary files",
        "",
    )
    nouns: bool = option(False, "wordnet: place classes without a verb by their nouns", "")
    head: Literal["action", "verb", "noun", "text"] = option(
        "action", "the column of segments.csv with the classes", ""
    )
    max_missing: float = option(
        0.1, "largest share of the dataset's classes that may have no node", "share", ge=0, le=1
    )
    edit: EditOptions = option(EditOptions(), "a change of the taxonomy", "")
    semantics: VectorsOptions = option(VectorsOptions(), "semantic vectors of the nodes", "")


# ---------------------------------------------------------------- the sets


class SamplingOptions(Options):
    """How sets are drawn: a concept, then clips below it."""

    members: int = option(4, "clips of a set", "clips", ge=2, le=6)
    start: Literal["video", "node"] = option(
        "video",
        "video: draw a clip, then any of the concepts above its class (as published); node: draw any concept below the root",
        "",
    )
    max_root_fraction: float = option(
        0.1, "largest share of sets that have nothing but the root in common", "share", ge=0, le=1
    )
    ties: Literal["deepest", "random"] = option(
        "deepest", "of several common concepts: the deepest, then that of smallest label; or any", ""
    )
    repeats: bool = option(False, "let a clip be in a set twice", "")
    queries: int = option(5, "clips to be ranked for one set", "clips", ge=2, le=100)


class SetsOptions(Options):
    """The sets that a model is trained and tested with."""

    head: Literal["action", "verb", "noun", "text"] = option(
        "action", "the column of segments.csv with the classes", ""
    )
    train_splits: tuple[str, ...] = option(("train",), "splits of the clips to train on", "", min_length=1)
    test_splits: tuple[str, ...] = option(("test",), "splits of the clips to test on", "", min_length=1)
    hold_out: tuple[str, ...] = option(
        (),
        "recordings of train_splits that are kept from training and tested on, in place of test_splits: for tuning",
        "",
    )
    train: int = option(8000, "sets to train on", "sets", ge=1, le=100_000_000)
    test: int = option(1000, "sets to name in the test", "sets", ge=1, le=100_000_000)
    rankings: int = option(
        200, "rankings of the test for each number of references from 1 to 4", "records", ge=1, le=1_000_000
    )
    odd: int = option(800, "sets with an odd one of the test for each of 3, 4 and 5 clips", "sets", ge=1, le=1_000_000)
    sampling: SamplingOptions = option(SamplingOptions(), "how sets are drawn", "")
    write_ties: bool = option(False, "write all tied concepts into the files of sets, under `ties`", "")
    max_missing: float = option(
        0.0,
        "largest share of clips that may have no features or a class without a node; they are left out and told",
        "share",
        ge=0,
        le=1,
    )


class MetadataOptions(Options):
    """Which published files are fetched, and from where."""

    datasets: tuple[Literal["moments", "kinetics"], ...] = option(("moments",), "datasets", "", min_length=1)
    datatypes: tuple[
        Literal[
            "abstraction_sets",
            "embeddings",
            "category_embeddings",
            "features",
            "graph",
            "listfile",
            "pretrained_model",
        ],
        ...,
    ] = option(
        ("graph", "category_embeddings", "listfile", "abstraction_sets", "embeddings"),
        "kinds of files",
        "",
        min_length=1,
    )
    splits: tuple[Literal["train", "val", "test"], ...] = option(
        ("train", "val", "test"), "splits, for the kinds that have a file for each", "", min_length=1
    )
    base: str = option(
        "http://abstraction.csail.mit.edu/data/metadata",
        "the address that file names are put behind; the authors' host is gone, file:///folder is fine",
        "",
    )
    overwrite: bool = option(False, "fetch files again that are there", "")
    only_tell: bool = option(False, "say what would be fetched, and fetch nothing", "")
    sha256: dict[str, str] = option({}, "checksums by file name", "")


class ReleasedOptions(Options):
    """Which dataset's published files are turned into the files of the room."""

    dataset: Literal["moments", "kinetics"] = option("moments", "the dataset", "")


# ---------------------------------------------------------------- the model and its training


class NetworkOptions(Options):
    """The network: relations between the videos of a set, or a baseline that has the same inputs and the same training."""

    kind: Literal["sam", "pooled", "head", "classifier"] = option(
        "sam",
        "sam: a relation for every subset, summed (the paper's); pooled: means over subsets in place of sums, small sets are"
        " padded; head: one network on the mean of a set's features (baseline B2); classifier: classes of single videos,"
        " whose common ancestor names a set (baseline B3)",
        "",
    )
    scales: tuple[Scale, ...] = option(
        (1, 2, 3, 4),
        "sizes of subsets that have a relation of their own; (1): a sum over videos (B4)",
        "videos",
        min_length=1,
    )
    bottleneck: int = option(512, "width inside a relation, K", "", ge=1, le=65536)
    width: int = option(2048, "width of what relations give, F", "", ge=1, le=65536)
    input_relu: bool = option(
        True, "cut off negative features, as the published model does: right for features behind a ReLU only", ""
    )
    symmetrise: Literal["none", "sorted", "permutations"] = option(
        "none",
        "what is done about the order of a set's videos, which relations of two and more depend on: none (as published);"
        " sorted: by the sum of their features; permutations: the mean over several orders",
        "",
    )
    permutations: int = option(4, "orders of symmetrise: permutations, the given one among them", "", ge=1, le=120)

    @model_validator(mode="after")
    def _scales_grow(self) -> Self:
        if list(self.scales) != sorted(set(self.scales)):
            raise ValueError(f"scales: {list(self.scales)} must grow, each size once")
        return self


class AbstractionTraining(TrainingOptions):
    """How the network is trained; a sample is a set. The defaults are the published ones, but for a cosine that works."""

    epochs: int | None = option(60, "length: passes over the sets; give this or steps", "epochs", ge=1, le=100000)
    batch: int = option(256, "sets of one step", "sets", ge=1, le=65536)
    optimiser: Literal["sgd", "adam", "adamw"] = option(
        "adam", "the optimiser; weight decay is part of the gradient with sgd and adam, decoupled with adamw", ""
    )
    learning_rate: float = option(1e-4, "the learning rate", "", gt=0, le=1000)
    schedule: Literal["constant", "step", "linear", "cosine", "one_cycle", "plateau"] = option(
        "cosine",
        "how the rate changes: cosine, down to final_rate over the training; constant is what the published training comes"
        " to, whose cosine was given losses in place of epochs; the others as in every room",
        "",
    )


class AbstractionOptions(Options):
    """An abstraction run: which model learns from which sets, and how."""

    network: NetworkOptions = option(NetworkOptions(), "the network", "")
    rows: int | None = option(
        8,
        "rows of features, spread evenly over a clip, whose mean is the clip's feature; empty: all of them",
        "rows",
        ge=1,
        le=100000,
    )
    scale: Literal["none", "deviation"] = option(
        "none",
        "deviation: divide every feature by its standard deviation over the training clips; none: as they are",
        "",
    )
    noise: float = option(
        0.0,
        "standard deviation of normal noise added to features in training, as a share of each feature's own deviation",
        "share",
        ge=0,
        le=10,
    )
    embedding_weight: float = option(
        1.0,
        "weight of the loss of semantic vectors; 0: none (baseline B5). Its mean runs over their width: tune it",
        "",
        ge=0,
        le=1e6,
    )
    node_weight: float = option(1.0, "weight of the loss of taxonomy nodes", "", ge=0, le=1e6)
    target: Literal["node", "path_multihot"] = option(
        "node",
        "node: cross-entropy against the common ancestor; path_multihot: binary cross-entropy against it and all nodes on the"
        " way to the root",
        "",
    )
    online: bool = option(
        False, "draw new sets for every epoch, as many as the file has and of its clips, in place of the file's own", ""
    )
    sampling: SamplingOptions = option(SamplingOptions(), "how online sets are drawn", "")
    max_missing: float = option(
        0.01,
        "largest share of a file's videos that may have no features; sets with them are left out once, at the start, and told",
        "share",
        ge=0,
        le=1,
    )
    log_lines: int | None = option(
        None,
        "steps from one line of logs/<run>.txt to the next, in the published code's format; empty: no such file",
        "steps",
        ge=1,
        le=10**6,
    )
    training: AbstractionTraining = option(AbstractionTraining(), "how the network is trained", "")

    @model_validator(mode="after")
    def _learns_something(self) -> Self:
        if not self.embedding_weight and not self.node_weight:
            raise ValueError("embedding_weight, node_weight: both are 0, so there is nothing to learn")
        return self


class AbstractionTestOptions(Options):
    """How a model is tested: naming, set completion and odd one out, in every space that applies."""

    batch: int = option(256, "sets computed at once; all of one size", "sets", ge=1, le=65536)
    outlier_last: bool = option(
        False,
        "leave the odd one at the last place, as the published test does; else its place is drawn from the seed",
        "",
    )
    resamples: int = option(1000, "resamples of the bootstrap over sets behind every interval", "", ge=10, le=1_000_000)
    level: float = option(0.95, "share of studies whose interval holds the true value", "share", gt=0, lt=1)
    seed: int = option(0, "seed of the odd one's place and of resamples", "", ge=0, le=2**32 - 1)
    max_missing: float = option(
        0.01, "largest share of a file's videos that may have no features or no node", "share", ge=0, le=1
    )


class NameOptions(Options):
    """What is told of the clips that are named together."""

    start: float = option(0.0, "where the clip begins in each video", "seconds", ge=0, le=1e7)
    end: float | None = option(None, "where it ends; empty: with the video", "seconds", gt=0, le=1e7)
    top: int = option(5, "best nodes that are told with their scores", "nodes", ge=1, le=1000)

    _order = model_validator(mode="after")(begins_before_it_ends)


class AbstractionSectionOptions(Options):
    """How much the report's section shows."""

    seen: dict[Name, str] = option({}, "what labels the networks had seen that made each run's features, by run", "")
    sets: int = option(4, "sets shown with pictures: half of them named right, half wrong", "sets", ge=0, le=20)

"""Options of the text half of anticipation: sequences of actions, corpora, language models, teachers and their records."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kinoflow.options import Name, Options, UserPath, option
from kinoflow.training.options import TrainingOptions

Split = Annotated[str, Field(min_length=1)]
POOLED = ("bert", "albert", "roberta")  # models that have a pooler


class SequencesOptions(Options):
    """Which dataset the sequences of actions are read from."""

    kind: Literal["segments", "epic55", "epic100", "egtea", "salads", "breakfast"] = option(
        "segments", "segments: kinoflow's own tables of videos and segments; else the form of the annotation files", ""
    )
    split: int = option(
        1, "which of EGTEA's three splits; which part by person of 50Salads (five) and Breakfast (four)", "", ge=1, le=5
    )
    people: tuple[str, ...] = option(
        (), "people whose videos are the test (50Salads, Breakfast), in place of a part by number", ""
    )
    rate: float = option(
        30.0, "kind segments: whole frames to which times are rounded before they are compared", "1/s", gt=0, le=1000
    )

    @model_validator(mode="after")
    def _three(self) -> Self:
        if self.kind == "egtea" and self.split > 3:
            raise ValueError(f"split: EGTEA has three splits, not {self.split}")
        if self.people and self.kind not in ("salads", "breakfast"):
            raise ValueError("people: they part 50Salads and Breakfast only")
        return self


class HistoryOptions(Options):
    """Which earlier actions of a video are the history of an action."""

    policy: Literal["order", "started", "ended"] = option(
        "order",
        "order: all that come earlier; started: those that had started gap seconds before; ended: those that had ended by"
        " then, the only one that keeps the anticipation gap",
        "",
    )
    gap: float = option(1.0, "anticipation gap of started and ended", "seconds", ge=0, le=3600)
    last: int | None = option(5, "so many of the latest actions; empty: all", "actions", ge=1, le=10000)
    within: Literal["video", "split"] = option(
        "video", "split: only actions of the same split (gappy, where splits share videos)", ""
    )


class CorpusOptions(Options):
    """How sentences of recipes become sequences of actions."""

    parser: Literal["rules", "spacy"] = option(
        "rules",
        "what finds verbs and objects: built-in rules, or spaCy with an English model where it is installed",
        "",
    )
    original_stop_words: bool = option(
        False, "keep the verbs could and want, as the published code does by a missing comma", ""
    )
    form: Literal["sentences", "steps"] = option(
        "sentences",
        "sentences: JSON lines (or one JSON list) of recipes; steps: lines of actions with ` , ` between",
        "",
    )
    start: int = option(0, "recipes left out at the beginning", "recipes", ge=0, le=10**9)
    count: int | None = option(None, "recipes read; empty: all", "recipes", ge=1, le=10**9)


class EncoderOptions(Options):
    """The language model."""

    model: Literal["small", "albert", "bert", "distilbert", "electra", "roberta", "deberta"] = option(
        "small", "small: a transformer of our own; the others by transformers", ""
    )
    weights: Literal["none"] | UserPath = option(
        "none",
        "none: drawn from the seed, sizes as below, a vocabulary of our own; else a folder with published weights and their"
        " tokenizer, or cache:NAME if they are in the usual cache of transformers; nothing is downloaded",
        "",
    )
    redraw: bool = option(
        False, "take the sizes and the tokenizer of published weights, and draw the weights anew from the seed", ""
    )
    read: Literal["first", "pooler"] = option(
        "first",
        "what a sequence is told by: the last layer's first token (causal: last token), or the pooler over it (bert, albert, roberta)",
        "",
    )
    tokens: Literal["words", "actions"] = option(
        "words", "what a token is: a word of an action's text, or a whole action", ""
    )
    causal: bool = option(False, "small: tokens see earlier ones only, and every prefix is an example", "")
    separators: bool = option(False, "tokens between verb and noun and between actions (words only)", "")
    width: int = option(96, "width of the model", "", ge=8, le=4096)
    layers: int = option(2, "layers", "layers", ge=1, le=96)
    heads: int = option(4, "attention heads", "heads", ge=1, le=64)
    inner: int = option(192, "width of the hidden layer of each block", "", ge=8, le=16384)
    dropout: float = option(0.1, "dropout", "share", ge=0, lt=1)
    length: int = option(
        128, "most tokens; of what is longer the earliest actions are cut off", "tokens", ge=4, le=8192
    )

    @property
    def source(self) -> str:
        """Where published weights are: a folder, or a name in the cache; "" if there are none."""
        return "" if self.weights == "none" else self.weights.removeprefix("cache:")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads: a width of {self.width} cannot be split into {self.heads}")
        if self.causal and self.model != "small":
            raise ValueError(f"causal: it is for model: small, not {self.model}")
        if self.weights != "none" and self.model == "small":
            raise ValueError("weights: published ones are for the models of transformers, not for small")
        if self.redraw and self.model == "small":
            raise ValueError("redraw: there are no published sizes of small; set model, or leave redraw out")
        if self.read == "pooler" and self.model not in POOLED:
            raise ValueError(
                f"read: {self.model} has no pooler; set read: first, or one of {', '.join(POOLED)} as model"
            )
        if self.separators and self.tokens == "actions":
            raise ValueError("separators: whole actions need none")
        return self


class TextTraining(TrainingOptions):
    """How a language model is trained."""

    epochs: int | None = option(6, "length: passes over the examples; give this or steps", "epochs", ge=1, le=100000)
    batch: int = option(128, "samples of one step, over all processes and micro batches", "samples", ge=1, le=65536)
    drop_last: bool = option(False, "leave out the last samples of an epoch where they do not fill a step", "")
    optimiser: Literal["sgd", "adam", "adamw"] = option("adamw", "the optimiser", "")
    learning_rate: float = option(2e-3, "the learning rate", "", gt=0, le=1000)
    weight_decay: float = option(1e-2, "weight decay, of matrices only", "", ge=0, le=10)
    clip: float | None = option(
        1.0, "largest L2 norm of a step's gradient, over all parameters; empty: any", "", gt=0, le=1e9
    )
    schedule: Literal["constant", "step", "linear", "cosine", "one_cycle", "plateau"] = option(
        "one_cycle", "how the rate changes", ""
    )
    per: Literal["epoch", "step"] = option("step", "when step, linear, cosine and one_cycle change the rate", "")


class PretrainOptions(Options):
    """How a language model is trained on a corpus of action sequences, before any video's labels."""

    objective: Literal["masked", "next"] = option(
        "masked",
        "masked: 15 % of the tokens are to be guessed (80 % of them masked, 10 % replaced, 10 % kept); next: the action"
        " that follows every prefix",
        "",
    )
    encoder: EncoderOptions = option(EncoderOptions(), "the language model", "")
    training: TextTraining = option(TextTraining(), "how it is trained", "")


class HeadWeights(Options):
    """What each label counts in the loss."""

    action: float = option(0.7, "of the action", "", gt=0, le=1000)
    verb: float = option(0.15, "of the verb; no such head at 0", "", ge=0, le=1000)
    noun: float = option(0.15, "of the noun; no such head at 0", "", ge=0, le=1000)


class TeacherOptions(Options):
    """How a teacher learns to foresee the next action from the labels of earlier ones."""

    history: HistoryOptions = option(HistoryOptions(), "what it reads", "")
    encoder: EncoderOptions = option(EncoderOptions(), "the language model (with pretrained weights: theirs)", "")
    heads: HeadWeights = option(
        HeadWeights(), "what each label counts; a dataset without verbs and nouns has action alone", ""
    )
    balanced: bool = option(False, "weigh classes by n / (K n_c) in the loss; absent ones count 0", "")
    prefixes: bool = option(
        False, "train on every action of every history too, not on the last alone (causal models)", ""
    )
    shuffle: bool = option(
        True,
        "draw the order of the examples anew in each epoch; false: by video and start, as one published trainer",
        "",
    )
    train_on: tuple[Split, ...] = option(("train",), "splits that it learns from", "", min_length=1)
    validate_on: tuple[Split, ...] = option((), "splits that it is tested on during the training", "")
    hold_out: tuple[str, ...] = option(
        (), "recordings (people, kitchens) of train_on that it is tested on in place of learning from them", ""
    )
    corpus: bool = option(
        False,
        "learn from the corpus too, whose lines have no times: their histories are those of policy order; else only its words are known",
        "",
    )
    training: TextTraining = option(TextTraining(), "how it is trained", "")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.prefixes and not self.encoder.causal:
            raise ValueError("prefixes: every prefix at once needs encoder.causal; without it histories are examples")
        if self.prefixes and self.history.policy != "order":
            raise ValueError(
                f"prefixes: with policy {self.history.policy} a history is no prefix of its video; set prefixes: false, or policy: order"
            )
        return self


class RecordsOptions(Options):
    """How a teacher's records are made and measured."""

    name: Name = option("teacher", "what the teacher is called where records are combined", "")
    batch: int = option(256, "histories read at once", "histories", ge=1, le=65536)
    orders: int = option(3, "the n-gram beside it: longest sequence counted", "actions", ge=1, le=8)
    prior: float = option(10.0, "how many sightings the shorter context counts as (n-gram)", "", gt=0, le=1e6)


class CombineOptions(Options):
    """How several teachers become one."""

    how: Literal["mean", "max"] = option("mean", "of the scores of each class: their mean, or the largest", "")


class ImportOptions(Options):
    """Where published teacher records come from."""

    dataset: str = option(..., "what dataset the records are of, for what checks it later", "")
    policy: Literal["order", "started", "ended"] = option("order", "which histories their teacher read", "")
    last: int | None = option(5, "how many actions it read", "actions", ge=1, le=10000)
    name: Name = option("published", "what the teacher is called", "")

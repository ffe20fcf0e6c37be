"""The stage that trains a teacher: from histories of a dataset's actions, and from sequences of a corpus."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from kinoflow.datasets.actions import Classes, Rows, read_classes, read_rows
from kinoflow.errors import ConfigError, DataError
from kinoflow.metrics.anticipation import class_mean_top1, top_ks
from kinoflow.options import resolved
from kinoflow.progress import log
from kinoflow.stage import Folder, In, Out, State
from kinoflow.store.folders import content_hash
from kinoflow.tasks.anticipation import teacher as teaching
from kinoflow.tasks.anticipation.histories import Histories, histories
from kinoflow.tasks.anticipation.teacher import Line, Teacher, Trained
from kinoflow.tasks.anticipation.text_options import TeacherOptions
from kinoflow.tasks.anticipation.tokens import Tokens, Words, read_lines
from kinoflow.training import checkpoint
from kinoflow.training.devices import arithmetic
from kinoflow.training.distributed import is_first
from kinoflow.training.history import History
from kinoflow.training.kept import checkpoints
from kinoflow.training.loop import Draw, Trainee, fit
from kinoflow.training.workplace import workplace

KS = (1, 2, 3, 4, 5)


def teacher_train(
    actions: In,
    classes: In,
    model: Out,
    history: Out,
    place: State,
    options: TeacherOptions,
    seed: int = 0,
    pretrained: In | None = None,
    corpus: In | None = None,
    weights: Folder | None = None,
    dataset: str = "",
    device: str = "auto",
    code: str = "",
) -> None:
    """Train a teacher on a dataset's sequences of actions. The same command continues a killed one.

    actions: the table of segments, of `kinoflow action-sequences`
    classes: the table of classes, of the same stage
    model: the checkpoint to write, which says all that is needed to use it
    history: the table of losses and scores to write; its first row is of the model before any step
    place: the folder for the state of the training; gone when it is done
    seed: of the first weights, the order of examples and dropout
    pretrained: a language model of `kinoflow teacher-pretrain` to begin with; its sizes and vocabulary hold
    corpus: sequences of actions of `kinoflow text-corpus`; its words are part of the vocabulary, and with options.corpus the
        teacher learns from it too
    weights: a folder with published weights and their tokenizer, in place of encoder.weights
    dataset: its name, where it is not the one in the table of classes
    device: cpu, cuda, or auto: CUDA where there is some
    code: fingerprint of the stage's code; found out if not given
    """
    table = read_classes(classes)
    rows = read_rows(actions, table)
    lines = read_lines(corpus) if corpus else []
    if options.corpus and corpus is None:
        raise ConfigError("corpus: there is no corpus to learn from; give one, or set corpus: false")
    sides = parts(rows, options)
    made = histories(rows, table.rate, **options.history.model_dump())
    heads = heads_of(table, options)
    if pretrained:
        network, tokens = teaching.from_language(pretrained, table, heads, seed)
    else:
        network, tokens = teaching.built(teaching.begun_with(options.encoder, weights), table, heads, lines, seed)
    examples = examples_of(rows, made, table, tokens, options, network, sides.train, lines if options.corpus else [])
    about = {
        "room": teaching.ROOM,
        "options": options.model_dump(mode="json"),
        "heads": list(heads),
        "classes": asdict(table),
        "dataset": dataset or table.dataset,
        "seed": seed,
        **_about_encoder(pretrained, options, network, tokens),
    }
    trained = Trained(network, tokens, table, options.history, about["options"], about)
    check = Check.of(trained, rows, made, sides.held)
    known = [path for path in (actions, classes, pretrained, corpus) if path]
    begun = content_hash(weights) if weights else ""
    with workplace(place, known, resolved(options), seed, dataset, begun, code) as mine:
        told = TeacherTraining(trained, examples, weights_of(rows, sides.train, options, heads), options, check)
        with arithmetic(torch.device("cpu"), options.training.threads):
            first = told.validate()
        told_name = f"train teacher {table.dataset} {options.history.policy} seed {seed}"
        rows_of = fit(told, options.training, seed, mine, told_name, device=device, events=model.parent / "events")
        if is_first():
            _with_first(rows_of, first).write_csv(history)
            for path in checkpoints(model, [(told.model, mine)], options.training.keep):
                checkpoint.save(path, network, about)


def _about_encoder(
    pretrained: Path | None, options: TeacherOptions, network: Teacher, tokens: Tokens
) -> dict[str, Any]:
    if pretrained is None:
        return teaching.about_encoder(options.encoder, network.encoder, tokens)
    about = checkpoint.read(pretrained)[1]
    return {name: about[name] for name in ("encoder", "tokens", "language") if name in about}


def _with_first(rows: History, numbers: Mapping[str, float] | None) -> History:
    """Put the numbers of the model before any step in front."""
    if numbers is None:
        return rows
    head = {"step": 0, "epoch": 0, "learning_rate": 0.0}
    first = head | {f"validation/{name}": float(value) for name, value in numbers.items()}
    return History([first, *rows.rows], rows.best)


# ---------------------------------------------------------------- before anything runs


@dataclass(frozen=True)
class Sides:
    """Which rows are learnt from, and which are tested on during the training, (N,) bool each."""

    train: np.ndarray
    held: np.ndarray


def parts(rows: Rows, options: TeacherOptions) -> Sides:
    """Return the sides; ConfigError for a split or recording that has no row."""
    there = sorted(set(rows.split))
    for name, splits in (("train_on", options.train_on), ("validate_on", options.validate_on)):
        for split in splits:
            if split not in there:
                raise ConfigError(f"{name}: no segment is in the split {split!r} (splits there: {', '.join(there)})")
    train = np.isin(rows.split.astype(str), options.train_on)
    for recording in options.hold_out:
        if not (rows.recording[train] == recording).any():
            some = ", ".join(sorted(set(rows.recording[train]))[:3])
            raise ConfigError(
                f"hold_out: no segment to train on is of the recording {recording!r}; give some of {some}, ..."
            )
    held = train & np.isin(rows.recording.astype(str), options.hold_out)
    return Sides(train & ~held, held | np.isin(rows.split.astype(str), options.validate_on))


def heads_of(table: Classes, options: TeacherOptions) -> dict[str, int]:
    """Return the number of classes of each head that counts in the loss."""
    return {name: count for name, count in table.heads.items() if getattr(options.heads, name) > 0}


def weights_of(
    rows: Rows, train: np.ndarray, options: TeacherOptions, heads: Mapping[str, int]
) -> dict[str, Tensor | None]:
    """Return the weights of each head's classes, (C,), or None where all count alike."""
    if not options.balanced:
        return dict.fromkeys(heads)
    found = {name: teaching.balanced_weights(rows.labels(name)[train], count) for name, count in heads.items()}
    return {name: torch.from_numpy(weights).float() for name, weights in found.items()}


# ---------------------------------------------------------------- examples


class Examples(Protocol):
    """What the samples of a training are."""

    def __len__(self) -> int: ...

    def line(self, draw: Draw) -> Line:
        """Return what one draw gives to read."""
        ...

    def targets(self) -> np.ndarray:
        """Return what follows at all places that are read out, -1 where it is unknown."""
        ...


class Fixed:
    """Histories, each with what came next: the same in every epoch."""

    def __init__(self, lines: Sequence[Line]):
        self.lines = lines

    def __len__(self) -> int:
        return len(self.lines)

    def line(self, draw: Draw) -> Line:
        """Return the line of a sample."""
        return self.lines[draw.sample]

    def targets(self) -> np.ndarray:
        """Return the targets of all samples."""
        return np.array([target for line in self.lines for target in line.targets], np.int64)


class Stretches:
    """Stretches of sequences, read out in front of every action; of a long sequence, another stretch in each draw."""

    def __init__(
        self, sequences: Sequence[tuple[Sequence[str], Sequence[int]]], last: int | None, tokens: Words, most: int
    ):
        """sequences: (texts, numbers of their classes) of each. last: actions of a stretch; None: whole sequences."""
        self.sequences, self.last, self.tokens, self.most = sequences, last or 10**9, tokens, most
        self.of = [each for each in sequences for _ in range(-(-len(each[0]) // self.last))]

    def __len__(self) -> int:
        return len(self.of)

    def line(self, draw: Draw) -> Line:
        """Return the line of a stretch."""
        names, numbers = self.of[draw.sample]
        spare = len(names) - self.last
        start = int(draw.rng().integers(spare + 1)) if spare > 0 else 0
        chosen = slice(start, start + self.last)
        return teaching.prefix_line(self.tokens, names[chosen], numbers[chosen], self.most)

    def targets(self) -> np.ndarray:
        """Return the targets of all sequences."""
        return np.array([number for _, numbers in self.sequences for number in numbers], np.int64)


def examples_of(
    rows: Rows,
    made: Histories,
    table: Classes,
    tokens: Tokens,
    options: TeacherOptions,
    network: Teacher,
    train: np.ndarray,
    lines: Sequence[Sequence[str]],
) -> Examples:
    """Return the samples of the rows where ``train`` is true, and of the lines of a corpus.

    Raises ConfigError where prefixes are asked of a model that sees both sides, DataError if no line has a known action.
    """
    number = {text: i for i, text in enumerate(table.texts)}
    corpus = [(line, [number.get(text, teaching.NONE) for text in line]) for line in lines]
    known = sum(target >= 0 for _, targets in corpus for target in targets)
    if corpus:
        total = sum(map(len, lines))
        log.info("corpus: %d sequences, %d of %d actions are classes of %s", len(corpus), known, total, table.dataset)
        if not known:
            raise DataError(
                f"corpus: none of its actions is a class of {table.dataset}; look at the texts of classes.json and of the corpus"
            )
    causal, most = network.encoder.causal, network.encoder.length
    if options.prefixes:
        _check_prefixes(network, tokens)
        videos = [np.flatnonzero(train & (rows.video == video)) for video in dict.fromkeys(rows.video[train])]
        sequences = [([table.texts[a] for a in rows.action[places]], rows.action[places].tolist()) for places in videos]
        return Stretches([*sequences, *corpus], options.history.last, tokens, most)  # type: ignore[arg-type]
    past, targets = made.of(rows.action)[train].tolist(), rows.action[train].tolist()
    names = [[table.texts[i] for i in row if i >= 0] for row in past]
    found = [teaching.history_line(tokens, *pair, causal, most) for pair in zip(names, targets, strict=True)]
    last = options.history.last or 10**9
    for texts, numbers in corpus:
        ends = [i for i in range(1, len(texts)) if numbers[i] >= 0]
        found += [teaching.history_line(tokens, texts[max(0, i - last) : i], numbers[i], causal, most) for i in ends]
    return Fixed(found)


def _check_prefixes(network: Teacher, tokens: Tokens) -> None:
    if not (network.encoder.causal and isinstance(tokens, Words)):
        raise ConfigError("prefixes: the language model sees both sides; take a causal one, or set prefixes: false")


# ---------------------------------------------------------------- what the training loop asks for


@dataclass(frozen=True)
class Check:
    """Histories that the teacher is tested on during the training, and what came next."""

    lines: list[Line]
    labels: dict[str, np.ndarray]

    @classmethod
    def of(cls, trained: Trained, rows: Rows, made: Histories, held: np.ndarray) -> "Check | None":
        """Return the check of the rows where ``held`` is true; None if there are none."""
        if not held.any():
            return None
        lines = trained.lines(made.of(rows.action)[held])
        return cls(lines, {name: rows.labels(name)[held] for name in trained.model.heads})

    def numbers(self, trained: Trained) -> dict[str, float]:
        """Return top-1 to top-5 and the class mean of the actions, and top-1 of the other heads."""
        scores, _ = trained.scores(self.lines)
        found = {f"action_top{k}": v for k, v in top_ks(scores["action"], self.labels["action"], KS).items()}
        found["action_class_mean"] = class_mean_top1(scores["action"], self.labels["action"])
        others = [name for name in scores if name != "action"]
        return found | {f"{name}_top1": top_ks(scores[name], self.labels[name], (1,))[1] for name in others}


class TeacherTraining(Trainee):
    """Histories, and the teacher that learns from them."""

    def __init__(
        self,
        trained: Trained,
        examples: Examples,
        weights: Mapping[str, Tensor | None],
        options: TeacherOptions,
        check: Check | None,
    ):
        self.trained, self.examples, self.weights, self.check = trained, examples, weights, check
        self.model, self.groups, self.samples = trained.model, teaching.groups(trained.model), len(examples)
        self.shuffle = options.shuffle
        self.shares = {name: getattr(options.heads, name) for name in trained.model.heads}
        if len(self.shares) == 1:
            self.shares = dict.fromkeys(self.shares, 1.0)  # alone, a head counts whole
        classes = trained.model.heads["action"].out_features
        self.balance = torch.from_numpy(teaching.balanced_weights(examples.targets(), classes)).float()  # (C,)
        self.said: dict[str, Tensor] = {}  # scores of the last forward pass

    def load(self, draws: list[Draw]) -> dict[str, Any]:
        """Return tokens, places and targets."""
        lines = [self.examples.line(draw) for draw in draws]
        return teaching.collate(lines, self.trained.tokens.pad, self.trained.classes)

    def order(self, epoch: int, seed: int) -> Sequence[int] | None:
        """Return the samples of an epoch where they are not shuffled: by video and start, a corpus behind them."""
        return None if self.shuffle else range(self.samples)

    def weigh(self, draws: list[Draw]) -> dict[str, float]:
        """Return the weight of the labels that each head's mean runs over."""
        targets = self.load(draws)["targets"]
        names = (*(f"action_top{k}" for k in KS), "action_class_mean")
        shares = dict.fromkeys(names, teaching.weight(targets["action"]))
        return shares | {name: teaching.weight(targets[name], self.weights[name]) for name in self.shares}

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the weighted cross-entropy of each head."""
        self.said, _ = self.model(batch["tokens"], batch["real"], batch["line"], batch["at"])
        return {
            name: self.shares[name] * teaching.loss(scores, batch["targets"][name], self.weights[name])
            for name, scores in self.said.items()
        }

    def scores(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the share of actions told right in the last forward pass, alone and among the first five, and by class.

        Ties go to the lower number. The mean over classes is that of an epoch: each hit counts as the balance says.
        """
        labels = batch["targets"]["action"]
        scores, labels = self.said["action"][labels >= 0], labels[labels >= 0]
        own = scores.gather(1, labels[:, None])
        before = torch.arange(scores.shape[1], device=labels.device) < labels[:, None]
        ranks = ((scores > own) | ((scores == own) & before)).sum(1)
        count = max(1, len(labels))
        found = {f"action_top{k}": (ranks < k).sum() / count for k in KS}
        return found | {"action_class_mean": ((ranks < 1) * self.balance.to(labels.device)[labels]).sum() / count}

    def validates(self) -> bool:
        """Whether there are held-out actions."""
        return self.check is not None

    def validate(self) -> dict[str, float] | None:
        """Return how well held-out actions are told."""
        if self.check is None:
            return None
        training = self.model.training
        self.model.eval()
        found = self.check.numbers(self.trained)
        self.model.train(training)
        return found

"""The teacher: a language model that reads the actions so far and tells the next one, with its verb and its noun.

    tokens (B, T) -> encoder -> feature of the first token, or of the last one of causal models (M, D) -> pooler, if asked for
        -> one linear layer a head -> scores (M, C)

Ghosh et al., "Text-Derived Knowledge Helps Vision", Findings of EACL 2023. M places that are read out, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from kinoflow.datasets.actions import Classes, classes_of
from kinoflow.errors import ConfigError, DataError
from kinoflow.options import check
from kinoflow.progress import log
from kinoflow.tasks.anticipation import language
from kinoflow.tasks.anticipation import tokens as texts
from kinoflow.tasks.anticipation.encoder import Encoder, draw
from kinoflow.tasks.anticipation.text_options import EncoderOptions, HistoryOptions, TeacherOptions
from kinoflow.tasks.anticipation.tokens import Tokens, Words, padded
from kinoflow.training import checkpoint
from kinoflow.training.groups import Group

ROOM, LANGUAGE = "anticipation-teacher", "anticipation-language"  # what a checkpoint says that it is
NONE = -1  # no label


class Teacher(nn.Module):
    """An encoder and its heads. heads: {name: classes}."""

    def __init__(self, encoder: nn.Module, heads: Mapping[str, int]):
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict({name: nn.Linear(encoder.width, classes) for name, classes in heads.items()})

    def forward(self, tokens: Tensor, real: Tensor, line: Tensor, at: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return each head's scores (M, C), and the features (M, D) that they are of.

        tokens, real: (B, T). line, at: (M,) which sequence is read out, and at which token.
        """
        features = self.encoder(tokens, real)[line, at]
        if self.encoder.pooler is not None:
            features = self.encoder.pooler(features)
        return {name: head(features) for name, head in self.heads.items()}, features


def groups(model: nn.Module) -> list[Group]:
    """Return matrices, and what takes no weight decay: biases and norms."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [pair for pair in named if pair[1].ndim > 1]
    return [Group("matrices", matrices), Group("others", [pair for pair in named if pair[1].ndim <= 1], decay=0.0)]


# ---------------------------------------------------------------- loss


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return n / (K n_c) of each class, (C,): n labels of K different classes, n_c of class c; 0 for absent classes."""
    counts = np.bincount(labels[labels >= 0], minlength=classes)
    present = counts > 0
    return np.divide(counts.sum(), present.sum() * counts, out=np.zeros(classes), where=present)


def loss(scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean cross-entropy of labelled samples, weighted by their classes: sum w_y l / sum w_y.

    scores: (M, C). labels: (M,), -1 for none. Zero if nothing is labelled (or all weights are 0).
    """
    known = labels >= 0
    if not bool(known.any()):
        return scores.sum() * 0.0
    each = cross_entropy(scores[known], labels[known], reduction="none")
    w = torch.ones_like(each) if weights is None else weights.to(each)[labels[known]]
    return (w * each).sum() / w.sum().clamp(min=torch.finfo(each.dtype).tiny)


def weight(labels: Tensor, weights: Tensor | None = None) -> float:
    """Return what `loss` divides by: the weights of labelled samples, added up."""
    known = labels[labels >= 0]
    return float(len(known) if weights is None else weights[known].double().sum())


# ---------------------------------------------------------------- what is read


@dataclass(frozen=True)
class Line:
    """A sequence of tokens, the places that are read out, and the actions that follow there (-1: unknown)."""

    tokens: list[int]
    at: list[int]
    targets: list[int]


def history_line(tokens: Tokens, past: Sequence[str], target: int, causal: bool, most: int) -> Line:
    """Return the line of a history, read out once."""
    line = tokens.line(past, most)
    return Line(line, [len(line) - 1 if causal else 0], [target])


def prefix_line(tokens: Words, sequence: Sequence[str], targets: Sequence[int], most: int) -> Line:
    """Return the line of a sequence of actions, read out in front of each of them: every prefix is an example.

    Of what is longer than ``most`` tokens the earliest actions are cut off.
    """
    parts = tokens.parts(sequence)
    while parts and 1 + sum(map(len, parts)) > most:
        sequence, targets = sequence[1:], targets[1:]
        parts = tokens.parts(sequence)
    ends = np.cumsum([0, *map(len, parts[:-1])]) if parts else np.zeros(0, np.int64)
    return Line([tokens.cls, *(token for part in parts for token in part)], ends.tolist(), list(targets))


def collate(lines: Sequence[Line], pad: int, classes: Classes) -> dict[str, Any]:
    """Return a batch: tokens and real (B, T), line and at (M,), targets {head: (M,)}."""
    tokens, real = padded([line.tokens for line in lines], pad)
    counts = [len(line.at) for line in lines]
    actions = np.array([target for line in lines for target in line.targets], np.int64)
    targets = {"action": actions}
    for name in ("verb", "noun") if classes.verb else ():
        targets[name] = np.where(actions >= 0, np.array(getattr(classes, name))[actions], NONE)
    return {
        "tokens": torch.from_numpy(tokens),
        "real": torch.from_numpy(real),
        "line": torch.from_numpy(np.repeat(np.arange(len(lines)), counts)),
        "at": torch.tensor([place for line in lines for place in line.at], dtype=torch.long),
        "targets": {name: torch.from_numpy(values) for name, values in targets.items()},
    }


# ---------------------------------------------------------------- using one


def begun_with(options: EncoderOptions, weights: Path | None) -> EncoderOptions:
    """Return the options with the folder of published weights that a stage was given, if it was."""
    return options.model_copy(update={"weights": str(weights)}) if weights else options


@dataclass(frozen=True)
class Trained:
    """A teacher and all that is needed to use it."""

    model: Teacher
    tokens: Tokens
    classes: Classes
    history: HistoryOptions
    options: dict[str, Any]
    about: dict[str, Any]

    def lines(self, past: np.ndarray) -> list[Line]:
        """Return the lines of histories (N, H) of actions, -1 on the left."""
        names, causal, most = self.classes.texts, self.model.encoder.causal, self.model.encoder.length
        return [
            history_line(self.tokens, [names[i] for i in row if i >= 0], NONE, causal, most) for row in past.tolist()
        ]

    def scores(self, lines: Sequence[Line], batch: int = 256) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return each head's scores (N, C) float32 of lines with one place each, and the features (N, D)."""
        found: list[tuple[dict[str, Tensor], Tensor]] = []
        device = next(self.model.parameters()).device
        order = np.argsort([len(line.tokens) for line in lines], kind="stable")  # little padding
        with torch.no_grad():
            for first in range(0, len(lines), batch):
                some = collate([lines[i] for i in order[first : first + batch]], self.tokens.pad, self.classes)
                scores, features = self.model(*(some[name].to(device) for name in ("tokens", "real", "line", "at")))
                found.append(({name: each.float().cpu() for name, each in scores.items()}, features.float().cpu()))
        back = np.argsort(order)
        heads = {name: torch.cat([scores[name] for scores, _ in found]).numpy()[back] for name in self.model.heads}
        return heads, torch.cat([features for _, features in found]).numpy()[back]


def built(
    options: EncoderOptions, classes: Classes, heads: Mapping[str, int], lines: Sequence[Sequence[str]], seed: int
) -> tuple[Teacher, Tokens]:
    """Return a teacher whose weights are drawn, or published, and its tokens.

    lines: sequences of action texts of a corpus, whose words the vocabulary has too.
    """
    if options.redraw and not options.source:
        raise ConfigError("encoder.redraw: it needs published weights, whose sizes it takes; give encoder.weights")
    if options.source:
        vocabulary: Tokens = texts.published(options.source)
        pooled = options.read == "pooler"
        encoder: nn.Module = language.published(
            options.source, vocabulary, options.model, pooled, seed, redraw=options.redraw
        )
        model = Teacher(encoder, heads)
        draw(model if options.redraw else model.heads, seed)
        return model, vocabulary
    vocabulary = Words.of(
        [*classes.texts, *(text for line in lines for text in line)], options.tokens == "actions", options.separators
    )
    encoder = Encoder(options, vocabulary.size) if options.model == "small" else language.tiny(options, vocabulary)
    model = Teacher(encoder, heads)
    draw(model, seed)
    return model, vocabulary


@checkpoint.rebuilding
def from_language(path: Path, classes: Classes, heads: Mapping[str, int], seed: int) -> tuple[Teacher, Tokens]:
    """Return a teacher with the encoder and the tokens of a language model that `kinoflow teacher-pretrain` wrote.

    Raises DataError if it is another file, or knows no word of the classes.
    """
    tensors, about = checkpoint.read(path)
    if about.get("room") != LANGUAGE:
        raise DataError(f"{path}: this is no language model; give a checkpoint that `kinoflow teacher-pretrain` wrote")
    vocabulary = texts.rebuild(about["tokens"])
    model = Teacher(encoder_of(about, vocabulary, str(path)), heads)
    draw(model.heads, seed)
    checkpoint.load_into(model.encoder, tensors, path)
    if isinstance(vocabulary, Words):
        pieces = [piece for text in classes.texts for piece in vocabulary.pieces(text)]
        unknown = sum(piece == texts.UNKNOWN for piece in pieces)
        if unknown == len(pieces):
            raise DataError(
                f"{path}: the language model knows none of the words of {classes.dataset}; pretrain it on a corpus of the same"
                " kind"
            )
        if unknown:
            log.info("%s: %d of %d words of the classes are new to the language model", path.name, unknown, len(pieces))
    return model, vocabulary


def encoder_of(about: Mapping[str, Any], vocabulary: Tokens, source: str) -> nn.Module:
    """Return the encoder that a checkpoint is of; DataError if its vocabulary has another size than the weights."""
    options = check(EncoderOptions, about["encoder"], source)
    encoder = Encoder(options, vocabulary.size) if options.model == "small" else language.rebuild(about["language"])
    if encoder.embedding.num_embeddings < vocabulary.size:
        raise DataError(
            f"{source}: the tokenizer has {vocabulary.size} tokens and the weights know {encoder.embedding.num_embeddings};"
            " give weights and tokenizer that belong together"
        )
    return encoder


def about_encoder(options: EncoderOptions, encoder: nn.Module, vocabulary: Tokens) -> dict[str, Any]:
    """Return what `encoder_of` needs, as JSON values."""
    values = {"encoder": options.model_dump(mode="json") | {"weights": "none"}, "tokens": vocabulary.about()}
    return values | ({"language": encoder.about()} if isinstance(encoder, language.Language) else {})


@checkpoint.rebuilding
def read_teacher(path: Path) -> Trained:
    """Return the teacher of a checkpoint; DataError if it is another file."""
    tensors, about = checkpoint.read(path)
    if about.get("room") != ROOM:
        raise DataError(f"{path}: this is no teacher; give a checkpoint that `kinoflow teacher-train` wrote")
    vocabulary = texts.rebuild(about["tokens"])
    classes = classes_of(about["classes"])
    heads = {name: classes.heads[name] for name in about["heads"]}
    model = Teacher(encoder_of(about, vocabulary, str(path)), heads)
    checkpoint.load_into(model, tensors, path)
    options = check(TeacherOptions, about["options"], str(path))
    return Trained(model.eval(), vocabulary, classes, options.history, about["options"], about)

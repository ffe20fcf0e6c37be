"""The stage that trains a language model on a corpus of action sequences, before it sees any video's labels.

masked: guess 15 % of the tokens (Devlin et al., "BERT", 2019). next: tell the action that follows every prefix.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu

from kinoflow.datasets.actions import Classes
from kinoflow.errors import DataError
from kinoflow.options import resolved
from kinoflow.progress import log
from kinoflow.stage import Folder, In, Out, State
from kinoflow.store.folders import content_hash
from kinoflow.tasks.anticipation import teacher as teaching
from kinoflow.tasks.anticipation.encoder import draw
from kinoflow.tasks.anticipation.language import Language
from kinoflow.tasks.anticipation.teacher import Teacher
from kinoflow.tasks.anticipation.teacher_train import Examples, Fixed, Stretches
from kinoflow.tasks.anticipation.text_options import PretrainOptions
from kinoflow.tasks.anticipation.tokens import Tokens, Words, padded, read_lines
from kinoflow.training import checkpoint
from kinoflow.training.distributed import is_first
from kinoflow.training.kept import checkpoints
from kinoflow.training.loop import Draw, Trainee, fit
from kinoflow.training.workplace import workplace

MASKED, HIDDEN, CHANGED = 0.15, 0.8, 0.1  # shares: of tokens to guess; of these hidden, and replaced by another


def teacher_pretrain(
    corpus: In,
    model: Out,
    history: Out,
    place: State,
    options: PretrainOptions,
    seed: int = 0,
    classes: In | None = None,
    weights: Folder | None = None,
    device: str = "auto",
    code: str = "",
) -> None:
    """Train a language model on a corpus of action sequences. The same command continues a killed one.

    corpus: the sequences, of `kinoflow text-corpus`
    model: the checkpoint to write: the language model and its vocabulary
    history: the table of losses to write
    place: the folder for the state of the training; gone when it is done
    seed: of the first weights, the order of sequences, masks and dropout
    classes: a table of classes whose words the vocabulary is to have, too
    weights: a folder with published weights and their tokenizer, in place of encoder.weights
    device: cpu, cuda, or auto: CUDA where there is some
    code: fingerprint of the stage's code; found out if not given
    """
    from kinoflow.datasets.actions import read_classes

    lines = read_lines(corpus)
    if not lines:
        raise DataError(f"{corpus}: there is no sequence in this corpus")
    texts = list(dict.fromkeys(text for line in lines for text in line))
    known = read_classes(classes).texts if classes else ()
    # The next action is one of the corpus's own, whatever a dataset calls it.
    table = Classes("corpus", 1.0, tuple(texts), tuple(texts))
    encoder = teaching.begun_with(options.encoder, weights)
    network, tokens = teaching.built(encoder, table, {"action": len(texts)}, [list(known)], seed)
    about = {
        "room": teaching.LANGUAGE,
        "options": options.model_dump(mode="json"),
        "seed": seed,
        **teaching.about_encoder(options.encoder, network.encoder, tokens),
    }
    paths = [corpus, *([classes] if classes else [])]
    begun = content_hash(weights) if weights else ""
    with workplace(place, paths, resolved(options), seed, begun, code) as mine:
        told = (MaskedTraining if options.objective == "masked" else NextTraining)(network, tokens, table, lines, seed)
        rows = fit(
            told,
            options.training,
            seed,
            mine,
            f"pretrain {options.encoder.model} seed {seed}",
            device=device,
            events=model.parent / "events",
        )
        if is_first():
            rows.write_csv(history)
            for path in checkpoints(model, [(told.model, mine)], options.training.keep):
                checkpoint.save(path, network.encoder, about)


# ---------------------------------------------------------------- masked tokens


class MaskedHead(nn.Module):
    """From features to scores of every token, by the embedding of the tokens: BERT's head, for our own encoder."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.dense, self.norm = nn.Linear(encoder.width, encoder.width), nn.LayerNorm(encoder.width)
        self.bias = nn.Parameter(torch.zeros(encoder.embedding.num_embeddings))

    def masked(self, tokens: Tensor, real: Tensor) -> Tensor:
        """Return scores (B, T, vocabulary) of tokens (B, T)."""
        features = self.norm(gelu(self.dense(self.encoder(tokens, real))))
        return features @ self.encoder.embedding.weight.T + self.bias


class MaskedTraining(Trainee):
    """Sequences with hidden tokens, and the language model that guesses them."""

    def __init__(self, network: Teacher, tokens: Tokens, table: Classes, lines: Sequence[Sequence[str]], seed: int):
        encoder = network.encoder
        if isinstance(encoder, Language):
            self.model: Any = encoder
        else:
            self.model = MaskedHead(encoder)
            head = nn.ModuleDict({"dense": self.model.dense, "norm": self.model.norm})
            draw(head, seed)
        self.tokens, self.groups = tokens, teaching.groups(self.model)
        self.lines = [tokens.line(line)[: encoder.length] for line in lines]
        self.samples = len(self.lines)
        special = {tokens.pad, tokens.cls, tokens.mask, tokens.end}
        self.plain = np.array([i for i in range(tokens.size) if i not in special])
        self.special = np.array([i for i in special if i is not None])

    def load(self, draws: list[Draw]) -> dict[str, Any]:
        """Return tokens (B, T) with some hidden, which are real, and what is to be guessed (-100 elsewhere)."""
        shown, wanted = zip(*(self._hidden(draw) for draw in draws), strict=True)
        tokens, real = padded(shown, self.tokens.pad)
        targets = np.full(tokens.shape, -100, np.int64)
        targets[real] = [target for line in wanted for target in line]
        return {
            name: torch.from_numpy(each) for name, each in (("tokens", tokens), ("real", real), ("targets", targets))
        }

    def weigh(self, draws: list[Draw]) -> dict[str, float]:
        """Return the number of tokens to guess."""
        return {"masked": float(sum(target >= 0 for draw in draws for target in self._hidden(draw)[1]))}

    def _hidden(self, draw: Draw) -> tuple[list[int], list[int]]:
        """Return a line with hidden tokens, and what is to be guessed at each of its places (-100: nothing)."""
        rng, line = draw.rng(), np.array(self.lines[draw.sample])
        plain = ~np.isin(line, self.special)
        chosen = (rng.random(len(line)) < MASKED) & plain
        if plain.any() and not chosen.any():
            places = np.flatnonzero(plain)
            chosen[places[int(rng.integers(len(places)))]] = True  # short lines would often teach nothing
        how, other = rng.random(len(line)), rng.choice(self.plain, len(line))
        shown = np.where(chosen & (how < HIDDEN), self.tokens.mask, line)
        shown = np.where(chosen & (how >= HIDDEN) & (how < HIDDEN + CHANGED), other, shown)
        return shown.tolist(), np.where(chosen, line, -100).tolist()

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the cross-entropy of the tokens to guess."""
        scores = self.model.masked(batch["tokens"], batch["real"])
        chosen = batch["targets"] >= 0
        if not bool(chosen.any()):
            return {"masked": scores.sum() * 0.0}
        return {"masked": cross_entropy(scores[chosen], batch["targets"][chosen])}


# ---------------------------------------------------------------- the next action


class NextTraining(Trainee):
    """Prefixes of sequences, and the language model that tells what comes next."""

    def __init__(self, network: Teacher, tokens: Tokens, table: Classes, lines: Sequence[Sequence[str]], seed: int):
        self.model, self.tokens, self.table = network, tokens, table
        self.groups = teaching.groups(network)
        self.examples = _prefixes(network, tokens, table, lines)
        self.samples = len(self.examples)

    def load(self, draws: list[Draw]) -> dict[str, Any]:
        """Return tokens, places and targets."""
        return teaching.collate([self.examples.line(draw) for draw in draws], self.tokens.pad, self.table)

    def weigh(self, draws: list[Draw]) -> dict[str, float]:
        """Return the number of actions to tell."""
        return {"next": teaching.weight(self.load(draws)["targets"]["action"])}

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the cross-entropy of the next actions."""
        scores, _ = self.model(batch["tokens"], batch["real"], batch["line"], batch["at"])
        return {"next": teaching.loss(scores["action"], batch["targets"]["action"])}


def _prefixes(network: Teacher, tokens: Tokens, table: Classes, lines: Sequence[Sequence[str]]) -> Examples:
    number = {text: i for i, text in enumerate(table.texts)}
    encoder = network.encoder
    if encoder.causal and isinstance(tokens, Words):
        sequences = [(line, [number[text] for text in line]) for line in lines]
        return Stretches(sequences, None, tokens, encoder.length)
    found = [
        teaching.history_line(tokens, line[:i], number[line[i]], encoder.causal, encoder.length)
        for line in lines
        for i in range(1, len(line))
    ]
    log.info("%d prefixes of %d sequences", len(found), len(lines))
    return Fixed(found)

"""What the training loop asks for: views of clips, the network that learns from them, how it is validated and shown."""

import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from kinoflow.errors import ConfigError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.tasks.alignment import data, rates, shown
from kinoflow.tasks.alignment.augment import prepare, vary, vary_rows
from kinoflow.tasks.alignment.data import Clip, Sources
from kinoflow.tasks.alignment.embed import Embedder, Trained
from kinoflow.tasks.alignment.evaluate import Comparison
from kinoflow.tasks.alignment.loss import accuracy, batch_losses
from kinoflow.tasks.alignment.measures import Numbers, mean
from kinoflow.tasks.alignment.sampling import View, views
from kinoflow.training.gather import gathered, spread
from kinoflow.training.groups import one_group
from kinoflow.training.loop import Draw, Trainee
from kinoflow.training.schedule import Plan as Steps

LEARNED = {"classification", "progression", "probe"}  # measures that learn from labelled training clips
SETS, SHOWN = 3, 4  # first words of what seeds orders of sets and views that are shown: no two uses share their numbers


@dataclass(frozen=True)
class Plan:
    """What is trained on, after all checks."""

    clips: list[Clip]
    classes: tuple[str, ...]
    validation: list[Clip]


class ViewTraining(Trainee):
    """Views of clips, and the network that learns from them."""

    def __init__(self, trained: Trained, plan: Plan, source: Sources, how: Arithmetic):
        self.trained, self.plan, self.source, self.how = trained, plan, source, how
        self.options, self.model = trained.options, trained.network
        self.groups, self.samples = one_group(self.model), len(plan.clips)
        self.labels = [clip.numbers(plan.classes) for clip in plan.clips]
        flip = self.options.augment.flip and trained.mirror
        self.augment = self.options.augment.model_copy(update={"flip": flip})
        self.said: Tensor | None = None  # scores of phases of the last forward pass

    def load(self, draws: list[Draw]) -> dict[str, Any]:
        """Return views x (B, V, T*c, 3, S, S) float32, and of their frames steps, masks, labels (B, V, T); lengths (B, V)."""
        return self._batch([self._views(draw.sample, draw.rng()) for draw in draws])

    def weigh(self, draws: list[Draw]) -> dict[str, float]:
        """Return the number of labelled frames, where phases are learnt: their mean runs over these."""
        if self.options.algorithm != "classification":
            return {}
        count = 0.0
        for draw in draws:
            clip, labels = self.plan.clips[draw.sample], self.labels[draw.sample]
            for view in views(clip.frames, self.options.sampling, draw.rng()):
                count += float((view.mask * (labels[view.chosen] != data.NONE)).sum())
        return {"classification": count, "accuracy": count}

    def _views(self, sample: int, rng: np.random.Generator, plain: bool = False) -> list[dict[str, Tensor]]:
        """Return the views of a clip as one draw varies them; plain: as tests see them."""
        clip = self.plan.clips[sample]
        return [
            self._view(clip, self.labels[sample], view, rng, plain)
            for view in views(clip.frames, self.options.sampling, rng)
        ]

    def _view(
        self, clip: Clip, labels: np.ndarray, view: View, rng: np.random.Generator, plain: bool
    ) -> dict[str, Tensor]:
        items = torch.from_numpy(np.ascontiguousarray(self.source.read.frames(clip.video, clip.first + view.load)))
        if self.source.made is None:
            x = items if plain else vary_rows(items, self.augment, rng)
        else:
            x = prepare(items, self.augment) if plain else vary(items, self.augment, rng)
        return {
            "x": x,
            "steps": torch.from_numpy(view.chosen),
            "masks": torch.from_numpy(view.mask),
            "labels": torch.from_numpy(np.where(view.mask > 0, labels[view.chosen], data.NONE)),
            "lengths": torch.tensor(clip.frames),
        }

    def _batch(self, found: Sequence[Sequence[Mapping[str, Tensor]]]) -> dict[str, Any]:
        return {
            name: torch.stack([torch.stack([view[name] for view in each]) for each in found]) for name in found[0][0]
        }

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the loss of the algorithm; where it compares clips with each other, of those of all processes."""
        x = batch["x"]
        z = self.model(x.flatten(0, 1), batch["masks"].flatten(0, 1)).unflatten(0, x.shape[:2])  # (B, V, T, D)
        self.said = self.model.classify(z) if self.options.algorithm == "classification" else None
        if self.said is None and self.model.training:
            z, batch = gathered(z), {name: gathered(batch[name]) for name in ("steps", "masks", "lengths")}
        return batch_losses(self.options, z, batch, self.said)

    def scores(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the share of labelled frames told right, where phases are learnt."""
        return {} if self.said is None else {"accuracy": accuracy(self.said, batch["labels"])}

    def order(self, epoch: int, seed: int) -> Sequence[int] | None:
        """Return an order in which every batch is of one set, drawn evenly (tcc with sets); None: a permutation."""
        if self.options.algorithm != "tcc" or self.options.sets == "none":
            return None
        sets: dict[str, list[int]] = {}
        for number, clip in enumerate(self.plan.clips):
            sets.setdefault(clip.set, []).append(number)
        members, rng = [sets[name] for name in sorted(sets)], np.random.default_rng((SETS, seed, epoch))
        found: list[int] = []
        while len(found) < self.samples:
            own = members[rng.integers(len(members))]
            found += rng.choice(
                own, self.options.training.batch, replace=len(own) < self.options.training.batch
            ).tolist()
        return found[: self.samples]

    def rate(self, step: int, plan: Steps) -> float | None:
        """Return the published learning rate, where the options ask for it."""
        return rates.rate(step, plan, self.options.training)

    def validates(self) -> bool:
        """Whether there are validation clips."""
        return bool(self.plan.validation)

    def validate(self) -> dict[str, float] | None:
        """Return how well validation clips are aligned, their loss, and (where phases are learnt) the share told right.

        Processes share the clips that are embedded and the batches of the loss; each computes all measures, so none waits.
        """
        wanted = self.options.validation
        clips = data.some(self.plan.validation, wanted.most)
        if not clips:
            return None
        train = data.some(self.plan.clips, wanted.most) if LEARNED & set(wanted.tasks) else []
        embedder = Embedder(self.trained, wanted, self.source, self.how, "validation")
        with self.how.settled(), threadpool_limits(1):
            every = list({clip.name: clip for clip in (*train, *clips)}.values())
            vectors = dict(zip((clip.name for clip in every), spread(every, embedder.embedding), strict=True))
            sets = Comparison(train, clips, wanted).numbers(lambda clip: vectors[clip.name])
            losses = self._validation_losses(clips)
        found = _named(mean(list(sets.values())))
        if not found and self.options.training.keep == "best":
            raise ConfigError(
                "validation.tasks: nothing of it can be measured on these clips, so none is best; take keep: last"
            )
        return found | losses

    def show(self, step: int) -> dict[str, np.ndarray]:
        """Return how alike frames of validation clips are, and the views of a training clip, drawn anew at every step."""
        wanted = self.options.validation
        clips = shown.compared(data.some(self.plan.validation, wanted.most))
        embedder = Embedder(self.trained, wanted, self.source, self.how, "validation")
        with self.how.settled():
            vectors = {clip.name: embedder.embedding(clip) for own in clips.values() for clip in own}
            pictures = shown.similarities(clips, vectors, self.options.network.normalise)
        if self.source.made is None:  # rows of features are no pictures
            return pictures
        clip = self.plan.clips[0]
        rng = np.random.default_rng((zlib.crc32(os.fsencode(clip.name)), SHOWN, step))
        drawn = shown.pictures(clip, self.source.read, self.options, self.augment, rng)
        return pictures | {f"views/{clip.name}/{number}": x for number, (_, x) in enumerate(drawn, 1)}

    def _validation_losses(self, clips: Sequence[Clip]) -> dict[str, float]:
        """Return the mean losses and scores of clips, in batches as large as those of training but the last.

        Views are drawn, the same every time.
        """
        other = ViewTraining(self.trained, Plan(list(clips), self.plan.classes, []), self.source, self.how)

        def measured(part: list[int]) -> dict[str, float]:
            found = [other._views(i, _rng(clips[i]), plain=True) for i in part]
            batch = {name: value.to(self.how.device) for name, value in other._batch(found).items()}
            losses = {f"{name}_loss": value for name, value in other.losses(batch).items()}
            return {name: len(part) * float(value) for name, value in (losses | other.scores(batch)).items()}

        parts = self._validation_batches(clips)
        sums, count = spread(parts, measured), sum(map(len, parts))
        return {name: sum(each[name] for each in sums) / count for name in (sums[0] if sums else ())}

    def _validation_batches(self, clips: Sequence[Clip]) -> list[list[int]]:
        """Return numbers of clips, batch by batch; those of tcc are of one set each, as in training."""
        size, cycles = self.options.training.batch, self.options.algorithm == "tcc"
        sets: dict[str, list[int]] = {}
        for number, clip in enumerate(clips):
            sets.setdefault(clip.set if cycles else "", []).append(number)
        found = [own[first : first + size] for own in sets.values() for first in range(0, len(own), size)]
        if not cycles:
            return found
        # a sequence alone has nothing to go to and come back from
        return [part for part in found if len(part) * self.options.sampling.views > 1] or found[:1]


def _named(found: Numbers) -> dict[str, float]:
    """Return the measures of validation clips under a name each, retrieval first, then those of the training clips."""
    names = {f"retrieval_{k}": value for k, value in found.get("retrieval", {}).items()}
    tables = {name: found.get(name, {}) for name in ("classification", "progression", "probe")}
    sides = [(f"{name}_{share}", values) for name, shares in tables.items() for share, values in shares.items()]
    sides.append(("kendalls_tau", found.get("tau", {})))
    names |= {name: values["test"] for name, values in sides if "test" in values}
    return names | {f"train_{name}": values["train"] for name, values in sides if "train" in values}


def _rng(clip: Clip) -> np.random.Generator:
    return np.random.default_rng((zlib.crc32(os.fsencode(clip.name)), SETS))

"""The stage that trains a network to say what the videos of sets have in common."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinoflow.errors import DataError
from kinoflow.features.origin import Origin, copy_beside
from kinoflow.metrics.abstraction import in_top
from kinoflow.options import resolved
from kinoflow.stage import In, Out, State
from kinoflow.store.shards import Shard
from kinoflow.tasks.abstraction import set_files, taxonomy_files
from kinoflow.tasks.abstraction import vectors as semantic
from kinoflow.tasks.abstraction.checkpoints import Trained, save
from kinoflow.tasks.abstraction.data import Clips, classes_of, load_clips, usable
from kinoflow.tasks.abstraction.log_lines import Log
from kinoflow.tasks.abstraction.loss import set_losses, share_right
from kinoflow.tasks.abstraction.model import ClipClassifier, SetModel
from kinoflow.tasks.abstraction.options import AbstractionOptions
from kinoflow.tasks.abstraction.published import Naming, name_of
from kinoflow.tasks.abstraction.scoring import Reader
from kinoflow.tasks.abstraction.sets import Sets, draw_sets, targets
from kinoflow.tasks.abstraction.subsets import sizes
from kinoflow.tasks.abstraction.taxonomy import Taxonomy
from kinoflow.training.checkpoint import run_name
from kinoflow.training.distributed import is_first
from kinoflow.training.groups import one_group
from kinoflow.training.kept import checkpoints
from kinoflow.training.loop import Draw, Trainee, fit
from kinoflow.training.schedule import Plan
from kinoflow.training.workplace import workplace

ONLINE = 3  # first word of what seeds online sets: no two uses share their numbers


def abstraction_train(
    sets: In,
    taxonomy: In,
    vectors: In,
    segments: In,
    features: list[In],
    model: Out,
    history: Out,
    place: State,
    options: AbstractionOptions,
    seed: int = 0,
    validation: In | None = None,
    weights: In | None = None,
    basis: In | None = None,
    frames: In | None = None,
    dataset: str = "",
    device: str = "auto",
    code: str = "",
) -> None:
    """Train a network on abstraction sets. The same command continues a killed training.

    sets: the sets to train on, as `kinoflow abstraction-sets` or the published release writes them
    taxonomy: the taxonomy, node-link JSON
    vectors: the semantic vectors of its nodes, as `kinoflow taxonomy` writes them
    segments: the table of labelled segments, which says where the clips of sets are
    features: the shards of features, all of the dataset's
    model: the checkpoint to write, which holds all that is needed to name sets of features
    history: the table of losses and scores to write
    place: the folder for the state of the training; gone when it is done
    seed: of the first weights, the order of sets and the noise
    validation: sets that are named during training
    weights: the weights of the network behind the features; a copy goes beside the checkpoint, so that it names clips alone
    basis: the components of the features, where they are reduced; copied too
    frames: a shard of the frames that features were made from, which says how these are made
    dataset: its name
    device: cpu, cuda, or auto: CUDA where there is some
    code: fingerprint of the stage's code; found out if not given
    """
    plan = planned(options, sets, taxonomy, vectors, segments, features, validation)
    network = plan.network(options, seed)
    origin = Origin.of(Shard(features[0]).attrs, weights, basis, frames)
    trained = Trained(network, plan.taxonomy, plan.vectors, options, plan.majority, origin, dataset)
    known = [p for p in (sets, taxonomy, vectors, segments, *features, validation) if p]
    with workplace(place, known, resolved(options), seed, dataset, code) as mine:
        told = plan.trainee(network, options, _log(model, plan, options, dataset, origin))
        rows = fit(
            told,
            options.training,
            seed,
            mine,
            f"train {run_name(model)}",
            device=device,
            events=model.parent / "events",
        )
        if is_first():
            rows.write_csv(history)
            copy_beside(model, weights, basis)
            for path in checkpoints(model, [(told.model, mine)], options.training.keep):
                save(path, trained, seed)


def _log(model: Path, plan: "Training", options: AbstractionOptions, dataset: str, origin: Origin) -> Log | None:
    if not options.log_lines or not is_first():
        return None
    name = published_name(options, dataset, origin.backbone)
    return Log(model.parent / "logs", name, options.log_lines, Plan.of(len(plan.sets), options.training).per_epoch)


def published_name(options: AbstractionOptions, dataset: str, backbone: str) -> str:
    """Return the name that the published code gives such a run: its weights 1 and 1 are whole numbers by default."""
    weights: list[float] = [options.embedding_weight, options.node_weight]
    return name_of(
        Naming(
            dataset=dataset,
            basemodel=backbone,
            loss_weights=(1, 1) if weights == [1.0, 1.0] else weights,
            optimizer={"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}[options.training.optimiser],
            lr=options.training.learning_rate,
            scales=options.network.scales,
        )
    )


# ---------------------------------------------------------------- before anything runs


@dataclass(frozen=True)
class Training:
    """What is trained on, after all checks."""

    taxonomy: Taxonomy
    vectors: np.ndarray  # (C, E) of the nodes
    clips: Clips
    clip_vectors: np.ndarray  # (V, E)
    sets: Sets
    deviation: np.ndarray  # (D,) of each feature over the clips
    validation: tuple[Clips, Sets] | None

    @property
    def majority(self) -> dict[int, int]:
        """The most frequent label of training subsets of each size, of equals the lower one."""
        found = {}
        for size in range(1, self.sets.n + 1):
            labels = self.sets.labels[:, sizes(self.sets.n) == size]
            found[size] = int(np.bincount(labels.ravel(), minlength=len(self.taxonomy)).argmax())
        return found

    def network(self, options: AbstractionOptions, seed: int) -> SetModel | ClipClassifier:
        """Return the network of the options, its weights drawn."""
        width = self.clips.features.shape[1]
        if options.network.kind == "classifier":
            network: nn.Module = ClipClassifier(options.network, width, self.taxonomy.num_class, seed)
        else:
            network = SetModel(options.network, width, self.vectors.shape[1], len(self.taxonomy), seed)
            # A head without a loss is left alone by the optimiser, weight decay included.
            network.embedding.requires_grad_(options.embedding_weight > 0)
            network.node.requires_grad_(options.node_weight > 0)
        if options.scale == "deviation":
            network.spread.copy_(torch.from_numpy(np.where(self.deviation > 0, self.deviation, 1.0)))
        return network

    def trainee(self, network: nn.Module, options: AbstractionOptions, log: Log | None) -> "SetTraining":
        """Return what the training loop asks."""
        kind = ClassTraining if isinstance(network, ClipClassifier) else SetTraining
        return kind(network, self, options, log)


def planned(
    options: AbstractionOptions,
    sets: Path,
    taxonomy: Path,
    vectors: Path,
    segments: Path,
    features: Sequence[Path],
    validation: Path | None,
) -> Training:
    """Check all that can be known before a training, and return what it needs.

    Raises ConfigError or DataError that names the option, the file, the video or the node at fault.
    """
    tree, known = taxonomy_files.read(taxonomy), semantic.read(vectors)
    known.check(tree, vectors)

    def loaded(path: Path) -> tuple[Clips, Sets]:
        given = set_files.read_sets(path, tree)
        names = [given.names[i] for i in np.unique(given.items)]
        clips = load_clips(names, segments, features, options.rows, options.max_missing, str(path), classes_of(given))
        return clips, usable(given, clips, str(path))

    clips, training = loaded(sets)
    if options.network.kind == "sam" and training.n < options.network.scales[0]:
        raise DataError(
            f"{sets}: sets of {training.n} are smaller than the smallest scale, network.scales: {list(options.network.scales)};"
            " lower it, or take network.kind: pooled"
        )
    return Training(
        taxonomy=tree,
        vectors=known.nodes,
        clips=clips,
        clip_vectors=known.of_items(clips.items),
        sets=training,
        deviation=clips.features.std(axis=0, dtype=np.float64),
        validation=loaded(validation) if validation else None,
    )


# ---------------------------------------------------------------- what the training loop asks for


class SetTraining(Trainee):
    """Sets of clips, and the network that learns from them."""

    def __init__(self, network: nn.Module, plan: Training, options: AbstractionOptions, log: Log | None = None):
        self.model, self.plan, self.options, self.log = network, plan, options, log
        self.groups, self.samples = one_group(network), len(plan.sets)
        self.noise = (options.noise * plan.deviation).astype(np.float32)  # (D,)
        paths = plan.taxonomy.path_multihot if options.target == "path_multihot" else None
        self.paths = None if paths is None else torch.from_numpy(paths)
        self.told = torch.zeros(0)  # logits of the last forward pass
        self.online = lru_cache(2)(self._drawn)

    def _drawn(self, seed: int, epoch: int) -> Sets:
        rng = np.random.default_rng((ONLINE, seed, epoch))
        return draw_sets(self.plan.taxonomy, self.plan.clips.items, self.samples, self.options.sampling, rng)

    def chosen(self, draws: Sequence[Draw]) -> Sets:
        """Return the sets of draws, of one epoch: the file's own, or those drawn for this epoch."""
        sets = self.online(draws[0].seed, draws[0].epoch) if self.options.online else self.plan.sets
        return sets.take(np.array([draw.sample for draw in draws]))

    def load(self, draws: list[Draw]) -> dict[str, Any]:
        """Return features (B, n, D), vectors (B, M, E) and labels (B, M) of the subsets that the network tells."""
        start = time.perf_counter()
        sets = self.chosen(draws)
        told = sizes(sets.n) >= self.model.least
        x = self._varied(self.plan.clips.features[sets.items], draws)
        wanted = targets(sets, self.plan.clip_vectors, self.plan.vectors)[:, told]
        if self.log:
            self.log.waited = time.perf_counter() - start
        return {
            "x": torch.from_numpy(x),
            "vectors": torch.from_numpy(np.ascontiguousarray(wanted, np.float32)),
            "labels": torch.from_numpy(sets.labels[:, told].astype(np.int64)),
            "at": torch.tensor([draws[0].epoch, draws[0].position]),
        }

    def _varied(self, x: np.ndarray, draws: Sequence[Draw]) -> np.ndarray:
        """Return features with each sample's own noise."""
        if not self.options.noise:
            return x
        drawn = [draw.rng().standard_normal(x.shape[1:], np.float32) for draw in draws]
        return x + np.stack(drawn) * self.noise

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the weighted losses of vectors and of nodes."""
        found = self.model(batch["x"])
        self.told = found.logits.detach()
        paths = None if self.paths is None else self.paths.to(found.logits.device)
        weights = (self.options.embedding_weight, self.options.node_weight)
        self.last = set_losses(found.embeddings, found.logits, batch["vectors"], batch["labels"], *weights, paths)
        return self.last

    def scores(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the share of subsets named right in the last forward pass."""
        found = {f"top{k}": share_right(self.told, batch["labels"], k) for k in (1, 5) if k <= self.told.shape[1]}
        if self.log:
            epoch, position = batch["at"].tolist()
            step = position // self.options.training.batch
            losses = {name: value.item() for name, value in self.last.items()}
            shares = {f"{name}@abstr": 100 * value.item() for name, value in found.items()}
            self.log.step(epoch, step, len(batch["x"]), losses, shares)
        return found

    def validates(self) -> bool:
        """Whether there are validation sets."""
        return self.plan.validation is not None

    def validate(self) -> dict[str, float] | None:
        """Return the share of subsets of validation sets that are named right."""
        if self.plan.validation is None:
            return None
        clips, sets = self.plan.validation
        right = self._named(clips, sets)
        if self.log:
            self.log.validated({f"{name}@abstr": 100 * value for name, value in right.items()})
        return right

    def _named(self, clips: Clips, sets: Sets) -> dict[str, float]:
        logits = Reader(self.model).logits(clips.features[sets.items])
        labels = sets.labels[:, sizes(sets.n) >= self.model.least]
        return {f"top{k}": float(in_top(logits, labels, k).mean()) for k in (1, 5) if k <= logits.shape[1]}


class ClassTraining(SetTraining):
    """Single clips and their classes (baseline B3), in as many steps as sets take.

    Sample i is the clip number i modulo the number of clips: an epoch has each about as often.
    """

    def load(self, draws: list[Draw]) -> dict[str, Any]:
        """Return features (B, D) and classes (B,)."""
        clips = self.plan.clips
        items = np.array([draw.sample % len(clips.items) for draw in draws])
        return {
            "x": torch.from_numpy(self._varied(clips.features[items], draws)),
            "labels": torch.from_numpy(clips.items.first[items].astype(np.int64)),
            "at": torch.tensor([draws[0].epoch, draws[0].position]),
        }

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the cross-entropy of the classes."""
        scores = self.model(batch["x"])
        self.told = scores.detach()[..., None]  # (B, classes, 1)
        self.last = {"abstr": nn.functional.cross_entropy(scores, batch["labels"])}
        return self.last

    def scores(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the share of clips whose class is told right."""
        return super().scores(batch | {"labels": batch["labels"][:, None]})

    def _named(self, clips: Clips, sets: Sets) -> dict[str, float]:
        told = Reader(self.model).classes(clips.features).argmax(axis=1)
        predicted = self.plan.taxonomy.subset_labels(told[sets.items])
        return {"top1": float((predicted == sets.labels).mean())}

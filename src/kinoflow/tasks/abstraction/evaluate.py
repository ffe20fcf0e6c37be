"""The stage that tests a model: naming what sets have in common, completing sets, finding the odd one out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.errors import ConfigError
from kinoflow.metrics.abstraction import (
    among_farthest,
    best_found,
    bootstrap,
    by_size,
    human_agreement,
    in_top,
    kendall,
    mean_average_precision,
    spearman,
)
from kinoflow.metrics.scores import softmax
from kinoflow.progress import Progress
from kinoflow.stage import In, Out
from kinoflow.store.files import write_json, write_text
from kinoflow.store.tables import write
from kinoflow.tasks.abstraction import set_files
from kinoflow.tasks.abstraction.checkpoints import Trained, read_checkpoint
from kinoflow.tasks.abstraction.data import (
    Clips,
    by_references,
    classes_of,
    load_clips,
    names_of,
    odd_sets,
    usable,
    usable_rankings,
)
from kinoflow.tasks.abstraction.log_lines import summary_lines
from kinoflow.tasks.abstraction.model import ClipClassifier
from kinoflow.tasks.abstraction.options import AbstractionTestOptions
from kinoflow.tasks.abstraction.scoring import SPACES, Reader
from kinoflow.tasks.abstraction.sets import Ranking, Sets
from kinoflow.tasks.abstraction.subsets import keys, sizes
from kinoflow.training.checkpoint import run_name
from kinoflow.training.devices import device_of

DIGITS = 6  # of numbers in tables
OWN = ("embedding", "feature")  # spaces in which a model answers, the first that applies
NAMING, COMPLETION, ODD = range(3)  # what a generator's resamples are for


@dataclass(frozen=True, kw_only=True)
class Named:
    """A row of the table of predictions: what one subset of a set is told to have in common."""

    record: int  # of the file of sets
    subset: str  # "0,1": its members
    members: int
    label: str
    predicted: str
    right: bool
    tied: bool  # whether several common ancestors are as near
    hit: bool  # whether the predicted one is any of them
    probability: float | None = None  # of the predicted node


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A row of the table of rankings: one candidate of a set, or one member of a set with an odd one."""

    task: str  # completion or odd
    record: int  # of the file of rankings
    place: int  # among the candidates, or in the set
    video: str
    common: str  # what the references have in common
    truth: float  # true distance; of members: 1 for the odd one, 0 for the others
    distance: float  # as the model tells
    raw: float  # as raw features tell


def abstraction_evaluate(
    model: In,
    sets: In,
    rankings: In,
    segments: In,
    features: list[In],
    metrics: Out,
    predictions: Out,
    placed: Out,
    options: AbstractionTestOptions,
    odd: In | None = None,
    summary: Out | None = None,
    device: str = "auto",
) -> None:
    """Test a model on abstraction sets, rankings and sets with an odd one, in every space that applies.

    model: the checkpoint, model.safetensors of an abstraction run
    sets: the sets to name
    rankings: the records to complete; those with two references or more are odd-one-out sets too, unless there is ``odd``
    segments: the table of labelled segments
    features: the shards of features, all of the dataset's
    metrics: the measures to write, JSON, those of raw features, chance and majority beside
    predictions: the table of named subsets to write
    placed: the table of candidates and members to write: distances by vectors (else by features), and by raw features
    odd: records with an odd one, as `kinoflow abstraction-sets` writes them
    summary: the published code's lines about the three tests to write
    device: cpu, cuda, or auto: CUDA where there is some
    """
    trained = read_checkpoint(model)
    trained.network.to(device_of(device))
    given, records = set_files.read_sets(sets, trained.taxonomy), set_files.read_rankings(rankings)
    outliers = set_files.read_rankings(odd) if odd else records
    names = [given.names[i] for i in np.unique(given.items)]
    rows, missing = trained.options.rows, options.max_missing
    clips = load_clips(names, segments, features, rows, missing, str(sets), classes_of(given))
    others = load_clips(names_of([*records, *outliers]), segments, features, rows, missing, str(rankings))
    _check_width(trained, clips, features)
    records, outliers = (usable_rankings(each, others.place, str(rankings)) for each in (records, outliers))
    reader = trained.reader(options.batch)
    with Progress(f"test {run_name(model)}", total=3, items="tests") as progress:
        naming, told = named(trained, reader, clips, usable(given, clips, str(sets)), options)
        progress.step()
        completion, ranked = completed(reader, others, records, options)
        progress.step()
        odds, members = odd_ones(reader, others, outliers, options)
        progress.step()
    found = {
        "naming": naming,
        "completion": completion,
        "odd_one_out": odds,
        "nodes": len(trained.taxonomy),
        "parameters": sum(p.numel() for p in trained.network.parameters()),
        "human": _human(rankings),
    }
    write_json(metrics, _without_nan(found))
    write(predictions, told, Named)
    write(placed, [*ranked, *members], Placed)
    if summary:
        write_text(summary, "".join(f"{line}\n" for line in summary_lines(found)))


def _check_width(trained: Trained, clips: Clips, features: Sequence[Path]) -> None:
    if clips.features.shape[1] != trained.network.inputs:
        raise ConfigError(
            f"features: those of {features[0]} have {clips.features.shape[1]} columns, but the model reads"
            f" {trained.network.inputs}; give the features that it was trained on"
        )


# ---------------------------------------------------------------- naming


def named(
    trained: Trained, reader: Reader, clips: Clips, sets: Sets, options: AbstractionTestOptions
) -> tuple[dict[str, Any], list[Named]]:
    """Return the measures of naming, and a row for every subset that is told."""
    tree, x = trained.taxonomy, clips.features[sets.items]
    if isinstance(trained.network, ClipClassifier):
        classes = reader.classes(clips.features).argmax(axis=1)
        predicted, logits, told = tree.subset_labels(classes[sets.items]), None, np.ones(2**sets.n - 1, bool)
    else:
        logits, told = reader.logits(x), sizes(sets.n) >= trained.network.least
        predicted = np.zeros((len(sets), 2**sets.n - 1), np.int64)
        predicted[:, told] = logits.argmax(axis=1)
    labels = sets.labels.astype(np.int64)
    right, tied = predicted == labels, tree.tied(sets.classes)
    hit = tree.hits(sets.classes, predicted)
    members, draw = sizes(sets.n)[told], (options.seed, NAMING)
    shares = {"exact": right, "tied": hit, "distance": tree.distance[predicted, labels].astype(np.float64)}
    found: dict[str, Any] = {name: _by_size(each[:, told], members, draw, options) for name, each in shares.items()}
    if logits is not None:
        for k in (k for k in (5,) if k <= logits.shape[1]):
            found[f"top{k}"] = _by_size(in_top(logits, labels[:, told], k), members, draw, options)
        if trained.options.target == "path_multihot":
            rows = logits.transpose(0, 2, 1).reshape(-1, logits.shape[1])
            found["map"] = mean_average_precision(rows, tree.path_multihot[labels[:, told]].reshape(rows.shape))
    depth = tree.depth[labels[:, told]]
    found["depth"] = {str(d): float(right[:, told][depth == d].mean()) for d in np.unique(depth)}
    most = np.array([trained.majority.get(int(size), tree.root) for size in members])
    always = np.zeros_like(predicted)
    always[:, told] = most
    found |= {
        "majority": _by_size(labels[:, told] == most, members, draw, options),
        "majority_tied": _by_size(tree.hits(sets.classes, always)[:, told], members, draw, options),
        "chance": 1 / len(tree),
        "sets": len(sets),
        "tied_share": float(tied[:, told][:, members > 1].mean()) if (members > 1).any() else 0.0,
    }
    certain = None if logits is None else softmax(logits, axis=1).max(axis=1)
    return found, _named_rows(tree.names, predicted, labels, (right, tied, hit), certain, told)


def _by_size(
    values: np.ndarray, members: np.ndarray, draw: tuple[int, ...], options: AbstractionTestOptions
) -> dict[str, float | None]:
    """Return means over all subsets, over those of each size, over sizes 2 to 4 (each alike), and an interval over sets."""
    found = by_size(values, members)
    several = [each for size, each in found.items() if 2 <= size <= 4]
    means: dict[str, float | None] = {"all": float(values.mean())}
    means |= {f"n{size}": float(each.mean()) for size, each in found.items()}
    if several:
        whole = np.mean(several, axis=0)
        means |= {"n2_4": float(whole.mean())} | _ends(whole, draw, options)
    return means


def _ends(values: np.ndarray, draw: tuple[int, ...], options: AbstractionTestOptions) -> dict[str, float | None]:
    """Return the ends of the interval of a mean; measures of the same sets meet the same resamples."""
    rng = np.random.default_rng(draw)
    low, high = bootstrap(values, options.resamples, rng, options.level) or (None, None)
    return {"low": low, "high": high}


def _named_rows(
    names: Sequence[str],
    predicted: np.ndarray,
    labels: np.ndarray,
    flags: tuple[np.ndarray, np.ndarray, np.ndarray],
    certain: np.ndarray | None,
    told: np.ndarray,
) -> list[Named]:
    n = int(np.log2(labels.shape[1] + 1))
    right, tied, hit = flags
    column = {int(m): i for i, m in enumerate(np.flatnonzero(told))}
    return [
        Named(
            record=record,
            subset=keys(n)[m],
            members=int(sizes(n)[m]),
            label=names[labels[record, m]],
            predicted=names[predicted[record, m]],
            right=bool(right[record, m]),
            tied=bool(tied[record, m]),
            hit=bool(hit[record, m]),
            probability=None if certain is None else round(float(certain[record, column[m]]), DIGITS),
        )
        for record in range(len(labels))
        for m in column
    ]


# ---------------------------------------------------------------- set completion


def completed(
    reader: Reader, clips: Clips, records: Sequence[Ranking], options: AbstractionTestOptions
) -> tuple[dict[str, Any], list[Placed]]:
    """Return the measures of set completion in every space, and a row for every candidate."""
    place, values = clips.place, {space: _Collected() for space in SPACES}
    told: dict[int, tuple[np.ndarray, dict[str, np.ndarray]]] = {}
    for (n, _), group in by_references(records).items():
        references, candidates = (
            clips.features[[[place[name] for name in getattr(records[i], part)] for i in group]]
            for part in ("references", "queries")
        )
        truth = np.array([records[i].distances for i in group])
        found = reader.completion(references, candidates)
        for space, distances in found.items():
            if isinstance(distances, str):
                values[space].reasons[f"n{n}"] = distances
            else:
                measures = {"rho": spearman(truth, distances), "tau": kendall(truth, distances)}
                measures["best"] = best_found(truth, distances).astype(float)
                values[space].add(n, np.array(group), measures)
        for row, i in enumerate(group):
            told[i] = truth[row], {s: d[row] for s, d in found.items() if not isinstance(d, str)}
    draw = (options.seed, COMPLETION)
    measured = {space: each.summary("rho", draw, options) for space, each in values.items()}
    space = _own(measured)
    rows = [
        Placed(
            task="completion", record=i, place=j, video=name, common=records[i].common, truth=round(float(truth[j]), DIGITS),
            distance=round(float(found.get(space, found["mean"])[j]), DIGITS), raw=round(float(found["mean"][j]), DIGITS),
        )
        for i, (truth, found) in sorted(told.items())
        for j, name in enumerate(records[i].queries)
    ]  # fmt: skip
    references = sorted({len(each.references) for each in records})
    zero = {f"n{n}": 0.0 for n in references} | {"mean": 0.0, "overall": 0.0}
    said = {"own": measured[space], "space": space, "chance": {"rho": zero}, "records": len(records)}
    return measured | said, rows


def _own(measured: Mapping[str, Any]) -> str:
    """Return the space in which a model answers: vectors, else features; "mean", raw features, if neither applies."""
    return next((space for space in OWN if measured[space]["applies"]), "mean")


class _Collected:
    """Measures of one space, size after size."""

    def __init__(self):
        self.reasons: dict[str, str] = {}
        self.parts: list[tuple[int, np.ndarray, dict[str, np.ndarray]]] = []

    def add(self, n: int, records: np.ndarray, measures: dict[str, np.ndarray]) -> None:
        """Take note of the measures of records (N,) of one size."""
        self.parts.append((n, records, measures))

    def summary(self, first: str, draw: tuple[int, ...], options: AbstractionTestOptions) -> dict[str, Any]:
        """Return each measure by size, their mean, the mean over all records, an interval of ``first``; or the reason.

        Records without a value, whose truth is constant, are left out and counted.
        """
        if not self.parts:
            return {"applies": 0, "reason": next(iter(self.reasons.values()), "there is no record")}
        found: dict[str, Any] = {"applies": 1, **({"reasons": self.reasons} if self.reasons else {})}
        for name in self.parts[0][2]:
            sized: dict[int, list[np.ndarray]] = {}
            for n, _, measures in self.parts:
                sized.setdefault(n, []).append(measures[name])
            joined = {n: np.concatenate(each) for n, each in sized.items()}
            everything = np.concatenate(list(joined.values()))
            means = {f"n{n}": _mean(each) for n, each in joined.items()}
            known = [value for value in means.values() if value is not None]
            found[name] = means | {"mean": float(np.mean(known)) if known else None, "overall": _mean(everything)}
            if name == first:
                found[name] |= _ends(everything, draw, options)
                found[name]["undefined"] = int(np.isnan(everything).sum())
        return found


def _mean(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


# ---------------------------------------------------------------- odd one out


def odd_ones(
    reader: Reader, clips: Clips, records: Sequence[Ranking], options: AbstractionTestOptions
) -> tuple[dict[str, Any], list[Placed]]:
    """Return the measures of finding the odd one in every space, and a row for every member."""
    values, told = {space: _Collected() for space in SPACES}, {}
    groups = odd_sets(records, clips.place, options.seed, options.outlier_last)
    for n, group in groups.items():
        found = reader.odd(clips.features[group.items])
        for space, distances in found.items():
            if isinstance(distances, str):
                values[space].reasons[f"n{n}"] = distances
            else:
                shares = {f"top{k}": among_farthest(distances, group.odd, k).astype(float) for k in (1, 2)}
                values[space].add(n, group.records, shares)
        told[n] = {space: distances for space, distances in found.items() if not isinstance(distances, str)}
    draw = (options.seed, ODD)
    measured = {space: each.summary("top1", draw, options) for space, each in values.items()}
    space = _own(measured)
    rows = [
        Placed(
            task="odd", record=int(record), place=j, video=clips.items.names[item], common=records[record].common,
            truth=float(j == at), distance=round(float(told[n].get(space, told[n]["mean"])[row, j]), DIGITS),
            raw=round(float(told[n]["mean"][row, j]), DIGITS),
        )
        for n, group in groups.items()
        for row, (record, items, at) in enumerate(zip(group.records, group.items, group.odd, strict=True))
        for j, item in enumerate(items)
    ]  # fmt: skip
    chance = {f"top{k}": _chance(groups, k) for k in (1, 2)}
    count = sum(len(group.records) for group in groups.values())
    return measured | {"own": measured[space], "space": space, "chance": chance, "records": count}, rows


def _chance(groups: Mapping[int, Any], k: int) -> dict[str, float]:
    shares = {f"n{n}": min(1.0, k / n) for n in groups}
    counts = [len(group.records) for group in groups.values()]
    if not shares:
        return {}
    overall = float(np.average(list(shares.values()), weights=counts))
    return shares | {"mean": float(np.mean(list(shares.values()))), "overall": overall}


# ---------------------------------------------------------------- people


def _human(rankings: Path) -> dict[str, Any]:
    """Return how far people agree with each other, where a file has several rankings of a record."""
    people = [each for each in set_files.read_annotators(rankings) if len(each) > 1]
    agreement = np.array([human_agreement(each) for each in people])
    return {"agreement": _mean(agreement), "records": len(people)} if len(people) else {}


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value

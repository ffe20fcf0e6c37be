"""From tables, feature shards and set files to arrays: which clip has which feature, which sets can be used.

A name in a set file is that of a segment, or of a whole video. Names without features are left out once, here, and told.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.progress import log
from kinoflow.store.shards import Shard
from kinoflow.store.tables import Segment, read
from kinoflow.tasks.abstraction.items import Items, item_features
from kinoflow.tasks.abstraction.sets import Ranking, Sets

FEW = 3  # names that a message tells


@dataclass(frozen=True)
class Clips:
    """V clips that have features, (V, D) float32."""

    items: Items
    features: np.ndarray

    @property
    def place(self) -> dict[str, int]:
        """The number of each name."""
        return self.items.place


# ---------------------------------------------------------------- clips


def load_clips(
    names: Iterable[str],
    segments: str | Path,
    features: Sequence[str | Path],
    rows: int | None,
    max_missing: float,
    what: str,
    labels: Mapping[str, int] | None = None,
) -> Clips:
    """Return those of ``names`` that have features; the others are counted and told, with ``what`` they are of.

    rows: of a clip's rows of features so many are averaged, spread evenly; None: all. labels: the class of each name.
    Raises ConfigError if a larger share than ``max_missing`` has no features, DataError if none has any.
    """
    names = list(dict.fromkeys(names))
    if not features:
        raise ConfigError("features: give the shards of features, all of the dataset's")
    have = {video for path in features for video in _videos_with_rows(path)}
    known = {row.segment: row for row in read(segments, Segment) if not row.phase}
    found = [known.get(name) or Segment(segment=name, video=name, start=0.0, end=np.inf) for name in names]
    kept = [row for row in found if row.video in have]
    _tell([row.segment for row in found if row.video not in have], len(names), max_missing, what)
    if not kept:
        raise DataError(f"{what}: none of its {len(names)} videos has features; give all shards of its dataset")
    items = Items(
        names=tuple(row.segment for row in kept),
        labels=np.array([[-1 if labels is None else labels[row.segment]] for row in kept], np.int32),
        videos=tuple(row.video for row in kept),
        start=np.array([row.start for row in kept], np.float64),
        end=np.array([row.end for row in kept], np.float64),
        texts=tuple(row.text for row in kept),
        recordings=tuple(row.video for row in kept),
    )
    return Clips(items, item_features(items, features, rows))


def _videos_with_rows(path: str | Path) -> list[str]:
    shard = Shard(path)
    if shard.bytes is not None:
        raise DataError(f"{path}: this shard holds frames; give one with features")
    return [video for video, rows in zip(shard.videos, np.diff(shard.offsets), strict=True) if rows]


def _tell(missing: Sequence[str], of: int, max_missing: float, what: str) -> None:
    if not missing:
        return
    few = ", ".join(map(repr, missing[:FEW])) + (", ..." if len(missing) > FEW else "")
    text = f"{what}: {len(missing)} of {of} videos have no features ({few})"
    if len(missing) > max_missing * of:
        raise ConfigError(f"{text}, more than max_missing: {max_missing:g} allows; give their shards, or raise it")
    log.warning("%s: what they are part of is left out", text)


# ---------------------------------------------------------------- sets and rankings


def usable(sets: Sets, clips: Clips, what: str) -> Sets:
    """Return the sets whose videos are all among ``clips``, their items numbered as these; DataError if there is none."""
    number = np.array([clips.place.get(name, -1) for name in sets.names], np.int32)
    items = number[sets.items]
    whole = (items >= 0).all(axis=1)
    if not whole.any():
        raise DataError(f"{what}: there is no set whose videos all have features")
    if not whole.all():
        log.warning("%s: %d of %d sets are left out, as videos have no features", what, (~whole).sum(), len(whole))
    return Sets(clips.items.names, items[whole], sets.labels[whole])


def classes_of(sets: Sets) -> dict[str, int]:
    """Return the class of each name that occurs in a set; of one with several classes the first that is met."""
    found: dict[str, int] = {}
    for item, label in zip(sets.items.ravel().tolist(), sets.classes.ravel().tolist(), strict=True):
        found.setdefault(sets.names[item], label)
    return found


def names_of(rankings: Iterable[Ranking]) -> list[str]:
    """Return the names of all references and queries, each once."""
    return list(dict.fromkeys(name for each in rankings for name in (*each.references, *each.queries)))


def usable_rankings(rankings: Sequence[Ranking], place: Mapping[str, int], what: str) -> list[Ranking]:
    """Return the records whose videos are all in ``place``; the others are counted and told."""
    kept = [each for each in rankings if all(name in place for name in (*each.references, *each.queries))]
    if len(kept) < len(rankings):
        text = "%s: %d of %d records are left out, as videos have no features"
        log.warning(text, what, len(rankings) - len(kept), len(rankings))
    return kept


def by_references(rankings: Sequence[Ranking]) -> dict[tuple[int, int], list[int]]:
    """Return the numbers of records by how many references and queries they have, in this order."""
    found: dict[tuple[int, int], list[int]] = {}
    for i, each in enumerate(rankings):
        found.setdefault((len(each.references), len(each.queries)), []).append(i)
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class OddSets:
    """Sets of one size with an odd one: numbers of their records (N,), items (N, n), the odd one's place (N,)."""

    records: np.ndarray
    items: np.ndarray
    odd: np.ndarray


def odd_sets(rankings: Sequence[Ranking], place: Mapping[str, int], seed: int, last: bool) -> dict[int, OddSets]:
    """Return the sets with an odd one of all records with two references or more, by their size.

    The odd one is the query of largest distance, the first of equals. It stands at a place drawn from the seed and the
    record's number, or last: a model that depends on the order of videos may exploit a fixed place.
    """
    groups: dict[int, list[tuple[int, list[int], int]]] = {}
    for i, each in enumerate(rankings):
        if len(each.references) < 2:
            continue
        n, items = len(each.references) + 1, [place[name] for name in each.references]
        at = n - 1 if last else int(np.random.default_rng((seed, i)).integers(n))
        items.insert(at, place[each.queries[each.outlier]])
        groups.setdefault(n, []).append((i, items, at))
    return {
        n: OddSets(*(np.array(column, np.int64) for column in zip(*rows, strict=True)))
        for n, rows in sorted(groups.items())
    }

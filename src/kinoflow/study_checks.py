"""What a study's parts are refused for: each function raises ValueError, one sentence that begins with the key."""

import difflib
from typing import Any

from kinoflow.datasets.options import DatasetOptions
from kinoflow.features import networks
from kinoflow.room_runs import CorpusRun, RecognitionRun
from kinoflow.store.tables import HEADS


def refer(key: str, value: Any, known: dict[str, Any]) -> None:
    """Refuse a name that is not given, or that nothing has."""
    if value is None:
        raise ValueError(f"{key}: this key must be given; known are: {', '.join(sorted(known)) or 'none'}")
    if value not in known:
        raise ValueError(f"{key}: there is no {value!r}; known are: {', '.join(sorted(known)) or 'none'}")


def network(name: str) -> str:
    """Refuse the name of a network that features cannot come from; return one that they can."""
    known = (*networks.NAMES, "trained")
    if name not in known:
        near = ", ".join(difflib.get_close_matches(name, known, n=3, cutoff=0.4))
        raise ValueError(
            f"there is no network {name!r}; {f'the nearest names: {near}' if near else 'see docs/options.md'}"
        )
    return name


def crops(key: str, run: RecognitionRun, dataset: DatasetOptions) -> None:
    """Refuse tests on mirrored pictures where these do not keep their labels."""
    for place, test in {"test": run.test, **{f"tests.{name}": test for name, test in run.tests.items()}}.items():
        if test.crops == 10 and not dataset.mirror:
            raise ValueError(f"{key}.{place}: 10 crops mirror the pictures, which the dataset forbids (mirror: false)")


def heads(key: str, run: RecognitionRun) -> None:
    """Refuse heads that are no column of labels."""
    for head in run.heads:
        if head not in HEADS:
            raise ValueError(f"{key}.heads: {head!r} is no column of labels: give one of {', '.join(HEADS)}")


def has_seeds(key: str, seeds: tuple[int, ...], other: str, known: tuple[int, ...]) -> None:
    """Refuse a seed that the run lacks of which each seed is read."""
    if lost := sorted(set(seeds) - set(known)):
        raise ValueError(f"{key}.seeds: {lost[0]} reads that seed of {other}, which has {', '.join(map(str, known))}")


def written(key: str, run: CorpusRun, datasets: dict[str, DatasetOptions]) -> None:
    """Refuse a corpus without a source, or of a dataset that has no recipes."""
    if run.path is None:
        refer(f"{key}.dataset", run.dataset, datasets)
        if datasets[run.dataset].source.kind != "kitchen":
            raise ValueError(f"{key}.dataset: {run.dataset!r} has no recipes; give path")
    elif run.dataset is not None:
        raise ValueError(f"{key}.path: with dataset, leave path out")


def tested(key: str, test: str | None, run: Any) -> None:
    """Refuse the name of a test that a run does not have."""
    if test is not None:
        refer(key, test, getattr(run, "tests", {}))


def label(key: str, dataset: DatasetOptions, why: str = "") -> None:
    """Refuse a dataset that can have no labels: neither annotations nor classes by folder. why: the option that needs them."""
    index = dataset.index
    if dataset.source.kind != "kitchen" and not (index.labels or index.class_per_folder or dataset.annotated):
        raise ValueError(
            f"{key}: the dataset has no labels{f', which {why} needs' if why else ''}: give annotations.path, index.labels or"
            " index.class_per_folder"
        )


def hold(key: str, name: str, datasets: dict[str, DatasetOptions], *contents: str) -> None:
    """Refuse a dataset of something else than ``contents``."""
    if datasets[name].content not in contents:
        raise ValueError(f"{key}: the dataset {name!r} holds {datasets[name].content}, not {' or '.join(contents)}")

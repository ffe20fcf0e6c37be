"""A part of a study: the runs of some rooms, and what these need from everything else."""

from collections.abc import Iterator
from typing import Any

from kinoflow.errors import ConfigError
from kinoflow.features.options import RunWeights
from kinoflow.study import ROOMS, Study, reads

Key = tuple[str, str]  # a section of the config, and a key in it

WORDS = (
    "language",
    "teachers",
    "ensembles",
    "anticipation",
    "fusions",
    "summaries",
)  # what the room of anticipation holds
CLIPS = ("recognition", "clip_fusions")
SOURCES = (
    "datasets",
    "frames",
    "flow",
    "features",
    "pca",
    "actions",
    "corpora",
    "toys",
    "taxonomies",
    "sets",
    "released",
)
READING = ("recognition", "segmentation", "alignment", "anticipation", "abstraction")
REFERENCES = {  # what a key of a section names, beside what runs read: the section where it stands, or several
    "frames": {"dataset": ("datasets",)},
    "flow": {"frames": ("frames",), "dataset": ("datasets",)},
    "features": {"frames": ("frames",), "dataset": ("datasets",)},
    "pca": {"features": ("features",)},
    "actions": {"dataset": ("datasets",)},
    "corpora": {"dataset": ("datasets",)},
    "taxonomies": {"dataset": ("datasets",)},
    "sets": {"taxonomy": ("taxonomies",)},
    "language": {"corpus": ("corpora",), "actions": ("actions",)},
    "teachers": {"actions": ("actions",), "recipes": ("corpora",), "language": ("language",)},
    "ensembles": {"teachers": ("teachers",)},
    "anticipation": {"actions": ("actions",), "toy": ("toys",), "taught_by": ("teachers", "ensembles")},
    "fusions": {"runs": ("anticipation",)},
    "clip_fusions": {"runs": ("recognition",)},
    "abstraction": {"sets": ("sets",), "validation_sets": ("sets",)},
}
BEGINNINGS = ("weights", "initial")  # keys that may name a run whose weights are taken


def shown(study: Study) -> frozenset[str]:
    """Return the sections of the config whose runs are tested and told of: those of the rooms that ``rooms`` names, or all."""
    rooms = READING if study.rooms is None else study.rooms
    held = {"anticipation": WORDS, "recognition": CLIPS}
    return frozenset(section for room in rooms for section in held.get(room, (room,)))


def chosen(study: Study) -> Study:
    """Return what is left of a study whose key ``rooms`` names some: their runs, what these need, their claims.

    Raises ConfigError for a room in which the study has no runs.
    """
    if study.rooms is None:
        return study
    for room in study.rooms:
        if not getattr(study, room) and not (room == "anticipation" and study.teachers):
            raise ConfigError(f"rooms: the study {study.study} has no runs of {room}; leave it out")
    told = shown(study)
    needed = _needed(study, [(section, name) for section in told for name in getattr(study, section)])
    parts = {
        part: {n: r for n, r in getattr(study, part).items() if (part, n) in needed} for part in (*SOURCES, *ROOMS)
    }
    claims = {name: claim for name, claim in study.claims.items() if claim.room in told}
    published = tuple(figure for figure in study.published if figure.room in told)
    return study.model_copy(update={**parts, "claims": claims, "published": published})


def refuse_circles(study: Study) -> None:
    """Raise ConfigError for runs that begin with each other's weights, or read what these make."""
    above: dict[Key, None] = {}  # what led to the part that is looked at
    done: set[Key] = set()

    def look(part: Key) -> None:
        if part in above:
            circle = [".".join(key) for key in above][list(above).index(part) :]
            raise ConfigError(
                f"{circle[0]}: needs {', which needs '.join([*circle[1:], 'itself'])};"
                " let one of them begin without the weights of the next"
            )
        if part not in done:
            above[part] = None
            for other in _references(study, *part):
                look(other)
            del above[part]
            done.add(part)

    for section in (*SOURCES, *ROOMS):
        for name in getattr(study, section):
            look((section, name))


def _needed(study: Study, first: list[Key]) -> set[Key]:
    """Return ``first`` and everything that it needs, through any number of steps."""
    found, left = set(first), list(first)
    while left:
        new = set(_references(study, *left.pop())) - found
        found |= new
        left += new
    return found


def _references(study: Study, section: str, name: str) -> Iterator[Key]:
    """Yield what the parts of a study name themselves: what they read, and whose weights they begin with."""
    run = getattr(study, section)[name]
    if section in READING and not _reads_nothing(run):
        yield reads(study, section, name)
    references = {"runs": (run.room,)} if section == "summaries" else REFERENCES.get(section, {})
    for key, places in references.items():
        named = getattr(run, key) or ()
        for each in (named,) if isinstance(named, str) else named:
            yield next((place, each) for place in places if each in getattr(study, place))
    for key in BEGINNINGS:
        weights: Any = getattr(run, key, None)
        if isinstance(weights, RunWeights) and weights.study in (None, study.study):
            yield weights.room, weights.run


def _reads_nothing(run: Any) -> bool:
    """Whether a run reads no shards of the study: invented rows, or files of the user."""
    return bool(getattr(run, "toy", None) or getattr(run, "folder", None))

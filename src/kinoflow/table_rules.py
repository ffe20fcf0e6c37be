"""What the rules on words and sets ask for: actions in their order, corpora, taxonomies, draws of sets."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kinoflow.dataset_rules import NOTHING
from kinoflow.datasets.published.files import digest_of
from kinoflow.layout import TAXONOMY_FILES, Layout, Table
from kinoflow.options import resolved
from kinoflow.room_runs import ReleasedRun
from kinoflow.run_state import RunState
from kinoflow.stock import said
from kinoflow.store.files import key_of, quick_hash, sha256_of

RECIPES = {"steps": "recipes.txt", "sentences": "sentences.jsonl"}  # of the embedded dataset, by the form of a corpus
# Keys that name what is read, or are told otherwise; `dataset` of a release says which one it is.
SOURCES = ("dataset", "path", "taxonomy", "seed", *TAXONOMY_FILES)
RELEASED = ("metadata",)


class TableRules:
    """Every table of one ``kind``: actions, corpora, taxonomies, sets or releases. ``{table}`` is the folder below data/."""

    def __init__(self, layout: Layout, state: RunState, kind: str):
        self.state, self.taxonomies, self.flags = state, layout.taxonomies, FLAGS.get(kind, {})
        self._sources = RELEASED if kind == "released" else SOURCES
        self.by_folder: dict[str, Table] = {table.folder: table for table in getattr(layout, kind).values()}

    def folders(self) -> str:
        """Return a pattern of the folders."""
        return "|".join(sorted(self.by_folder)) or NOTHING

    def options(self, wildcards: Any) -> str:
        """Return the resolved options as one JSON text."""
        return resolved(self._table(wildcards).options, self._sources)

    def seed(self, wildcards: Any) -> int:
        """Return the seed of what is drawn."""
        return self._table(wildcards).options.seed

    def dataset(self, wildcards: Any) -> str:
        """Return the flag that names the dataset, where there is one."""
        dataset = self._table(wildcards).dataset
        return f"--dataset {dataset.name}" if dataset else ""

    def index(self, name: str) -> Callable[[Any], list[str]]:
        """Return a table (videos, segments) of the dataset; none where files of the user are read."""

        def path(wildcards: Any) -> list[str]:
            dataset = self._table(wildcards).dataset
            return [f"data/{dataset.folder}/index/{dataset.index}/{name}.csv"] if dataset else []

        return path

    def recipes(self, wildcards: Any) -> list[str]:
        """Return the file of recipes of a corpus; none where a file of the user is read, whose place shall not count."""
        self.state.begin()
        table = self._table(wildcards)
        return [f"data/{table.dataset.folder}/raw/{RECIPES[table.options.form]}"] if table.dataset else []

    def taxonomy(self, name: str) -> Callable[[Any], str]:
        """Return a file of the taxonomy that sets are drawn from."""
        return lambda wildcards: f"data/{self.taxonomies[self._table(wildcards).options.taxonomy].folder}/{name}"

    def user(self, *keys: str) -> Callable[..., str]:
        """Return flags for files or folders of the user. Not recorded: what they hold is another param."""

        def flags(wildcards: Any, input: Any) -> str:
            found = ((key, getattr(self._table(wildcards).options, key.replace("-", "_"))) for key in keys)
            return " ".join(f"--{self.flags.get(key, key)} {shlex.quote(path)}" for key, path in found if path)

        return flags

    def content(self, *keys: str) -> Callable[[Any], str]:
        """Return what tells the content of files or folders of the user from others."""

        def text(wildcards: Any) -> str:
            if not self.state.main:
                return ""
            found = ((key, getattr(self._table(wildcards).options, key.replace("-", "_"))) for key in keys)
            return " ".join(f"{key} {said(_content, path)}" for key, path in found if path)

        return text

    def release(self, wildcards: Any) -> str:
        """Return what tells the published files of a release from others: names, sizes and samples of their content."""
        if not self.state.main:
            return ""
        return said(_release, self._table(wildcards).options)

    def _table(self, wildcards: Any) -> Table:
        return self.by_folder[wildcards.table]


FLAGS = {  # by kind: keys of the config, and flags of the stage where they differ
    "actions": {"path": "annotations"},
    "corpora": {"path": "recipes"},
    "taxonomies": {"wordnet": "wordnet-folder"},
}


def _content(path: str) -> str:
    place = Path(path)
    if place.is_dir():
        return digest_of(path)
    return sha256_of(place) if place.is_file() else ""


def _release(run: ReleasedRun) -> str:
    files = sorted(path for path in Path(run.metadata).glob(f"*{run.dataset}_*") if path.is_file())
    return key_of(*(f"{path.name} {quick_hash(path)}" for path in files))

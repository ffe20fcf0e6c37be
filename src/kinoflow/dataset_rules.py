"""What the rules on datasets ask for: where videos come from, what tells them from others, how they are labelled."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kinoflow.datasets import listing
from kinoflow.layout import Dataset, Layout, annotation_options
from kinoflow.options import resolved
from kinoflow.run_state import RunState
from kinoflow.stock import Stock, said
from kinoflow.store.files import sha256_of

NOTHING = "(?!)"  # a wildcard that stands for none
WHICH_FILES = ("include", "exclude")
SCAN = (*WHICH_FILES, "watch", "shards", "content")  # options that decide which files are videos


class DatasetRules:
    """Every dataset. What a rule asks for is a function of its wildcards."""

    def __init__(self, layout: Layout, state: RunState, stock: Stock):
        self.state, self.stock = state, stock
        self._warned: set[str] = set()  # keys whose missing folder the plan has told
        self.by_folder = {dataset.folder: dataset for dataset in layout.datasets.values()}

    def options(self, kind: str, *exclude: str) -> Callable[[Any], str]:
        """Return a function of wildcards: the resolved options of a stage as one JSON text.

        ``kind``: render, download, convert, scan, which_files, probe, pictures, files, annotations, index.
        """

        def text(wildcards: Any) -> str:
            options = self._dataset(wildcards).options
            if kind in ("render", "download"):
                return resolved(options.source, ("kind", "videos", *exclude))
            if kind == "annotations":
                return annotation_options(options)
            if kind in ("scan", "which_files"):
                named = SCAN if kind == "scan" else WHICH_FILES
                return resolved(options, tuple(name for name in type(options).model_fields if name not in named))
            return resolved(getattr(options, kind), exclude)

        return text

    def root(self, wildcards: Any, input: Any) -> str:
        """Return the folder of the videos. It takes `input`, so Snakemake does not record it: a moved folder is the same."""
        return self._dataset(wildcards).root

    def download_options(self, wildcards: Any, input: Any) -> str:
        """Return how a dataset is fetched; what decides the result is another param, this one is not recorded."""
        return resolved(self._dataset(wildcards).options.source, ("kind", "videos"))

    def annotations(self, wildcards: Any, input: Any) -> str:
        """Return the flags that name a dataset's label files."""
        files = self._dataset(wildcards).annotations
        return " ".join(f"--{name} {shlex.quote(path)}" for name, path in files.items())

    def annotations_digest(self, wildcards: Any) -> str:
        """Return a hash of the content of a dataset's label files: what triggers its index."""
        dataset = self._dataset(wildcards)
        if not self.state.main or dataset.annotated:  # tables made by a rule are its input
            return ""
        return said(_digests, dataset.annotations)

    def published(self, wildcards: Any, input: Any) -> str:
        """Return the folder of a dataset's annotation files. It is not recorded: a moved folder is the same."""
        return self._dataset(wildcards).published

    def published_digest(self, wildcards: Any) -> str:
        """Return a hash of the content of a dataset's annotation files: what triggers its labels and splits."""
        return said(self.stock.published_digest, self._dataset(wildcards)) if self.state.main else ""

    def fetched(self, wildcards: Any) -> list[str]:
        """Return the marker of rendered or fetched videos; nothing for the user's own folder."""
        self.state.begin()
        dataset = self._dataset(wildcards)
        if dataset.marker is None:
            self._need(f"datasets.{dataset.name}.source.path", dataset.root)
        return [dataset.marker] if dataset.marker else []

    def originals(self, wildcards: Any) -> list[str]:
        """Return the marker of fetched files that links or clips are made of; nothing for the user's own folder."""
        self.state.begin()
        dataset = self._dataset(wildcards)
        options = dataset.options.annotations
        if dataset.fetched is None:
            self._need(f"datasets.{dataset.name}.source.path", dataset.place)
        if options and options.path:
            self._need(f"datasets.{dataset.name}.annotations.path", options.path)
        return [dataset.fetched] if dataset.fetched else []

    def place(self, wildcards: Any, input: Any) -> str:
        """Return the folder of the files as they were fetched or lie with the user; not recorded."""
        return self._dataset(wildcards).place

    def part(self, name: str) -> Callable[..., str]:
        """Return a function: the folder of a part of a release, which an option of `convert` names; not recorded."""

        def folder(wildcards: Any, input: Any) -> str:
            dataset = self._dataset(wildcards)
            return f"{dataset.place}/{getattr(dataset.options.convert, name)}"

        return folder

    def release_digest(self, wildcards: Any) -> str:
        """Return a hash of the user's files of a release: what triggers its clips and tables."""
        return said(self.stock.release_digest, self._dataset(wildcards)) if self.state.main else ""

    def linked(self, wildcards: Any) -> str:
        """Return the folder that links lead into. It is recorded: those of a moved folder are made anew."""
        return self._dataset(wildcards).place

    def names_digest(self, wildcards: Any) -> str:
        """Return a hash of the list of videos and of the names of the files: what triggers the links."""
        return said(self.stock.names_digest, self._dataset(wildcards)) if self.state.main else ""

    def _need(self, key: str, folder: str) -> None:
        """Stop a run where a folder of the user is missing; warn in the plan of one, as it may be filled until then."""
        if Path(folder).is_dir():
            return
        if self.state.owned:
            raise SystemExit(f"{key}: there is no folder {folder}")
        if self.state.main and key not in self._warned:
            self._warned.add(key)
            print(f"{key}: there is no folder {folder}; until there is one, a run stops here", file=sys.stderr)

    def annotated(self, wildcards: Any) -> list[str]:
        """Return the tables of labels and splits that the rule `annotations` makes for a dataset; none if it has other ones."""
        self.state.begin()
        dataset = self._dataset(wildcards)
        if dataset.options.annotations and dataset.options.annotations.path:
            self._need(f"datasets.{dataset.name}.annotations.path", dataset.options.annotations.path)
        return [*dataset.annotations.values()] if dataset.annotated else []

    def tables(self, wildcards: Any) -> list[str]:
        """Return the probe tables of a dataset's shards."""
        names = listing.shard_names(self._dataset(wildcards).options.shards)
        return [f"data/{wildcards.dataset}/probe/{shard}.csv" for shard in names]

    def folders(
        self,
        source: str = "",
        content: str = "",
        long: bool | None = None,
        linked: bool | None = None,
        convert: str = "",
    ) -> str:
        """Return a pattern of the dataset folders of one kind of source, content or release.

        long: whether annotation files are of long videos. linked: whether links are read in place of the files
        """
        found = [
            folder
            for folder, dataset in self.by_folder.items()
            if source in ("", dataset.options.source.kind)
            and content in ("", dataset.options.content)
            and long in (None, bool(dataset.options.annotations and dataset.options.annotations.long))
            and linked in (None, dataset.options.linked)
            and convert in ("", dataset.options.convert.kind if dataset.options.convert else None)
        ]
        return "|".join(found) or NOTHING

    def digest(self, wildcards: Any) -> str:
        """Return what triggers a shard: a hash of its part of the folder. Jobs never look at the folder."""
        return said(self.stock.digest, self._dataset(wildcards), wildcards.shard) if self.state.main else ""

    def _dataset(self, wildcards: Any) -> Dataset:
        return self.by_folder[wildcards.dataset]


def _digests(files: dict[str, str]) -> str:
    return " ".join(f"{name} {sha256_of(path)}" for name, path in files.items() if Path(path).is_file())

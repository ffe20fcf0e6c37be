"""The folders of videos as the main process sees them: what triggers a shard, and the state that its stages read.

Jobs never look at a folder: they read the lists that the main process has written. What is seen once is remembered for the
rest of the process.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kinoflow.datasets import listing, roles
from kinoflow.datasets.published import crosstask
from kinoflow.datasets.published.files import digest_below, digest_of, digest_of_release
from kinoflow.errors import KinoflowError
from kinoflow.layout import Dataset, Shards, needs_roles
from kinoflow.run_state import RunState
from kinoflow.store.files import sha256_of


class Stock:
    """Every dataset's videos, shard by shard."""

    def __init__(self, state: RunState):
        self._state = state
        self._scans: dict[Any, Any] = {}
        self._stocks: dict[Any, Any] = {}
        self._published: dict[str, str] = {}

    def keep(self, dataset: Dataset) -> None:
        """Hand every shard of a dataset its list of videos."""
        for shard in listing.shard_names(dataset.options.shards):
            self._states(dataset, shard)

    def digest(self, dataset: Dataset, shard: str) -> str:
        """Return what triggers a shard: a hash of its part of the folder."""
        return listing.digest(self._states(dataset, shard))

    def roles_digest(self, pca: Shards, shard: str) -> str:
        """Return what triggers a shard's partial sums: splits and tasks of its videos. Writes them for the stage to read.

        Without tables of the user they follow from names and options, which trigger already: nothing to look at in a plan.
        """
        dataset = pca.dataset
        if not needs_roles(pca.options) or not (dataset.annotations or self._state.owned):
            return ""
        found = self._known_roles(dataset, shard)
        if self._state.owned:
            roles.keep(Path(roles_path(dataset, shard)), found)
        own = dataset.annotations and not dataset.annotated  # tables made by a rule are inputs
        return roles.digest(found) if own else ""

    def published_digest(self, dataset: Dataset) -> str:
        """Return a hash of the annotation files that a dataset's labels are made of; "" where there is no folder of them."""
        options = dataset.options.annotations
        if not (options and options.path and Path(options.path).is_dir()):
            return ""
        if options.path not in self._published:
            self._published[options.path] = said(_published, options.path, options.kind)
        return self._published[options.path]

    def release_digest(self, dataset: Dataset) -> str:
        """Return a hash of the user's files of a release; "" where they are fetched, or there is no folder of them."""
        if dataset.fetched or not Path(dataset.place).is_dir():
            return ""
        if dataset.place not in self._published:
            self._published[dataset.place] = said(digest_of_release, dataset.place)
        return self._published[dataset.place]

    def names_digest(self, dataset: Dataset) -> str:
        """Return what triggers links: hashes of the user's list of videos, and of the names of the user's files."""
        options, place = dataset.options, Path(dataset.place)
        listed = Path(options.annotations.path) if options.annotations and options.annotations.path else None
        videos = sha256_of(crosstask.places(listed)[0] / crosstask.VIDEOS) if listed and listed.is_dir() else ""
        if dataset.fetched or not place.is_dir():
            return videos
        key = ("names", dataset.folder)
        if key not in self._scans:
            found = said(listing.scan, place, 1, options.include, options.exclude, "names")["000"]
            lines = "".join(f"{name}\0" for name in sorted(found, key=os.fsencode))
            self._scans[key] = hashlib.sha256(os.fsencode(lines)).hexdigest()[:16]
        return f"{self._scans[key]} {videos}"

    def tasks_digest(self, pca: Shards, shard: str) -> str:
        """Return what triggers a shard's projection beside features and basis: the tasks of its videos, if they count."""
        if not (pca.options.by_task and pca.dataset.annotations) or pca.dataset.annotated:
            return ""
        found = self._known_roles(pca.dataset, shard)
        return roles.digest({video: role._replace(split="", recording="") for video, role in found.items()})

    def _known_roles(self, dataset: Dataset, shard: str) -> dict[str, roles.Role]:
        """Return the roles of a shard's videos; in a job those that the main process has written."""
        if self._state.main:
            return said(self._roles, dataset, shard)
        file = Path(roles_path(dataset, shard))
        return said(roles.read_roles, file) if file.exists() else {}

    def _roles(self, dataset: Dataset, shard: str) -> dict[str, roles.Role]:
        """Return the roles of a shard's videos. Without tables of the user they follow from each name alone."""
        files = {name: Path(path) for name, path in dataset.annotations.items() if Path(path).is_file()}
        states = self._states(dataset, shard)
        if not files:
            return roles.roles_of(states, dataset.options.index)
        stamps = tuple(path.stat().st_mtime_ns for path in files.values())
        key = ("roles", dataset.folder, dataset.index, stamps, _seen(dataset))
        if key not in self._scans:
            shards = (self._states(dataset, name) for name in listing.shard_names(dataset.options.shards))
            videos = [video for states in shards for video in states]
            self._scans[key] = roles.roles_of(videos, dataset.options.index, files.get("labels"), files.get("splits"))
        return {video: self._scans[key][video] for video in states}

    def _states(self, dataset: Dataset, shard: str) -> dict[str, tuple[int, int, str]]:
        seen, options, root = _seen(dataset), dataset.options, Path(dataset.root)
        if seen not in self._scans:
            self._scans[seen] = {}
            if root.is_dir():
                scan = (root, options.shards, options.include, options.exclude, options.watch)
                found = listing.scan_folders if options.content == "pictures" else listing.scan
                self._scans[seen] = said(found, *scan)
        if (seen, shard) not in self._stocks:
            videos, data = self._scans[seen].get(shard, {}), Path("data", dataset.folder)
            keep = self._state.owned and root.is_dir()
            shelf = (root, videos, data, shard, options.watch, keep)
            self._stocks[seen, shard] = said(listing.take_stock, *shelf)
        return self._stocks[seen, shard]


def _published(path: str, kind: str) -> str:
    """Return a hash of annotation files: of those that are read, however deep they lie."""
    if kind == "crosstask":
        return digest_below(folder for folder in crosstask.places(Path(path)) if folder)
    return digest_below([Path(path)]) if kind == "breakfast" else digest_of(path)


def roles_path(dataset: Dataset, shard: str) -> str:
    """Return the file with the roles of a shard's videos."""
    return f"data/{dataset.folder}/index/{dataset.index}/roles/{shard}.json"


def _seen(dataset: Dataset) -> Any:
    """A render or fetch in this very run makes an earlier scan worthless."""
    marker = Path(dataset.marker) if dataset.marker else None
    return (dataset.folder, marker.stat().st_mtime_ns if marker and marker.exists() else None)


def said(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function; what it has to say to the user ends the run as that one sentence.

    Snakemake wraps an exception of an input function in a page of text, but lets SystemExit pass as it is.
    """
    try:
        return function(*arguments)
    except KinoflowError as error:
        raise SystemExit(str(error)) from None
    except OSError as error:
        denied = "this user may not do that: change the rights, or take another"
        advice = denied if isinstance(error, PermissionError) else "put that right and give the same command again"
        raise SystemExit(f"{error}; {advice}") from None

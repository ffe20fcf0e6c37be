"""The rooms' runs as the rules see them: their options, and what is said to their stages. What they read: kinoflow.run_files."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kinoflow.datasets.published.files import digest
from kinoflow.layout import BEGUN, Layout, Run
from kinoflow.options import resolved
from kinoflow.run_files import RunFiles
from kinoflow.stock import said

MIRRORED = ("recognition", "alignment")  # rooms whose training shows mirrored pictures
MODEL = "model.safetensors"
# What a run reads stands in its inputs, its seed and further tests in its paths.
FILES = (
    *("frames", "features", "dataset", "seeds", "tests", "weights", "initial", "steps", "narration"),
    *("outside", "texts"),
    *("actions", "folder", "language", "recipes", "records", "sets", "released", "validation_sets"),
    *("teacher", "teachers", "toy"),
)
ELSEWHERE = ("frames", "test_on", "sets")  # of a further test: what it reads stands in its inputs and flags


class Runs(RunFiles):
    """Every named run of every room. What a rule asks for is a function of its wildcards.

    main: whether this process plans; its jobs look at no folder of the user to find out what triggers them.
    """

    def __init__(self, layout: Layout, main: bool = True):
        super().__init__(layout)
        self._main, self._weights = main, layout.weights
        self._content: dict[str, str] = {}  # of folders of the user

    def options(self, room: str, *exclude: str) -> Callable[[Any], str]:
        """Return a run's resolved options as one JSON text, without what names files."""

        def text(wildcards: Any) -> str:
            run = self._run(room, wildcards)
            values = json.loads(resolved(run.options, (*FILES, *exclude)))
            if self._start(run):
                values[BEGUN[run.room]]["weights"] = "none"
            return json.dumps(values, sort_keys=True)

        return text

    def start(self, room: str) -> Callable[[Any], str]:
        """Return what tells the weight file that a run begins with from others: its checksum."""
        return lambda wildcards: self._weights.get(self._start(self._run(room, wildcards)), "")

    def start_flag(self, room: str, name: str = "weights") -> Callable[..., str]:
        """Return the flag that names the weight file that a run begins with. Not recorded: a moved file is the same."""

        def flag(wildcards: Any, input: Any) -> str:
            path = self._start(self._run(room, wildcards))
            return f"--{name} {shlex.quote(path)}" if path else ""

        return flag

    def _start(self, run: Run) -> str:
        path = getattr(run.options, BEGUN[run.room]).weights if run.room in BEGUN else ""
        return path if path in self._weights else ""

    def extractor_flag(self, room: str, name: str = "weights") -> Callable[..., str]:
        """Return the flag that names the user's file whose weights made a run's features; not recorded, as theirs is not."""

        def flag(wildcards: Any, input: Any) -> str:
            shards = self._features(room, wildcards)
            own = shards is not None and isinstance(shards.options.weights, str)
            path = self._layout.weight_file(shards.options) if own else None
            return f"--{name} {shlex.quote(path)}" if path else ""

        return flag

    def content(self, room: str, key: str) -> Callable[[Any], str]:
        """Return what tells a folder of the user from what stood in its place before: the names and content of its files."""

        def text(wildcards: Any) -> str:
            path = getattr(self._run(room, wildcards).options, key) if self._main else None
            if path and path not in self._content:
                self._content[path] = said(_digest, path)
            return self._content[path] if path else ""

        return text

    def texts(self, room: str) -> Callable[[Any], str]:
        """Return the flag that names the folder of a test's text files, beside its results; they are no output."""

        def flag(wildcards: Any) -> str:
            run = self._run(room, wildcards)
            place = f"{run.folder(self._study, int(wildcards.seed))}/texts{wildcards.test}"
            return f"--texts-folder {place}" if run.options.texts else ""

        return flag

    def published(self, room: str) -> Callable[[Any], str]:
        """Return the flag that names the predictions for a server, where a test asks for them; they are no output."""

        def flag(wildcards: Any) -> str:
            run, name = self._run(room, wildcards), getattr(wildcards, "test", "")
            test = run.options if room == "clip_fusions" else run.options.tests[name[1:]] if name else run.options.test
            place = f"{run.folder(self._study, int(wildcards.seed))}/published{name}.csv"
            return f"--published {place}" if test.published else ""

        return flag

    def test_flags(self, room: str) -> Callable[..., str]:
        """Return the flags of a test's files, and the one that names the file of the published code's lines about it.

        A run that asks for such lines (log_lines) has them beside those of its training; they are no output.
        """

        def text(wildcards: Any, input: Any) -> str:
            run = self._run(room, wildcards)
            folder = f"{run.folder(self._study, int(wildcards.seed))}/logs"
            lines = f" --summary {folder}/{run.name}{wildcards.test}_summary.txt" if run.options.log_lines else ""
            return flags(wildcards, input) + lines

        return text

    def test(self, room: str) -> Callable[[Any], str]:
        """Return the resolved options of a run's main test, or of the further one that ``{test}`` names."""

        def text(wildcards: Any) -> str:
            options = self._run(room, wildcards).options
            return resolved(options.tests[wildcards.test[1:]] if wildcards.test else options.test, ELSEWHERE)

        return text

    def root(self, room: str) -> Callable[..., str]:
        """Return the flag that names the folder of the videos that a run reads; not recorded: a moved folder is the same.

        What the videos hold triggers by their table, where checksums stand.
        """

        def flag(wildcards: Any, input: Any) -> str:
            run = self._run(room, wildcards)
            return "" if run.reads else f"--root {shlex.quote(run.dataset.root)}"

        return flag

    def data(self, room: str) -> Callable[[Any], str]:
        """Return the flags that say what is known of the dataset that a run reads, beside its tables."""

        def text(wildcards: Any) -> str:
            run = self._run(room, wildcards)
            if run.released:
                return f"--dataset {run.released.name}"
            dataset = run.dataset
            if dataset is None:
                return ""
            mirror = f" --mirror {str(dataset.options.mirror).lower()}" if room in MIRRORED else ""
            return f"--dataset {dataset.name}{mirror}"

        return text

    def part(self, room: str, key: str) -> Callable[[Any], str]:
        """Return the resolved options below one key of a run as one JSON text."""
        return lambda wildcards: resolved(getattr(self._run(room, wildcards).options, key))

    def folder(self, room: str, key: str = "folder", name: str = "root") -> Callable[..., str]:
        """Return the flag that names a folder of the user that a run reads; not recorded: a moved one is the same."""

        def flag(wildcards: Any, input: Any) -> str:
            path = getattr(self._run(room, wildcards).options, key)
            return f"--{name} {shlex.quote(path)}" if path else ""

        return flag

    def splits(self, room: str) -> Callable[[Any], str]:
        """Return the splits that a run is tested on; those of a further test, where it names its own."""

        def text(wildcards: Any) -> str:
            options = self._student(room, wildcards).options
            own = getattr(self._further(options, wildcards), "test_on", None)
            return " ".join(map(shlex.quote, own or options.test_on))

        return text

    def apart(self, room: str) -> Callable[[Any], str]:
        """Return the flag that says which clips a further test compares apart from others; none where the run says it."""

        def flag(wildcards: Any) -> str:
            sets = getattr(self._further(self._run(room, wildcards).options, wildcards), "sets", None)
            return f"--sets {sets}" if sets else ""

        return flag

    def _further(self, options: Any, wildcards: Any) -> Any:
        """Return the options of the further test that ``{test}`` names; None for the main one."""
        return getattr(options, "tests", {}).get(getattr(wildcards, "test", "")[1:])

    def threads(self, room: str) -> Callable[[Any], int]:
        """Return the threads that a run's training asks for."""
        return lambda wildcards: self._run(room, wildcards).options.training.threads


def _digest(path: str) -> str:
    return digest(path, (file for file in Path(path).rglob("*") if file.is_file()))


def joined(*texts: Callable[..., str]) -> Callable[..., str]:
    """Return the function whose text is those of several, one after the other."""
    return lambda wildcards, input: " ".join(filter(None, (text(wildcards, input) for text in texts)))


def flags(wildcards: Any, input: Any) -> str:
    """Return a flag for each named input of a rule; one without files has none. Not recorded, as the inputs are."""
    named = ((name, [files] if isinstance(files, str) else files) for name, files in input.items())
    return " ".join(f"--{name.replace('_', '-')} {' '.join(map(shlex.quote, files))}" for name, files in named if files)


def work(wildcards: Any, output: Any) -> str:
    """Return the folder in which a training keeps what it needs to go on; it is no output."""
    return f"{Path(output[0]).parent}/.work"

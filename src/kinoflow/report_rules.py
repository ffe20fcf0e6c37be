"""What the rules of the report ask for: the sections that it joins, and what these are made from."""

import json
import shlex
from pathlib import Path
from typing import Any

from kinoflow.layout import LABEL_FILES, SPEED, TAXONOMY_FILES, Layout
from kinoflow.options import resolved
from kinoflow.report.options import ClaimsOptions
from kinoflow.run_sections import RunSections
from kinoflow.run_state import RunState
from kinoflow.store.files import write_text

CONFIG = "report.json"

FILES = {  # keys below which sections of the config name files of the user
    "segmentation": ("steps", "narration"),
    "corpora": ("path",),
    "taxonomies": tuple(key for key in TAXONOMY_FILES if key != "wordnet"),
}
FOLDERS = {  # and folders; a moved one is the same
    "segmentation": ("outside",),
    "actions": ("path",),
    "anticipation": ("folder",),
    "taxonomies": ("wordnet",),
    "released": ("metadata",),
}


class ReportRules:
    """The report of the study."""

    def __init__(self, layout: Layout, state: RunState, sections: RunSections):
        self.layout, self.state, self.of_runs, self.study = layout, state, sections, layout.study.study

    def options(self, wildcards: Any) -> str:
        """Return the resolved options of the report as one JSON text."""
        return resolved(self.layout.study.report)

    def claims(self, wildcards: Any) -> str:
        """Return what the study is to show, and what others have published, as one JSON text."""
        return resolved(ClaimsOptions(claims=self.layout.study.claims, published=self.layout.study.published))

    def sections(self) -> list[str]:
        """Return the section files of the report."""
        data = [f"10-data-{name}" for name in self.layout.datasets]
        pca = [f"20-pca-{name}" for name in self.layout.study.pca]
        return [f"results/{self.study}/sections/{name}.json" for name in (*data, *pca, *self.of_runs.names())]

    def data_section_inputs(self, wildcards: Any) -> dict[str, str]:
        """Return the tables that a dataset's section is made from."""
        dataset = self.layout.datasets[wildcards.name]
        folder = f"data/{dataset.folder}"
        tables = {name: f"{folder}/index/{dataset.index}/{name}.csv" for name in ("videos", "segments")}
        return tables | {"unreadable": f"{folder}/unreadable.csv"}

    def section_root(self, wildcards: Any, input: Any) -> str:
        """Return the flag that names the folder of a dataset's videos; feature files have no pictures."""
        dataset = self.layout.datasets[wildcards.name]
        return f"--root {shlex.quote(dataset.root)}" if dataset.options.content == "videos" else ""

    def basis(self, wildcards: Any) -> str:
        """Return the components that a PCA's section shows: where each seed has its own, those of the first."""
        found = next(shards for (name, _), shards in self.layout.pca.items() if name == wildcards.name)
        return f"{found.folder}/basis.safetensors"

    def config_text(self, wildcards: Any) -> str:
        """Return the study's resolved options for the report, without paths of this machine."""
        values = self.layout.study.model_dump(mode="json", by_alias=True)
        for dataset in values["datasets"].values():
            for key in ("path", "place"):
                dataset["source"].pop(key, None)
            if dataset["annotations"]:
                dataset["annotations"].pop("path")
            for key in LABEL_FILES:
                dataset["index"][key] = dataset["index"][key] and Path(dataset["index"][key]).name
        for run in values["features"].values():
            if isinstance(run["weights"], str) and run["weights"] in self.layout.weights:
                run["weights"] = f"file with sha256 {self.layout.weights[run['weights']]}"
            for key in SPEED:
                run.pop(key)
        for room in ("recognition", "alignment", "anticipation"):
            for run in values[room].values():
                _without_place(run["network"], ("weights",), self.layout.weights)
        for room in ("language", "teachers"):
            for run in values[room].values():
                _without_place(run["encoder"], ("weights",), self.layout.weights)
        for section, keys in FILES.items():
            for run in values[section].values():
                _without_place(run, keys, self.layout.weights)
        for section, keys in FOLDERS.items():
            for run in values[section].values():
                run |= {key: "a folder" for key in keys if run[key]}
        return json.dumps(values, sort_keys=True)

    def config_file(self, wildcards: Any, input: Any) -> str:
        """Return the file that holds this text, beside the frozen copy: Linux takes no word of more than 128 KiB."""
        return str(self.state.frozen / CONFIG)

    def keep(self) -> None:
        """Write that file."""
        write_text(self.state.frozen / CONFIG, self.config_text(None))

    def usage(self, wildcards: Any, input: Any) -> str:
        """Return the folders in which Snakemake notes down what jobs cost; they are not recorded: they differ each time."""
        folders = (dataset.folder for dataset in self.layout.datasets.values())
        return " ".join(f"logs/usage/{folder}" for folder in (*folders, self.study))


def _without_place(values: dict[str, Any], keys: tuple[str, ...], known: dict[str, str]) -> None:
    """Tell files of the user by their checksum, or else by name: where they lie differs from machine to machine."""
    for key in keys:
        path = values[key]
        if path in known:
            values[key] = f"file with sha256 {known[path]}"
        elif path and Path(path).is_absolute():
            values[key] = Path(path).name

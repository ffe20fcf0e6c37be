"""What the rules ask for. With `kinoflow.run_state` the only module that knows Snakemake.

The main process reads config and sources, looks at the folders of videos, and keeps a frozen copy of all that decides what
a run does; jobs (local or on a cluster) parse the rules again, but take everything from that copy.
"""

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kinoflow import config as configuration
from kinoflow.datasets import listing
from kinoflow.errors import KinoflowError
from kinoflow.features.options import RunWeights
from kinoflow.fingerprint import stage_code
from kinoflow.layout import (
    LABEL_FILES,
    READS,
    SPEED,
    Dataset,
    Layout,
    Shards,
    annotation_options,
    contents,
    needs_roles,
    start_weights,
    user_weights,
)
from kinoflow.options import resolved
from kinoflow.report.options import ClaimsOptions
from kinoflow.run_state import FROZEN, RunState
from kinoflow.runs import Runs
from kinoflow.stock import Stock, roles_path, said
from kinoflow.store.files import sha256_of, write_json

GPU_DEVICES = ("nvidia[0-9]*", "kfd")  # of CUDA and of ROCm
NOTHING = "(?!)"  # a wildcard that stands for none


class Flow:
    """The study as the rules see it: paths, inputs, params."""

    def __init__(self, workflow: Any, config: dict[str, Any]):
        self.state = RunState(workflow)
        self.codes: dict[str, str] = {}
        self.stock = Stock(self.state)
        record = said(self._read, workflow) if self.state.main else self.state.record()
        config.clear()
        config.update(record["config"])
        self.codes.update(record["codes"])
        study = configuration.Study.model_validate(record["config"])
        self.layout = Layout(study, record["weights"])
        self.study = study.study
        self.runs = Runs(self.layout)
        self.datasets = {dataset.folder: dataset for dataset in self.layout.datasets.values()}
        if self.state.main:
            self.state.choose(json.dumps([record["config"], record["weights"]], sort_keys=True))
        os.environ["PYTHONPATH"] = str(self.state.frozen / "src")
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def _read(self, workflow: Any) -> dict[str, Any]:
        """Read the config files given on the command line, else the one beside the Snakefile."""
        if FROZEN in os.environ:
            del os.environ[FROZEN]  # of a run that started this one (a test, a notebook)
        files = [Path(path) for path in workflow.configfiles] or [self.state.home / "config.yaml"]
        given = json.loads(json.dumps(dict(workflow.config_settings.config)))
        study = configuration.load(files, given, self.state.home / "workflow/datasets")
        weights = {}
        for path in user_weights(study):
            if not Path(path).is_file():
                raise KinoflowError(f"features: the weights file {path} is not there")
            weights[path] = sha256_of(path)
        for path in start_weights(study):  # another study may still have to train them: a dry run bears with that
            weights[path] = sha256_of(path) if Path(path).is_file() else ""
        return {"config": json.loads(resolved(study)), "codes": {}, "weights": weights}

    # ------------------------------------------------------------ the run

    def begin(self, wildcards: Any = None) -> list[str]:
        """Make sure that no other run is at work in this folder: an input function of rules without other inputs."""
        self.state.begin()
        return []

    def freeze(self) -> None:
        """Keep sources, rules and config as they were read; hand every shard its list of videos."""
        if not self.state.main:
            return
        self.state.begin()
        for path, run in start_weights(self.layout.study).items():
            if not self.layout.weights[path]:
                raise SystemExit(f"{run}.network.weights: there is no file {path}; train it first, or correct the path")
        record = {"config": self.layout.study.model_dump(mode="json", by_alias=True), "codes": self.codes}
        self.state.freeze(record | {"weights": self.layout.weights})
        for dataset in self.datasets.values():
            self.stock.keep(dataset)
        for folder, values in contents(self.layout).items():
            path = Path("data", folder, "contents.json")
            old = json.loads(path.read_text()) if path.exists() else {}
            if old | values != old:
                write_json(path, old | values)

    def rules(self, name: str) -> str:
        """Return the path of a rule file: the live one in the main process, the frozen one in a job."""
        return str(self.state.source / "workflow/rules" / name)

    # ------------------------------------------------------------ params

    def code(self, target: str) -> str:
        """Return the fingerprint of a stage's code."""
        if self.state.main:
            self.codes[target] = stage_code(target)
        return self.codes[target]

    def options(self, kind: str, *exclude: str) -> Callable[[Any], str]:
        """Return a function of wildcards: the resolved options of a stage as one JSON text.

        ``kind``: render, scan, probe, pictures, files, annotations, index, download (of a dataset), frames, flow, features,
        pca, report, claims.
        """

        def text(wildcards: Any) -> str:
            if kind == "claims":
                return resolved(ClaimsOptions(claims=self.layout.study.claims, published=self.layout.study.published))
            if kind == "report":
                return resolved(self.layout.study.report)
            if kind == "features":
                return self.layout.features_json(self._shards(wildcards, "features").options)
            if kind in ("frames", "flow", "pca"):
                run = self._shards(wildcards, kind).options
                text = resolved(run, READS[type(run)])
                return self._with_numbering(text, wildcards) if kind == "frames" else text
            options = self._dataset(wildcards).options
            if kind in ("render", "download"):
                return resolved(options.source, ("kind", "videos", *exclude))
            if kind == "annotations":
                return annotation_options(options)
            if kind == "scan":
                scan = ("include", "exclude", "watch", "shards", "content")
                return resolved(options, tuple(name for name in type(options).model_fields if name not in scan))
            return resolved(getattr(options, kind), exclude)

        return text

    def _with_numbering(self, text: str, wildcards: Any) -> str:
        """Add to the options of frames how pictures are numbered, where these are what a dataset holds."""
        options = self._dataset(wildcards).options
        if options.content != "pictures":
            return text
        return json.dumps(json.loads(text) | {"pictures": json.loads(resolved(options.pictures))}, sort_keys=True)

    def root(self, wildcards: Any, input: Any) -> str:
        """Return the folder of the videos. It takes `input`, so Snakemake does not record it: a moved folder is the same."""
        return self._dataset(wildcards).root

    def download_options(self, wildcards: Any, input: Any) -> str:
        """Return how a dataset is fetched; what decides the result is another param, this one is not recorded."""
        return resolved(self._dataset(wildcards).options.source, ("kind", "videos"))

    def speed(self, wildcards: Any, input: Any) -> str:
        """Return the flags of an extractor that change no value, so they are not recorded either."""
        run = self._shards(wildcards, "features").options
        return f"--batch {run.batch} --threads {run.threads}"

    def threads(self, wildcards: Any) -> int:
        """Return the threads that an extractor asks for."""
        return self._shards(wildcards, "features").options.threads

    def gpu(self, wildcards: Any) -> int:
        """Return how many GPUs a job of a network asks for: none on a machine without, where cores alone are the limit."""
        plugin = self.state.workflow.executor_plugin
        elsewhere = plugin is not None and not plugin.common_settings.local_exec
        return int(elsewhere or any(any(Path("/dev").glob(name)) for name in GPU_DEVICES))

    def weights_flag(self, wildcards: Any, input: Any) -> str:
        """Return the flag that names an extractor's weight file."""
        path = self.layout.weight_file(self._shards(wildcards, "features").options)
        return f"--weights {shlex.quote(path)}" if path else ""

    def weights_identity(self, wildcards: Any) -> str:
        """Return what tells an extractor's weights from others."""
        return self.layout.weights_identity(self._shards(wildcards, "features").options)

    def annotations(self, wildcards: Any, input: Any) -> str:
        """Return the flags that name a dataset's label files."""
        files = self._dataset(wildcards).annotations
        return " ".join(f"--{name} {shlex.quote(path)}" for name, path in files.items())

    def annotations_digest(self, wildcards: Any) -> str:
        """Return a hash of the content of a dataset's label files: what triggers its index."""
        dataset = self._dataset(wildcards)
        if not self.state.main or dataset.annotated:  # tables made by a rule are its input
            return ""
        files = dataset.annotations
        return " ".join(f"{name} {sha256_of(path)}" for name, path in files.items() if Path(path).is_file())

    def published(self, wildcards: Any, input: Any) -> str:
        """Return the folder of a dataset's annotation files. It is not recorded: a moved folder is the same."""
        options = self._dataset(wildcards).options.annotations
        return str(options and options.path)

    def published_digest(self, wildcards: Any) -> str:
        """Return a hash of the content of a dataset's annotation files: what triggers its labels and splits."""
        return self.stock.published_digest(self._dataset(wildcards)) if self.state.main else ""

    # ------------------------------------------------------------ inputs

    def fetched(self, wildcards: Any) -> list[str]:
        """Return the marker of rendered or fetched videos; nothing for the user's own folder."""
        self.state.begin()
        dataset = self._dataset(wildcards)
        if dataset.marker is None:
            self._need(f"datasets.{dataset.name}.source.path", dataset.root)
        return [dataset.marker] if dataset.marker else []

    def _need(self, key: str, folder: str) -> None:
        """Stop a run, though not the plan of one, where a folder of the user is missing."""
        if self.state.owned and not Path(folder).is_dir():
            raise SystemExit(f"{key}: there is no folder {folder}")

    def annotated(self, wildcards: Any) -> list[str]:
        """Return the tables of labels and splits that the rule `annotations` makes for a dataset; none if it has other ones."""
        self.state.begin()
        dataset = self._dataset(wildcards)
        if dataset.annotated and dataset.options.annotations:
            self._need(f"datasets.{dataset.name}.annotations.path", str(dataset.options.annotations.path))
        return [*dataset.annotations.values()] if dataset.annotated else []

    def tables(self, wildcards: Any) -> list[str]:
        """Return the probe tables of a dataset's shards."""
        names = listing.shard_names(self._dataset(wildcards).options.shards)
        return [f"data/{wildcards.dataset}/probe/{shard}.csv" for shard in names]

    def frames_shard(self, wildcards: Any) -> str:
        """Return the frame shard that a features shard is made from."""
        shards = self._shards(wildcards, "features").below
        assert shards is not None
        return f"{shards.folder}/{wildcards.shard}.h5"

    def frames_of_flow(self, wildcards: Any) -> str:
        """Return the frame shard that a flow shard is made from."""
        shards = self._shards(wildcards, "flow").below
        assert shards is not None
        return f"{shards.folder}/{wildcards.shard}.h5"

    def run_weights(self, wildcards: Any) -> list[str]:
        """Return the checkpoint of the run whose weights an extractor takes: an edge of the graph."""
        run = self._shards(wildcards, "features").options
        return [self.layout.weight_file(run)] if isinstance(run.weights, RunWeights) else []

    def partials(self, wildcards: Any) -> list[str]:
        """Return the partial sums of a PCA, in the order of shards."""
        shards = self._shards(wildcards, "pca")
        return [f"{shards.folder}/partial/{shard}.h5" for shard in listing.shard_names(shards.dataset.options.shards)]

    def hashes(self, kind: str, source: str = "") -> str:
        """Return a pattern of the hashes that stand for frames, extractors (of one ``source``) or PCAs."""
        found = getattr(self.layout, kind).values()
        return "|".join(sorted({s.hash for s in found if not source or s.options.source == source})) or NOTHING

    def folders(self, source: str = "", content: str = "") -> str:
        """Return a pattern of the dataset folders of one kind of source or content."""
        found = [
            folder
            for folder, dataset in self.datasets.items()
            if source in ("", dataset.options.source.kind) and content in ("", dataset.options.content)
        ]
        return "|".join(found) or NOTHING

    def products(self) -> list[str]:
        """Return everything that the study asks for but its results: tables, and the shards at the end of each chain."""
        found = [
            f"data/{d.folder}/index/{d.index}/{t}.csv" for d in self.datasets.values() for t in ("videos", "segments")
        ]
        read = {shards.below.folder for shards in self._all() if shards.below}
        return found + [path for shards in self._all() if shards.folder not in read for path in shards.files]

    def sections(self) -> list[str]:
        """Return the section files of the report."""
        data = [f"10-data-{name}" for name in self.layout.datasets]
        pca = [f"20-pca-{name}" for name in self.layout.pca]
        return [f"results/{self.study}/sections/{name}.json" for name in (*data, *pca, *self.runs.sections())]

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
        """Return the components that a PCA's section shows."""
        return f"{self.layout.pca[wildcards.name].folder}/basis.safetensors"

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
            if run["weights"] in self.layout.weights:
                run["weights"] = f"file with sha256 {self.layout.weights[run['weights']]}"
            for key in SPEED:
                run.pop(key)
        for run in values["recognition"].values():
            if run["network"]["weights"] in self.layout.weights:
                run["network"]["weights"] = f"file with sha256 {self.layout.weights[run['network']['weights']]}"
        return json.dumps(values, sort_keys=True)

    def usage(self, wildcards: Any, input: Any) -> str:
        """Return the folders in which Snakemake notes down what jobs cost; they are not recorded: they differ each time."""
        return " ".join(f"logs/usage/{folder}" for folder in (*self.datasets, self.study))

    # ------------------------------------------------------------ videos, as the main process sees them

    def digest(self, wildcards: Any) -> str:
        """Return what triggers a shard: a hash of its part of the folder. Jobs never look at the folder."""
        return self.stock.digest(self._dataset(wildcards), wildcards.shard) if self.state.main else ""

    def roles_digest(self, wildcards: Any) -> str:
        """Return what triggers a shard's partial sums: splits and tasks of its videos."""
        return self.stock.roles_digest(self._shards(wildcards, "pca"), wildcards.shard) if self.state.main else ""

    def tasks_digest(self, wildcards: Any) -> str:
        """Return what triggers a shard's projection beside features and basis: the tasks of its videos, if they count."""
        return self.stock.tasks_digest(self._shards(wildcards, "pca"), wildcards.shard) if self.state.main else ""

    def roles_flag(self, wildcards: Any, input: Any) -> str:
        """Return the flag that names the file with the roles of a shard's videos."""
        pca = self._shards(wildcards, "pca")
        return f"--roles {roles_path(pca.dataset, wildcards.shard)}" if needs_roles(pca.options) else ""

    # ------------------------------------------------------------ from wildcards to options

    def _dataset(self, wildcards: Any) -> Dataset:
        return self.datasets[wildcards.dataset]

    def _all(self) -> list[Shards]:
        return [
            *self.layout.frames.values(),
            *self.layout.flow.values(),
            *self.layout.features.values(),
            *self.layout.pca.values(),
        ]

    def _shards(self, wildcards: Any, kind: str) -> Shards:
        folder = f"data/{wildcards.dataset}/{'features' if kind == 'pca' else kind}/{wildcards[kind if kind != 'pca' else 'features']}"
        folder += f"/pca/{wildcards.pca}" if kind == "pca" else ""
        return next(shards for shards in getattr(self.layout, kind).values() if shards.folder == folder)

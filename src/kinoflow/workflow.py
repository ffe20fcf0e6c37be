"""What the rules ask for: `datasets`, `shards`, `runs` and `report`. With `kinoflow.run_state` all that knows Snakemake.

The main process reads config and sources, looks at the folders of videos, and keeps a frozen copy of all that decides what
a run does; jobs (local or on a cluster) parse the rules again, but take everything from that copy.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kinoflow import config as configuration
from kinoflow import places
from kinoflow.dataset_rules import DatasetRules
from kinoflow.errors import KinoflowError
from kinoflow.fingerprint import stage_code
from kinoflow.layout import LABEL_FILES, Layout, contents, start_weights, user_weights
from kinoflow.options import resolved
from kinoflow.report_rules import ReportRules
from kinoflow.run_sections import RunSections
from kinoflow.run_state import FROZEN, RunState, name_cached_rules, read_state
from kinoflow.runs import Runs
from kinoflow.shard_rules import ShardRules
from kinoflow.stock import Stock, said
from kinoflow.store.files import sha256_of, write_json
from kinoflow.store.folders import content_hash
from kinoflow.study import Study
from kinoflow.table_rules import TableRules

TABLES = ("actions", "corpora", "toys", "taxonomies", "sets", "released")
GPU = "KINOFLOW_GPU"
GPU_DEVICES = ("nvidia[0-9]*", "kfd")  # of CUDA and of ROCm


class Flow:
    """The study as the rules see it: paths, inputs, params."""

    def __init__(self, workflow: Any, config: dict[str, Any]):
        self.state = RunState(workflow)
        self.codes: dict[str, str] = {}
        record = said(self._read, workflow) if self.state.main else self.state.record()
        config.clear()
        config.update(record["config"])
        self.codes.update(record["codes"])
        study = Study.model_validate(record["config"])
        self.layout = Layout(study, record["weights"])
        self.study = study.study
        stock = Stock(self.state)
        self.datasets = DatasetRules(self.layout, self.state, stock)
        self.shards = ShardRules(self.layout, self.state, stock)
        self.tables = {kind: TableRules(self.layout, self.state, kind) for kind in TABLES}
        self.runs = Runs(self.layout, self.state.main)
        self.sections = RunSections(self.layout, self.runs)
        self.report = ReportRules(self.layout, self.state, self.sections)
        if self.state.main:
            said(places.compare, self.layout)
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
            weights[path] = _content(path)
        for name, dataset in study.datasets.items():  # else it would be found out after all probing
            place = getattr(dataset.source, "path", None)  # with the videos missing too, the plan is made before all
            for key in LABEL_FILES if place is None or Path(place).is_dir() else ():
                path = getattr(dataset.index, key)
                if path and not Path(path).is_file() and not Path(path).is_relative_to(Path("data").absolute()):
                    raise KinoflowError(
                        f"datasets.{name}.index.{key}: there is no file {path}; correct the path, or leave it out"
                    )
        for name, run in study.segmentation.items():  # else it would be found out after the training
            if run.outside and not Path(run.outside).is_dir():
                raise KinoflowError(f"segmentation.{name}.outside: there is no folder {run.outside}; correct the path")
        return {"config": json.loads(resolved(study)), "codes": {}, "weights": weights}

    @property
    def words(self) -> bool:
        """Whether the study has teachers and no student that reads their records."""
        return not self.layout.study.anticipation

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
        name_cached_rules(self.state.workflow)
        for path, key in start_weights(self.layout.study).items():
            if not self.layout.weights[path]:
                raise SystemExit(f"{key}: there is nothing at {path}; train it first, or correct the path")
        for rule in {job.rule for job in self.state.workflow.dag.needrun_jobs()}:
            if hasattr(rule.params, "code"):
                rule.params.code()  # before sources change: a new job's params are asked for when it starts
        record = {"config": self.layout.study.model_dump(mode="json", by_alias=True), "codes": self.codes}
        self.state.freeze(record | {"weights": self.layout.weights})
        self.report.keep()
        places.keep(self.layout)
        for dataset in self.layout.datasets.values():
            self.datasets.stock.keep(dataset)
        for folder, values in contents(self.layout).items():
            path = Path("data", folder, "contents.json")
            old = read_state(path)
            if old | values != old:
                write_json(path, old | values)

    def rules(self, name: str) -> str:
        """Return the path of a rule file: the live one in the main process, the frozen one in a job."""
        return str(self.state.source / "workflow/rules" / name)

    # ------------------------------------------------------------ what all rules ask for

    def code(self, target: str) -> Callable[[Any], str]:
        """Return what gives the fingerprint of a stage's code: taken when a job asks for it, for all take their time."""

        def fingerprint(wildcards: Any = None) -> str:
            if self.state.main and target not in self.codes:
                self.codes[target] = stage_code(target)
            return self.codes[target]

        return fingerprint

    def gpu(self, wildcards: Any) -> int:
        """Return how many GPUs a job of a network asks for: none on a machine without, where cores alone are the limit.

        The environment's KINOFLOW_GPU says it for clusters: 0 where there are none.
        """
        if GPU in os.environ:
            if not os.environ[GPU].isdecimal():
                raise SystemExit(f"{GPU}={os.environ[GPU]}: give the number of GPUs of a job, 0 where there are none")
            return int(os.environ[GPU])
        plugin = self.state.workflow.executor_plugin
        elsewhere = plugin is not None and not plugin.common_settings.local_exec
        return int(elsewhere or any(any(Path("/dev").glob(name)) for name in GPU_DEVICES))

    @property
    def cached(self) -> bool:
        """Whether results of rules that allow it are kept between projects: `--cache` was given.

        What Snakemake would otherwise say of such rules, it says in each job anew.
        """
        settings = self.state.workflow.workflow_settings
        return settings is not None and settings.cache is not None

    def products(self) -> list[str]:
        """Return everything that the study asks for but its results: tables, and the shards at the end of each chain."""
        datasets, shards = self.layout.datasets.values(), self.layout.shards
        found = [f"data/{d.folder}/index/{d.index}/{t}.csv" for d in datasets for t in ("videos", "segments")]
        read = {each.below.folder for each in shards if each.below}
        return found + [path for each in shards if each.folder not in read for path in each.files]


def _content(path: str) -> str:
    """Return what tells a file or a folder of files from others; "" where there is none."""
    place = Path(path)
    return sha256_of(place) if place.is_file() else content_hash(place) if place.is_dir() else ""

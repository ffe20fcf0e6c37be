"""Where everything lies: shared paths say what they hold by a short hash of the options that made it.

So two studies in one folder share what is equal and never undo each other's work. What a hash stands for is written down
beside it, in ``data/<dataset>/contents.json``. Nothing here depends on where folders lie: a moved folder is the same folder.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinoflow.config import FeaturesRun, FlowRun, FramesRun, PcaRun, Study
from kinoflow.datasets.options import DatasetOptions, FolderSource, KitchenSource
from kinoflow.datasets.published.options import AnnotationsOptions
from kinoflow.features.options import RunWeights
from kinoflow.options import resolved, short_hash

LABEL_FILES = ("labels", "splits")  # given to the index as files; their content is what counts
READS = {FramesRun: ("dataset",), FlowRun: ("frames",), PcaRun: ("features",)}  # keys that name what is read
SPEED = ("batch", "threads")  # options that change no feature, only how fast it comes


@dataclass(frozen=True)
class Dataset:
    """A dataset of the study: its key in the config, the name of its folder below data/, the hash of its index."""

    name: str
    folder: str
    index: str
    options: DatasetOptions

    @property
    def root(self) -> str:
        """The folder whose files are the videos."""
        source = self.options.source
        if isinstance(source, FolderSource):
            return source.path
        return f"data/{self.folder}/raw" + (
            "/videos" if isinstance(source, KitchenSource) else f"/{source.videos}".rstrip("/")
        )

    @property
    def marker(self) -> str | None:
        """The file that stands when the videos are in place; None for the user's own folder."""
        if isinstance(self.options.source, FolderSource):
            return None
        made = "raw/segments.csv" if isinstance(self.options.source, KitchenSource) else "fetched.json"
        return f"data/{self.folder}/{made}"

    @property
    def annotations(self) -> dict[str, str]:
        """The label files that the index reads: {"labels": path, "splits": path}, those that there are."""
        if isinstance(self.options.source, KitchenSource):
            return {
                name: f"data/{self.folder}/raw/{file}.csv"
                for name, file in (("labels", "segments"), ("splits", "splits"))
            }
        if self.annotated:
            return {name: f"{self.annotated}/{name}.csv" for name in LABEL_FILES}
        paths = {name: getattr(self.options.index, name) for name in LABEL_FILES}
        return {name: path for name, path in paths.items() if path}

    @property
    def annotated(self) -> str:
        """The folder of the tables made of published annotation files; "" if there are none."""
        made = annotation_options(self.options)
        return f"data/{self.folder}/annotations/{short_hash(made)}" if made else ""


@dataclass(frozen=True)
class Shards:
    """Frames, features or reduced features of a dataset: the folder of the shards, and what made them."""

    dataset: Dataset
    hash: str
    options: Any
    below: "Shards | None" = None  # what they were made from

    @property
    def folder(self) -> str:
        """The folder of the shards, below the working folder."""
        kind = {FramesRun: "frames", FlowRun: "flow", FeaturesRun: "features", PcaRun: "pca"}[type(self.options)]
        parent = f"{self.below.folder}/pca" if kind == "pca" and self.below else f"data/{self.dataset.folder}/{kind}"
        return f"{parent}/{self.hash}"

    @property
    def files(self) -> list[str]:
        """The shards, in the order of their names."""
        return [f"{self.folder}/{shard}.h5" for shard in shard_names(self.dataset)]


def shard_names(dataset: Dataset) -> list[str]:
    """Return the names of a dataset's shards."""
    from kinoflow.datasets.listing import shard_names as names

    return names(dataset.options.shards)


@dataclass(frozen=True)
class Run:
    """A named run of a room: its options, its dataset, the shards that it reads."""

    room: str
    name: str
    options: Any
    shards: Shards

    def folder(self, study: str, seed: int) -> str:
        """The folder of one seed's results."""
        return f"results/{study}/{self.room}/{self.name}/seed-{seed}"


class Layout:
    """Every dataset and every set of shards of a study, by the names of the config."""

    def __init__(self, study: Study, weights: dict[str, str]):
        """``weights``: {path: sha256} of the weight files that the config names."""
        self.study, self.weights = study, weights
        self.datasets = {name: _dataset(name, options) for name, options in study.datasets.items()}
        self.frames = {name: self._frames(run) for name, run in study.frames.items()}
        self.flow = {name: self._flow(run) for name, run in study.flow.items()}
        self.features = {name: self._features(run) for name, run in study.features.items()}
        self.pca = {name: self._pca(run) for name, run in study.pca.items()}
        self.runs = {
            ("recognition", name): Run(
                "recognition", name, run, (self.flow if run.input.kind == "flow" else self.frames)[run.frames]
            )
            for name, run in study.recognition.items()
        }

    def _frames(self, run: FramesRun) -> Shards:
        return Shards(self.datasets[run.dataset], short_hash(resolved(run, ("dataset",))), run)

    def _flow(self, run: FlowRun) -> Shards:
        frames = self.frames[run.frames]
        return Shards(frames.dataset, short_hash(resolved(run, ("frames",)), frames.hash), run, frames)

    def _features(self, run: FeaturesRun) -> Shards:
        frames = self.frames[run.frames] if run.frames else None
        dataset = frames.dataset if frames else self.datasets[run.dataset]
        parts = [self.features_json(run), self.weights_identity(run), frames.hash if frames else ""]
        return Shards(dataset, short_hash(*parts), run, frames)

    def _pca(self, run: PcaRun) -> Shards:
        features = self.features[run.features]
        index = features.dataset.index if needs_roles(run) else ""
        return Shards(features.dataset, short_hash(resolved(run, ("features",)), index), run, features)

    def features_json(self, run: FeaturesRun) -> str:
        """Return the option text of an extractor, without what names files or changes no value."""
        weights = {} if isinstance(run.weights, str) and not self.weight_file(run) else {"weights": "none"}
        values = json.loads(resolved(run, ("dataset", "frames", *SPEED))) | weights
        return json.dumps(values, sort_keys=True)

    def weight_file(self, run: FeaturesRun) -> str | None:
        """Return the file that an extractor's weights come from: the user's, or another run's checkpoint."""
        if isinstance(run.weights, RunWeights):
            place = run.weights
            return f"results/{place.study or self.study.study}/{place.room}/{place.run}/seed-{place.seed}/model.safetensors"
        return run.weights if run.weights in self.weights else None

    def weights_identity(self, run: FeaturesRun) -> str:
        """Return what tells these weights from others: a file's checksum, or the run that they come from."""
        if isinstance(run.weights, RunWeights):
            return self.weight_file(run) or ""
        return self.weights.get(run.weights, "")


def needs_roles(run: PcaRun) -> bool:
    """Tell whether a PCA asks for splits or tasks of videos."""
    return run.fit_on == "train" or run.by_task


def user_weights(study: Study) -> list[str]:
    """Return the weight files of the user that extractors take."""
    return _files(run.weights for run in study.features.values() if isinstance(run.weights, str))


def start_weights(study: Study) -> dict[str, str]:
    """Return {the weight file of the user: the place in the config} with which runs begin."""
    runs = study.recognition.items()
    return {run.network.weights: f"recognition.{name}" for name, run in runs if _files([run.network.weights])}


def _files(weights: Iterable[str]) -> list[str]:
    return sorted({path for path in weights if path != "none" and not path.startswith("torchvision:")})


def _dataset(name: str, options: DatasetOptions) -> Dataset:
    source = options.source
    if isinstance(source, FolderSource):
        origin = ""  # known by its name: a moved folder is the same folder
    elif isinstance(source, KitchenSource):
        origin = resolved(source)
    else:
        origin = json.dumps([source.videos, [[file.name, file.sha256, file.unpack] for file in source.files]])
    unread = () if options.content == "pictures" else ("pictures",)
    values = json.loads(resolved(options, ("source", "watch", "index", "mirror", "annotations", *unread)))
    folder = f"{name}-{short_hash(origin, json.dumps(values, sort_keys=True))}"
    labels = json.dumps({key: Path(getattr(options.index, key) or "").name for key in LABEL_FILES}, sort_keys=True)
    made = annotation_options(options)
    parts = [resolved(options.index, LABEL_FILES), labels, *([made] if made else [])]
    return Dataset(name, folder, short_hash(*parts), options)


def annotation_options(options: DatasetOptions) -> str:
    """Return the options of the stage `annotations` as one JSON text; "" if it has nothing to read."""
    if not (options.annotations and options.annotated):
        return ""
    media = "folders" if options.content == "pictures" else "videos"
    read = json.loads(resolved(options.annotations, ("path",)))
    return resolved(AnnotationsOptions(media=media, **read), ("include", "exclude"))


def contents(layout: Layout) -> dict[str, dict[str, Any]]:
    """Return {dataset folder: what its hashes stand for}, for people to read; no path of this machine stands in it."""
    found: dict[str, dict[str, Any]] = {}
    for dataset in layout.datasets.values():
        values = json.loads(resolved(dataset.options, ("annotations",)))
        for value in (values["source"], values["index"]):
            for key in ("path", "place", *LABEL_FILES):
                value.pop(key, None)
        index = values.pop("index")
        found[dataset.folder] = {"dataset": values, f"index/{dataset.index}": index}
        if dataset.annotated:
            found[dataset.folder][dataset.annotated.split("/", 2)[2]] = json.loads(annotation_options(dataset.options))
    for shards in [*layout.frames.values(), *layout.flow.values(), *layout.features.values(), *layout.pca.values()]:
        place = shards.folder.split("/", 2)[2]
        if isinstance(shards.options, FeaturesRun):
            text = layout.features_json(shards.options)
        else:
            text = resolved(shards.options, READS[type(shards.options)])
        found[shards.dataset.folder][place] = json.loads(text)
    return found

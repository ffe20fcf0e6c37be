"""Where everything lies: shared paths say what they hold by a short hash of the options that made it.

So two studies in one folder share what is equal and do not undo each other's work. What a hash stands for is written down
beside it, in ``data/<dataset>/contents.json``. Nothing here depends on where folders lie: a moved folder is the same folder,
and two folders under one name are refused (``kinoflow.places``).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kinoflow.datasets.options import DatasetOptions, FolderSource, KitchenSource
from kinoflow.datasets.published.options import AnnotationsOptions, VideoAnnotationsOptions
from kinoflow.features.options import RunWeights
from kinoflow.options import is_word, resolved, short_hash
from kinoflow.room_runs import ActionsRun, CorpusRun, ReleasedRun, SetsRun, TaxonomyRun
from kinoflow.shard_runs import FeaturesRun, FlowRun, FramesRun, PcaRun
from kinoflow.study import ROOMS, Study, dataset_of, reads, seeds_of

LABEL_FILES = ("labels", "splits")  # given to the index as files; their content is what counts
READS = {FramesRun: ("dataset",), FlowRun: ("frames", "dataset"), PcaRun: ("features",)}  # keys that name what is read
TAXONOMY_FILES = ("file", "wordnet", "corpus", "word_vectors")  # known by their content
WORDS = ("language", "teachers", "ensembles", "fusions", "summaries")  # rooms whose runs read no shards
BEGUN = {  # rooms whose runs may begin with weights of the user, and the part of their options that names these
    **dict.fromkeys(("recognition", "alignment", "anticipation"), "network"),
    **dict.fromkeys(("language", "teachers"), "encoder"),
}
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
        made = "clips" if self.options.convert else "links" if self.options.linked else ""
        return f"data/{self.folder}/{made}" if made else self.place

    @property
    def place(self) -> str:
        """The folder in which the user's, rendered or fetched files lie."""
        source = self.options.source
        if isinstance(source, FolderSource):
            return source.path
        return f"data/{self.folder}/raw" + (
            "/videos" if isinstance(source, KitchenSource) else f"/{source.videos}".rstrip("/")
        )

    @property
    def marker(self) -> str | None:
        """The file that stands when the videos are in place; None for the user's own folder."""
        if self.options.convert:
            return f"{self.annotated}/splits.csv"
        return f"data/{self.folder}/links.csv" if self.options.linked else self.fetched

    @property
    def fetched(self) -> str | None:
        """The file that stands when videos were rendered or fetched; None for the user's own folder."""
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
    def published(self) -> str:
        """The folder of the published annotation files; "" if there are none."""
        options = self.options.annotations
        if not (options and self.options.annotated):
            return ""
        return options.path or f"data/{self.folder}/raw"

    @property
    def annotated(self) -> str:
        """The folder of the tables made of the files of a published dataset; "" if there are none."""
        if self.options.convert:
            return f"data/{self.folder}/converted"
        made = annotation_options(self.options)
        return f"data/{self.folder}/annotations/{short_hash(made)}" if made else ""

    def tables(self, name: str) -> list[str]:
        """Return the table of steps or of narration that annotation files of long videos are turned into; none of others."""
        long = self.annotated and self.options.annotations and self.options.annotations.long
        return [f"{self.annotated}/{name}.csv"] if long else []


@dataclass(frozen=True)
class Shards:
    """Frames, features or reduced features of a dataset: the folder of the shards, and what made them."""

    dataset: Dataset
    hash: str
    options: Any
    below: "Shards | None" = None  # what they were made from
    seed: int | None = None  # of the run whose network made them, where each of its seeds has shards of its own

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
class Table:
    """What stands between a dataset and the rooms that read words: actions in their order, a corpus, a taxonomy, sets, a toy."""

    name: str
    folder: str
    options: Any
    dataset: Dataset | None = None  # that it is made from; None: from files of the user


@dataclass(frozen=True)
class Run:
    """A named run of a room: its options, the dataset and the shards that it reads."""

    room: str
    name: str
    options: Any
    subject: str  # what the report's section of it is called after
    dataset: Dataset | None
    reads: dict[int | None, Shards]  # by seed, where each has its own; None: for all of them. Empty: no shards
    released: "Table | None" = None  # the release that it reads, in place of a dataset's tables, shards and sets
    elsewhere: "dict[str, Run]" = field(default_factory=dict)  # the same by its further tests of another dataset

    def shards(self, seed: int) -> Shards | None:
        """Return the shards that one seed reads; None if it reads none."""
        return self.reads.get(seed) or self.reads.get(None)

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
        self.features = {
            (name, seed): self._features(run, seed)
            for name, run in study.features.items()
            for seed in seeds_of(study, name)
        }
        self.pca = {
            (name, seed): self._pca(run, seed)
            for name, run in study.pca.items()
            for seed in seeds_of(study, run.features)
        }
        self.actions = {name: self._actions(name, run) for name, run in study.actions.items()}
        self.toys = {
            name: Table(name, f"toy-{name}-{short_hash(resolved(run))}", run) for name, run in study.toys.items()
        }
        self.corpora = {name: self._corpus(name, run) for name, run in study.corpora.items()}
        self.taxonomies = {name: self._taxonomy(name, run) for name, run in study.taxonomies.items()}
        self.sets = {name: self._sets(name, run) for name, run in study.sets.items()}
        self.released = {name: self._released(name, run) for name, run in study.released.items()}
        self.runs: dict[tuple[str, str], Run] = {}
        for room in ROOMS:  # what a run adds up comes before it
            self.runs |= {(room, name): self._run(room, name, run) for name, run in getattr(study, room).items()}

    def _run(self, room: str, name: str, options: Any) -> Run:
        subject = (options.actions or "") if room in ("teachers", "anticipation") else ""
        if room == "clip_fusions":
            return Run(room, name, options, self.runs["recognition", options.runs[0]].subject, None, {})
        if room in WORDS or getattr(options, "folder", None) or getattr(options, "toy", None):
            return Run(room, name, options, subject, None, {})
        section, read = reads(self.study, room, name)
        if section == "released":
            return Run(room, name, options, read, None, {}, self.released[read])
        dataset = self.datasets[dataset_of(self.study, section, read)]
        shards = getattr(self, section) if section != "datasets" else {}
        if section in ("frames", "flow"):
            found = {None: shards[read]}
        else:
            found = {seed: each for (key, seed), each in shards.items() if key == read}
        run = Run(room, name, options, subject or dataset.name, dataset, found)
        for test, other in getattr(options, "tests", {}).items():
            if frames := self.frames.get(getattr(other, "frames", None)):
                run.elsewhere[test] = replace(run, dataset=frames.dataset, reads={None: frames}, elsewhere={})
        return run

    def _actions(self, name: str, run: ActionsRun) -> Table:
        made = resolved(run, ("dataset", "path"))
        if run.dataset is None:
            return Table(name, f"actions-{name}-{short_hash(made)}", run)
        dataset = self.datasets[run.dataset]
        return Table(name, f"{dataset.folder}/index/{dataset.index}/actions/{short_hash(made)}", run, dataset)

    def _corpus(self, name: str, run: CorpusRun) -> Table:
        made = resolved(run, ("dataset", "path"))
        if run.dataset is None:
            return Table(name, f"corpus-{name}-{short_hash(made)}", run)
        dataset = self.datasets[run.dataset]
        return Table(name, f"{dataset.folder}/corpora/{short_hash(made)}", run, dataset)

    def _taxonomy(self, name: str, run: TaxonomyRun) -> Table:
        files = json.dumps([Path(getattr(run, key) or "").name for key in TAXONOMY_FILES])
        dataset = self.datasets[run.dataset]
        made = short_hash(resolved(run, ("dataset", *TAXONOMY_FILES)), files)
        return Table(name, f"{dataset.folder}/index/{dataset.index}/taxonomies/{made}", run, dataset)

    def _sets(self, name: str, run: SetsRun) -> Table:
        taxonomy = self.taxonomies[run.taxonomy]
        return Table(name, f"{taxonomy.folder}/sets/{short_hash(resolved(run, ('taxonomy',)))}", run, taxonomy.dataset)

    def _released(self, name: str, run: ReleasedRun) -> Table:
        return Table(name, f"released-{name}-{short_hash(resolved(run, ('metadata',)))}", run)

    @property
    def shards(self) -> list[Shards]:
        """All shards of the study."""
        kinds = (self.frames, self.flow, self.features, self.pca)
        return [shards for kind in kinds for shards in kind.values()]

    def _frames(self, run: FramesRun) -> Shards:
        return Shards(self.datasets[run.dataset], short_hash(resolved(run, ("dataset",))), run)

    def _flow(self, run: FlowRun) -> Shards:
        made = resolved(run, READS[FlowRun])
        if run.dataset:
            return Shards(self.datasets[run.dataset], short_hash(made, "published"), run)
        frames = self.frames[run.frames]
        return Shards(frames.dataset, short_hash(made, frames.hash), run, frames)

    def _features(self, run: FeaturesRun, seed: int | None) -> Shards:
        frames = self.frames[run.frames] if run.frames else None
        dataset = frames.dataset if frames else self.datasets[run.dataset]
        parts = [self.features_json(run), self.weights_identity(run, seed), frames.hash if frames else ""]
        return Shards(dataset, short_hash(*parts), run, frames, seed)

    def _pca(self, run: PcaRun, seed: int | None) -> Shards:
        features = self.features[run.features, seed]
        index = features.dataset.index if needs_roles(run) else ""
        return Shards(features.dataset, short_hash(resolved(run, ("features",)), index), run, features, seed)

    def features_json(self, run: FeaturesRun) -> str:
        """Return the option text of an extractor, without what names files or changes no value."""
        weights = {} if isinstance(run.weights, str) and not self.weight_file(run) else {"weights": "none"}
        values = json.loads(resolved(run, ("dataset", "frames", *SPEED))) | weights
        return json.dumps(values, sort_keys=True)

    def weight_file(self, run: FeaturesRun, seed: int | None = None) -> str | None:
        """Return the file that an extractor's weights come from: the user's, or another run's checkpoint of a seed."""
        if isinstance(run.weights, RunWeights):
            return self.checkpoint(run.weights, seed)
        return run.weights if run.weights in self.weights else None

    def checkpoint(self, place: RunWeights, seed: int | None) -> str:
        """Return the file with the weights of a run; ``seed``: the one that is meant where it says `seed: each`."""
        number = seed if place.seed == "each" else place.seed
        return f"results/{place.study or self.study.study}/{place.room}/{place.run}/seed-{number}/model.safetensors"

    def weights_identity(self, run: FeaturesRun, seed: int | None = None) -> str:
        """Return what tells these weights from others: a file's checksum, or the run that they come from."""
        if isinstance(run.weights, RunWeights):
            return self.weight_file(run, seed) or ""
        return self.weights.get(run.weights, "")


def frames_of(shards: Shards | None) -> Shards | None:
    """Return the shards of frames that shards are made from; None if they are made from something else."""
    while shards and not isinstance(shards.options, FramesRun):
        shards = shards.below
    return shards


def table_path(run: Run, name: str) -> str:
    """Return a table (videos, segments) of what a run reads: of its dataset, or of a release."""
    return f"data/{run.released.folder}/{name}.csv" if run.released else index_table(run.dataset, name)


def index_table(dataset: Dataset, name: str) -> str:
    """Return a table (videos, segments) of a dataset."""
    return f"data/{dataset.folder}/index/{dataset.index}/{name}.csv"


def needs_roles(run: PcaRun) -> bool:
    """Tell whether a PCA asks for splits or tasks of videos."""
    return run.fit_on == "train" or run.by_task


def user_weights(study: Study) -> list[str]:
    """Return the weight files of the user that extractors take."""
    return _files(run.weights for run in study.features.values() if isinstance(run.weights, str))


def start_weights(study: Study) -> dict[str, str]:
    """Return {weights of the user, a file or a folder: the place in the config} with which runs begin."""
    found = {}
    for room, part in BEGUN.items():
        for name, run in getattr(study, room).items():
            path = getattr(run, part).weights
            found |= {path: f"{room}.{name}.{part}.weights"} if _files([path]) else {}
    return found


def _files(weights: Iterable[str]) -> list[str]:
    return sorted({path for path in weights if not is_word(path)})


def _dataset(name: str, options: DatasetOptions) -> Dataset:
    source = options.source
    if isinstance(source, FolderSource):
        origin = ""  # known by its name: a moved folder is the same folder
    elif isinstance(source, KitchenSource):
        origin = resolved(source)
    else:
        origin = json.dumps([source.videos, [[file.name, file.sha256, file.unpack] for file in source.files]])
    unread = () if options.content == "pictures" else ("pictures",)
    values = json.loads(resolved(options, ("source", "watch", "index", "mirror", "annotations", "convert", *unread)))
    made = ("links",) if options.linked else (resolved(options.convert),) if options.convert else ()
    folder = f"{name}-{short_hash(origin, json.dumps(values, sort_keys=True), *made)}"
    labels = json.dumps({key: Path(getattr(options.index, key) or "").name for key in LABEL_FILES}, sort_keys=True)
    made = annotation_options(options)
    parts = [resolved(options.index, LABEL_FILES), labels, *([made] if made else [])]
    return Dataset(name, folder, short_hash(*parts), options)


def annotation_options(options: DatasetOptions) -> str:
    """Return the options of the stage that reads annotation files as one JSON text; "" if it has nothing to read."""
    if not (options.annotations and options.annotated):
        return ""
    if options.annotations.long:
        found = VideoAnnotationsOptions(kind=options.annotations.kind, split=options.annotations.split)
        return resolved(found, ("suffix",))
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
        if annotation_options(dataset.options):
            found[dataset.folder][dataset.annotated.split("/", 2)[2]] = json.loads(annotation_options(dataset.options))
    for shards in layout.shards:
        place = shards.folder.split("/", 2)[2]
        if isinstance(shards.options, FeaturesRun):
            text = layout.features_json(shards.options)
        else:
            text = resolved(shards.options, READS[type(shards.options)])
        found[shards.dataset.folder][place] = json.loads(text)
    return found

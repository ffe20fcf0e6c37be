"""CrossTask from its files to scores: annotations, index, features, PCA by group and task, training as published, test."""

import json

import numpy as np
import pytest
from tests.conftest import ROOT

from kinoflow.datasets.index import index
from kinoflow.datasets.inventory import inventory
from kinoflow.datasets.lists import lists
from kinoflow.datasets.options import FeatureFilesOptions, IndexOptions, ScanOptions
from kinoflow.datasets.published.crosstask import read
from kinoflow.datasets.published.long_videos import task_links, video_annotations
from kinoflow.datasets.published.options import VideoAnnotationsOptions, WhichFilesOptions
from kinoflow.datasets.roles import roles
from kinoflow.features.options import PcaOptions
from kinoflow.features.outside import feature_files, probe_files
from kinoflow.features.pca import pca_apply, pca_fit, pca_partial
from kinoflow.tasks.segmentation.evaluate import segmentation_evaluate
from kinoflow.tasks.segmentation.labels import Vocabulary
from kinoflow.tasks.segmentation.options import LabelsOptions, SegmentationOptions
from kinoflow.tasks.segmentation.train import segmentation_train

GOLDEN = json.loads((ROOT / "tests/golden/lhsmm/crosstask_mini.json").read_text())
COLUMNS = {"i3d": (0, 10), "resnet": (10, 30), "audio": (30, 36)}
PUBLISHED = {
    "rows": {"components": 4},
    "labels": {"rule": "overlap", "task_specific": True},
    "model": {"states": 8, "rank": 4, "longest": 20},
    "begin": {"means": "mean", "rows": "original"},
    "batches": {"videos": 1, "order": "original", "carry": True},
    "training": {"epochs": 1, "batch": 5, "keep": "best"},
    "validate_on": ["validation"],
}


@pytest.mark.parametrize(
    "classes, options",
    [(151, {"task_specific": True}), (106, {}), (284, {"task_specific": True, "background": "previous"})],
)
def test_the_real_release_has_as_many_classes_as_its_papers_say(shared, classes, options):
    tasks = read(shared / "data/annotations/crosstask").primary
    vocabulary = Vocabulary.of({task: card.steps for task, card in tasks.items()}, LabelsOptions(**options))
    assert len(vocabulary.names) == classes


@pytest.fixture(scope="module")
def crosstask(tmp_path_factory):
    """The made-up release with features, indexed and reduced: the tables and the shards."""
    folder = tmp_path_factory.mktemp("crosstask")
    for name, text in GOLDEN["files"].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    rng, raw = np.random.default_rng(0), folder / "crosstask_features"
    raw.mkdir()
    for name, rows in GOLDEN["frame_counts"].items():
        np.save(raw / f"{name}.npy", rng.normal(0, 1, (rows, 36)).astype(np.float32))
    data, links = folder / "data", folder / "links"
    task_links(folder, raw, links, WhichFilesOptions())
    scan = ScanOptions(content="features", shards=2, watch="names")
    lists(links, data, scan)
    read = FeatureFilesOptions(rate=1, start=0.5, blocks=COLUMNS, dtype="float32")
    for shard in ("000", "001"):
        probe_files(links, data / f"lists/{shard}.json", data / f"probe/{shard}.csv", read)
        feature_files(links, data / f"probe/{shard}.csv", data / f"features/{shard}.h5", read)
    inventory(sorted((data / "probe").glob("*.csv")), data / "inventory.csv", data / "unreadable.csv")
    tables = {name: data / f"{name}.csv" for name in ("labels", "splits", "steps", "narration", "missing")}
    video_annotations(
        folder, options=VideoAnnotationsOptions(kind="crosstask"), inventory=data / "inventory.csv", **tables
    )
    given = {"labels": tables["labels"], "splits": tables["splits"]}
    index(data / "inventory.csv", data / "videos.csv", data / "segments.csv", IndexOptions(), **given)
    roles(data, data / "roles", IndexOptions(), **given)
    pca = PcaOptions(components=5, by_block=True, by_task=True, fit_on="all")
    part = {
        shard: (data / f"features/{shard}.h5", data / f"part/{shard}.h5", data / f"roles/{shard}.json")
        for shard in ("000", "001")
    }
    for features, partial, own in part.values():
        pca_partial(features, partial, pca, own)
    pca_fit([partial for _, partial, _ in part.values()], data / "basis.safetensors", pca)
    for shard, (features, _, own) in part.items():
        pca_apply(features, data / "basis.safetensors", data / f"pca/{shard}.h5", pca, own)
    return data


def run(data, folder, test=None, **options):
    """Train and test; return the measures."""
    given = SegmentationOptions.model_validate(PUBLISHED | options)
    tables = {"videos": data / "videos.csv", "segments": data / "segments.csv", "steps": data / "steps.csv"}
    tables |= {"features": sorted((data / "pca").glob("*.h5")), "narration": data / "narration.csv"}
    model = folder / "r/seed-0/model.safetensors"
    segmentation_train(
        **tables, model=model, history=folder / "h.csv", place=folder / "w", options=given, device="cpu", code="x"
    )
    test = type(given.test).model_validate(test) if test else given.test
    out = {"metrics": folder / "m.json", "predictions": folder / "p.csv"}
    segmentation_evaluate(model, **tables, **out, options=test, device="cpu")
    return json.loads(out["metrics"].read_bytes())


def test_the_published_settings_run_from_files_to_scores(crosstask, tmp_path):
    found = run(crosstask, tmp_path)
    tested = [video for videos in GOLDEN["expected"]["splits"]["test"].values() for video in videos]
    labelled = {name.split("/")[-1].split("_", 1)[1][:-4] for name in GOLDEN["files"] if "/annotations/" in name}
    assert found["videos"] == len(tested) and found["scored"] == len(labelled & set(tested))
    assert found["unannotated"] == found["videos"] - found["scored"]
    assert {"uniform", "kmeans", "majority", "canonical", "truth"} <= set(found["baselines"])
    assert found["nll"]["validation"]["per_video"] > 0 and 0 < found["averaged"]["mof"] <= 1


@pytest.mark.parametrize("ordering", ["none", "task"])
def test_supervised_models_use_the_windows_and_the_order_of_steps(crosstask, tmp_path, ordering):
    labels = {"rule": "overlap", "task_specific": True, "background": "previous"}
    known = {"narration": "table", "ordering": ordering}
    found = run(
        crosstask, tmp_path, {"constraints": known, "average_recall": True}, learn="closed_form", labels=labels,
        models="per_task", model={"states": 0, "rank": None},
    )  # fmt: skip
    assert (
        found["impossible"] == 0 and "narration" in found["baselines"] and 0 <= found["average_recall"]["averaged"] <= 1
    )

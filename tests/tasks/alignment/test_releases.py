"""Small made-up releases of four datasets, from their files to measures: convert, index, train, evaluate."""

import json
import math
import shutil

import pytest
from tests.datasets.published import releases
from tests.tasks.alignment.discs import options

from kinoflow.datasets.index import index
from kinoflow.datasets.inventory import inventory
from kinoflow.datasets.lists import lists
from kinoflow.datasets.options import IndexOptions, ScanOptions
from kinoflow.datasets.published.annotations import annotations
from kinoflow.datasets.published.finegym import cut_finegym
from kinoflow.datasets.published.options import AnnotationsOptions, FineGymOptions, PennActionOptions
from kinoflow.datasets.published.penn_action import convert_penn_action
from kinoflow.datasets.published.pouring import convert_pouring
from kinoflow.datasets.published.tfrecord import crc32c
from kinoflow.media.options import ProbeOptions
from kinoflow.media.probe import probe
from kinoflow.tasks.alignment.embed import read_checkpoint
from kinoflow.tasks.alignment.evaluate import alignment_evaluate
from kinoflow.tasks.alignment.measuring_options import AlignmentTestOptions
from kinoflow.tasks.alignment.train import alignment_train


def measured(folder, root, wanted, tested, splits=("validation",)):
    """Index the videos below ``root`` with the tables in ``folder``, train for a step, test; return measures and network."""
    lists(root, folder, ScanOptions(shards=1, include=("*.mp4",)))
    probe(root, folder / "lists" / "000.json", folder / "probe.csv", ProbeOptions(), code="1")
    inventory([folder / "probe.csv"], folder / "inventory.csv", folder / "unreadable.csv")
    made = [folder / name for name in ("inventory.csv", "videos.csv", "segments.csv")]
    index(*made, IndexOptions(), folder / "labels.csv", folder / "splits.csv")
    model = folder / "model.safetensors"
    given = {"root": root, "device": "cpu", "code": "test"}
    alignment_train(*made[1:], model, folder / "history.csv", folder / ".work", wanted, **given)
    outputs = [folder / name for name in ("metrics.json", "p.csv", "e.h5", "f.h5")]
    alignment_evaluate(model, *made[1:], *outputs, tested, splits=list(splits), **given)
    return json.loads((folder / "metrics.json").read_text()), read_checkpoint(model)


def leaves(values):
    for value in values.values():
        yield from leaves(value) if isinstance(value, dict) else (value,)


def test_pouring(tmp_path):
    records = releases.pouring(tmp_path / "records", train=4, val=2, frames=12, side=32, crc=crc32c)
    root = tmp_path / "videos"
    convert_pouring(records, root, tmp_path / "labels.csv", tmp_path / "splits.csv")
    found, trained = measured(tmp_path, root, options(1), AlignmentTestOptions(stride=5))
    assert trained.classes == tuple(f"phase {i}" for i in range(5)) and trained.clips == 4
    assert found["clips"] == 2 and set(found["classification"]) == {"10", "50", "100"}
    assert all(math.isfinite(value) for value in leaves(found))


def test_penn_action(tmp_path):
    names = {1: "bowl", 2: "bowl", 3: "bowl", 4: "bowl", 5: "squat", 6: "squat", 7: "squat", 8: "squat"}
    clips = {f"{n:04d}": ("train" if n % 4 in (1, 2) else "val", name, 10, 10 + n % 3) for n, name in names.items()}
    release, phases = releases.penn_action(tmp_path / "release", clips)
    root, tables = tmp_path / "videos", (tmp_path / "labels.csv", tmp_path / "splits.csv")
    convert_penn_action(release, phases, root, *tables, PennActionOptions(size=32))
    wanted = options(1, sets="task", algorithm="tcc", sampling={"scheme": "uniform"}, training={"batch": 2})
    found, _ = measured(tmp_path, root, wanted, AlignmentTestOptions(stride=2, fractions=(1.0,)))
    assert set(found["sets"]) == {"bowl", "squat"} and found["clips"] == 4
    assert all(math.isfinite(value) for value in leaves(found))


def test_finegym(shared, tmp_path):
    (tmp_path / "raw").mkdir()
    shutil.copy(shared / "data" / "videos" / "mmaction2_demo.mp4", tmp_path / "raw" / "v-1_a.mp4")
    vault = {"stages": 2, "timestamps": [[0.0, 0.3], [0.3, 0.7]]}
    plain = {"stages": 1, "timestamps": [[0.8, 1.2]]}
    events = {
        f"E_00000{i}_00000{i + 2}": {
            "event": 1,
            "timestamps": [[0.5 * i, 0.5 * i + 1.5]],
            "segments": {"A_0000_0001": vault, "A_0001_0002": plain},
        }
        for i in range(6)
    }
    events["E_000008_000009"] = {"event": 2, "timestamps": [[4.0, 4.4]], "segments": None}
    listed = [f"v-1_a_{event}_A_{part}" for event in list(events)[:6] for part in ("0000_0001", "0001_0002")]
    train, val = ({name: (7, 42)[i % 2] for i, name in enumerate(part)} for part in (listed[:8], listed[8:]))
    source = releases.finegym(tmp_path / "annotations", {"v-1_a": events}, train, val)
    shutil.copy(shared / "data" / "annotations" / "finegym" / "gym99_categories.txt", source)
    root, outputs = tmp_path / "videos", [tmp_path / name for name in ("labels.csv", "splits.csv")]
    classes = tmp_path / "classes.txt"
    cut_finegym(source, tmp_path / "raw", root, *outputs, FineGymOptions(additional=True), classes)
    assert len(classes.read_text().splitlines()) == 99 and len(list(root.glob("*.mp4"))) == 7
    wanted = options(1, sampling={"rule": "window"})
    tested = AlignmentTestOptions(tasks=("probe",), fractions=(1.0,), probe={"epochs": 3})
    found, trained = measured(tmp_path, root, wanted, tested)
    assert len(trained.classes) == 2 and all(name.startswith("(VT)") or "(" in name for name in trained.classes)
    assert found["clips"] == 2 and found["train_clips"] == 5 and 0 <= found["probe"]["100"]["test"] <= 1


def test_kinetics_lists(make_video, tmp_path):
    root = tmp_path / "videos"
    rows = [
        f"train/a/{name}_000001_000011.mp4,{i % 2}" for i, name in enumerate(["xa", "xb", "xc", "xd", "uLaU_15HYdo"])
    ]
    for i, row in enumerate(rows):
        path = root / row.partition(",")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        make_video(path, frames=10, height=32, width=32, seed=i)
    (tmp_path / "lists").mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "train.csv").write_text("\n".join(rows) + "\n")
    kind = AnnotationsOptions(kind="kinetics_csv", class_count=2)
    annotations(tmp_path / "a", tmp_path / "labels.csv", tmp_path / "splits.csv", kind, root)
    shutil.rmtree(tmp_path / "lists")
    (root / "train" / "a" / "uLaU_15HYdo_000001_000011.mp4").unlink()  # named in no table: it is among the broken ones
    found, trained = measured(tmp_path, root, options(1, label="action"), AlignmentTestOptions(), splits=("train",))
    assert trained.clips == 4 and found["clips"] == 4 and trained.classes == ("0", "1")
    assert {"tau", "retrieval"} <= set(found) and all(math.isfinite(value) for value in leaves(found))


@pytest.mark.parametrize("fraction", [0.5])
def test_supervised_training_on_a_share_of_the_labels(tmp_path, fraction):
    records = releases.pouring(tmp_path / "records", train=4, val=2, frames=10, side=32, crc=crc32c)
    convert_pouring(records, tmp_path / "videos", tmp_path / "labels.csv", tmp_path / "splits.csv")
    wanted = options(1, algorithm="classification", fraction=fraction, sampling={"views": 1}, training={"batch": 2})
    _, trained = measured(tmp_path, tmp_path / "videos", wanted, AlignmentTestOptions(tasks=("kendalls_tau",)))
    assert trained.clips == 2 and trained.seen == "none; and phases, of 50% of the training clips"

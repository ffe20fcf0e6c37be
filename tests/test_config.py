"""Config files: paths count from their file, later files win, what is wrong is said with its place."""

from pathlib import Path

import pytest
import yaml
from tests.conftest import ROOT

from kinoflow import config
from kinoflow.errors import ConfigError

DESCRIPTORS = ROOT / "workflow/datasets"
BASE = {
    "study": "trial",
    "datasets": {"mine": {"source": {"kind": "folder", "path": "videos"}}},
    "frames": {"small": {"dataset": "mine"}},
    "features": {"net": {"from": "frames", "frames": "small"}},
    "pca": {"two": {"features": "net"}},
}


def load(folder: Path, *studies: dict, given: dict | None = None) -> config.Study:
    files = []
    for i, study in enumerate(studies):
        files.append(folder / f"study{i}.yaml")
        files[-1].write_text(yaml.safe_dump(study))
    return config.load(files, given or {}, DESCRIPTORS)


def changed(**values) -> dict:
    return config.merge(BASE, values)


def test_paths_count_from_the_file_that_holds_them_and_from_here_on_the_command_line(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    study = changed(
        datasets={"mine": {"index": {"splits": "/absolute/splits.csv"}}},
        features={
            "net": {"weights": "torchvision:DEFAULT"},
            "own": {"from": "frames", "frames": "small", "weights": "w.pt"},
        },
    )
    found = load(tmp_path / "below", study, given={"datasets": {"mine": {"index": {"labels": "labels.csv"}}}})
    dataset = found.datasets["mine"]
    assert dataset.source.path == str(tmp_path / "below/videos")
    assert dataset.index.labels == str(tmp_path / "other/labels.csv")
    assert dataset.index.splits == "/absolute/splits.csv"
    assert [found.features[name].weights for name in ("net", "own")] == [
        "torchvision:DEFAULT",
        str(tmp_path / "below/w.pt"),
    ]


def test_a_later_file_and_the_command_line_win_key_by_key(tmp_path):
    later = {"frames": {"small": {"size": 64, "store": "raw"}}}
    found = load(tmp_path, BASE, later, given={"frames": {"small": {"size": 32}}})
    assert (found.frames["small"].size, found.frames["small"].store, found.study) == (32, "raw", "trial")


@pytest.mark.parametrize(
    "study, sentence",
    [
        (changed(features={"net": {"frames": "smal"}}), "features.net.frames: there is no 'smal'; known are: small"),
        (changed(frames={"small": {"dataset": "other"}}), "frames.small.dataset: there is no 'other'; known are: mine"),
        (changed(pca={"two": {"features": "nets"}}), "pca.two.features: there is no 'nets'; known are: net"),
        (changed(features={"net": {"dataset": "mine"}}), "with `from: frames` give frames, not dataset"),
        (
            changed(features={"net": {"from": "files", "frames": None, "dataset": "mine"}}),
            "'mine' holds videos, not features",
        ),
        (changed(datasets={"Mine": BASE["datasets"]["mine"]}), "datasets.Mine"),
        (changed(sudy="x"), "sudy: there is no such key; did you mean 'study'?"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(tmp_path, study, sentence):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, study)
    assert sentence in str(error.value)
    assert str(error.value).startswith("study0.yaml: ")


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("study: a\nstudy: b\n", "line 2: the key 'study' is given twice"),
        ("study: [\n", "this is no valid YAML"),
        ("", "is empty or holds something else"),
        ("- a\n", "is empty or holds something else"),
    ],
)
def test_a_file_that_is_no_config_is_named_with_its_line(tmp_path, text, sentence):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="bad.yaml") as error:
        config.load([file], {}, DESCRIPTORS)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    "path, why",
    [
        ("~nosuchuser/x", "Could not determine home directory"),
        ("a\0b", "embedded null byte"),
        ("x" * 5000, "File name too long"),
        ("x/" * 3000, "File name too long"),
    ],
)
def test_a_path_that_the_system_cannot_have_is_one_sentence(tmp_path, path, why):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, changed(datasets={"mine": {"source": {"path": path}}}))
    text = str(error.value)
    assert text.startswith("study0.yaml: '") and " is no path: " in text and why in text and len(text) < 200


def test_a_descriptor_s_name_is_no_path(tmp_path):
    for name in ("x" * 5000, "../schemas/study", "a\0"):
        with pytest.raises(
            ConfigError, match=r"datasets\.a\.descriptor: there is no '.*; known are: breakfast"
        ) as error:
            load(tmp_path, {"study": "x", "datasets": {"a": {"descriptor": name}}})
        assert len(str(error.value)) < 400


def test_the_study_s_seeds_differ(tmp_path):
    with pytest.raises(ConfigError, match=r"study0\.yaml: seeds: the same seed twice would be the same run twice"):
        load(tmp_path, changed(seeds=[1, 1]))


@pytest.mark.parametrize(
    "first, circle",
    [
        ({"a": "a"}, "alignment.a: needs itself"),
        ({"a": "b", "b": "a"}, "alignment.a: needs alignment.b, which needs itself"),
        ({"c": "a", "a": "b", "b": "a"}, "alignment.a: needs alignment.b, which needs itself"),
    ],
)
def test_runs_that_begin_with_each_other_are_named(tmp_path, first, circle):
    runs = {name: {"frames": "small", "initial": {"room": "alignment", "run": other}} for name, other in first.items()}
    labelled = {"mine": {"index": {"labels": "labels.csv"}}}
    with pytest.raises(ConfigError) as error:
        load(tmp_path, changed(datasets=labelled, alignment=runs))
    assert str(error.value).startswith(circle) and "begin without" in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere.yaml: this config file cannot be read"):
        config.load([tmp_path / "nowhere.yaml"], {}, DESCRIPTORS)


def test_a_descriptor_fills_a_dataset_up_and_the_study_wins(tmp_path):
    descriptors = tmp_path / "datasets"
    descriptors.mkdir()
    values = {
        "source": {"kind": "download", "files": [{"url": "https://example.org/a.zip", "name": "a.zip"}]},
        "shards": 8,
    }
    (descriptors / "known.yaml").write_text(yaml.safe_dump(values))
    (tmp_path / "s.yaml").write_text(
        yaml.safe_dump({"study": "x", "datasets": {"a": {"descriptor": "known", "shards": 2}}})
    )
    found = config.load([tmp_path / "s.yaml"], {}, descriptors).datasets["a"]
    assert (found.shards, found.source.files[0].name) == (2, "a.zip")
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({"study": "x", "datasets": {"a": {"descriptor": "unknown"}}}))
    with pytest.raises(ConfigError, match="there is no 'unknown'; known are: known"):
        config.load([tmp_path / "s.yaml"], {}, descriptors)


@pytest.mark.parametrize(
    "file", [ROOT / "config.yaml", *sorted((ROOT / "workflow/studies").rglob("*.yaml"))], ids=lambda p: p.name
)
def test_every_study_file_is_valid(file):
    assert config.load([file], {}, DESCRIPTORS).study


PUBLISHED = {"kind": "ucf101", "path": "lists"}
STUDY = {
    "study": "x",
    "datasets": {"d": {"source": {"kind": "folder", "path": "videos"}, "annotations": PUBLISHED}},
    "frames": {"f": {"dataset": "d"}},
    "recognition": {"tsm": {"frames": "f", "tests": {"ten": {"protocol": "ten_crop"}}}},
}


def loaded(tmp_path, **more):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(config.merge(STUDY, more)))
    return config.load([tmp_path / "s.yaml"], {}, DESCRIPTORS)


def test_annotation_files_lie_beside_the_study_and_give_a_dataset_labels(tmp_path):
    assert loaded(tmp_path).datasets["d"].annotations.path == str(tmp_path / "lists")
    with pytest.raises(ConfigError, match="recognition.tsm: the dataset has no labels: give annotations.path"):
        loaded(tmp_path, datasets={"d": {"annotations": {"path": None}}})


@pytest.mark.parametrize("index", [{"labels": "l.csv"}, {"splits": "s.csv"}, {"class_per_folder": True}])
def test_labels_come_from_one_place(tmp_path, index):
    with pytest.raises(ConfigError, match="annotations: labels and splits come from these files"):
        loaded(tmp_path, datasets={"d": {"index": index}})


@pytest.mark.parametrize(
    "dataset, sentence",
    [
        ({"source": {"kind": "kitchen"}}, "convert: clips are made of a folder's or a download's files"),
        ({"content": "features"}, "and are videos"),
        ({"annotations": {"kind": "ucf101"}}, "so leave annotations out"),
        ({"index": {"labels": "labels.csv"}}, "convert: labels and splits come from these files"),
        (
            {"convert": {"kind": "finegym", "raw": "../raw"}},
            "datasets.d.convert.raw: '../raw' is not allowed: give a relative path",
        ),
    ],
)
def test_what_does_not_go_with_a_conversion_is_one_sentence(tmp_path, dataset, sentence):
    mine = {"source": {"kind": "folder", "path": "media"}, "convert": {"kind": "pouring"}} | dataset
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({"study": "x", "datasets": {"d": mine}}))
    with pytest.raises(ConfigError) as error:
        config.load([tmp_path / "s.yaml"], {}, DESCRIPTORS)
    assert sentence in str(error.value)


def test_ten_crops_are_refused_where_nothing_may_be_mirrored(tmp_path):
    with pytest.raises(ConfigError, match="recognition.tsm.tests.ten: 10 crops mirror the pictures"):
        loaded(tmp_path, datasets={"d": {"mirror": False}})


@pytest.mark.parametrize(
    "figure, sentence",
    [
        ({"run": "tsn"}, "published[0].run: there is no 'tsn'; known are: tsm"),
        ({"run": "tsm", "test": "nine"}, "published[0].test: there is no 'nine'; known are: ten"),
    ],
)
def test_a_published_figure_names_a_run_and_a_test(tmp_path, figure, sentence):
    figure = {"room": "recognition", "value": 70.0, "source": "the paper"} | figure
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, published=[figure])
    assert sentence in str(error.value)
    assert loaded(tmp_path, published=[figure | {"run": "tsm", "test": "ten"}]).published[0].value == 70


def test_frames_are_made_of_pictures_but_features_are_not_read_straight_from_them(tmp_path):
    pictures = {"d": {"content": "pictures"}}
    assert loaded(tmp_path, datasets=pictures).frames["f"].size == 256
    with pytest.raises(ConfigError, match="features.net: the dataset 'd' holds pictures, not videos"):
        loaded(tmp_path, datasets=pictures, features={"net": {"from": "video", "dataset": "d", "resize": 32}})

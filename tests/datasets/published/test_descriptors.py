"""The descriptors of the published recognition datasets: valid, with a form that tells what to do."""

import pytest
import yaml
from tests.conftest import ROOT

from kinoflow import config
from kinoflow.datasets.download import download
from kinoflow.datasets.options import DownloadOptions
from kinoflow.errors import DataError

DESCRIPTORS = ROOT / "workflow" / "datasets"
RECOGNITION = ("kinetics400", "something_v1", "something_v2", "jester", "ucf101", "hmdb51")


def load(folder, **dataset):
    (folder / "s.yaml").write_text(yaml.safe_dump({"study": "x", "datasets": {"d": dataset}}))
    return config.load([folder / "s.yaml"], {}, DESCRIPTORS).datasets["d"]


@pytest.mark.parametrize("name", RECOGNITION)
def test_a_descriptor_makes_a_dataset(name, tmp_path):
    found = load(tmp_path, descriptor=name)
    assert found.source.kind == "download"
    assert found.content == ("pictures" if name in ("something_v1", "jester") else "videos")
    assert found.annotations.kind == name.replace("400", "") and not found.annotated
    assert found.mirror == (name in ("kinetics400", "ucf101", "hmdb51"))


@pytest.mark.parametrize("name", RECOGNITION)
def test_the_form_stops_the_download_with_the_keys_of_a_study(name, tmp_path):
    source = load(tmp_path, descriptor=name).source
    options = DownloadOptions(**source.model_dump(exclude={"kind", "videos"}))
    with pytest.raises(DataError, match="the steps to take") as error:
        download(tmp_path / "raw", tmp_path / "fetched.json", options)
    keys = next(line for line in str(error.value).splitlines() if "source: {" in line).partition("source: ")[2]
    source, _, annotations = keys.partition(" and annotations: ")
    mine = load(tmp_path, descriptor=name, source=yaml.safe_load(source), annotations=yaml.safe_load(annotations))
    assert mine.annotated and mine.source.kind == "folder"


@pytest.mark.parametrize("name", ["ucf101", "hmdb51"])
def test_the_form_says_that_rar_is_unpacked_by_hand(name, tmp_path):
    assert "kinoflow unpacks no RAR archives" in load(tmp_path, descriptor=name).source.form


@pytest.mark.parametrize("name", RECOGNITION)
def test_a_folder_of_one_s_own_takes_the_place_of_the_download(name, tmp_path):
    found = load(tmp_path, descriptor=name, source={"kind": "folder", "path": "mine"})
    assert found.source.path == str(tmp_path / "mine") and found.shards >= 32


def test_a_place_is_laid_over_the_source_of_the_same_kind(tmp_path):
    found = load(tmp_path, descriptor="ucf101", source={"place": "mine"})
    assert found.source.place == str(tmp_path / "mine") and "RAR" in found.source.form
    assert load(tmp_path, descriptor="ucf101", source={"kind": "download"}).source.videos == "videos"

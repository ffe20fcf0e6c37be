"""Two studies in one working folder: what they share, and what they may not call by one name."""

import shutil

import pytest
from tests.test_layout import layout

from kinoflow import places
from kinoflow.errors import ConfigError
from kinoflow.run_state import STATE


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Two folders of videos, each with a table of labels, and a working folder."""
    monkeypatch.chdir(tmp_path)
    STATE.mkdir(parents=True)
    for name in ("one", "two"):
        (tmp_path / name / "videos").mkdir(parents=True)
        (tmp_path / name / "labels.csv").write_text("video,start,end,action\n")
    return tmp_path


def study(home, name: str, folder: str, labels: str = "one"):
    source = {"kind": "folder", "path": str(home / folder / "videos")}
    mine = {"source": source, "index": {"labels": str(home / labels / "labels.csv")}}
    return layout(study=name, datasets={"mine": mine})


def begin(found) -> None:
    places.compare(found)
    places.keep(found)


def test_two_folders_under_one_name_are_refused_and_another_name_is_not(home):
    begin(study(home, "first", "one"))
    with pytest.raises(
        ConfigError, match=r"^datasets\.mine\.source\.path: the study first fills data/mine-\w+ from .*one"
    ):
        begin(study(home, "second", "two"))
    begin(study(home, "second", "one"))
    begin(study(home, "first", "one"))  # both know where the other reads


def test_a_study_may_move_its_own_folder_and_one_that_is_gone_is_not_in_the_way(home):
    begin(study(home, "first", "one"))
    begin(study(home, "first", "two"))
    shutil.rmtree(home / "two/videos")
    begin(study(home, "second", "one"))


def test_a_copy_of_the_whole_working_folder_is_no_other_place(home, tmp_path_factory, monkeypatch):
    begin(study(home, "first", "one"))
    copy = tmp_path_factory.mktemp("copy") / "home"
    shutil.copytree(home, copy)
    monkeypatch.chdir(copy)
    begin(study(copy, "second", "one"))
    with pytest.raises(ConfigError, match="the study first fills"):
        begin(study(copy, "third", "two"))


def test_label_files_under_one_name_may_differ_in_their_place_alone(home):
    begin(study(home, "first", "one"))
    begin(study(home, "second", "one", "two"))
    (home / "two/labels.csv").write_text("video,start,end,action\nv0.mp4,0,1,wave\n")
    with pytest.raises(ConfigError, match=r"^datasets\.mine\.index\.labels: the study first fills data/mine-"):
        begin(study(home, "second", "one", "two"))


def test_a_damaged_record_is_written_anew(home):
    (STATE / "places.json").write_text("[")
    begin(study(home, "first", "one"))
    with pytest.raises(ConfigError, match="the study first"):
        begin(study(home, "second", "two"))

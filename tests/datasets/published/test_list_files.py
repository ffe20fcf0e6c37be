"""List files as the published code bases write them, and what is missing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import ROOT

from kinoflow.command import run
from kinoflow.datasets.published.list_files import list_files
from kinoflow.datasets.published.options import ListFilesOptions
from kinoflow.errors import DataError
from kinoflow.store.clip_lists import Clip, read_list_file, write_list
from kinoflow.store.tables import read_csv

GOLDEN = json.loads((ROOT / "tests" / "golden" / "lsnet" / "labels.json").read_text())
PREFIXES = {"something_v1": "something/v1/img/", "jester": "something/v1/img/"}  # Jester's is a slip of the original


def laid_out(folder, case):
    """Write the annotation files and the folders of pictures of a golden case."""
    annotations, frames = folder / "annotations", folder / "frames"
    annotations.mkdir()
    frames.mkdir()
    for name, text in case["files"].items():
        (annotations / name).write_text(text)
    for name, count in case["folders"].items():
        (frames / name).mkdir(parents=True)
        for i in range(1, count + 1):
            (frames / name / f"{i:05d}.jpg").touch()
    return annotations, frames


def vocabulary_size(case):
    return case.get("n_class") or len(case["output"]["category.txt"].splitlines())


def written(case, folder, **options):
    annotations, frames = laid_out(folder, case)
    options = {"kind": case["kind"], "class_count": vocabulary_size(case), **options}
    list_files(annotations, frames, folder / "lists", ListFilesOptions(**options), missing=folder / "missing.csv")
    return {path.name: path.read_text() for path in (folder / "lists").iterdir()}, frames


@pytest.mark.parametrize("name", GOLDEN)
def test_lists_are_those_of_the_original(name, tmp_path):
    case = GOLDEN[name]
    assert case["error"] is None
    found, frames = written(case, tmp_path, prefix=PREFIXES.get(name, ""))
    assert found == {file: text.replace("<FRAMES>", str(frames)) for file, text in case["output"].items()}


@pytest.mark.parametrize("name", GOLDEN)
def test_writing_lists_again_changes_nothing(name, tmp_path):
    found, frames = written(GOLDEN[name], tmp_path)
    options = ListFilesOptions(kind=GOLDEN[name]["kind"], class_count=vocabulary_size(GOLDEN[name]))
    list_files(tmp_path / "annotations", frames, tmp_path / "lists", options)
    assert found == {path.name: path.read_text() for path in (tmp_path / "lists").iterdir()}


def test_classes_stay_in_the_order_of_the_file_on_demand(tmp_path):
    found, _ = written(GOLDEN["jester"], tmp_path, order="file")
    assert found["category.txt"].splitlines() == ["Swiping Left", "Swiping Right", "No gesture", "Doing other things"]
    assert found["train_videofolder.txt"].splitlines() == ["34870 37 2", "56557 36 1"]


def test_what_is_missing_stands_in_the_report_with_its_class(tmp_path):
    case = GOLDEN["something_v1"] | {"folders": {"24413": 2, "74225": 0}}
    found, frames = written(case, tmp_path)
    assert found["missing_train_videofolder.txt"] == f"{frames}/100218"
    assert found["train_videofolder.txt"] == "24413 2 0" and "missing_val_videofolder.txt" not in found
    rows = [row for _, row in read_csv(tmp_path / "missing.csv", ("split", "clip", "action", "reason"))]
    assert [(row["split"], row["clip"], row["reason"]) for row in rows] == [
        ("train", "100218", "no folder"),
        ("validation", "74225", "the folder is empty"),
    ]
    assert rows[0]["action"] == "Turning something upside down"


def test_a_missing_list_goes_when_the_clips_have_come(tmp_path):
    case = GOLDEN["something_v1"] | {"folders": {}}
    found, frames = written(case, tmp_path)
    assert found["train_videofolder.txt"] == ""
    for clip in ("100218", "24413", "74225"):
        (frames / clip).mkdir()
    list_files(
        tmp_path / "annotations", frames, tmp_path / "lists", ListFilesOptions(kind="something_v1", class_count=3)
    )
    names = {path.name for path in (tmp_path / "lists").iterdir()}
    assert names == {"category.txt", "train_videofolder.txt", "val_videofolder.txt"}


def test_lists_of_videos_name_files_and_count_classes_from_where_it_is_said(tmp_path):
    annotations, root = tmp_path / "annotations", tmp_path / "videos"
    annotations.mkdir()
    (annotations / "classInd.txt").write_bytes(b"1 Archery\r\n2 YoYo\r\n")
    (annotations / "trainlist02.txt").write_bytes(b"YoYo/v_YoYo_g08_c01.avi 2\r\nArchery/v_Archery_g08_c01.avi 1\r\n")
    (annotations / "testlist02.txt").write_bytes(b"YoYo/v_YoYo_g01_c01.avi\r\n")
    root.mkdir()
    for name in ("v_YoYo_g08_c01.avi", "v_Archery_g08_c01.avi"):  # flat, as they come out of the archive
        (root / name).touch()
    options = ListFilesOptions(kind="ucf101", split=2, class_count=2, media="videos", first_class=1)
    list_files(annotations, root, tmp_path / "lists", options)
    text = (tmp_path / "lists" / "train_videofolder.txt").read_text()
    assert text == "v_YoYo_g08_c01.avi 2\nv_Archery_g08_c01.avi 1"
    assert (tmp_path / "lists" / "missing_test_videofolder.txt").read_text() == f"{root}/YoYo/v_YoYo_g01_c01.avi"
    clips = read_list_file(tmp_path / "lists" / "train_videofolder.txt", counted=False, first_class=1, classes=2)
    assert [(clip.clip, clip.label) for clip in clips] == [("v_YoYo_g08_c01.avi", 1), ("v_Archery_g08_c01.avi", 0)]


def test_kinetics_of_today_has_bare_seconds_quotes_further_columns_and_folders_with_both_times(tmp_path):
    case = GOLDEN["kinetics"] | {
        "files": {
            "label_map_k400.txt": 'abseiling\r\n"dancing (ballet)"\n',
            "kinetics-400_val.csv": "is_cc,split,youtube_id,time_end,time_start,label\n"
            '0,val,-aa_1,27,17,"dancing (ballet)"\n1,val,bbb,10,0,abseiling\n',
        },
        "folders": {"dancing_ballet/-aa_1_000017": 3, "abseiling/bbb_000000_000010": 2},
        "n_class": 2,
    }
    found, _ = written(case, tmp_path)
    text = "dancing_ballet/-aa_1_000017 3 1\nabseiling/bbb_000000_000010 2 0"
    assert found == {"val_videofolder.txt": text, "missing_val_videofolder.txt": ""}


def test_the_official_archive_of_kinetics_has_its_classes_in_the_training_table(tmp_path):
    rows = "label,youtube_id,time_start,time_end,split\nzumba,a,1,11,train\nair drumming,b,2,12,train\n"
    case = {"kind": "kinetics", "n_class": 2, "files": {"train.csv": rows}, "folders": {"zumba/a_000001": 1}}
    found, frames = written(case, tmp_path)
    assert found["category.txt"] == "air drumming\nzumba" and found["train_videofolder.txt"] == "zumba/a_000001 1 1"
    assert found["missing_train_videofolder.txt"] == f"{frames}/air_drumming/b_000002"


# ---------------------------------------------------------------- what does not fit


@pytest.mark.parametrize(
    "name, file, text, sentence",
    [
        ("kinetics", "kinetics_val.csv", "label,youtube_id\n", "the column 'time_start' is missing"),
        ("kinetics", "kinetics_val.csv", "label,youtube_id,time_start,time_end\nzumba,a,1,2\n", "line 2: there is no class 'zumba'"),
        ("kinetics", "kinetics_val.csv", "label,youtube_id,time_start,time_end\nabseiling,a,1.5,2\n", "'1.5' is no whole number"),
        ("kinetics", "kinetics_val.csv", "label,youtube_id,time_start,time_end\nabseiling,,1,2\n", "'youtube_id' holds ''"),
        ("kinetics", "kinetics_label_map.txt", "abseiling\n", "line 3: there is no class 'air_drumming'"),
        ("jester", "jester-v1-train.csv", "1;No gestur\n", "did it mean 'No gesture'?"),
        ("jester", "jester-v1-train.csv", "../1;No gesture\n", "'../1' is no id"),
        ("jester", "jester-v1-labels.csv", "No gesture\nNo gesture\n", "'No gesture' stands there twice"),
        ("something_v2", "something-something-v2-labels.json", '{"a": "0", "b": "2"}', "2 classes must have the numbers 0 to 1"),
        ("something_v2", "something-something-v2-labels.json", '{"a": "1", "b": "0"}', "'a' is number 0 of the file"),
        ("something_v2", "something-something-v2-labels.json", "[]", "is no list of classes"),
        ("something_v2", "something-something-v2-train.json", "[{", "this is no JSON file"),
        ("something_v2", "something-something-v2-train.json", '[{"template": "a"}]', "entry 1: this is no clip"),
        ("something_v2", "something-something-v2-train.json", '[{"id": "1"}]', "entry 1: there is no class ''"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_named_with_its_line(name, file, text, sentence, tmp_path):
    case = GOLDEN[name] | {"files": GOLDEN[name]["files"] | {file: text}}
    with pytest.raises(DataError) as error:
        written(case, tmp_path)
    assert file in str(error.value) and sentence in str(error.value)
    assert not (tmp_path / "lists").exists()


UCF101 = {"classInd.txt": "1 Archery\n2 YoYo\n", "trainlist01.txt": "YoYo/a.avi 2\n", "testlist01.txt": "YoYo/b.avi\n"}
HMDB51 = {"clap_test_split1.txt": "a.avi 1 \n", "shoot_bow_test_split1.txt": "b.avi 2 \n"}


@pytest.mark.parametrize(
    "kind, files, sentence",
    [
        ("ucf101", UCF101 | {"classInd.txt": "1 Archery\n3 YoYo\n"}, "classInd.txt, line 2: '3 YoYo' should be 2 and the name"),
        ("ucf101", UCF101 | {"trainlist01.txt": "YoYo/a.avi 1\n"}, "line 1: YoYo has the number 2 in .*, but 1 here"),
        ("ucf101", UCF101 | {"testlist01.txt": "b.avi\n"}, "line 1: 'b.avi' should be a class, /, and a video"),
        ("ucf101", UCF101 | {"testlist01.txt": "Yoyo/b.avi\n"}, r"there is no class 'Yoyo' .*did it mean 'YoYo'"),
        ("ucf101", {"classInd.txt": UCF101["classInd.txt"]}, "there is no trainlist01.txt in this folder"),
        ("hmdb51", HMDB51 | {"clap_test_split1.txt": "a.avi 3\n"}, "clap_test_split1.txt, line 1: 'a.avi 3' should be"),
        ("hmdb51", HMDB51 | {"clap_test_split1.txt": "a.avi\n"}, "line 1: 'a.avi' should be a video and 0, 1 or 2"),
    ],
)  # fmt: skip
def test_a_split_that_does_not_fit_is_named_with_its_line(kind, files, sentence, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=sentence):
        list_files(tmp_path, tmp_path, tmp_path / "lists", ListFilesOptions(kind=kind, class_count=2))


def test_a_vocabulary_of_another_size_is_refused(tmp_path):
    with pytest.raises(DataError, match="there are 4 classes, and jester has 27"):
        written(GOLDEN["jester"], tmp_path, class_count=None)


@pytest.mark.parametrize("kind", ["kinetics", "something_v1", "something_v2", "jester", "ucf101", "hmdb51"])
def test_a_folder_without_annotation_files_is_refused_with_what_is_looked_for(kind, tmp_path):
    with pytest.raises(DataError, match=rf"{tmp_path}: there is n(o|one of) .*(csv|json|txt)"):
        list_files(tmp_path, tmp_path, tmp_path / "lists", ListFilesOptions(kind=kind))


def test_two_files_that_may_be_the_one_looked_for_are_both_named(tmp_path):
    files = GOLDEN["kinetics"]["files"] | {"label_map_k600.txt": "abseiling\n"}
    with pytest.raises(DataError, match="kinetics_label_map.txt and .*label_map_k600.txt may both be"):
        written(GOLDEN["kinetics"] | {"files": files}, tmp_path)


def test_the_command_writes_the_lists(tmp_path, capfd):
    annotations, frames = laid_out(tmp_path, GOLDEN["kinetics"])
    words = ["--kind", "kinetics", "--annotations", str(annotations), "--frames", str(frames), "--class-count", "4"]
    out = ["--out", str(tmp_path / "lists")]
    assert run("kinoflow.datasets.published.list_files:list_files", list_files, words + out) == 0
    assert len(list((tmp_path / "lists").iterdir())) == 4
    assert "2 of 6 clips are missing: 'abseiling/ddd-444_000000' (no folder)" in capfd.readouterr().err
    assert run("kinoflow.datasets.published.list_files:list_files", list_files, ["--kind", "k", *words[2:], *out]) == 1


# ---------------------------------------------------------------- the lists themselves

NAME = st.text(st.characters(codec="utf-8", exclude_characters="\n\r", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: (
        name == name.strip() and not name.startswith("/") and ".." not in name.split("/") and name[0] != "\ufeff"
    )
)


@given(st.dictionaries(NAME, st.tuples(st.integers(0, 999), st.integers(0, 399)), min_size=1), st.integers(0, 1))
def test_a_list_reads_as_it_was_written(tmp_path_factory, clips, first):
    path = tmp_path_factory.mktemp("list") / "list.txt"
    told = [Clip(name, count, label) for name, (count, label) in clips.items()]
    write_list(path, told, first)
    found = read_list_file(path, first_class=first, classes=400)
    assert [(clip.clip, clip.count, clip.label) for clip in found] == [(c.clip, c.count, c.label) for c in told]


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("a 3 1\nb 3\n", "line 2: 'b 3' is no line of such a list; write folder, number of pictures, class"),
        ("a 3 1\nb 3 0", "line 2: there is no class 0: classes begin at 1 and end at 2"),
        ("a 3 3", "line 1: there is no class 3"),
        ("a 3 -1", "line 1: 'a 3 -1' is no line"),
        ("/tmp/a 3 1", "'/tmp/a' is no name below a root folder"),
        ("a/../b 3 1", "'a/../b' is no name below a root folder"),
        ("a 3 1\na 4 1", "line 2: 'a' stands in .*line 1 with other numbers"),
        ("\n", "this list names no clip"),
    ],
)
def test_a_line_that_cannot_be_is_refused(text, sentence, tmp_path):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_list_file(tmp_path / "list.txt", first_class=1, classes=2)


def test_a_name_that_no_line_can_hold_is_not_written(tmp_path):
    with pytest.raises(DataError, match=r"'a\\nb 3 0': a list file cannot hold"):
        write_list(tmp_path / "list.txt", [Clip("a\nb 3 0", 1, 0)])

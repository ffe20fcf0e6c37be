"""From published annotation files to the tables that `kinoflow index` reads."""

import os

import pytest

from kinoflow.command import run
from kinoflow.datasets.index import index
from kinoflow.datasets.inventory import inventory
from kinoflow.datasets.lists import lists
from kinoflow.datasets.options import IndexOptions, ScanOptions
from kinoflow.datasets.published.annotations import annotations
from kinoflow.datasets.published.files import digest_of
from kinoflow.datasets.published.options import AnnotationsOptions
from kinoflow.errors import ConfigError, DataError
from kinoflow.media.options import ProbeOptions
from kinoflow.media.probe import probe
from kinoflow.store.tables import Probed, Segment, Video, read, read_csv, write


def ucf101(folder):
    folder.mkdir()
    (folder / "classInd.txt").write_bytes(b"1 Archery\r\n2 HandstandPushups\r\n")
    (folder / "trainlist01.txt").write_bytes(
        b"Archery/v_Archery_g08_c01.avi 1\r\nHandstandPushups/v_HandStandPushups_g08_c01.avi 2\r\n"
    )
    (folder / "testlist01.txt").write_bytes(b"Archery/v_Archery_g01_c01.avi\r\nArchery/v_Archery_g01_c02.avi\r\n")
    return folder


def kinetics(folder):
    folder.mkdir()
    (folder / "kinetics_label_map.txt").write_text("abseiling\nshooting goal (soccer)\n")
    rows = "label,youtube_id,time_start,time_end\nshooting goal (soccer),-a_b,5,15\nabseiling,ccc,7,17\n"
    (folder / "val.csv").write_text(rows)
    return folder


def tables(folder, root, source, **options):
    """Return (labels, splits, classes, missing) of a run of the stage."""
    names = [folder / name for name in ("labels.csv", "splits.csv", "classes.txt", "missing.csv")]
    labels, splits, classes, missing = names
    options = AnnotationsOptions(**{"class_count": 2, **options})
    annotations(source, labels, splits, options, root, classes, missing)
    rows = [[row for _, row in read_csv(path, ())] for path in (labels, splits, missing)]
    return rows[0], rows[1], classes.read_text().splitlines(), rows[2]


def test_published_labels_reach_the_tables_of_the_dataset(tmp_path, make_video):
    root = tmp_path / "videos"
    root.mkdir()
    for name in ("v_Archery_g08_c01", "v_HandStandPushups_g08_c01", "v_Archery_g01_c01"):
        made = make_video(tmp_path / "video.mp4")
        made.rename(root / f"{name}.avi")  # flat, as they come out of the archive
    found = tables(tmp_path, root, ucf101(tmp_path / "annotations"), kind="ucf101")
    assert [row["clip"] for row in found[3]] == ["Archery/v_Archery_g01_c02.avi"]
    lists(root, tmp_path, ScanOptions(shards=1))
    probe(root, tmp_path / "lists" / "000.json", tmp_path / "probe.csv", ProbeOptions(), code="1")
    inventory([tmp_path / "probe.csv"], tmp_path / "inventory.csv", tmp_path / "unreadable.csv")
    made = [tmp_path / name for name in ("inventory.csv", "videos.csv", "segments.csv")]
    index(*made, IndexOptions(max_unreadable=0), tmp_path / "labels.csv", tmp_path / "splits.csv")
    videos = {row.video: (row.split, row.recording) for row in read(made[1], Video)}
    assert videos == {
        "v_Archery_g01_c01.avi": ("test", "v_Archery_g01"),
        "v_Archery_g08_c01.avi": ("train", "v_Archery_g08"),
        "v_HandStandPushups_g08_c01.avi": ("train", "v_HandStandPushups_g08"),
    }
    segments = {row.video: (row.action, row.start, row.end) for row in read(made[2], Segment)}
    assert segments["v_HandStandPushups_g08_c01.avi"] == ("HandstandPushups", 0.0, 1.0)


def test_clips_of_kinetics_are_found_in_any_folder(tmp_path):
    root = tmp_path / "videos"
    for folder, name in (("part 3", "-a_b_000005_000015.mp4"), ("abseiling", "ccc_000007_000017.mkv")):
        (root / folder).mkdir(parents=True)
        (root / folder / name).touch()
    labels, splits, classes, missing = tables(tmp_path, root, kinetics(tmp_path / "annotations"), kind="kinetics")
    assert [(row["video"], row["action"]) for row in labels] == [
        ("part 3/-a_b_000005_000015.mp4", "shooting goal (soccer)"),
        ("abseiling/ccc_000007_000017.mkv", "abseiling"),
    ]
    assert {row["split"] for row in splits} == {"validation"} and missing == []
    assert classes == ["abseiling", "shooting goal (soccer)"]


def test_without_a_folder_videos_are_named_as_published(tmp_path):
    labels, *_ = tables(tmp_path, None, kinetics(tmp_path / "annotations"), kind="kinetics")
    assert [row["video"] for row in labels] == ["-a_b_000005_000015.mp4", "ccc_000007_000017.mp4"]
    labels, *_ = tables(tmp_path, None, tmp_path / "annotations", kind="kinetics", media="folders")
    assert [row["video"] for row in labels] == ["shooting_goal_soccer/-a_b_000005", "abseiling/ccc_000007"]


@pytest.mark.parametrize(
    "files, found",
    [
        (["ccc_000007_000017.mp4", "ccc_000007_000017.jpg"], "ccc_000007_000017.mp4"),
        (["a/ccc_000007_000017.mp4", "ccc_000007_000017.mp4"], "ccc_000007_000017.mp4"),
        (["a/ccc_000007_000017.mp4", "b/ccc_000007_000017.webm"], "a/ccc_000007_000017.mp4"),
        (["a/ccc_000007_000017.webm"], "a/ccc_000007_000017.webm"),
        (["a/ccc_000007_000017.mp4", "b/ccc_000007_000017.mp4"], None),
        (["a/ccc_000007_000017.mkv", "b/ccc_000007_000017.webm"], None),
    ],
)
def test_of_several_files_of_a_name_the_published_one_counts_or_none(tmp_path, files, found):
    root = tmp_path / "videos"
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    source = kinetics(tmp_path / "annotations")
    if found:
        labels, *_ = tables(tmp_path, root, source, kind="kinetics")
        assert [row["video"] for row in labels] == [found]
        return
    with pytest.raises(DataError, match=f"'ccc_000007_000017.mp4' may be '{files[0]}' or '{files[1]}'"):
        tables(tmp_path, root, source, kind="kinetics")
    labels, *_ = tables(tmp_path, root, source, kind="kinetics", exclude=["b/*"])
    assert [row["video"] for row in labels] == [files[0]]


def test_names_of_hmdb51_may_hold_anything(tmp_path):
    source, root = tmp_path / "annotations", tmp_path / "videos"
    names = ["a#b_[x](1)&;~@+!.avi", os.fsdecode(b"caf\xe9_0.avi"), "unused.avi"]
    (source / "testTrainMulti_7030_splits").mkdir(parents=True)
    text = "".join(f"{name} {flag} \n" for name, flag in zip(names, (1, 2, 0), strict=True))
    for name in ("shoot_bow", "clap"):
        file = source / "testTrainMulti_7030_splits" / f"{name}_test_split3.txt"
        file.write_bytes(os.fsencode(text if name == "shoot_bow" else ""))
    (root / "shoot_bow").mkdir(parents=True)
    for name in names:
        (root / "shoot_bow" / name).touch()
    labels, splits, classes, missing = tables(tmp_path, root, source, kind="hmdb51", split=3)
    assert [row["video"] for row in labels] == [f"shoot_bow/{name}" for name in names[:2]]
    assert [row["split"] for row in splits] == ["train", "test"]
    assert classes == ["clap", "shoot_bow"] and missing == []


def test_jester_s_clips_are_folders(tmp_path):
    source, root = tmp_path / "annotations", tmp_path / "frames"
    (root / "34870").mkdir(parents=True)
    source.mkdir()
    (source / "jester-v1-labels.csv").write_text("Swiping Left\nNo gesture\n")
    (source / "jester-v1-validation.csv").write_text("34870;Swiping Left\n9223;No gesture\n")
    labels, _, classes, missing = tables(tmp_path, root, source, kind="jester")
    assert [(row["video"], row["action"]) for row in labels] == [("34870", "Swiping Left")]
    assert classes == ["No gesture", "Swiping Left"]
    assert [(row["clip"], row["reason"]) for row in missing] == [("9223", "no folder")]


def test_a_folder_without_any_of_the_clips_is_refused_after_the_report(tmp_path):
    (tmp_path / "videos").mkdir()
    with pytest.raises(DataError, match=r"none of the 2 clips is there, as '-a_b_000005_000015.mp4'"):
        tables(tmp_path, tmp_path / "videos", kinetics(tmp_path / "annotations"), kind="kinetics")
    assert len(read_csv(tmp_path / "missing.csv", ("clip",))) == 2 and not (tmp_path / "labels.csv").exists()


def test_the_command_writes_the_tables(tmp_path):
    source = str(kinetics(tmp_path / "annotations"))
    words = ["--kind", "kinetics", "--class-count", "2", "--annotations", source]
    out = ["--labels", str(tmp_path / "l.csv"), "--splits", str(tmp_path / "s.csv")]
    assert run("kinoflow.datasets.published.annotations:annotations", annotations, words + out) == 0
    assert (tmp_path / "l.csv").read_text().startswith("video,start,end,action,text\n-a_b_000005_000015.mp4,,,shooting")


def test_clips_are_found_in_an_inventory_and_missing_ones_stay_for_the_index_to_count(tmp_path):
    source, listed = ucf101(tmp_path / "annotations"), tmp_path / "inventory.csv"
    rows = [Probed(video=f"part/{name}.mp4", status="readable") for name in ("v_Archery_g08_c01", "v_Archery_g01_c01")]
    write(listed, rows, Probed)
    files = [tmp_path / name for name in ("labels.csv", "splits.csv")]
    options = AnnotationsOptions(kind="ucf101", class_count=2)
    annotations(source, *files, options, inventory=listed, missing=tmp_path / "missing.csv")
    assert [row["video"] for _, row in read_csv(files[0], ())] == [
        "part/v_Archery_g08_c01.mp4",
        "HandstandPushups/v_HandStandPushups_g08_c01.avi",
        "part/v_Archery_g01_c01.mp4",
        "Archery/v_Archery_g01_c02.avi",
    ]
    assert [row["clip"] for _, row in read_csv(tmp_path / "missing.csv", ())] == [
        "HandstandPushups/v_HandStandPushups_g08_c01.avi",
        "Archery/v_Archery_g01_c02.avi",
    ]
    write(listed, [Probed(video="Archery/v_Archery_g08_c01", status="readable")], Probed)
    annotations(source, *files, options.model_copy(update={"media": "folders"}), inventory=listed)
    assert next(row["video"] for _, row in read_csv(files[0], ())) == "Archery/v_Archery_g08_c01"
    with pytest.raises(ConfigError, match="root and inventory exclude each other"):
        annotations(source, *files, options, tmp_path, inventory=listed)


def test_a_digest_of_annotation_files_tells_their_names_and_content(tmp_path):
    first = digest_of(ucf101(tmp_path / "one"))
    (tmp_path / "two").mkdir()
    ucf101(tmp_path / "two/inside")
    (tmp_path / "one").rename(tmp_path / "moved")
    (tmp_path / "moved/a video.avi").write_bytes(b"no annotation")
    assert digest_of(tmp_path / "moved") == first != digest_of(tmp_path / "two")
    (tmp_path / "moved/testlist01.txt").write_bytes(b"Archery/v_Archery_g01_c01.avi")
    assert digest_of(tmp_path / "moved") != first

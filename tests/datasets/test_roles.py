import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoflow import cli
from kinoflow.datasets import listing
from kinoflow.datasets.options import DrawOptions, IndexOptions
from kinoflow.datasets.roles import Role, digest, keep, read_roles, roles, roles_of
from kinoflow.datasets.splits import draw
from kinoflow.errors import DataError

PLAIN = IndexOptions()
NAMES = st.binary(min_size=1, max_size=20).map(lambda b: os.fsdecode(b.replace(b"\0", b"0").replace(b"/", b"|")))


@pytest.fixture
def table(tmp_path):
    def write(name, *lines):
        path = tmp_path / f"{name}.csv"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


# ---------------------------------------------------------------- where a role comes from


def test_without_tables_a_video_is_its_own_recording_and_its_split_is_drawn():
    videos = [f"v{i}.mp4" for i in range(50)]
    assert roles_of(videos, PLAIN) == {video: Role(draw(video, PLAIN.draw), "", video) for video in videos}


@settings(deadline=None)
@given(st.sets(NAMES, min_size=1), NAMES)
def test_one_more_video_moves_no_other(videos, other):
    options = IndexOptions(recording="^(.)", draw=DrawOptions(test=0.4, validation=0.3))
    more = roles_of({*videos, other}, options)
    assert {video: more[video] for video in videos} == roles_of(videos, options)
    assert len({(role.recording, role.split) for role in more.values()}) == len(
        {role.recording for role in more.values()}
    )


def test_a_pattern_names_the_recording_and_a_video_without_match_is_its_own():
    options = IndexOptions(recording=r"(P\d+)(?:_cam)?")
    found = roles_of(["P1_cam1.mp4", "x/P1_cam2.mp4", "P2.mp4", "other.mp4"], options)
    recordings = {"P1_cam1.mp4": "P1", "x/P1_cam2.mp4": "P1", "P2.mp4": "P2", "other.mp4": "other.mp4"}
    assert {video: role.recording for video, role in found.items()} == recordings
    assert found["P1_cam1.mp4"].split == found["x/P1_cam2.mp4"].split == draw("P1", options.draw)
    assert roles_of(["b"], IndexOptions(recording="(a)?b"))["b"].recording == "b"


def test_the_table_of_splits_counts_before_labels_and_labels_before_the_pattern(table):
    splits = table("splits", "video,split,recording,task", "a.mp4,val,,", "b.mp4,,r1,tea", "lost.mp4,test,r9,")
    labels = table(
        "labels",
        "video,start,end,action,split,recording,task",
        "a.mp4,0,1,cut,train,ra,soup",
        "a,1,2,stir,,,",
        "b.mp4,0,1,cut,Testing,r2,cake",
        "c.mp4,0,1,cut,,,",
    )
    found = roles_of(["a.mp4", "b.mp4", "c.mp4"], IndexOptions(recording="(.)"), labels, splits)
    drawn = draw("c", PLAIN.draw)
    assert found == {
        "a.mp4": Role("validation", "soup", "ra"),
        "b.mp4": Role("test", "tea", "r1"),
        "c.mp4": Role(drawn, "", "c"),
    }
    assert roles_of(["a.mp4"], PLAIN, labels)["a.mp4"].split == "train"


def test_the_given_split_of_one_video_is_that_of_its_recording(table):
    splits = table("splits", "video,split", "r1_a.mp4,test")
    videos = ["r1_a.mp4", "r1_b.mp4", "r2_a.mp4"]
    for share in (0.0, 0.99):
        options = IndexOptions(recording="(r.)_", draw=DrawOptions(test=share))
        found = roles_of(videos, options, None, splits)
        assert [found[v].split for v in videos] == ["test", "test", "train" if share == 0.0 else "test"]


def test_options_that_name_tables_are_not_looked_at():
    options = IndexOptions(labels="/nowhere/labels.csv", splits="/nowhere/splits.csv")
    assert roles_of(["a"], options) == roles_of(["a"], PLAIN)


def test_labels_need_no_columns_for_roles(table):
    labels = table("labels", "video,start,end,action", "what is this,,,")
    assert roles_of(["a"], PLAIN, labels) == roles_of(["a"], PLAIN)


# ---------------------------------------------------------------- contradictions


def test_a_recording_on_two_sides_is_an_error_that_names_it_and_two_videos(table):
    splits = table("splits", "video,split", "r1_b.mp4,test", "r1_a.mp4,train")
    with pytest.raises(DataError) as error:
        roles_of(["r1_b.mp4", "r1_a.mp4"], IndexOptions(recording="(r.)_"), None, splits)
    assert str(error.value) == (
        "the recording 'r1' has the video 'r1_a.mp4' in train and 'r1_b.mp4' in test: give all videos of one recording"
        " the same split, or give them different recordings (index.recording)"
    )


@pytest.mark.parametrize(
    "column, one, other", [("split", "train", "test"), ("recording", "r1", "r2"), ("task", "a", "b")]
)
def test_rows_of_one_video_that_contradict_each_other_are_an_error(table, column, one, other):
    labels = table(
        "labels", f"video,start,end,action,{column}", f"a.mp4,0,1,cut,{one}", "b,0,1,x,", f"a,1,2,cut,{other}"
    )
    with pytest.raises(DataError) as error:
        roles_of(["a.mp4", "b"], PLAIN, labels)
    assert str(error.value) == (
        f"{labels}, line 4: the video 'a.mp4' has the {column} {other!r} here, but {one!r} in {labels}, line 2;"
        " write the same in all its rows"
    )


def test_rows_that_say_the_same_in_other_words_agree(table):
    splits = table("splits", "video,split", "a.mp4,val", "a,Validation", "a.mp4,")
    assert roles_of(["a.mp4"], PLAIN, None, splits)["a.mp4"].split == "validation"


def test_a_word_that_is_no_split_is_an_error_also_for_a_video_that_is_lost(table):
    splits = table("splits", "video,split", "lost.mp4,tset")
    with pytest.raises(DataError, match=r"splits.csv, line 2: 'tset' is no split; write train, validation or test"):
        roles_of(["a"], PLAIN, None, splits)


def test_a_short_name_that_may_mean_two_videos_is_an_error(table):
    splits = table("splits", "video,split", "a,train")
    with pytest.raises(DataError, match=r"splits.csv, line 2: 'a' may be 'a.avi' or 'a.mp4'; write the whole name"):
        roles_of(["a.mp4", "a.avi"], PLAIN, None, splits)


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"recording": "P(.*"}, "'P(.*' is no regular expression"),
        ({"recording": "P.*"}, "'P.*' has no group; put round brackets around what names the recording"),
        ({"labels": "a.csv", "class_per_folder": True}, "labels and class_per_folder exclude each other"),
        ({"draw": {"test": 0.6, "validation": 0.4}}, "leave nothing for training"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(values, sentence):
    with pytest.raises(ValueError) as error:
        IndexOptions(**values)
    assert sentence in str(error.value)


# ---------------------------------------------------------------- shard by shard


def lists(data, *videos, shards=4):
    for shard, seen in zip(listing.shard_names(shards), [{} for _ in range(shards)], strict=True):
        seen |= {video: (1, 1) for video in videos if listing.shard_of(video, shards) == shard}
        listing.take_stock("/nowhere", seen, data, shard)


def test_every_list_gets_its_roles_and_files_of_other_shards_go(tmp_path, table):
    videos = [f"v{i}.mp4" for i in range(10)]
    lists(tmp_path, *videos)
    keep(tmp_path / "roles/007.json", {})
    splits = table("splits", "video,split", "v3,test")
    roles(tmp_path, tmp_path / "roles", PLAIN, None, splits)
    assert sorted(os.listdir(tmp_path / "roles")) == [f"{shard}.json" for shard in listing.shard_names(4)]
    found = {}
    for shard in listing.shard_names(4):
        part = read_roles(tmp_path / f"roles/{shard}.json")
        assert part.keys() == listing.read_list(listing.list_file(tmp_path, shard)).keys()
        found |= part
    assert found == roles_of(videos, PLAIN, None, splits) and found["v3.mp4"].split == "test"


def test_a_file_that_says_the_same_already_stays(tmp_path):
    keep(tmp_path / "000.json", {"a": Role("test", "", "a")})
    os.utime(tmp_path / "000.json", (1, 1))
    keep(tmp_path / "000.json", {"a": Role("test", "", "a")})
    assert (tmp_path / "000.json").stat().st_mtime == 1
    assert json.loads((tmp_path / "000.json").read_text()) == {"a": ["test", "", "a"]}
    keep(tmp_path / "000.json", {"a": Role("test", "x", "a")})
    assert read_roles(tmp_path / "000.json") == {"a": Role("test", "x", "a")}


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(NAMES, st.tuples(st.sampled_from(["train", "test"]), NAMES, NAMES).map(Role._make), min_size=1))
def test_any_name_survives_and_a_digest_tells_every_change(shard):
    with tempfile.TemporaryDirectory() as folder:
        keep(Path(folder, "000.json"), shard)
        assert read_roles(Path(folder, "000.json")) == shard
    assert digest(dict(reversed(shard.items()))) == digest(shard)
    video, role = next(iter(shard.items()))
    for other in (role._replace(split="validation"), role._replace(task=role.task + "x")):
        assert digest({**shard, video: other}) != digest(shard)
    assert digest({v: r for v, r in shard.items() if v != video}) != digest(shard)


def test_an_edit_of_the_table_touches_the_digests_of_its_shards_only(table):
    videos = [f"v{i}.mp4" for i in range(20)]

    def digests(*lines):
        found = roles_of(videos, PLAIN, None, table("splits", "video,split", *lines))
        names = listing.shard_names(4)
        return [digest({v: r for v, r in found.items() if listing.shard_of(v, 4) == shard}) for shard in names]

    before = digests("v3.mp4,train", "v5.mp4,train")
    after = digests("v5.mp4,train", "v3.mp4,test")
    changed = [name for name, one, other in zip(listing.shard_names(4), before, after, strict=True) if one != other]
    assert changed == [listing.shard_of("v3.mp4", 4)]


def test_roles_without_lists_are_an_error_that_says_what_to_run(tmp_path, capsys):
    assert cli.main(["roles", "--data", str(tmp_path), "--out", str(tmp_path / "roles")]) == 1
    said = capsys.readouterr().err
    assert "there are no lists of videos" in said and "run `kinoflow lists` before" in said and "Traceback" not in said

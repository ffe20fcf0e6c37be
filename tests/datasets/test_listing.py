import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoflow.datasets import listing
from kinoflow.errors import DataError
from kinoflow.store import tables
from kinoflow.store.files import quick_hash, sha256_of
from kinoflow.store.folders import content_hash, quick_content_hash

SRC = Path(__file__).resolve().parents[2] / "src"
NAMES = st.binary(min_size=1, max_size=40).map(lambda b: os.fsdecode(b.replace(b"\0", b"0").replace(b"/", b"|")))
NAMES = NAMES.filter(lambda name: not name.startswith("."))


def put(path, content=b"video"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def found(root, **options):
    return {path: seen for shard in listing.scan(root, 4, **options).values() for path, seen in shard.items()}


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    return folder


# ---------------------------------------------------------------- shards


def test_a_shard_is_the_sha256_of_the_name_modulo_their_number():
    name = os.fsdecode(b"a folder/\xff.mp4")
    want = int.from_bytes(hashlib.sha256(b"a folder/\xff.mp4").digest()[:8], "big") % 7
    assert listing.shard_of(name, 7) == f"{want:03d}"
    assert listing.shard_names(3) == ["000", "001", "002"] and listing.shard_names(1001)[-1] == "1000"


def test_names_that_count_up_spread_over_the_shards():
    assert len({listing.shard_of(f"v{i}.mp4", 4) for i in range(8)}) > 1


@settings(deadline=None)
@given(NAMES, st.integers(1, 1024))
def test_every_name_has_a_shard(name, shards):
    assert listing.shard_of(name, shards) in listing.shard_names(shards)


# ---------------------------------------------------------------- scan


def test_every_file_that_is_not_hidden_may_be_a_video(root):
    names = [b"a\nb.mp4", b"a\rb", b"\xff\t.h264", b"no suffix", b"sub folder/x.ts", "käse.MP4".encode(), b"-v.mp4"]
    for name in [*names, b".hidden.mp4", b".hidden/x.mp4", b"sub folder/.x"]:
        put(root / os.fsdecode(name), name)
    os.mkfifo(root / "pipe.mp4")
    seen = found(root)
    assert sorted(map(os.fsencode, seen)) == sorted(names)
    for name, (size, time) in seen.items():
        assert size == len(os.fsencode(name)) and time == (root / name).stat().st_mtime_ns
    assert set(found(root, watch="names").values()) == {(0, 0)}
    assert all(listing.shard_of(v, 4) == shard for shard, videos in listing.scan(root, 4).items() for v in videos)


def test_include_and_exclude_are_globs_on_the_path_below_the_root(root):
    for name in ("a.mp4", "b.avi", "sub/c.mp4", "sub/d.txt", "sub/deep/e.mp4"):
        put(root / name)
    assert sorted(found(root, include=["*.mp4"])) == ["a.mp4", "sub/c.mp4", "sub/deep/e.mp4"]
    assert sorted(found(root, include=["*.mp4", "*.avi"], exclude=["sub/*"])) == ["a.mp4", "b.avi"]
    assert sorted(found(root, exclude=["*/deep/*", "*.txt"])) == ["a.mp4", "b.avi", "sub/c.mp4"]


def test_linked_folders_are_followed_and_do_not_loop(root, tmp_path):
    put(tmp_path / "elsewhere/x.mp4")
    put(root / "real/a.mp4")
    (root / "elsewhere").symlink_to(tmp_path / "elsewhere")
    (root / "real/up").symlink_to(root)
    (root / "around").symlink_to("around")
    (tmp_path / "elsewhere/back").symlink_to(root)
    assert sorted(found(root)) == ["around", "elsewhere/x.mp4", "real/a.mp4"]


def test_a_folder_that_is_also_linked_stands_under_its_own_name(root):
    put(root / "zoo/a.mp4")
    (root / "alias").symlink_to("zoo")
    (root / "also").symlink_to("zoo")
    assert list(found(root)) == ["zoo/a.mp4"]


@pytest.fixture
def clips(tmp_path):
    for clip, count in (("7", 3), ("a/12", 2), (".hidden", 1)):
        (tmp_path / "clips" / clip).mkdir(parents=True)
        for i in range(count):
            (tmp_path / "clips" / clip / f"{i:05d}.jpg").write_bytes(bytes(10 + i))
    (tmp_path / "clips/readme.txt").touch()
    (tmp_path / "clips/7/.thumbs").touch()
    return tmp_path / "clips"


def folders(root, *words, **named):
    return {
        clip: seen for shard in listing.scan_folders(root, 4, *words, **named).values() for clip, seen in shard.items()
    }


def test_a_folder_with_files_is_a_clip_by_their_size_and_last_change(clips):
    found = folders(clips)
    assert {clip: size for clip, (size, _) in found.items()} == {"7": 33, "a/12": 21}
    os.utime(clips / "7/00001.jpg", (2**31, 2**31))
    assert folders(clips)["7"] == (33, 2**31 * 10**9) and folders(clips)["a/12"] == found["a/12"]
    assert {clip: size for clip, (size, _) in folders(clips, watch="quick").items()} == {"7": 3, "a/12": 2}
    assert folders(clips, watch="names") == {"7": (0, 0), "a/12": (0, 0)}
    assert set(folders(clips, ["*"], ["a/*"])) == {"7"} and set(folders(clips, ["a/*"])) == {"a/12"}


@pytest.mark.parametrize("watch", ["content", "quick"])
def test_a_touched_clip_of_pictures_keeps_its_token_if_its_files_are_the_same(clips, tmp_path, watch):
    table = tmp_path / "000.csv"
    hashes = {"sha256": content_hash(clips / "7"), "quick": quick_content_hash(clips / "7")}
    tables.write(table, [tables.Probed(video="7", status="readable", **hashes)], tables.Probed)
    seen = {"7": folders(clips, watch=watch)["7"]}
    first = listing.name_states(clips, seen, {}, table, watch)
    (clips / "7/00001.jpg").rename(clips / "7/x")
    (clips / "7/x").rename(clips / "7/00001.jpg")
    os.utime(clips / "7", (2**31, 2**31))
    touched = listing.name_states(clips, {"7": folders(clips, watch=watch)["7"]}, first, table, watch)
    assert touched["7"][1] != first["7"][1] and touched["7"][2] == first["7"][2]
    (clips / "7/00001.jpg").write_bytes(b"other" if watch == "quick" else b"other bytes")
    os.utime(clips / "7", (2**31 + 9, 2**31 + 9))
    changed = listing.name_states(clips, {"7": folders(clips, watch=watch)["7"]}, touched, table, watch)
    assert changed["7"][2] != first["7"][2]


def test_of_two_links_to_a_folder_elsewhere_the_first_by_name_counts(root, tmp_path):
    put(tmp_path / "elsewhere/x.mp4")
    for name in ("b", "a", "c"):
        (root / name).symlink_to(tmp_path / "elsewhere")
    assert list(found(root)) == ["a/x.mp4"]


def test_a_linked_file_is_a_video_and_a_link_that_leads_nowhere_is_not_passed_over(root, tmp_path):
    put(tmp_path / "x.mp4", b"1234567")
    (root / "linked.mp4").symlink_to(tmp_path / "x.mp4")
    (root / "lost.mp4").symlink_to(tmp_path / "unmounted/y.mp4")
    seen = found(root)
    assert seen["linked.mp4"][0] == 7 and seen["lost.mp4"] == (0, 0)
    known = {"lost.mp4": (0, 0, "0-0")}
    assert listing.name_states(root, {"lost.mp4": (0, 5)}, known, "none.csv")["lost.mp4"][2] == "0-5"


def too_deep(root):
    """A folder that nobody can list, not even root: its path is longer than the system allows."""
    here = os.open(root, os.O_RDONLY)
    for _ in range(17):
        os.mkdir("d" * 250, dir_fd=here)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_a_folder_that_cannot_be_listed_is_an_error_that_names_it(root):
    put(root / "a.mp4")
    too_deep(root)
    with pytest.raises(DataError, match=r"ddd.* cannot be looked into \(File name too long\): .* exclude"):
        listing.scan(root, 4)
    assert list(found(root, exclude=["d*/*"])) == ["a.mp4"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_closed_folder_is_an_error_that_names_it(root):
    (root / "closed").mkdir(mode=0)
    with pytest.raises(DataError, match=r"closed.* cannot be looked into \(Permission denied\)"):
        listing.scan(root, 4)


# ---------------------------------------------------------------- states


def probe(root, table, *videos):
    """Write the columns of a probe table that the listing reads."""
    rows = [
        tables.Probed(video=v, status="readable", sha256=sha256_of(root / v), quick=quick_hash(root / v))
        for v in videos
    ]
    tables.write(table, rows, tables.Probed)


def change(path, how):
    content = bytearray(path.read_bytes())
    if how == "longer":
        content += b"x"
    elif how == "head":
        content[0] += 1
    elif how == "between":  # neither in the head, nor the middle, nor the tail
        content[100_000] += 1
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))


SAME = {
    ("touched", "content"): True,
    ("touched", "quick"): True,
    ("touched", "names"): True,
    ("longer", "content"): False,
    ("longer", "quick"): False,
    ("longer", "names"): True,
    ("head", "content"): False,
    ("head", "quick"): False,
    ("head", "names"): True,
    ("between", "content"): False,
    ("between", "quick"): True,
    ("between", "names"): True,
}


@pytest.mark.parametrize("how, watch", SAME)
def test_a_token_is_kept_as_long_as_the_content_is_the_same(root, tmp_path, how, watch):
    video = put(root / "a\nb.mp4", bytes(1_000_000))

    def states():
        shard = listing.scan(root, 1, watch=watch)["000"]
        return listing.take_stock(root, shard, tmp_path, "000", watch)

    before = states()
    probe(root, tmp_path / "probe/000.csv", "a\nb.mp4")
    change(video, how)
    after = states()
    assert (listing.digest(after) == listing.digest(before)) == SAME[how, watch]
    assert (after["a\nb.mp4"][2] == before["a\nb.mp4"][2]) == SAME[how, watch]
    assert states() == after == listing.read_list(tmp_path / "lists/000.json")


def test_an_untouched_video_is_never_opened(root):
    put(root / "a.mp4").chmod(0)
    seen = found(root)
    known = {"a.mp4": (*seen["a.mp4"], "token")}
    assert listing.name_states("/nowhere", seen, known, "none.csv") == known


def test_a_touched_video_without_a_usable_probe_table_counts_as_changed(root, tmp_path):
    put(root / "a.mp4")
    seen, known = found(root), {"a.mp4": (5, 1, "token")}
    table = tmp_path / "000.csv"
    for text in (None, "", "video\na.mp4\n", "video,sha256\na.mp4,\n", 'video,sha256\n"a.mp4"x,1\n'):
        if text is not None:
            table.write_text(text)
        assert listing.name_states(root, seen, known, table)["a.mp4"][2] == f"5-{seen['a.mp4'][1]}"


def test_the_list_is_written_only_if_asked_for_and_only_if_it_changes(root, tmp_path):
    put(root / "a.mp4")
    shard = listing.scan(root, 1)["000"]
    states = listing.take_stock(root, shard, tmp_path, "000", keep=False)
    file = listing.list_file(tmp_path, "000")
    assert not file.exists()
    assert listing.take_stock(root, shard, tmp_path, "000") == states == listing.read_list(file)
    os.utime(file, (1, 1))
    listing.take_stock(root, shard, tmp_path, "000")
    assert file.stat().st_mtime == 1
    listing.take_stock(root, {}, tmp_path, "001")
    assert listing.read_list(listing.list_file(tmp_path, "001")) == {}


def test_a_list_that_is_none_is_an_error_that_says_what_to_do(tmp_path):
    for text in ("{", "[1]", '{"a": 1}', '{"a": [1, 2]}'):
        (tmp_path / "000.json").write_text(text)
        with pytest.raises(DataError, match=r"000.json: this is no list of videos; remove it"):
            listing.read_list(tmp_path / "000.json")


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(NAMES, st.tuples(st.integers(0, 2**63), st.integers(0, 2**63), st.just("1-2")), min_size=1))
def test_any_name_survives_in_a_list(states):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "lists/000.json")
        shard = {video: seen[:2] for video, seen in states.items()}
        kept = listing.take_stock("/nowhere", shard, folder, "000")
        assert listing.read_list(file) == kept and list(kept) == list(states)
        assert json.loads(file.read_text()).keys() == states.keys()


@settings(deadline=None)
@given(st.dictionaries(NAMES, st.tuples(st.just(1), st.just(2), st.sampled_from(["1-2", "1-3"])), min_size=1))
def test_a_digest_tells_tokens_and_names_but_neither_order_nor_times(states):
    turned = {video: (1, 5, states[video][2]) for video in reversed(states)}
    assert listing.digest(turned) == listing.digest(states)
    video, (*seen, token) = next(iter(states.items()))
    others = {v: state for v, state in states.items() if v != video}
    assert listing.digest(others) != listing.digest(states)
    assert listing.digest({**others, video: (*seen, token + "0")}) != listing.digest(states)
    assert listing.digest({**others, video + "x": (*seen, token)}) != listing.digest(states) or video + "x" in others


def test_lists_of_shards_that_are_no_more_go(tmp_path):
    for shard in listing.shard_names(4):
        put(listing.list_file(tmp_path, shard), b"{}")
    listing.remove_lists(tmp_path, listing.shard_names(2))
    assert sorted(os.listdir(tmp_path / "lists")) == ["000.json", "001.json"]


def test_the_main_process_needs_the_standard_library_only():
    code = "import sys, kinoflow.datasets.listing; print(*{m.split('.')[0] for m in sys.modules} - sys.stdlib_module_names)"
    done = subprocess.run([sys.executable, "-Sc", code], env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True)
    assert set(done.stdout.split()) <= {"kinoflow", "__main__"} and done.returncode == 0, done.stdout + done.stderr

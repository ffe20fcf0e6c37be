"""What is planted here must cost nothing that was computed, be told in one sentence, and leave no half file."""

import json
import os
import subprocess

import pytest
import torch
from tests.faults.planted import files, here, mounted, ordinary_user, refused, room, stage, starved

from kinoflow import command
from kinoflow.training.state import State

FRAMES = ("--size", 48, "--store", "raw")
STAGES = ("probe", "frames", "features", "pca-partial", "pca-fit", "pca-apply")


@pytest.fixture(scope="module")
def chain(tmp_path_factory, make_video):
    """A folder in which the first stages have run by hand, and the words of each."""
    place = tmp_path_factory.mktemp("chain")
    (place / "videos").mkdir()
    for i in range(2):
        make_video(place / f"videos/v{i}.mp4", seed=i)
    names = ("list.json", "table.csv", "frames.h5", "features.h5", "partial.h5", "basis.safetensors", "reduced.h5")
    seen, table, frames, features, partial, basis, reduced = (place / name for name in names)
    states = {path.name: path.stat() for path in (place / "videos").iterdir()}
    seen.write_text(json.dumps({v: [s.st_size, s.st_mtime_ns, f"{s.st_size}"] for v, s in states.items()}))
    (place / "roles.json").write_text(json.dumps({name: ["train", "", name] for name in states}))
    pca = ("--components", 2)
    words = {
        "probe": ("--root", place / "videos", "--list", seen, "--table", table),
        "frames": ("--root", place / "videos", "--table", table, "--shard", frames, *FRAMES),
        "features": ("--frames", frames, "--shard", features, "--backbone", "small"),
        "pca-partial": ("--features", features, "--roles", place / "roles.json", "--partial", partial, *pca),
        "pca-fit": ("--partials", partial, "--basis", basis, *pca),
        "pca-apply": ("--features", features, "--basis", basis, "--shard", reduced, *pca),
    }
    for name in STAGES:
        done = here(name, *words[name])
        assert done.returncode == 0, done.stderr
    return place, words


def redirected(words, old, new):
    return [new if word == old else word for word in words]


OUTPUT = {"probe": "table.csv", "frames": "frames.h5", "features": "features.h5", "pca-partial": "partial.h5"}
OUTPUT |= {"pca-fit": "basis.safetensors", "pca-apply": "reduced.h5"}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_that_runs_out_of_room_leaves_what_was_there(chain, tmp_path, name):
    place, words = chain
    out = tmp_path / OUTPUT[name]
    out.write_bytes(b"of an earlier run")
    given = redirected(words[name], place / OUTPUT[name], out)
    sentence = refused(here(name, *given, most=100), "again")
    assert out.name in sentence
    assert files(tmp_path) == {out.name: b"of an earlier run"}


def test_a_training_that_runs_out_of_room_while_it_saves_keeps_what_it_saved_before(tmp_path, capsys):
    state = State(tmp_path, 1.0, "mine")
    state.save({"done": 1})
    before = files(tmp_path)

    def stage() -> None:
        """Save a state."""
        state.save({"weights": torch.zeros(100_000)})

    with room(20_000):
        assert command.run("kinoflow.training.state:State", stage, []) == 1
    sentence = capsys.readouterr().err
    assert (
        sentence.startswith("kinoflow stage: [Errno 27] File too large: ") and "state.pt'; raise the limit" in sentence
    )
    assert files(tmp_path) == before


@pytest.mark.parametrize("wrong", ["folder", "file/a.csv", "file/below/a.csv"])
def test_an_output_where_a_folder_or_a_file_stands_is_one_sentence(chain, tmp_path, wrong):
    place, _ = chain
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    before = files(tmp_path)
    words = ("--tables", place / "table.csv", "--inventory", tmp_path / wrong, "--unreadable", tmp_path / "u.csv")
    sentence = refused(here("inventory", *words), "give another name, or move it away", wrong.split("/")[0])
    assert ".new" not in sentence
    assert {name: content for name, content in files(tmp_path).items() if name != "u.csv"} == before


def test_a_full_disk_is_one_sentence_and_the_same_command_continues(chain, tmp_path):
    place, words = chain
    mounted(tmp_path / "disk", 16)
    try:
        out = tmp_path / "disk/frames.h5"
        given = redirected(words["frames"], place / "frames.h5", out)
        refused(here("frames", *given), "No space left on device", "make room there and give the same command again")
        assert files(tmp_path / "disk") == {}
        subprocess.run(["mount", "-o", "remount,size=4m", tmp_path / "disk"], check=True)
        assert here("frames", *given).returncode == 0
        assert out.read_bytes() == (place / "frames.h5").read_bytes()
    finally:
        subprocess.run(["umount", tmp_path / "disk"], check=True)


def test_a_folder_that_may_not_be_written_is_one_sentence(chain, tmp_path):
    place, words = chain
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o555)
    given = redirected(words["probe"], place / "table.csv", folder / "table.csv")
    refused(stage("probe", *given, before=ordinary_user), "Permission denied", "closed", "change the rights")
    assert files(folder) == {}


def test_a_file_that_may_not_be_read_is_one_sentence(chain, tmp_path):
    place, words = chain
    own = tmp_path / "features.h5"
    own.write_bytes((place / "features.h5").read_bytes())
    own.chmod(0)
    given = redirected(words["pca-apply"], place / "features.h5", own)
    refused(stage("pca-apply", *given, before=ordinary_user), "features.h5 cannot be read: this user has no right to")


def test_no_memory_is_one_sentence_and_no_half_file(tmp_path):
    """Sums of 20 000 columns take gigabytes."""
    import numpy as np

    from kinoflow.store.shards import writing

    with writing(tmp_path / "wide.h5", {}, frames=False) as shard:
        shard.add("a", np.ones((4, 20_000), np.float16), [0.0, 1.0, 2.0, 3.0])
    (tmp_path / "roles.json").write_text('{"a": ["train", "", "a"]}')
    before = files(tmp_path)
    words = ("--features", tmp_path / "wide.h5", "--roles", tmp_path / "roles.json", "--partial", tmp_path / "p.h5")
    refused(starved(200_000_000, "pca-partial", *words, "--components", 2), "not enough memory", "work on less at once")
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        ("features", "frames.h5"),
        ("pca-apply", "features.h5"),
        ("pca-fit", "partial.h5"),
        ("pca-apply", "basis.safetensors"),
        ("frames", "table.csv"),
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.97])
def test_an_input_that_was_cut_off_is_named_with_what_to_do(chain, tmp_path, name, damaged, share):
    place, words = chain
    whole = (place / damaged).read_bytes()
    (tmp_path / damaged).write_bytes(whole[: int(share * len(whole))])
    given = redirected(
        redirected(words[name], place / damaged, tmp_path / damaged), place / OUTPUT[name], tmp_path / "out"
    )
    sentence = refused(here(name, *given), damaged)
    assert any(word in sentence for word in ("again", "missing", "fewer cells", "no value for")), sentence
    assert not (tmp_path / "out").exists()


def test_an_input_may_be_older_or_newer_than_the_clock(chain, tmp_path):
    place, words = chain
    for i, moment in enumerate((0, 4_102_444_800)):  # 1970, 2100
        for path in (place / "frames.h5", *(place / "videos").iterdir()):
            os.utime(path, (moment, moment))
        out = tmp_path / f"{i}.h5"
        assert here("features", *redirected(words["features"], place / "features.h5", out)).returncode == 0
        assert out.read_bytes() == (place / "features.h5").read_bytes()

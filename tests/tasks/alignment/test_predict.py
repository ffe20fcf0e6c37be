"""`kinoflow align`: real videos, a checkpoint alone."""

import numpy as np
import pytest
from PIL import Image
from tests.tasks.alignment.discs import options

from kinoflow.errors import ConfigError, DataError
from kinoflow.media.decode import decode_video
from kinoflow.media.demux import opened
from kinoflow.media.options import FramesOptions
from kinoflow.media.write import write_video
from kinoflow.store.shards import Shard
from kinoflow.store.tables import read_csv
from kinoflow.tasks.alignment.embed import Trained
from kinoflow.tasks.alignment.model import build
from kinoflow.tasks.alignment.options import AlignOptions
from kinoflow.tasks.alignment.panes import fps_of
from kinoflow.tasks.alignment.predict import Film, align, nearest, together
from kinoflow.training import checkpoint

SIDE = 32


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The checkpoint of a small network with its first weights: every frame for itself, so pictures alone decide."""
    network = {
        "backbone": "tiny",
        "layers": 0,
        "pool": 4,
        "normalise": False,
        "embedding": 64,
        "hidden": 128,
        "width": 64,
    }
    wanted = options(network=network, augment={"size": SIDE})
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    drawn = build(wanted, seed=1).eval()
    trained = Trained(drawn, wanted, (), FramesOptions(size=SIDE, shape="squash"), True, "", "none", 0, 1)
    checkpoint.save(path, drawn, trained.about())
    return path


def frames_of(path, size=48):
    return np.concatenate([frames for frames, _ in decode_video(path, FramesOptions(size=size))])


def table(path):
    return [row for _, row in read_csv(path, ("frame", "match"))]


@pytest.fixture(scope="module")
def retimed(shared, tmp_path_factory):
    """A real clip, and its copy with the first third at half speed and the rest at one and a half; where frames went."""
    folder = tmp_path_factory.mktemp("retimed")
    frames = frames_of(shared / "data" / "videos" / "bottle-detection.mp4")[::3][:60]
    third = len(frames) // 3
    truth = np.concatenate([np.arange(0, third, 0.5), np.arange(third, len(frames), 1.5)]).astype(int)
    write_video(folder / "a.mp4", frames, 25)
    write_video(folder / "b.mp4", frames[truth], 25)
    return folder / "a.mp4", folder / "b.mp4", truth


def test_a_retimed_copy_is_aligned_and_without_alignment_is_not(retimed, model, tmp_path):
    a, b, truth = retimed
    align([a, b], model, AlignOptions(), matches=tmp_path / "m.csv")
    found = np.array([int(row["match"]) for row in table(tmp_path / "m.csv")])
    expected = np.array([np.abs(truth - i).argmin() for i in range(len(found))])
    apart = np.abs(truth[found] - np.arange(len(found)))
    assert (apart <= 5).mean() >= 0.9 and (np.abs(found - expected) <= 5).mean() >= 0.9
    _, plain = together([Film("", np.zeros((n, 1)), np.arange(n) / 25) for n in (len(found), len(truth))])
    assert (np.abs(truth[plain] - np.arange(len(found))) <= 5).mean() < 0.5


def test_a_distorted_copy_runs_along_the_diagonal(shared, model, tmp_path):
    pair = [shared / "data" / "videos" / f"carphone_{kind}.mp4" for kind in ("pristine", "distorted")]
    align(pair, model, AlignOptions(), matches=tmp_path / "m.csv")
    rows = table(tmp_path / "m.csv")
    apart = [abs(int(row["frame"]) - int(row["match"])) for row in rows]
    assert np.mean(np.array(apart) <= 3) >= 0.9


def test_what_is_written_plays_and_is_deterministic(retimed, model, tmp_path):
    a, b, _ = retimed
    outputs = ("matches", "plot", "similarity", "video", "unaligned", "retrieval", "embeddings")
    found = []
    for folder in (tmp_path / "1", tmp_path / "2"):
        files = {name: folder / f"{name}.x" for name in outputs}
        align([a, b, a.parent / "b.mp4"][:2], model, AlignOptions(height=32, retrieve=2), **files)
        found.append({name: path.read_bytes() for name, path in files.items()})
    assert found[0] == found[1] and all(found[0][name].startswith(b"<svg") for name in ("plot", "similarity"))
    for name in ("video", "unaligned", "retrieval"):
        with opened(tmp_path / "1" / f"{name}.x") as (_, stream):
            context = stream.codec_context
            assert (context.name, context.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 25)
        assert len(frames_of(tmp_path / "1" / f"{name}.x")) == len(frames_of(a))
    assert found[0]["video"] != found[0]["unaligned"]
    assert set(Shard(tmp_path / "1" / "embeddings.x").videos) == {str(a), str(b)}


def test_several_videos_are_aligned_with_the_first_one(make_video, model, tmp_path):
    files = [make_video(tmp_path / f"{i}.mp4", frames=6 + i, seed=i) for i in range(4)]
    align(files, model, AlignOptions(height=32), matches=tmp_path / "m.csv", video=tmp_path / "v.mp4")
    rows = table(tmp_path / "m.csv")
    assert [row["video"] for row in rows] == [str(file) for file in files[1:] for _ in range(6)]
    for file in files[1:]:
        found = [int(row["match"]) for row in rows if row["video"] == str(file)]
        assert found == sorted(found) and found[0] == 0
    frames = frames_of(tmp_path / "v.mp4", 106)
    assert len(frames) == 6 and frames.shape[1] == 106  # two rows of panes


def test_what_is_shown_side_by_side_can_be_had_as_pictures(make_video, model, tmp_path):
    files = [make_video(tmp_path / f"{i}.mp4", frames=4 + i, seed=i) for i in range(2)]
    folder = tmp_path / "pictures"
    align(files[::-1], model, AlignOptions(height=32), pictures=folder)
    (folder / "notes.png").write_bytes(b"mine")
    align(files, model, AlignOptions(height=32), pictures=folder, video=tmp_path / "v.mp4")
    assert sorted(path.name for path in folder.iterdir()) == [*(f"{i:06d}.png" for i in range(4)), "notes.png"]
    with Image.open(folder / "000003.png") as picture:
        found = np.asarray(picture).astype(int)
    shown = frames_of(tmp_path / "v.mp4", min(found.shape[:2]))[3]
    assert found.shape == shown.shape and np.abs(found - shown).mean() < 12  # as the video, but for its compression


@pytest.mark.parametrize(("how", "label"), [("dtw", "cheapest path"), ("nearest", "nearest frame")])
def test_how_near_frames_are_is_drawn_for_each_other_video(make_video, model, tmp_path, how, label):
    files = [make_video(tmp_path / f"{i}.mp4", frames=5, seed=i) for i in range(5)]
    align(files, model, AlignOptions(how=how), similarity=tmp_path / "s.svg")
    text = (tmp_path / "s.svg").read_text()
    assert text.count(label) == 4 and all(f"{i}.mp4 (s)" in text for i in range(5)) and text.count("<image") == 4


def test_a_video_of_one_frame_is_met_by_every_frame(make_video, model, tmp_path):
    files = [make_video(tmp_path / "a.mp4", frames=5), make_video(tmp_path / "b.mp4", frames=1)]
    align(
        files,
        model,
        AlignOptions(height=32),
        matches=tmp_path / "m.csv",
        video=tmp_path / "v.mp4",
        retrieval=tmp_path / "r.mp4",
    )
    assert [row["match"] for row in table(tmp_path / "m.csv")] == ["0"] * 5
    align(files[::-1], model, AlignOptions(height=32), matches=tmp_path / "m.csv", video=tmp_path / "v.mp4")
    assert len(table(tmp_path / "m.csv")) == 1


def test_nearest_neighbours_may_go_back_in_time(make_video, model, tmp_path):
    files = [make_video(tmp_path / "a.mp4", seed=1), make_video(tmp_path / "b.mp4", seed=1)]
    align(files, model, AlignOptions(how="nearest"), matches=tmp_path / "m.csv")
    rows = table(tmp_path / "m.csv")
    assert [int(row["match"]) for row in rows] == list(range(12)) and all(float(row["distance"]) < 1e-6 for row in rows)


def test_fewer_frames_are_read_on_demand(make_video, model, tmp_path):
    files = [make_video(tmp_path / f"{i}.mp4", seed=i) for i in range(2)]
    align(files, model, AlignOptions(rate=6, height=32), matches=tmp_path / "m.csv", video=tmp_path / "v.mp4")
    assert [float(row["time"]) for row in table(tmp_path / "m.csv")] == pytest.approx(
        [i / 6 for i in range(6)], abs=1e-6
    )
    assert len(frames_of(tmp_path / "v.mp4")) == 6


@pytest.mark.parametrize(
    ("names", "error", "sentence"),
    [
        (["a.mp4"], ConfigError, "videos: 1 is given; give two or more"),
        (["a.mp4", "a.mp4"], ConfigError, "a.mp4' is given twice"),
        (["a.mp4", "no.mp4"], DataError, "videos: there is no file"),
        (["a.mp4", "bad.mp4"], DataError, "bad.mp4' cannot be decoded"),
    ],
)
def test_what_cannot_be_aligned_is_one_sentence(make_video, model, tmp_path, names, error, sentence):
    make_video(tmp_path / "a.mp4", frames=3)
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(error, match=sentence):
        align([tmp_path / name for name in names], model, AlignOptions(), matches=tmp_path / "m.csv")


def test_a_network_that_reads_rows_is_refused(make_video, tmp_path):
    wanted = options(network={"backbone": "features", "pool": 1})
    drawn = build(wanted, inputs=3)
    checkpoint.save(tmp_path / "m", drawn, Trained(drawn, wanted, (), None, True, "", "none", 0, 0).about())
    files = [make_video(tmp_path / f"{i}.mp4", frames=3) for i in range(2)]
    with pytest.raises(ConfigError, match="this network reads feature rows"):
        align(files, tmp_path / "m", AlignOptions())


# ---------------------------------------------------------------- parts


def film(values, gap=0.1):
    return Film("x", np.array(values, float)[:, None], np.arange(len(values)) * gap)


def test_videos_run_side_by_side_in_their_own_time():
    slow, fast = film([0] * 4, 0.2), film([0] * 9, 0.1)
    assert [each.tolist() for each in together([slow, fast])] == [[0, 1, 2, 3], [0, 2, 4, 6]]
    assert together([fast, slow])[1].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 3]


def test_the_nearest_frames_are_of_all_other_videos():
    places, frames = nearest([film([5, 1]), film([1, 4]), film([5.5])], 3, "sqeuclidean")
    assert list(zip(places[0].tolist(), frames[0].tolist(), strict=True)) == [(2, 0), (1, 1), (1, 0)]
    places, frames = nearest([film([5]), film([1])], 3, "sqeuclidean")
    assert frames.tolist() == [[0, 0, 0]] and places.tolist() == [[1, 1, 1]]


def test_the_frame_rate_is_that_of_the_first_video():
    assert fps_of(np.arange(5) / 29.97) == 30 and fps_of(np.zeros(1)) == 1 and fps_of(np.arange(3) / 500) == 60

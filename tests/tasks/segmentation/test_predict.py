"""`kinoflow segment`: features of every kind, videos, the table and the timeline, and what is refused."""

import shutil
from itertools import pairwise

import numpy as np
import pytest
from tests.tasks import filmed as filmed_files
from tests.tasks.segmentation import tiny

from kinoflow.errors import ConfigError, DataError
from kinoflow.report.svg import check_svg
from kinoflow.store import shards, tables
from kinoflow.store.files import sha256_of
from kinoflow.store.tables import Video, read
from kinoflow.tasks.segmentation.options import SegmentOptions
from kinoflow.tasks.segmentation.predict import Step, segment
from kinoflow.tasks.segmentation.train import segmentation_train


def told(source, checkpoint, folder, **options):
    segment(
        source,
        checkpoint,
        SegmentOptions(**options),
        table=folder / "steps.csv",
        picture=folder / "line.svg",
        device="cpu",
    )
    check_svg((folder / "line.svg").read_text())
    return read(folder / "steps.csv", Step)


@pytest.fixture
def rows(films):
    shard = next(s for s in map(shards.Shard, films.features) if "test01.npy" in s)
    return np.array(shard.rows("test01.npy")), shard


def test_a_file_of_features_is_cut_into_steps_by_a_checkpoint_alone(labelled, rows, tmp_path):
    np.save(tmp_path / "tea.npy", rows[0])
    found = told(tmp_path / "tea.npy", labelled, tmp_path)
    assert [row.step for row in found] == ["BKG", "boil", "BKG", "pour", "BKG"]
    assert found[0].start == 0 and found[-1].end == len(rows[0]) / tiny.RATE
    assert all(one.end == other.start for one, other in pairwise(found))
    assert all(0.5 < row.posterior <= 1 for row in found)


def test_every_kind_of_file_tells_the_same(labelled, rows, tmp_path):
    import h5py

    x, shard = rows
    np.save(tmp_path / "a.npy", x)
    np.savez(tmp_path / "a.npz", features=x)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["rows"] = x
    wanted = told(tmp_path / "a.npy", labelled, tmp_path)
    for source, options in ((tmp_path / "a.npz", {}), (tmp_path / "a.h5", {}), (shard.path, {"item": "test01.npy"})):
        assert told(source, labelled, tmp_path, **options) == wanted


def test_states_without_labels_are_told_by_number(unlabelled, rows, tmp_path):
    np.save(tmp_path / "tea.npy", rows[0])
    found = told(tmp_path / "tea.npy", unlabelled, tmp_path, decode="posterior")
    assert {row.step for row in found} == {""} and {row.state for row in found} <= set(range(5))


def test_a_task_limits_the_steps(labelled, rows, tmp_path):
    np.save(tmp_path / "tea.npy", rows[0])
    found = told(tmp_path / "tea.npy", labelled, tmp_path, task="coffee")
    assert {row.step for row in found} <= {"BKG", "fill", "press", "pour"}
    with pytest.raises(ConfigError, match="knows no task 'soup'; known are 'coffee', 'tea'"):
        told(tmp_path / "tea.npy", labelled, tmp_path, task="soup")


def test_a_rate_says_how_long_rows_last(labelled, rows, tmp_path):
    np.save(tmp_path / "tea.npy", rows[0])
    assert (
        told(tmp_path / "tea.npy", labelled, tmp_path, rate=4.0)[0].end
        < told(tmp_path / "tea.npy", labelled, tmp_path)[0].end
    )


@pytest.mark.parametrize(
    "x, said",
    [
        (np.zeros((5, 4), np.float32), "it has 4 columns, but the model was trained on features of 6"),
        (np.full((5, 6), np.nan, np.float32), "are not finite in row 0"),
        (np.zeros((0, 6), np.float32), "it has no rows"),
    ],
    ids=["columns", "nan", "empty"],
)
def test_features_that_do_not_fit_are_refused(labelled, tmp_path, x, said):
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(DataError, match=said):
        told(tmp_path / "x.npy", labelled, tmp_path)


def test_a_shard_of_several_videos_needs_a_name(labelled, films, tmp_path):
    with pytest.raises(ConfigError, match="holds .* videos; name one of them, such as 'related00"):
        told(films.features[0], labelled, tmp_path)


def test_a_video_needs_a_checkpoint_that_knows_how_features_are_made(labelled, make_video, tmp_path):
    with pytest.raises(ConfigError, match="feature files from outside"):
        told(make_video(tmp_path / "v.mp4"), labelled, tmp_path)


def test_a_checkpoint_of_another_room_is_refused(rows, tmp_path):
    import torch

    from kinoflow.training import checkpoint

    np.save(tmp_path / "x.npy", rows[0])
    checkpoint.save(tmp_path / "m.safetensors", torch.nn.Linear(2, 2), {"room": "recognition"})
    with pytest.raises(DataError, match="no checkpoint of a segmentation run, but of recognition"):
        told(tmp_path / "x.npy", tmp_path / "m.safetensors", tmp_path)


@pytest.fixture
def trained_on(tmp_path):
    """Return a function that trains on reduced features of real videos, given what they were made with: the checkpoint."""

    def train(filmed, **files):
        videos = [Video(video=n, path=n, split="train", recording=n, status="readable") for n in filmed.names]
        tables.write(tmp_path / "videos.csv", videos, Video)
        tables.write(tmp_path / "segments.csv", [], tables.Segment)
        options = tiny.options(model={"states": 3}, training={"epochs": 1}, hold_out=[], hold_out_share=0)
        folder = tmp_path / "run" / "seed-0"
        segmentation_train(
            tmp_path / "videos.csv",
            tmp_path / "segments.csv",
            [filmed.reduced],
            folder / "model.safetensors",
            folder / "history.csv",
            tmp_path / "w",
            options,
            device="cpu",
            code="test",
            **files,
        )
        return folder / "model.safetensors"

    return train


def test_a_video_tells_the_same_as_its_features(filmed, trained_on, tmp_path):
    path = trained_on(filmed, frames=[filmed.frames], basis=filmed.basis, weights=filmed.weights)
    (tmp_path / "elsewhere").mkdir()
    for file in path.parent.glob("*.safetensors"):  # the folder alone is enough
        shutil.copy(file, tmp_path / "elsewhere")
    path = tmp_path / "elsewhere" / path.name
    wanted = told(filmed.reduced, path, tmp_path, item="v2.mp4")
    assert told(filmed.features, path, tmp_path, item="v2.mp4") == wanted
    assert told(filmed.root / "v2.mp4", path, tmp_path) == wanted


def test_segments_of_a_video_of_another_rate_lie_inside_it_without_a_gap(filmed, trained_on, make_video, tmp_path):
    path = trained_on(filmed, frames=[filmed.frames], basis=filmed.basis, weights=filmed.weights)
    for fps, frames in ((30, 310), (5, 31)):  # trained at 12; the last row of the second is cut by the end of the video
        found = told(make_video(tmp_path / f"{fps}.mp4", frames=frames, fps=fps, seed=9), path, tmp_path)
        assert found[0].start == 0 and frames / fps - 3 / fps < found[-1].end <= round(frames / fps, 6)
        assert all(one.end == other.start for one, other in pairwise(found))


def test_a_file_of_features_of_another_rate_has_rows_of_its_own_length(labelled, rows, tmp_path):
    np.save(tmp_path / "tea.npy", rows[0])
    slow, usual = (told(tmp_path / "tea.npy", labelled, tmp_path, rate=rate) for rate in (0.5, tiny.RATE))
    assert [(row.start / 4, row.end / 4) for row in slow] == [(row.start, row.end) for row in usual]


def test_a_video_tells_the_same_as_its_vectors_of_an_alignment_run(videos, trained_on, tmp_path):
    made = filmed_files.reduced(tmp_path, *videos, trained=True, aligned=True)
    path = trained_on(made, frames=[made.frames], basis=made.basis, weights=made.weights)
    wanted = told(made.reduced, path, tmp_path, item="v2.mp4")
    assert told(made.root / "v2.mp4", path, tmp_path) == wanted


def test_a_checkpoint_that_lacks_what_a_video_takes_says_so(filmed, trained_on, tmp_path):
    video, given = filmed.root / "v0.mp4", {"frames": [filmed.frames], "weights": filmed.weights}
    with pytest.raises(ConfigError, match="components are not beside the checkpoint: put basis.safetensors of the PCA"):
        told(video, trained_on(filmed, **given), tmp_path)
    bare = trained_on(filmed, basis=filmed.basis)
    if filmed.weights is None:
        with pytest.raises(ConfigError, match="does not say how the frames behind its features are made"):
            told(video, bare, tmp_path)
        return
    with pytest.raises(ConfigError, match=f"give by --weights the file whose SHA-256 is {sha256_of(filmed.weights)}"):
        told(video, bare, tmp_path)
    with pytest.raises(DataError, match="these are other weights"):
        segment(video, bare, SegmentOptions(), weights=filmed.basis, device="cpu")


def test_columns_before_the_pca_are_known_too(filmed, trained_on, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 7), np.float32))
    with pytest.raises(
        DataError, match=r"has 7 columns, but the model was trained on features of 4 \(or \d+ before its PCA"
    ):
        told(tmp_path / "x.npy", trained_on(filmed, basis=filmed.basis), tmp_path)

"""`kinoflow segment`: features of every kind, videos, the table and the timeline, and what is refused."""

from itertools import pairwise

import numpy as np
import pytest
from tests.tasks.segmentation import tiny

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.extract import features
from kinoflow.features.options import FeaturesOptions, PcaOptions
from kinoflow.features.pca import pca_apply, pca_fit, pca_partial
from kinoflow.media.frames import frames
from kinoflow.media.options import FramesOptions
from kinoflow.report.svg import check_svg
from kinoflow.store import shards, tables
from kinoflow.store.files import quick_hash, sha256_of, write_json
from kinoflow.store.tables import Probed, Video, read
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
def filmed(make_video, tmp_path):
    """A model of features of real videos, that were reduced by a PCA; and the feature shards before and after it."""
    root = tmp_path / "raw"
    root.mkdir()
    names = [f"v{k}.mp4" for k in range(4)]
    for k, name in enumerate(names):
        make_video(root / name, frames=24 + 4 * k, seed=k)
    hashes = {name: {"sha256": sha256_of(root / name), "quick": quick_hash(root / name)} for name in names}
    probed = [Probed(video=n, status="readable", kept=True, frames=24, fps=12.0, **hashes[n]) for n in names]
    tables.write(tmp_path / "probe.csv", probed, Probed)
    videos = [Video(video=n, path=n, split="train", recording=n, status="readable") for n in names]
    tables.write(tmp_path / "videos.csv", videos, Video)
    tables.write(tmp_path / "segments.csv", [], tables.Segment)
    frames(root, tmp_path / "probe.csv", tmp_path / "frames.h5", FramesOptions(size=32, store="raw"))
    extraction, pca = FeaturesOptions(stride=3), PcaOptions(components=4, fit_on="all")
    features(tmp_path / "f.h5", extraction, frames=tmp_path / "frames.h5", device="cpu")
    write_json(tmp_path / "roles.json", {name: ["train", "", name] for name in names})
    pca_partial(tmp_path / "f.h5", tmp_path / "part.h5", pca)
    pca_fit([tmp_path / "part.h5"], tmp_path / "basis.safetensors", pca)
    pca_apply(tmp_path / "f.h5", tmp_path / "basis.safetensors", tmp_path / "reduced.h5", pca)

    def train(**files):
        options = tiny.options(model={"states": 3}, training={"epochs": 1}, hold_out=[], hold_out_share=0)
        out = {
            name: tmp_path / "run" / "seed-0" / file
            for name, file in (("model", "model.safetensors"), ("history", "h.csv"))
        }
        tables_ = {"videos": tmp_path / "videos.csv", "segments": tmp_path / "segments.csv"}
        segmentation_train(
            **tables_,
            features=[tmp_path / "reduced.h5"],
            **out,
            place=tmp_path / "w",
            options=options,
            device="cpu",
            **files,
        )
        return out["model"]

    return train, root


def test_a_video_tells_the_same_as_its_features(filmed, tmp_path):
    train, root = filmed
    path = train(frames=[tmp_path / "frames.h5"], basis=tmp_path / "basis.safetensors")
    wanted = told(tmp_path / "reduced.h5", path, tmp_path, item="v2.mp4")
    assert told(tmp_path / "f.h5", path, tmp_path, item="v2.mp4") == wanted
    assert told(root / "v2.mp4", path, tmp_path) == wanted


def test_a_checkpoint_that_lacks_what_a_video_takes_says_so(filmed, tmp_path):
    train, root = filmed
    with pytest.raises(ConfigError, match="does not say how frames are read"):
        told(root / "v0.mp4", train(), tmp_path)
    with pytest.raises(DataError, match="it has 96 columns, but the model was trained on features of 4"):
        told(root / "v0.mp4", train(frames=[tmp_path / "frames.h5"]), tmp_path)

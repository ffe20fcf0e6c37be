"""The stages of a PCA: from feature shards to partial sums, to a basis, to reduced shards."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kinoflow.errors import DataError
from kinoflow.features.covariance import principal, summed
from kinoflow.features.options import PcaOptions
from kinoflow.features.pca import pca_apply, pca_fit, pca_partial
from kinoflow.features.pca_files import Group, PcaBasis, read_basis, read_partial
from kinoflow.store.shards import Shard, writing

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "lhsmm" / "pca.npz"
ALL = {"fit_on": "all"}


class Stages:
    """A folder in which the stages run as the workflow runs them."""

    def __init__(self, folder: Path):
        self.folder = folder

    def shard(self, name: str, videos: dict[str, np.ndarray], width: int = 0, **attrs: str) -> Path:
        """Write a feature shard, one row a second."""
        with writing(self.folder / f"{name}.h5", attrs, frames=False, width=width, dtype="float32") as writer:
            for video, x in videos.items():
                writer.add(video, x, np.arange(float(len(x))))
        return self.folder / f"{name}.h5"

    def roles(self, listed: dict[str, list[str]]) -> Path:
        """Write the file of roles."""
        (self.folder / "roles.json").write_text(json.dumps(listed))
        return self.folder / "roles.json"

    def partial(self, shard: Path, options: PcaOptions, roles: Path | None = None) -> Path:
        """Sum up a shard."""
        pca_partial(shard, self.folder / "partial" / shard.name, options, roles)
        return self.folder / "partial" / shard.name

    def fit(self, shards: list[Path], options: PcaOptions, roles: Path | None = None) -> PcaBasis:
        """Sum up all shards and fit."""
        pca_fit([self.partial(shard, options, roles) for shard in shards], self.folder / "basis.safetensors", options)
        return read_basis(self.folder / "basis.safetensors")

    def apply(self, shard: Path, options: PcaOptions, roles: Path | None = None) -> Shard:
        """Project a shard."""
        pca_apply(shard, self.folder / "basis.safetensors", self.folder / "reduced" / shard.name, options, roles)
        return Shard(self.folder / "reduced" / shard.name)


@pytest.fixture
def stages(tmp_path):
    """A folder to run the stages in."""
    return Stages(tmp_path)


def videos(count: int, width: int = 12, rows: int = 30, seed: int = 0, dtype: str = "float32") -> dict[str, np.ndarray]:
    """Features of some videos of different length and mean."""
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((width, width)) / np.arange(1.0, width + 1)[:, None]
    return {
        f"v{i:03d}.mp4": (rng.standard_normal((rows + i, width)) @ mix + 5 + rng.standard_normal()).astype(dtype)
        for i in range(count)
    }


def only(basis: PcaBasis):
    """Return the components of the one group."""
    (found,) = basis.groups.values()
    return found


# ---------------------------------------------------------------- what comes out


def test_grouped_pca_equals_the_published_program(stages):
    golden = np.load(GOLDEN)
    order = ("i3d", "resnet", "audio")  # of columns; components come in alphabetical order
    ends = np.cumsum([0, *(golden[f"mean__{g}"].size for g in order)]).tolist()
    blocks = json.dumps({g: [ends[i], ends[i + 1]] for i, g in enumerate(order)})
    raw = {v: np.hstack([golden[f"raw__{g}__{v}"] for g in order]).astype(np.float32) for v in ("vidA", "vidB", "vidC")}
    shards = [
        stages.shard("0", {v: raw[v] for v in ("vidC", "vidA")}, blocks=blocks),
        stages.shard("1", {"vidB": raw["vidB"]}, blocks=blocks),
    ]
    options = PcaOptions(components=int(golden["n_components"]), by_block=True, **ALL)
    basis = stages.fit(shards, options)
    reduced = {v: shard.rows(v) for shard in (stages.apply(path, options) for path in shards) for v in shard.videos}
    places = json.loads(stages.apply(shards[0], options).attrs["blocks"])
    assert places == {"audio": [0, 3], "i3d": [3, 7], "resnet": [7, 11]}
    merged = []
    for name in sorted(order):
        found, components = basis.groups[Group("", name)], golden[f"components__{name}"]
        sign = np.sign((found.components * components).sum(1))
        close(found.components * sign[:, None], components)
        close(found.mean, golden[f"mean__{name}"])
        close(found.explained, golden[f"explained_ratio__{name}"])
        part = {v: y[:, slice(*places[name])] * sign for v, y in reduced.items()}
        for video, y in part.items():
            close(y, golden[f"pca__{name}__{video}"])
        merged.append({v: y[:, :2] for v, y in part.items()})
    for video in raw:
        close(np.hstack([part[video] for part in merged]), golden[f"merged_first2__{video}"])


def close(found: np.ndarray, golden: np.ndarray) -> None:
    """Compare to the golden vectors' tolerance."""
    np.testing.assert_allclose(found, golden, rtol=1e-5, atol=1e-6 * np.abs(golden).max())


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_components_are_those_of_the_training_videos_alone(stages, dtype):
    found = videos(8, dtype=dtype)
    listed = {v: ["train" if i % 3 else "test", "", ""] for i, v in enumerate(found)}
    path = stages.shard("0", found)
    basis = only(stages.fit([path], PcaOptions(components=5), stages.roles(listed)))
    train = np.concatenate([x for v, x in found.items() if listed[v][0] == "train"]).astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(train.T))
    np.testing.assert_allclose(basis.variance, values[::-1][:5], rtol=1e-9)
    np.testing.assert_allclose(np.abs(basis.components), np.abs(vectors.T[::-1][:5]), atol=1e-9)
    assert basis.rows == len(train)
    reduced = stages.apply(path, PcaOptions(components=5), None)
    assert reduced.videos == sorted(found) and reduced.x.dtype == np.float32 and "blocks" not in reduced.attrs
    for video, x in found.items():
        np.testing.assert_allclose(reduced.rows(video), (x - train.mean(0)) @ basis.components.T, atol=1e-4)
        assert (reduced.times(video) == np.arange(len(x))).all()


def test_more_components_than_columns_are_told_in_the_log(stages, caplog):
    path = stages.shard("a.h5", videos(8, width=6))
    assert len(only(stages.fit([path], PcaOptions(components=6, **ALL))).components) == 6 and not caplog.records
    assert len(only(stages.fit([path], PcaOptions(components=9, **ALL))).components) == 6
    told = "pca-fit: 6 components are kept, not 9: there are no more columns (all columns of all tasks)"
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [told]


def test_a_task_has_components_of_its_own(stages):
    found = videos(6)
    tasks = {v: "soup" if i < 2 else "cake/\udcff" for i, v in enumerate(found)}
    roles = stages.roles({v: ["test", task, ""] for v, task in tasks.items()})
    options = PcaOptions(components=3, by_task=True, **ALL)
    shards = [stages.shard(str(i), {v: found[v] for v in list(found)[i::2]}) for i in range(2)]
    basis = stages.fit(shards, options, roles)
    assert list(basis.groups) == [Group("cake/\udcff", ""), Group("soup", "")]
    for task in set(tasks.values()):
        x = np.concatenate([found[v] for v in found if tasks[v] == task]).astype(np.float64)
        own = principal(summed([x.copy()]), 3)
        np.testing.assert_allclose(basis.groups[Group(task, "")].components, own.components, atol=1e-9)
        for shard in (stages.apply(path, options, roles) for path in shards):
            for video in (v for v in shard.videos if tasks[v] == task):
                np.testing.assert_allclose(shard.rows(video), (found[video] - own.mean) @ own.components.T, atol=1e-4)


def test_a_video_longer_than_a_block_of_rows_is_projected_whole(stages):
    found = videos(2, width=4, rows=5000)
    path = stages.shard("0", found)
    basis = only(stages.fit([path], PcaOptions(components=4, **ALL)))
    reduced = stages.apply(path, PcaOptions(components=4, **ALL))
    for video, x in found.items():
        np.testing.assert_allclose(reduced.rows(video), (x - basis.mean) @ basis.components.T, atol=1e-4)


def test_whitened_training_features_have_unit_variance(stages):
    found, options = videos(5, dtype="float16"), PcaOptions(components=6, whiten=True, **ALL)
    path = stages.shard("0", found)
    stages.fit([path], options)
    y = np.asarray(stages.apply(path, options).x, np.float64)
    np.testing.assert_allclose(np.cov(y.T), np.eye(6), atol=1e-4)


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_the_number_of_shards_does_not_show(stages, shards):
    found, options = videos(10, width=40), PcaOptions(components=30, **ALL)
    whole = only(stages.fit([stages.shard("whole", found)], options))
    paths = [stages.shard(str(i), {v: found[v] for v in list(found)[i::shards]}) for i in range(shards)]
    parts = only(stages.fit(paths, options))
    np.testing.assert_allclose(parts.variance, whole.variance, rtol=1e-9)
    np.testing.assert_allclose(parts.components, whole.components, atol=1e-9)


def test_shards_without_a_training_row_change_nothing(stages):
    found, options = videos(3), PcaOptions(components=4)
    roles = stages.roles(
        {v: ["test" if v == "v001.mp4" else "train", "", ""] for v in found} | {"none": ["train", "", ""]}
    )
    train = stages.shard("0", {v: found[v] for v in ("v000.mp4", "v002.mp4")})
    others = [stages.shard("1", {"v001.mp4": found["v001.mp4"]}), stages.shard("2", {}, 12), stages.shard("3", {})]
    others.append(stages.shard("4", {"none": np.zeros((0, 0), np.float32)}))  # a video without a row tells no width
    alone, together = stages.fit([train], options, roles), stages.fit([*others, train], options, roles)
    np.testing.assert_array_equal(only(alone).components, only(together).components)
    assert [stages.apply(path, options).x.shape for path in others] == [(31, 4), (0, 4), (0, 4), (0, 4)]


def test_names_may_be_any_bytes(stages):
    found = dict(zip(("a\nb.mp4", os.fsdecode(b"\xff\xfe.avi"), "ü ' \".mkv"), videos(3).values(), strict=True))
    roles, path = stages.roles({v: ["train", "", ""] for v in found}), stages.shard("0", found)
    stages.fit([path], PcaOptions(components=2), roles)
    assert set(stages.apply(path, PcaOptions(components=2)).videos) == set(found)


# ---------------------------------------------------------------- the same bytes


def test_the_same_features_give_the_same_bytes(stages):
    path, options = stages.shard("0", videos(4)), PcaOptions(components=4, **ALL)

    def made() -> list[bytes]:
        stages.fit([path], options)
        stages.apply(path, options)
        return [(stages.folder / name).read_bytes() for name in ("partial/0.h5", "basis.safetensors", "reduced/0.h5")]

    first = made()
    time.sleep(1.1)  # HDF5 keeps times in seconds
    assert made() == first


def test_the_number_of_threads_does_not_change_a_byte(stages):
    path, made = stages.shard("0", videos(4, width=400, rows=700)), {}
    lines = [
        ["pca-partial", "--features", str(path), "--partial", "partial.h5"],
        ["pca-fit", "--partials", "partial.h5", "--basis", "basis.safetensors"],
        ["pca-apply", "--features", str(path), "--basis", "basis.safetensors", "--shard", "reduced.h5"],
    ]
    options = ["--options", json.dumps({"components": 50, **ALL})]
    program = f"from kinoflow.cli import main; raise SystemExit(any([main(w + {options}) for w in {lines}]))"
    for threads in ("1", "2"):
        folder = stages.folder / threads
        folder.mkdir()
        environment = os.environ | {"OPENBLAS_NUM_THREADS": threads, "PYTHONPATH": str(ROOT / "src")}
        subprocess.run([sys.executable, "-c", program], cwd=folder, env=environment, check=True)
        made[threads] = [(folder / name).read_bytes() for name in ("partial.h5", "basis.safetensors", "reduced.h5")]
    assert made["1"] == made["2"]


def test_a_video_is_projected_alike_in_any_company(stages):
    found, options = videos(9, dtype="float16"), PcaOptions(components=7, **ALL)
    stages.fit([stages.shard("0", found)], options)
    together = stages.apply(stages.folder / "0.h5", options)
    for video in found:
        alone = stages.apply(stages.shard("alone", {video: found[video]}), options)
        assert alone.rows(video).tobytes() == together.rows(video).tobytes()


def test_attributes_of_the_features_stay_with_the_reduced_shard(stages):
    path = stages.shard("0", videos(3), device="cpu", blocks='{"a": [0, 5], "b": [5, 12]}')
    stages.fit([path], PcaOptions(components=2, **ALL))
    attrs = stages.apply(path, PcaOptions(components=2, **ALL)).attrs
    assert attrs["device"] == "cpu" and "blocks" not in attrs
    assert json.loads(attrs["pca"])["components"] == 2


# ---------------------------------------------------------------- what is refused


def test_too_few_rows_are_refused_by_group_and_counts(stages):
    found = videos(2, rows=6)
    roles = stages.roles({"v000.mp4": ["train", "soup", ""], "v001.mp4": ["train", "cake", ""]})
    path = stages.shard("0", found, blocks='{"sound": [0, 7], "sight": [7, 12]}')
    options = PcaOptions(components=64, by_task=True, by_block=True)
    with pytest.raises(DataError, match="the task 'cake' and the block 'sound' has 7 rows to fit 7 components"):
        stages.fit([path], options, roles)


def test_no_training_row_is_refused(stages):
    found = videos(2)
    roles = stages.roles({v: ["test", "", ""] for v in found})
    with pytest.raises(DataError, match="no row in the training split to fit 5 components"):
        stages.fit([stages.shard("0", found)], PcaOptions(components=5), roles)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_feature_that_is_not_finite_is_named(stages, value):
    found, options = videos(4), PcaOptions(components=3)
    good = stages.shard("good", found)
    found["v002.mp4"] = found["v002.mp4"].copy()
    found["v002.mp4"][17, 3] = value
    bad, listed = stages.shard("bad", found), {v: ["train", "", ""] for v in found}
    message = r"bad\.h5: the features of 'v002\.mp4' are not finite in row 17 \(at 17\.00 s\)"
    with pytest.raises(DataError, match=message):
        stages.partial(bad, options, stages.roles(listed))
    assert not (stages.folder / "partial" / "bad.h5").exists()
    listed["v002.mp4"][0] = "test"
    stages.partial(bad, options, stages.roles(listed))  # not fitted, not looked at
    stages.fit([good], options, stages.roles(listed))
    with pytest.raises(DataError, match=message):
        stages.apply(bad, options)


def test_blocks_are_refused_where_there_are_none_or_they_do_not_fit(stages):
    options = PcaOptions(components=3, by_block=True, **ALL)
    with pytest.raises(DataError, match="have no named blocks of columns; set by_block: false"):
        stages.partial(stages.shard("0", videos(2)), options)
    with pytest.raises(DataError, match="the block 'b' is to span the columns 5 to 13 of 12"):
        stages.partial(stages.shard("0", videos(2), blocks='{"b": [5, 13]}'), options)


def test_roles_that_are_missing_are_named(stages):
    found = videos(2)
    path = stages.shard("0", found)
    with pytest.raises(DataError, match="--roles: .* need the file with splits and tasks"):
        stages.partial(path, PcaOptions())
    with pytest.raises(DataError, match=r"the video 'v001\.mp4' of .*0\.h5 is not listed"):
        stages.partial(path, PcaOptions(), stages.roles({"v000.mp4": ["train", "", ""]}))
    with pytest.raises(DataError, match=r"by_task: the video 'v000\.mp4' has no task"):
        stages.partial(path, PcaOptions(by_task=True), stages.roles({v: ["train", "", ""] for v in found}))
    (stages.folder / "roles.json").write_text('{"v000.mp4"')
    with pytest.raises(DataError, match="this is no file of roles"):
        stages.partial(path, PcaOptions(), stages.folder / "roles.json")


def test_a_task_that_nothing_was_fitted_to_is_named(stages):
    found, options = videos(2), PcaOptions(components=3, by_task=True)
    roles = stages.roles({"v000.mp4": ["train", "soup", ""], "v001.mp4": ["test", "cake", ""]})
    path = stages.shard("0", found)
    stages.fit([path], options, roles)
    with pytest.raises(DataError, match=r"the task 'cake' of 'v001\.mp4' has no components"):
        stages.apply(path, options, roles)


def test_files_of_other_options_or_features_are_refused(stages):
    path, options = stages.shard("0", videos(3)), PcaOptions(components=3, **ALL)
    partial, wide = stages.partial(path, options), stages.shard("1", videos(3, width=13))
    with pytest.raises(DataError, match="summed up with other options"):
        pca_fit([partial], stages.folder / "basis.safetensors", PcaOptions(components=3))
    with pytest.raises(DataError, match=r"1\.h5: its features have 13 columns and those of .*0\.h5 12"):
        stages.fit([path, wide], options)
    stages.fit([path], options)
    with pytest.raises(DataError, match="fitted with other options"):
        stages.apply(path, PcaOptions(components=3, whiten=True, **ALL))
    with pytest.raises(DataError, match="13 columns do not fit"):
        stages.apply(wide, options)
    with pytest.raises(DataError, match="this is no file of partial sums"):
        read_partial(path)
    with pytest.raises(DataError, match="this is no basis"):
        read_basis(path)

"""What the main process sees of folders and files of the user, and what its jobs know of them."""

from types import SimpleNamespace

import pytest
from tests.test_layout import layout

from kinoflow.dataset_rules import DatasetRules
from kinoflow.shard_rules import ShardRules
from kinoflow.stock import Stock, said
from kinoflow.store.files import sha256_of


class Cards(SimpleNamespace):
    """Wildcards of a job."""

    def __getitem__(self, name: str) -> str:
        return getattr(self, name)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of videos, a table of splits, and a working folder."""
    (tmp_path / "videos").mkdir()
    for i in range(6):
        (tmp_path / f"videos/v{i}.mp4").write_bytes(b"no video")
    split(tmp_path, 1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def split(place, count: int) -> None:
    rows = (f"v{i}.mp4,{'train' if i < count else 'test'}" for i in range(6))
    (place / "splits.csv").write_text("\n".join(["video,split", *rows, ""]))


def study(place):
    """Return a study whose PCA reads the training videos of one shard."""
    mine = {
        "source": {"kind": "folder", "path": str(place / "videos")},
        "shards": 1,
        "index": {"splits": str(place / "splits.csv")},
    }
    return layout(datasets={"mine": mine}, pca={"two": {"fit_on": "train"}})


def rules(kind, place, main: bool = True):
    state = SimpleNamespace(main=main, owned=main)
    return kind(study(place), state, Stock(state))


def test_a_job_tells_splits_from_others_without_a_look_at_the_user_s_table(place):
    """On a cluster jobs compute the key under which the cache keeps their result."""
    found = []
    for count in (1, 3):
        split(place, count)
        planned, job = rules(ShardRules, place), rules(ShardRules, place, main=False)
        pca = next(iter(planned.layout.pca.values()))
        cards = Cards(dataset=pca.dataset.folder, features=pca.below.hash, pca=pca.hash, shard="000")
        seen = planned.roles_digest(cards)
        (place / "splits.csv").rename(place / "hidden")
        assert job.roles_digest(cards) == seen != ""
        (place / "hidden").rename(place / "splits.csv")
        found.append(seen)
    assert found[0] != found[1]


def test_a_label_file_that_cannot_be_read_is_told_in_a_sentence(place, monkeypatch):
    datasets = rules(DatasetRules, place)
    cards = SimpleNamespace(dataset=next(iter(datasets.by_folder)))
    assert datasets.annotations_digest(cards) == f"splits {sha256_of(place / 'splits.csv')}"

    def closed(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("kinoflow.dataset_rules.sha256_of", closed)
    with pytest.raises(
        SystemExit, match=r"Permission denied: '.*splits\.csv'; this user may not do that: change the rights"
    ):
        datasets.annotations_digest(cards)


def test_a_name_that_cannot_be_printed_does_not_break_the_sentence():
    def closed():
        raise PermissionError(13, "Permission denied", "a\nb")

    with pytest.raises(SystemExit) as error:
        said(closed)
    assert str(error.value).splitlines() == [str(error.value)]

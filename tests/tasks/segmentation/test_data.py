"""From tables and shards to videos: columns, labels, which videos are for what."""

import random

import numpy as np
import pytest
from tests.tasks.segmentation import tiny

from kinoflow.errors import ConfigError, DataError
from kinoflow.store import shards
from kinoflow.tasks.segmentation.data import Features, columns_of, read_films, read_steps, row_edges, row_length
from kinoflow.tasks.segmentation.options import RowsOptions
from kinoflow.tasks.segmentation.parts import by_task, cross_validation, label_counts, parted

BLOCKS = {"rgb": [4, 10], "audio": [0, 4]}


@pytest.fixture
def read(films):
    """Return a function that reads the tiny dataset with options."""

    def films_of(options, of=films, **files):
        return read_films(of.videos, of.segments, of.features, options.rows, options.labels, **files)

    return films_of


@pytest.mark.parametrize(
    "options, columns",
    [
        ({}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ({"components": 2}, [0, 1, 4, 5]),
        ({"blocks": ["rgb"]}, [4, 5, 6, 7, 8, 9]),
        ({"blocks": ["rgb", "audio"], "components": 5}, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
    ],
    ids=str,
)
def test_blocks_come_in_alphabetical_order_and_give_their_first_columns(options, columns):
    assert columns_of(10, BLOCKS, RowsOptions(**options), "f").tolist() == columns


def test_shuffled_columns_are_the_same_columns():
    found = columns_of(10, {}, RowsOptions(permute=3), "f").tolist()
    assert found != list(range(10)) and sorted(found) == list(range(10))
    assert found == columns_of(10, {}, RowsOptions(permute=3), "f").tolist()


def test_more_components_than_columns_are_refused():
    with pytest.raises(ConfigError, match="f has 10 columns, fewer than 11"):
        columns_of(10, {}, RowsOptions(components=11), "f")


def test_rows_are_thinned_and_divided(films):
    whole = Features(films.features, RowsOptions())
    some = Features(films.features, RowsOptions(subsample=3, downscale=2.0, blocks=("b",)))
    assert (some.rows("test00.npy") == whole.rows("test00.npy")[::3, 4:] / 2).all()
    assert (some.times("test00.npy") == whole.times("test00.npy")[::3]).all() and some.width == 2


def test_a_row_lasts_as_long_as_rows_are_apart():
    assert row_length([np.array([0.5]), np.arange(5) / 4]) == 0.25 and row_length([np.array([3.0])]) == 1.0
    assert row_length([np.array([3.0])], 0.2) == 0.2 and row_length([]) == 1.0


def test_a_row_that_most_frames_are_shown_for_longer_than_still_lasts():
    assert row_length([np.array([0, 0, 0, 0.6, 0.6, 0.6, 1.2])]) == pytest.approx(0.2)
    assert row_length([np.zeros(4)], 0.5) == 0.5  # all at one time: nothing is known


def test_rows_end_where_the_next_ones_begin_and_stay_inside_the_video():
    assert row_edges(np.array([0.5, 1.5, 2.5]), 1.0).tolist() == [0, 1, 2, 3]
    assert row_edges(np.array([0.5, 1.5, 2.5]), 1.0, end=2.8).tolist() == [0, 1, 2, 2.8]
    assert row_edges(np.array([0.5, 1.5, 2.5]), 1.0, end=9.0).tolist() == [
        0,
        1,
        2,
        3,
    ]  # nothing is known of what follows
    assert row_edges(np.array([0.0, 1.0, 4.0]), 1.0).tolist() == [0, 0.5, 2.5, 4.5]  # a pause is shared
    assert row_edges(np.array([5.25, 5.75]), 1.0, start=5.0).tolist() == [5, 5.5, 6.25]
    assert row_edges(np.array([0.5]), 1.0, end=0.2).tolist() == [0, 0.5]  # a wrong end moves no middle out of its row


def test_each_video_has_rows_as_long_as_its_own_are_apart(tmp_path):
    films = tiny.make(tmp_path)
    tiny.stretch(films, "test01.npy", 2.5)
    options = tiny.options(labels={"rule": "overlap"})
    found = read_films(films.videos, films.segments, films.features, options.rows, options.labels)
    one, other = (next(item for item in found.splits["test"] if item.video == f"test0{k}.npy") for k in (0, 1))
    assert (one.seconds, other.seconds) == pytest.approx((0.5, 1.25)) and found.seconds == pytest.approx(0.5)
    assert found.spans(other)[:, 1].tolist() == pytest.approx((1.25 * np.arange(1, other.frames + 1)).tolist())
    before = tiny.make(tmp_path / "before")  # the same video at the rate of the others has the same labels
    same = read_films(before.videos, before.segments, before.features, options.rows, options.labels)
    wanted = next(item for item in same.splits["test"] if item.video == "test01.npy")
    assert (other.labels == wanted.labels).all()


def test_rows_that_are_removed_belong_to_no_other_row(tmp_path):
    films = tiny.make(tmp_path)
    options = tiny.options(labels={"background": "removed"})
    found = read_films(films.videos, films.segments, films.features, options.rows, options.labels)
    item = found.splits["test"][0]
    spans = found.spans(item)
    assert (spans[:, 1] - spans[:, 0]).tolist() == pytest.approx([0.5] * item.frames)
    assert ((spans[:, 0] < item.times) & (item.times < spans[:, 1])).all()


def test_no_video_has_two_uses_and_the_unlabelled_are_never_scored(read):
    options = tiny.options()
    films = read(options)
    parts = parted(films, options)
    names = [item.video for own in (parts.train, parts.validation, parts.test) for item in own]
    assert len(names) == len(set(names)) == 14
    assert all(item.recording == "person0" for item in parts.validation)
    assert len(parts.test) == 4 and [item.video for item in parts.test if item not in parts.scored] == ["test03.npy"]
    assert "train09.npy" in names and set(films.vocabulary.names) == {"BKG", "boil", "fill", "pour", "press"}
    assert sum(sum(own.values()) for own in label_counts(parts.train).values()) == sum(
        item.frames for item in parts.train if item.annotated
    )


def test_a_share_of_each_task_is_held_out_as_crosstask_does(read):
    options = tiny.options(hold_out=[], hold_out_share=0.4)
    films = read(options)
    parts = parted(films, options)
    for own in by_task(films.splits["train"]).values():
        mixed = list(own)
        random.Random(1234).shuffle(mixed)
        held = {item.video for item in mixed[: int(0.4 * len(own))]}
        assert held == {item.video for item in parts.validation if item.task == own[0].task}


def test_cross_validation_takes_the_first_of_each_task_after_a_shuffle(read):
    pool = read(tiny.options()).splits["train"]
    train, test = cross_validation(pool[::-1], seed=7, videos=3)
    for task, own in by_task(pool).items():
        names = sorted(item.video for item in own)
        random.Random(7).shuffle(names)
        assert [item.video for item in train if item.task == task] == names[:3]
        assert [item.video for item in test if item.task == task] == names[3:]


def test_related_tasks_have_no_labels_and_their_steps_are_no_classes(read):
    options = tiny.options(related=["related"], labels={"task_specific": True})
    films = read(options)
    parts = parted(films, options)
    extra = [item for item in parts.train if item.split == "related"]
    assert len(extra) == 2 and not any(item.annotated for item in extra)
    assert len(films.vocabulary.names) == 2 + 5


def test_steps_come_in_the_order_of_their_table(read, films):
    options = tiny.options()
    assert read(options, steps=films.steps).vocabulary.tasks == tiny.TASKS
    assert read(options).vocabulary.tasks == {task: tuple(sorted(steps)) for task, steps in tiny.TASKS.items()}


@pytest.mark.parametrize("text", ["task,number,action\ntea,2,boil\n", "task,number,action\ntea,1,\n"])
def test_a_table_of_steps_that_does_not_count_is_refused(tmp_path, text):
    (tmp_path / "steps.csv").write_text(text)
    with pytest.raises(DataError, match=r"steps\.csv, line 2: steps are numbered from 1"):
        read_steps(tmp_path / "steps.csv")


def test_a_task_without_steps_in_the_table_is_refused(read, tmp_path):
    (tmp_path / "steps.csv").write_text("task,number,action\ntea,1,boil\n")
    with pytest.raises(DataError, match="it has no steps of the task 'coffee'"):
        read(tiny.options(), steps=tmp_path / "steps.csv")


def test_names_of_background_are_no_steps(read):
    films = read(tiny.options(labels={"background_names": ["pour"]}))
    assert films.vocabulary.tasks == {"coffee": ("fill", "press"), "tea": ("boil",)}


def test_videos_whose_labels_have_another_length_are_left_out(tmp_path, caplog):
    caplog.set_level("WARNING", logger="kinoflow")
    films = tiny.make(tmp_path)
    with open(films.segments, "a") as file:
        file.write("a,test00.npy,0.0,40.0,pour,,,,,,\nb,test01.npy,0.0,10.0,pour,,,,,,\n")
    options = tiny.options(labels={"max_difference": 30})
    found = read_films(films.videos, films.segments, films.features, options.rows, options.labels)
    lengths = {item.video: item.frames for item in found.splits["test"]}
    assert "test00.npy" not in lengths and "'test00.npy'" in caplog.text
    assert lengths["test01.npy"] <= 20


def test_shards_of_other_widths_are_refused(tmp_path):
    films = tiny.make(tmp_path)
    rows = {"train00.npy": np.zeros((4, 3), np.float32)}
    tiny.write_features(tmp_path / "more", rows)
    with pytest.raises(DataError, match="other columns than those of other shards"):
        Features([*films.features, tmp_path / "more/0.h5"], RowsOptions())


def test_a_shard_without_videos_has_no_width(films, tmp_path):
    with shards.writing(tmp_path / "empty.h5", {}, frames=False, width=0):
        pass
    assert Features([tmp_path / "empty.h5", *films.features], RowsOptions()).width == tiny.WIDTH


def test_videos_without_features_are_left_out_and_said(films, caplog, tmp_path):
    caplog.set_level("WARNING", logger="kinoflow")
    options = tiny.options()
    read_films(films.videos, films.segments, films.features[:1], options.rows, options.labels)
    assert "videos have no features and are left out" in caplog.text
    tiny.write_features(tmp_path, {})
    with pytest.raises(DataError, match="none of its 16 videos is in the shards"):
        read_films(films.videos, films.segments, [tmp_path / "0.h5"], options.rows, options.labels)

"""CrossTask and Breakfast: the real files with their published counts, a made-up release, and what is refused."""

import json
from collections import Counter

import pytest
from tests.conftest import ROOT

from kinoflow.datasets.published import breakfast, crosstask
from kinoflow.datasets.published.files import digest_below
from kinoflow.errors import DataError

GOLDEN = json.loads((ROOT / "tests/golden/lhsmm/crosstask_mini.json").read_text())


def unpacked(folder):
    for name, text in GOLDEN["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture(scope="module")
def real(request):
    shared = request.getfixturevalue("shared")
    return crosstask.read(shared / "data/annotations/crosstask")


def test_the_real_release_has_its_tasks_and_steps(real):
    assert (len(real.primary), len(real.related)) == (18, 65)
    steps = [step for task in real.primary.values() for step in task.steps]
    assert (len(steps), len(set(steps))) == (133, 105)


def test_the_real_release_has_its_videos(real):
    assert len(real.videos) == 4700 and len({video for _, video in real.videos}) == 4607
    assert Counter(task in real.primary for task, _ in real.videos) == {True: 2750, False: 1950}
    assert len(real.test) == 360 and set(Counter(task for task, _ in real.test).values()) == {20}
    assert len(real.pool) == 4328 and sum(task in real.primary for task, _ in real.pool) == 2390


def test_the_real_release_is_split_as_published(real):
    sizes = {split: len(rows) for split, rows in real.splits.items()}
    assert sizes == {"train": 2159, "validation": 231, "test": 360, "related": 1938, "unused": 12}
    assert sum(sizes.values()) == 4700
    assert len({row for rows in real.splits.values() for row in rows}) == 4700


def test_the_real_annotation_files_are_all_read_and_the_others_are_listed(real):
    assert len(real.annotations) == 1260 and sum(map(len, real.annotations.values())) == 9366
    assert len(real.unannotated) == 2750 - 1260
    lost = {split: len({*rows} & {*real.unannotated}) for split, rows in real.splits.items()}
    assert lost == {"train": 1183, "validation": 127, "test": 180, "related": 0, "unused": 0}
    assert all(
        0 <= step < len(real.primary[task].steps) for (task, _), each in real.annotations.items() for step, *_ in each
    )


def test_a_made_up_release_is_split_as_the_golden_file_says(tmp_path):
    found, wanted = crosstask.read(unpacked(tmp_path)), GOLDEN["expected"]["splits"]
    for split, name in (("train", "train"), ("validation", "heldout_train"), ("test", "test")):
        for task, videos in wanted[name].items():
            assert [video for of, video in found.splits[split] if of == task] == videos
    for task, videos in wanted["all"].items():
        assert [video for of, video in found.videos if of == task] == videos
    assert len(found.windows) == sum("constraints" in name for name in GOLDEN["files"])


def test_a_card_needs_no_empty_line_behind_it(tmp_path):
    path = unpacked(tmp_path) / "crosstask_release/tasks_primary.txt"
    before = crosstask.read(tmp_path).primary
    path.write_text(path.read_text().rstrip("\n"))
    assert crosstask.read(tmp_path / "crosstask_release").primary == before


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("tasks_primary.txt", "16815\ntitle\nurl\n3\none,two\n", "card of the task '16815'"),
        ("tasks_primary.txt", "/tmp/x\ntitle\nurl\n2\none,two\n", "card of the task '/tmp/x'"),
        ("videos.csv", "1,abc,https://x\n", "videos.csv, line 1"),
        ("videos.csv", "16815,../abc,https://x\n", "line 1: '../abc' is no name of a clip"),
        ("videos_val.csv", "", "names no video"),
        ("annotations/16815_v15_09.csv", "9,1.0,2.0\n", "line 1: '9,1.0,2.0' should be a step (1 to 4)"),
        ("annotations/16815_v15_09.csv", "1,5.0,2.0\n", "should be a step"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, name, text, said):
    (unpacked(tmp_path) / "crosstask_release" / name).write_text(text)
    with pytest.raises(DataError, match=said.replace("(", r"\(").replace(")", r"\)")):
        crosstask.read(tmp_path)


def test_a_folder_without_a_release_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no videos\.csv of CrossTask"):
        crosstask.read(tmp_path)


def test_the_release_and_its_windows_are_found_however_the_archives_were_unpacked(tmp_path):
    def files(folder):
        return crosstask.read(folder).windows.keys(), [place.name for place in crosstask.places(folder)]

    unpacked(tmp_path)
    wanted = files(tmp_path)
    assert len(wanted[0]) and wanted == files(tmp_path / "crosstask_release")
    for name in ("crosstask_release", "crosstask_constraints"):  # each into a folder of its own name
        (tmp_path / name).rename(tmp_path / "inner")
        (tmp_path / name).mkdir()
        (tmp_path / "inner").rename(tmp_path / name / name)
    assert wanted == files(tmp_path)


def test_a_changed_file_anywhere_below_the_folders_is_noticed(tmp_path):
    unpacked(tmp_path)
    found = []
    for name in ("crosstask_release/annotations", "crosstask_constraints", "crosstask_release"):
        found.append(digest_below(crosstask.places(tmp_path)))
        path = min((tmp_path / name).glob("*.*"))
        path.write_text(path.read_text() + "\n")
    moved = tmp_path.rename(tmp_path.with_name("elsewhere"))
    assert len({*found, digest_below(crosstask.places(moved))}) == 4
    (moved / "crosstask_release/features.npy").write_bytes(b"no annotation file")
    assert digest_below(crosstask.places(moved)) not in found


# ---------------------------------------------------------------- Breakfast


def test_split_1_of_breakfast_equals_the_real_bundles_name_by_name(shared):
    folder = shared / "data/annotations/breakfast/splits"
    bundles = {side: breakfast.bundle(folder / f"{side}.split1.bundle") for side in ("train", "test")}
    assert {side: len(names) for side, names in bundles.items()} == {"train": 1460, "test": 252}
    everything = [breakfast.recording(name) for names in bundles.values() for name in names]
    assert [each.name for each in everything] == [name for names in bundles.values() for name in names]
    for side, names in bundles.items():
        assert {each.name for each in everything if each.split(1) == side} == set(names)


def test_every_person_is_tested_in_one_split():
    for person in range(3, 55):
        sides = [breakfast.Recording(f"P{person:02d}", "cam01", "tea").split(number) for number in (1, 2, 3, 4)]
        assert sides.count("test") == 1


def test_the_real_label_files_of_breakfast_hold_labels_of_its_mapping(shared):
    folder = shared / "data/annotations/breakfast"
    names, found = breakfast.mapping(folder / "mapping.txt"), breakfast.read(folder)
    assert len(found) == 45 and len(names) == 48 and names[breakfast.BACKGROUND] == 0
    assert {label for runs in found.values() for *_, label in runs} <= set(names)
    for each, runs in found.items():
        text = (folder / "groundTruth" / f"{each.name}.txt").read_text().split()
        assert [label for first, end, label in runs for _ in range(first, end)] == text


def test_both_forms_of_labels_say_the_same(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other/P16/stereo"
    one.mkdir()
    other.mkdir(parents=True)
    (one / "P16_stereo01_P16_tea.txt").write_text("SIL\n" * 30 + "take_cup\n" * 5 + "SIL\n")
    (other / "P16_tea_ch0.txt").write_text("1-30 SIL  \r\n31-35 take_cup \r\n36-36 SIL\r\n")
    assert breakfast.read(one) == breakfast.read(tmp_path / "other")
    assert breakfast.read(one) == {
        breakfast.Recording("P16", "stereo01", "tea"): [(0, 30, "SIL"), (30, 35, "take_cup"), (35, 36, "SIL")]
    }


def test_the_nine_bad_videos_are_left_out(tmp_path):
    assert len(breakfast.BAD) == 9 and all(breakfast.recording(name).name == name for name in breakfast.BAD)
    for name in (*breakfast.BAD, "P34_cam01_P34_tea"):
        (tmp_path / f"{name}.txt").write_text("SIL\n")
    assert [each.name for each in breakfast.read(tmp_path)] == ["P34_cam01_P34_tea"]


@pytest.mark.parametrize(
    "more, kept", [(48, 500), (49, 500), (50, 500), (51, None), (-48, 452), (-50, 450), (-51, None)]
)
def test_labels_and_features_may_differ_by_50_frames(more, kept):
    assert breakfast.common_length(500, 500 + more) == kept


@pytest.mark.parametrize("text", ["30-1 SIL\n", "1-30 SIL\n20-40 tea\n", "SIL\n", "0-3 SIL\n"])
def test_stretches_that_make_no_sense_are_refused(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(DataError, match=r"a\.txt, line .* numbers of frames and a label"):
        breakfast.spans(tmp_path / "a.txt")


def test_a_folder_without_label_files_is_refused(tmp_path):
    with pytest.raises(DataError, match="no label files of Breakfast"):
        breakfast.read(tmp_path)

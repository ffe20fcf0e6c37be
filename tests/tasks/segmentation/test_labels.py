"""Labels of rows: the golden release in every way to label it, and what must hold for any segments."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT

from kinoflow.datasets.published import crosstask
from kinoflow.errors import ConfigError
from kinoflow.tasks.segmentation.labels import Vocabulary, canonical, inside, own_chain, row_labels
from kinoflow.tasks.segmentation.options import LabelsOptions

GOLDEN = json.loads((ROOT / "tests/golden/lhsmm/crosstask_mini.json").read_text())
EXPECTED = GOLDEN["expected"]
WAYS = {
    "task_specific": {"task_specific": True},
    "shared_steps": {},
    "background_with_previous": {"task_specific": True, "background": "previous"},
    "remove_background": {"task_specific": True, "background": "removed"},
}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    for name, text in GOLDEN["files"].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return crosstask.read(folder)


def vocabulary(release, way):
    return Vocabulary.of({t: task.steps for t, task in release.primary.items()}, LabelsOptions(**WAYS[way]))


def hits(release, name, stretches):
    task, video = name.split("|")
    steps = release.primary[task].steps
    times = np.arange(GOLDEN["frame_counts"][video]) + 0.5
    named = [(start, end, steps[step]) for step, start, end in stretches[task, video]]
    return inside(named, steps, times, 0.5, "overlap")


def lists(labels):
    return [[label for label in row if label >= 0] for row in labels.tolist()]


@pytest.mark.parametrize("way", [way for way in WAYS if way != "remove_background"])
def test_classes_and_labels_are_those_of_the_golden_file(release, way):
    words, wanted = vocabulary(release, way), EXPECTED[way]
    assert words.index == wanted["label2index"] and list(words.backgrounds) == wanted["background_indices"]
    assert {task: list(words.classes_of(task)) for task in words.tasks} == wanted["indices_by_task"]
    for name, labels in wanted["gt"].items():
        assert lists(row_labels(hits(release, name, release.annotations), words, name.split("|")[0])) == labels


def test_the_order_of_steps_and_backgrounds_is_that_of_the_golden_file(release):
    words, wanted = vocabulary(release, "background_with_previous"), EXPECTED["background_with_previous"]
    chains = {task: list(words.chain_of(task)) for task in words.tasks}
    assert chains == wanted["ordered_indices_by_task"]
    assert sorted(chain[0] for chain in chains.values()) == wanted["allowed_starts"]
    assert sorted(chain[-1] for chain in chains.values()) == wanted["allowed_ends"]
    steps = {str(a): [b] for chain in chains.values() for a, b in pairwise(chain)}
    assert steps == wanted["allowed_transitions"]


def test_rows_without_a_step_are_removed_as_in_the_golden_file(release):
    words, wanted = vocabulary(release, "remove_background"), EXPECTED["remove_background"]
    for name, labels in wanted["gt"].items():
        found = hits(release, name, release.annotations)
        kept = np.flatnonzero(found.any(axis=1))
        assert kept.tolist() == wanted["nonbackground_timesteps"][name]
        assert lists(row_labels(found[kept], words, name.split("|")[0])) == labels
    chains = [words.chain_of(task) for task in words.tasks]
    assert sorted(chain[0] for chain in chains) == wanted["allowed_starts"]
    assert sorted(chain[-1] for chain in chains) == wanted["allowed_ends"]
    steps = {str(a): [b] for chain in chains for a, b in pairwise(chain)}
    assert steps == wanted["allowed_transitions"]


def test_windows_of_narration_are_those_of_the_golden_file(release):
    for name, rows in EXPECTED["constraints"].items():
        assert hits(release, name, release.windows).astype(int).tolist() == rows


def test_the_canonical_order_is_laid_out_as_in_the_golden_file(release):
    words = vocabulary(release, "shared_steps")
    for key, labels in EXPECTED["canonical_baseline_shared_steps"].items():
        share, task, rows = key.split("|")
        assert canonical(words, task, int(rows), float(share)).tolist() == labels


def test_the_canonical_order_knows_task_specific_steps_too(release):
    words = vocabulary(release, "task_specific")
    assert [words.names[label] for label in canonical(words, "40567", 3, 0.0)] == [
        "40567 add cut",
        "40567 car spread",
        "40567 lemon cut",
    ]
    with pytest.raises(ConfigError, match="has no steps"):
        canonical(Vocabulary({"a": ()}), "a", 5, 0.0)


def test_merged_backgrounds_share_the_look_of_the_first_one_of_their_task(release):
    words = vocabulary(release, "background_with_previous")
    tied = words.tied()
    for task in words.tasks:
        behind = words.backgrounds_of(task)
        assert len({tied[label] for label in behind}) == 1 and tied[behind[0]] in behind
        assert all(tied[label] == label for label in words.steps_of(task))
    assert vocabulary(release, "shared_steps").tied() is None


@pytest.mark.parametrize("way", WAYS)
def test_a_vocabulary_comes_back_from_json(release, way):
    words = vocabulary(release, way)
    assert Vocabulary.from_json(json.loads(json.dumps(words.as_json()))) == words


def test_a_row_counts_by_its_middle_or_by_any_time_in_common():
    times = np.array([0.25, 0.75, 1.25])  # rows of half a second
    stretch = [(0.4, 1.1, "a")]
    assert inside(stretch, ["a"], times, 0.25, "middle")[:, 0].tolist() == [False, True, False]
    assert inside(stretch, ["a"], times, 0.25, "overlap")[:, 0].tolist() == [True, True, True]
    assert inside([(0.5, 1.0, "a")], ["a"], times, 0.25, "overlap")[:, 0].tolist() == [False, True, False]


stretches = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 8), st.sampled_from("abc")).map(lambda s: (s[0], s[0] + s[1], s[2])),
    max_size=6,
)


@given(stretches, st.integers(1, 25))
@settings(deadline=None)
def test_whole_seconds_make_the_same_rows_by_both_rules(found, rows):
    times = np.arange(rows) + 0.5
    one = inside(found, "abc", times, 0.5, "middle")
    assert (one == inside(found, "abc", times, 0.5, "overlap")).all()
    for step in range(3):
        mask = np.zeros(rows, bool)
        for start, end, name in found:
            mask[start:end] |= name == "abc"[step]
        assert (one[:, step] == mask).all()


@given(stretches, st.integers(1, 25), st.sampled_from(["one", "previous"]))
@settings(deadline=None)
def test_every_row_has_a_label_of_its_task(found, rows, background):
    words = Vocabulary({"t": tuple("abc")}, background=background)
    marked = inside(found, "abc", np.arange(rows) + 0.5, 0.5, "middle")
    labels = row_labels(marked, words, "t")
    assert set(labels[labels >= 0].tolist()) <= set(words.classes_of("t"))
    assert (np.isin(labels[:, 0], words.backgrounds) == ~marked.any(axis=1)).all()
    chain = own_chain(labels)
    assert (chain[1:] != chain[:-1]).all() and len(chain) <= rows

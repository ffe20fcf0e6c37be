"""Histories against the definition written down row by row, the golden ones, and what must hold of them."""

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.anticipation.rows import drawn, epic55, rows_of

from kinoflow.datasets.actions import Rows
from kinoflow.datasets.published import egtea
from kinoflow.datasets.published.files import Files
from kinoflow.tasks.anticipation.histories import POLICIES, histories
from kinoflow.tasks.anticipation.record_import import prefix_key
from kinoflow.tasks.anticipation.tokens import sentence

RATE = 30.0


def by_definition(rows: Rows, policy: str, gap: float, within: str) -> list[list[int]]:
    found = []
    for i in range(len(rows)):
        start = round(rows.start[i] * RATE)
        mine = []
        for j in range(i):
            other = rows.video[j] != rows.video[i] or (within == "split" and rows.split[j] != rows.split[i])
            began, ended = (round(times[j] * RATE) for times in (rows.start, rows.end))
            late = {"order": False, "started": began >= start - gap * RATE, "ended": ended > start - gap * RATE}[policy]
            mine += [] if other or late else [j]
        found.append(mine)
    return found


def listed(found: np.ndarray) -> list[list[int]]:
    return [row[row >= 0].tolist() for row in found]


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 500),
    st.sampled_from(POLICIES),
    st.sampled_from((0.0, 0.5, 1.0)),
    st.sampled_from(("video", "split")),
)
def test_histories_are_those_of_the_definition(seed, policy, gap, within):
    rows = drawn(seed)
    wanted = by_definition(rows, policy, gap, within)
    whole = histories(rows, RATE, policy, gap, None, within)
    assert listed(whole.rows) == wanted
    assert whole.lengths.tolist() == list(map(len, wanted))
    cut = histories(rows, RATE, policy, gap, 2, within)
    assert listed(cut.rows) == [one[-2:] for one in wanted]
    assert cut.rows.shape == (len(rows), 2)
    assert cut.lengths.tolist() == whole.lengths.tolist()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 500))
def test_order_grows_along_a_video_and_holds_the_other_policies(seed):
    rows = drawn(seed)
    order, started, ended = (listed(histories(rows, RATE, policy, 0.5, None).rows) for policy in POLICIES)
    gappy = listed(histories(rows, RATE, "order", 0.5, None, "split").rows)
    for i in range(len(rows)):
        assert i not in order[i]
        assert [j for j in order[i] if j in set(started[i])] == started[i]
        assert [j for j in started[i] if j in set(ended[i])] == ended[i]
        assert [j for j in order[i] if j in set(gappy[i])] == gappy[i]
        if i and rows.video[i] == rows.video[i - 1]:
            assert len(order[i]) == len(order[i - 1]) + 1


def test_without_gap_and_overlap_all_policies_are_equal():
    rows = rows_of([(0, 1), (1, 2.5), (3, 4)], [(0.5, 1)])
    found = [histories(rows, RATE, policy, 0.0, 3) for policy in POLICIES]
    for one in found[1:]:
        np.testing.assert_array_equal(one.rows, found[0].rows)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 500), st.integers(0, 80), st.sampled_from((30, 40)), st.sampled_from(("started", "ended")))
def test_gaps_of_no_whole_number_of_frames_are_kept_exactly(seed, parts, of, policy):
    rng = np.random.default_rng(seed)
    starts = np.sort(rng.integers(0, 90, 20))
    rows = rows_of([(int(s) / 30, int(s + n) / 30) for s, n in zip(starts, rng.integers(1, 60, 20), strict=True)])
    start, end = ([Fraction(round(t * 30)) for t in times] for times in (rows.start, rows.end))
    gap = Fraction(parts, of)
    limit = [each - 30 * gap for each in start]
    wanted = [
        [j for j in range(i) if (start[j] < limit[i] if policy == "started" else end[j] <= limit[i])] for i in range(20)
    ]
    assert listed(histories(rows, RATE, policy, float(gap), None).rows) == wanted


def test_an_end_exactly_a_gap_before_the_start_has_ended_and_such_a_start_has_not_started():
    rows = rows_of([(0.1, 5 / 3), (8 / 3, 4)])  # 50/30 and 80/30 seconds: their difference is no 1.0 in doubles
    assert histories(rows, RATE, "ended", 1.0, 3).rows[1].tolist() == [-1, -1, 0]
    rows = rows_of([(5 / 3, 3), (8 / 3, 4)])
    assert histories(rows, RATE, "started", 1.0, 3).lengths.tolist() == [0, 0]


def test_no_rows_have_no_histories():
    assert histories(rows_of(), RATE, "ended").rows.shape == (0, 15)


def test_what_is_missing_in_a_history_is_told_apart():
    rows = rows_of([(0, 1), (2, 3)])
    found = histories(rows, RATE, "order", 1.0, 2)
    assert found.of(rows.action).tolist() == [[-1, -1], [-1, 0]]
    assert found.of(rows.uid).tolist() == [["", ""], ["", "0"]]


# ---------------------------------------------------------------- golden histories of real videos


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "golden" / "anticipation" / "history_text.json").read_text())


def test_real_histories_and_texts_of_epic_are_the_golden_ones(shared, golden):
    actions, classes = epic55(shared)
    rows = Rows.of(actions)
    place = {uid: i for i, uid in enumerate(rows.uid)}
    for number, text in golden["action_text_epic55"].items():
        assert classes.texts[int(number)] == text
    for policy in POLICIES:
        found = histories(rows, classes.rate, policy, 1.0, 15)
        for item in golden["epic55"]:
            i, wanted = place[str(item["uid"])], item[f"history_{policy}"]
            names = [rows.uid[j] for j in found.rows[i] if j >= 0]
            assert names == list(map(str, wanted["uids"]))
            numbers = [int(rows.action[j]) for j in found.rows[i] if j >= 0]
            assert numbers == wanted["actions"]
            assert found.lengths[i] == wanted["length"]
            for length in (1, 2, 5, 15):
                assert sentence(classes, numbers[-length:]) == wanted[f"text_{length}"]
            assert rows.action[i] == item["target_action"]


def test_keys_of_prefixes_are_the_golden_ones(shared, golden):
    actions, classes = epic55(shared)
    rows = Rows.of(actions)
    place = {uid: i for i, uid in enumerate(rows.uid)}
    found = histories(rows, classes.rate, "order", 1.0, None)
    for item in golden["epic55"]:
        past = [rows.action[j] for j in found.rows[place[str(item["uid"])]] if j >= 0]
        assert prefix_key(past) == item["dedup_key_full_order_history"]
        assert len(prefix_key(past, 10**6).split("_")) == max(1, item["dedup_len"])


def test_real_histories_and_texts_of_egtea_are_the_golden_ones(shared, golden):
    actions, classes = egtea.read(Files(shared / "data" / "egtea"), 1)
    rows = Rows.of(actions)
    place = {uid: i for i, uid in enumerate(rows.uid)}
    for number, text in golden["action_text_egtea"].items():
        assert classes.texts[int(number)] == text
    for gappy in (False, True):
        found = histories(rows, classes.rate, "order", 1.0, 20, "split" if gappy else "video")
        for item in (each for each in golden["egtea"] if each["gappy"] == gappy):
            i = place[str(item["uid"])]
            mine = [j for j in found.rows[i] if j >= 0]
            assert [rows.uid[j] for j in mine] == list(map(str, item["history_uids"]))
            assert [int(rows.action[j]) for j in mine] == item["history_actions"]
            assert found.lengths[i] == item["length"]
            assert sentence(classes, item["history_actions"][-15:]) == item["text_15"]


def test_of_the_validation_of_epic_forty_rows_have_no_history(shared):
    actions, classes = epic55(shared)
    rows = Rows.of(actions)
    found = histories(rows, classes.rate, "order", 1.0, 5)
    assert (found.lengths[rows.split == "validation"] == 0).sum() == 40

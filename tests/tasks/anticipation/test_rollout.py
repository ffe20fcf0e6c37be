"""Steps that a student rolls out, and what was done then."""

import csv

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.tasks.anticipation import world as tiny
from tests.tasks.anticipation.world import options

from kinoflow.features.arithmetic import Arithmetic
from kinoflow.metrics.scores import softmax
from kinoflow.report import section as sections
from kinoflow.report.section import Figure, Heading, Table
from kinoflow.store import shards, tables
from kinoflow.tasks.anticipation import backbones, data
from kinoflow.tasks.anticipation.data import Sequences
from kinoflow.tasks.anticipation.evaluate import anticipation_evaluate
from kinoflow.tasks.anticipation.figures import anticipation_section
from kinoflow.tasks.anticipation.model import Student
from kinoflow.tasks.anticipation.options import AnticipationSectionOptions, AnticipationTestOptions
from kinoflow.tasks.anticipation.rollout import Later, later_rows, rolled_out, step_seconds
from kinoflow.tasks.anticipation.scoring import Scorer

VIDEO = "v15.mp4"


def asked_of(world, ratios=(1.0,), **more):
    """Return the network of these options, its sequences of a video's actions, and the rows of the table of later steps."""
    asked = options(**more)
    network = Student(asked.network, tiny.WIDTH, {"action": 6}, asked.sampling.steps).eval()
    source = data.source(asked, tiny.CLASSES, world.rows, world.features, None, None)
    full = asked.network.aggregator in ("mean", "transformer")
    reader = data.Reader(source, asked, world.rows, (), full)
    seen = data.samples(world.rows, world.rows.video == VIDEO, asked)
    sequences = Sequences(seen, reader)
    found = rolled_out(Scorer(network, Arithmetic(torch.device("cpu"), threads=1)), [sequences], "test")
    return network, sequences, list(later_rows(seen, asked, world.rows, tiny.CLASSES, ratios, found))


def shown(world, times: np.ndarray) -> list[str]:
    """What the video shows at moments, "" for nothing; its actions do not overlap."""
    own = world.rows.take(world.rows.video == VIDEO)
    inside = (own.start <= times[:, None]) & (times[:, None] <= own.end)
    return [tiny.NAMES[own.action[each.argmax()]] if each.any() else "" for each in inside]


@pytest.mark.parametrize("steps", [8, 20])  # sequences as long as they may be, or filled up behind
def test_every_step_is_classified_as_the_next_action_is(world, steps):
    sampling = {"steps": steps, "step_seconds": 1.0}
    network, sequences, found = asked_of(world, sampling=sampling, network={"ahead": 3, "average": 1, "positions": 64})
    for number in range(len(sequences)):
        seen = sequences(number)
        own = [row for row in found if row.uid == sequences.samples.rows.uid[number] and row.predicted]
        assert [row.step for row in own] == [1, 2, 3]
        for row in own:
            with torch.no_grad():  # the last of so many steps
                alone = network.head(torch.from_numpy(seen.x[None, : seen.length]), ahead=row.step).future
                scores = network.told(alone)["action"][0].double().numpy()
            best = np.argsort(-scores)[:5]
            assert [row.predicted, row.second, row.third, row.fourth, row.fifth] == [tiny.NAMES[k] for k in best]
            assert row.probability == pytest.approx(softmax(scores)[best[0]], abs=1e-5)


def test_what_was_done_is_what_most_of_the_step_shows_or_its_frame(world):
    _, sequences, found = asked_of(world, network={"ahead": 5})
    for row in (row for row in found if row.predicted):
        fine = shown(world, np.linspace(row.start, row.end, 2001))
        counts = {label: fine.count(label) for label in set(fine)}
        assert counts.get(row.label, 0) >= max(counts.values()) - 80  # as near as frames tell it
    sampling = {"read": "frames", "rate": 2.0, "observed": 6.0, "gap": 0.8}
    _, sequences, single = asked_of(world, window="gap", sampling=sampling, network={"ahead": 5})
    end = float(sequences.samples.end[2])
    own = [row for row in single if row.uid == sequences.samples.rows.uid[2] and row.predicted]
    assert [row.end for row in own] == pytest.approx([end + 0.5 * k for k in range(1, 6)], abs=1e-6)
    assert [row.label for row in single] == shown(world, np.array([row.end for row in single]))


def test_labels_are_looked_up_in_windows_so_many_gaps_after(world):
    sampling = {"read": "frames", "rate": 2.0, "observed": 2.0, "gap": 1.0}
    _, sequences, found = asked_of(world, (0.0, 2.5, -999.0), window="gap", sampling=sampling, network={"ahead": 2})
    own = [row for row in found if row.uid == sequences.samples.rows.uid[3]]
    end = float(sequences.samples.end[3])
    # Moments lie half a second apart: the windows are [end, end + 2], [end + 2.5, end + 4.5] and [end - 2, end].
    assert [row.step for row in own] == list(range(-4, 10))
    told = {row.step: row.windows for row in own}
    assert [told[step] for step in (-4, -1, 0, 1, 4, 5, 9)] == ["-999", "-999", "0 -999", "0", "0", "2.5", "2.5"]
    assert [bool(row.predicted) for row in own] == [1 <= row.step <= 2 for row in own]
    assert [row.end for row in own] == pytest.approx([end + 0.5 * row.step for row in own], abs=1e-6)
    assert len({row.label for row in own}) > 1


def test_a_window_of_one_gap_begins_with_the_action(world):
    _, sequences, found = asked_of(world, sampling={"observed": 3.0, "step_seconds": 0.25}, network={"ahead": 2})
    for number, uid in enumerate(sequences.samples.rows.uid):
        inside = [row for row in found if row.uid == uid and row.windows == "1"]
        assert (inside[0].start + inside[0].end) / 2 == pytest.approx(sequences.samples.rows.start[number], abs=0.251)
        assert len(inside) == 12 and inside[1].label == tiny.NAMES[sequences.samples.rows.action[number]]


def test_of_several_actions_at_once_the_one_whose_middle_is_nearest_is_told(world):
    rows = world.rows.take(world.rows.video == VIDEO)
    rows.start[:], rows.end[:] = np.arange(len(rows)) * 2.0, np.arange(len(rows)) * 2.0 + 4.0  # each laps over the next
    asked = options(
        window="gap", sampling={"read": "frames", "rate": 1.0, "past_label": "half_duration"}, network={"ahead": 2}
    )
    seen = data.samples(rows, np.ones(len(rows), bool), asked)
    nothing = np.zeros((len(seen), 2, 5), np.int64)
    found = list(later_rows(seen, asked, rows, tiny.CLASSES, (1.0,), (nothing, nothing.astype(float))))
    for row in found:
        inside = [i for i in range(len(rows)) if rows.start[i] <= row.end <= rows.end[i]]
        middle = [abs(row.end - (rows.start[i] + rows.end[i]) / 2) for i in inside]
        assert row.label == (tiny.NAMES[rows.action[inside[int(np.argmin(middle))]]] if inside else "")


def test_steps_of_groups_are_as_long_as_the_group(world):
    asked = options(network={"aggregator": "mean", "group": 4, "ahead": 2})
    assert step_seconds(asked) == 4.0
    found = asked_of(world, network={"aggregator": "mean", "group": 4, "ahead": 2})[2]
    assert {round(row.end - row.start, 6) for row in found} == {4.0}


def test_ratios_before_the_window_are_refused():
    with pytest.raises(ValidationError, match="ratios: -2 gaps lie before the window's end"):
        AnticipationTestOptions(ratios=(1.0, -2.0))
    assert AnticipationTestOptions().ratios == (1.0,) and AnticipationTestOptions(ratios=(-999, 0)).ratios == (-999, 0)


# ---------------------------------------------------------------- in the stages


@pytest.fixture
def tested(world, tmp_path):
    """Return a function that tests a checkpoint and gives the outputs; the table of later steps is one of them."""

    def test(model, ratios=(1.0,), **more):
        place = model.parent
        outputs = {"metrics": place / "m.json", "predictions": place / "p.csv", "scores": place / "s.h5"}
        outputs["later"] = place / "later.csv"
        given = {"actions": world.actions, "classes": world.classes, "features": world.features} | more
        wanted = given.pop("options", AnticipationTestOptions(ratios=ratios))
        anticipation_evaluate([model], options=wanted, device="cpu", **given, **outputs)
        return outputs

    return test


def test_students_that_do_not_roll_out_have_a_table_without_rows(train, tested, tmp_path):
    for name, network in (("one", {}), ("mlp", {"head": "mlp", "ahead": 3})):
        model = train(tmp_path / name, options(2, network=network))
        assert tables.read(tested(model)["later"], Later) == []


def test_the_section_lists_the_steps_and_what_was_seen_beside_what_was_done(world, train, tested, tmp_path):
    models = [
        train(tmp_path / name / "seed-0", options(4, network={"ahead": k})) for name, k in (("far", 3), ("near", 1))
    ]
    outputs = [tested(model, (1.0, 3.0)) for model in models]
    rows = tables.read(outputs[0]["later"], Later)
    assert {row.uid for row in rows} == set(world.rows.uid[world.rows.split == "test"]) - {
        str(uid) for uid in world.rows.uid if uid.endswith("#0")
    }
    with shards.writing(tmp_path / "frames.h5", {"store": "raw", "options": "{}"}, frames=True) as writer:
        for video in sorted(set(world.rows.video)):
            writer.add(video, np.zeros((80, 24, 24, 3), np.uint8), np.arange(80) / 4)

    def section(**more):
        anticipation_section(
            models=models,
            histories=[model.parent / "history.csv" for model in models],
            section=tmp_path / "s.json",
            options=AnticipationSectionOptions(videos=2, pairs={"near": "near"}),
            actions=world.actions,
            classes=world.classes,
            frames=[tmp_path / "frames.h5"],
            **{name: [each[name] for each in outputs] for name in ("metrics", "predictions", "scores")},
            **more,
        )
        return sections.read(tmp_path / "s.json").blocks

    blocks = section(later=[each["later"] for each in outputs])
    (table,) = (block for block in blocks if isinstance(block, Table) and block.caption == "Steps that are rolled out")
    assert len(table.rows) == 2 * 3 and {row[1] for row in table.rows} == {"far"}
    assert [row[2] for row in table.rows[:3]] == ["0.0–1.0", "1.0–2.0", "2.0–3.0"]
    assert all(row[3].removeprefix("✓ ") in tiny.NAMES and row[5] in (*tiny.NAMES, "—") for row in table.rows)
    assert all(row[3].startswith("✓ ") == (row[3] == f"✓ {row[5]}") for row in table.rows)
    heading = next(i for i, b in enumerate(blocks) if isinstance(b, Heading) and b.text == "What is expected later")
    assert isinstance(blocks[heading + 1], Figure) and table.rows[0][0] in blocks[heading + 1].alt
    assert not any(isinstance(block, Table) and block.caption == "Steps that are rolled out" for block in section())


def test_students_of_frames_roll_out_by_all_squares(world, train, tested, tmp_path, monkeypatch):
    small = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 8))
    monkeypatch.setitem(backbones.NETWORKS, "vit_b_16", lambda size: small)
    monkeypatch.setitem(backbones.WIDTHS, "vit_b_16", 8)
    rng = np.random.default_rng(0)
    with shards.writing(tmp_path / "frames.h5", {"store": "raw", "options": "{}"}, frames=True) as writer:
        for video in sorted(set(world.rows.video)):
            writer.add(video, rng.integers(0, 256, (80, 18, 24, 3), np.uint8), np.arange(80) / 4)
    asked = options(
        2,
        window="gap",
        sampling={"gap": 0.5, "observed": 2.0, "read": "frames", "steps": 3, "rate": 2.0},
        network={"backbone": "vit_b_16", "size": 16, "ahead": 2},
        losses={"cls_action": 1},
    )
    given = {"features": None, "frames": [tmp_path / "frames.h5"]}
    model = train(tmp_path / "eyes" / "seed-0", asked, teacher=None, **given)
    one = tables.read(tested(model, **given)["later"], Later)
    many = tested(model, options=AnticipationTestOptions(crops=3, mirrored=True), **given)["later"]
    with open(many, newline="") as file:
        assert len(list(csv.DictReader(file))) == len(one)
    assert [row.label for row in tables.read(many, Later)] == [row.label for row in one]
    assert [row.probability for row in tables.read(many, Later)] != [row.probability for row in one]
    assert {row.step for row in one if row.predicted} == {1, 2}

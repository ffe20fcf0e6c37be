"""Steps that a student rolls out, and what was done then."""

import numpy as np
import pytest
import torch
from tests.tasks.anticipation import world as tiny
from tests.tasks.anticipation.world import options

from kinoflow.features.arithmetic import Arithmetic
from kinoflow.report import section as sections
from kinoflow.report.section import Table
from kinoflow.tasks.anticipation import data
from kinoflow.tasks.anticipation.evaluate import anticipation_evaluate
from kinoflow.tasks.anticipation.figures import anticipation_section
from kinoflow.tasks.anticipation.model import Student
from kinoflow.tasks.anticipation.options import AnticipationSectionOptions, AnticipationTestOptions
from kinoflow.tasks.anticipation.rollout import rolled_out
from kinoflow.tasks.anticipation.scoring import Scorer

VIDEO = "v15.mp4"


def told(world, **more):
    """Return the network of these options, its reader, and what it rolls out from the first six seconds of a video."""
    asked = options(**more)
    network = Student(asked.network, tiny.WIDTH, {"action": 6}, 8).eval()
    source = data.source(asked, tiny.CLASSES, world.rows, world.features, None, None)
    reader = data.Reader(source, asked, world.rows, ("action",), False)
    how = Arithmetic(torch.device("cpu"), threads=1)
    return network, reader, rolled_out(Scorer(network, how), reader, VIDEO, 0.0, 6.0)


@pytest.mark.parametrize("steps", [8, 6])  # the window has six: two are filled up behind, or none
def test_every_step_is_classified_as_the_next_action_is(world, steps):
    sampling = {"steps": steps, "step_seconds": 1.0}
    network, reader, found = told(world, sampling=sampling, network={"ahead": 3, "average": 1})
    seen = reader.seen(VIDEO, 0.0, 6.0)
    x = torch.from_numpy(seen.x[None, : seen.length])
    for ahead, step in enumerate(found, 1):
        with torch.no_grad():
            alone = network.head(x, ahead=ahead).future  # the last of so many steps
            assert np.allclose(step.scores, network.told(alone)["action"][0].numpy(), atol=1e-5)
    assert [(step.start, step.end) for step in found] == [(6.0, 7.0), (7.0, 8.0), (8.0, 9.0)]


def test_what_was_done_is_what_most_of_the_step_shows_or_its_frame(world):
    own = world.rows.take(world.rows.video == VIDEO)

    def shown(time: float) -> int:
        inside = (own.start <= time) & (time <= own.end)
        return int(own.action[inside][0]) if inside.any() else -1

    for step in told(world, network={"ahead": 5})[2]:
        fine = [shown(time) for time in np.linspace(step.start, step.end, 2001)]
        counts = {label: fine.count(label) for label in set(fine)}
        assert counts[step.done] >= max(counts.values()) - 80  # as near as frames tell it
    sampling = {"read": "frames", "rate": 2.0, "observed": 6.0}
    single = told(world, window="gap", sampling=sampling, network={"ahead": 5})[2]
    assert [step.end for step in single] == [6.5, 7.0, 7.5, 8.0, 8.5]
    assert [step.done for step in single] == [shown(step.end) for step in single]


def test_heads_that_do_not_roll_out_tell_nothing(world):
    assert told(world)[2] == [] and told(world, network={"head": "mlp"})[2] == []


def test_the_section_lists_the_steps_beside_what_was_done(world, train, tmp_path):
    place = tmp_path / "far" / "seed-0"
    model = train(place, options(4, network={"ahead": 3}))
    outputs = {"metrics": place / "m.json", "predictions": place / "p.csv", "scores": place / "s.h5"}
    given = {"actions": world.actions, "classes": world.classes, "features": world.features}
    anticipation_evaluate([model], options=AnticipationTestOptions(), device="cpu", **given, **outputs)
    anticipation_section(
        models=[model],
        histories=[place / "history.csv"],
        section=tmp_path / "s.json",
        options=AnticipationSectionOptions(videos=2),
        **given,
        **{name: [path] for name, path in outputs.items()},
    )
    blocks = sections.read(tmp_path / "s.json").blocks
    (table,) = (block for block in blocks if isinstance(block, Table) and block.caption == "Steps that are rolled out")
    assert len(table.rows) == 2 * 3 and {row[1] for row in table.rows} == {"far"}
    assert [row[2] for row in table.rows[:3]] == ["0.0–1.0", "1.0–2.0", "2.0–3.0"]
    assert all(row[3].removeprefix("✓ ") in tiny.NAMES and row[5] in (*tiny.NAMES, "—") for row in table.rows)
    assert all(row[3].startswith("✓ ") == (row[3] == f"✓ {row[5]}") for row in table.rows)

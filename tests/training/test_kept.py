"""The last and the best weights are both left, under their names, where there is a validation; those of epochs if asked."""

import pytest
from tests.training.conftest import in_child
from tests.training.test_loop import apart, train, weights
from tests.training.toy import MortalToy, Toy

from kinoflow.training import checkpoint
from kinoflow.training.kept import checkpoints

SCORES = (0.1, 0.7, 0.7, 0.3)


class Scored(Toy):
    def validate(self):
        self.past = [*getattr(self, "past", []), weights(self)]
        return {"score": SCORES[len(self.past) - 1]}


class Blind(Toy):
    def validate(self):
        return None


def left(folder, trainee, place, keep="last"):
    """What is left in ``folder``: {file name: weights}."""
    folder.mkdir(exist_ok=True)
    for path in checkpoints(folder / "model.safetensors", [(trainee.model, place)], keep):
        checkpoint.save(path, trainee.model, {"room": "toy"})
    return {path.relative_to(folder).as_posix(): checkpoint.read(path)[0] for path in folder.rglob("*.safetensors")}


@pytest.mark.parametrize("keep, model, other", [("last", 3, 1), ("best", 1, 3)])
def test_the_other_weights_are_beside_those_that_are_kept(tmp_path, keep, model, other):
    _, trainee = train(tmp_path / "place", Scored(), keep=keep, steps=8, validate_every=2)
    found = left(tmp_path / "run", trainee, tmp_path / "place", keep)
    beside = {"last": "best", "best": "last"}[keep] + ".safetensors"
    assert {*found} == {"model.safetensors", beside}
    for name, number in (("model.safetensors", model), (beside, other)):
        assert apart({key: found[name][key] for key in trainee.past[number]}, trainee.past[number]) == 0
    assert apart(trainee.past[1], trainee.past[3]) > 0


def test_without_a_validation_nothing_is_beside_and_what_an_earlier_training_left_goes(tmp_path):
    (tmp_path / "run").mkdir()
    for name in ("best.safetensors", "last.safetensors"):
        (tmp_path / "run" / name).write_bytes(b"old")
    _, trainee = train(tmp_path / "place", Blind(), steps=4)
    assert [*left(tmp_path / "run", trainee, tmp_path / "place")] == ["model.safetensors"]


def test_models_that_were_trained_one_by_one_are_left_together(tmp_path):
    trainees = [
        train(tmp_path / f"{i}", Scored(noise=noise), steps=8, validate_every=2)[1]
        for i, noise in enumerate((0.1, 0.2))
    ]
    trained, paths = [(trainee.model, tmp_path / f"{i}") for i, trainee in enumerate(trainees)], []
    for path in checkpoints(tmp_path / "m.safetensors", trained, "last"):
        paths.append(path.name)
        for trainee in trainees:
            assert apart(weights(trainee), trainee.past[3 if path.name == "m.safetensors" else 1]) == 0
    assert paths == ["m.safetensors", "best.safetensors"]


STEADY = {"schedule": "constant", "steps": None, "batch": 8}  # four steps an epoch


def test_the_weights_after_every_so_many_epochs_are_those_of_shorter_trainings(tmp_path):
    _, trainee = train(tmp_path / "place", epochs=5, checkpoint_every=2, **STEADY)
    found = left(tmp_path / "run", trainee, tmp_path / "place")
    assert {*found} == {
        "model.safetensors",
        "best.safetensors",
        "checkpoints/epoch_00002.safetensors",
        "checkpoints/epoch_00004.safetensors",
    }
    for epochs in (2, 4):
        _, short = train(tmp_path / f"{epochs}", epochs=epochs, **STEADY)
        wanted, then = weights(short), found[f"checkpoints/epoch_0000{epochs}.safetensors"]
        assert apart({name: then[name] for name in wanted}, wanted) == 0 < apart(then, found["model.safetensors"])


def test_where_the_length_is_in_steps_so_are_the_checkpoints_and_a_later_training_takes_the_earlier_ones_away(tmp_path):
    _, trainee = train(tmp_path / "a", Blind(), steps=7, checkpoint_every=3, log_every=5)
    assert sorted(left(tmp_path / "run", trainee, tmp_path / "a")) == [
        "checkpoints/step_00003.safetensors",
        "checkpoints/step_00006.safetensors",
        "model.safetensors",
    ]
    (tmp_path / "run" / "checkpoints" / "mine.txt").write_text("stays")
    _, trainee = train(tmp_path / "b", Blind(), steps=7)
    assert [*left(tmp_path / "run", trainee, tmp_path / "b")] == ["model.safetensors"]
    (tmp_path / "run" / "checkpoints" / "mine.txt").unlink()
    assert left(tmp_path / "run", trainee, tmp_path / "b") and not (tmp_path / "run" / "checkpoints").exists()


def test_epochs_that_all_of_several_models_have_are_left_together(tmp_path):
    trainees = [
        train(tmp_path / f"{i}", Blind(), epochs=epochs, checkpoint_every=1, **STEADY)[1]
        for i, epochs in enumerate((2, 3))
    ]
    trained = [(trainee.model, tmp_path / f"{i}") for i, trainee in enumerate(trainees)]
    names = [path.name for path in checkpoints(tmp_path / "m.safetensors", trained, "last")]
    assert names == ["m.safetensors", "epoch_00001.safetensors", "epoch_00002.safetensors"]


def numbered(folder, passes=-1, minutes=1e-9):
    trainee = MortalToy()
    trainee.left = passes
    _, trainee = train(folder / "place", trainee, epochs=5, checkpoint_every=1, save_minutes=minutes, **STEADY)
    left(folder / "run", trainee, folder / "place")
    return {path.name: path.read_bytes() for path in (folder / "run").rglob("*.safetensors")}


def test_a_training_that_was_killed_leaves_the_same_bytes(tmp_path):
    for passes in (5, 1, 7):
        assert in_child(numbered, tmp_path / "a", passes) < 0
    found = numbered(tmp_path / "a")
    assert found == numbered(tmp_path / "b") and len(found) == 7

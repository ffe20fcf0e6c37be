"""The last and the best weights are both left, under their names, where there is a validation."""

import pytest
from tests.training.test_loop import apart, train, weights
from tests.training.toy import Toy

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
    return {path.name: checkpoint.read(path)[0] for path in folder.iterdir()}


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

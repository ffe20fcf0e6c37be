"""One length is given, in epochs or in steps; what does not fit together is refused in a sentence."""

import pytest

from kinoflow.errors import ConfigError
from kinoflow.options import check
from kinoflow.training.options import TrainingOptions


class Rooms(TrainingOptions):
    """A room whose trainings are counted in steps."""

    epochs: int | None = None
    steps: int | None = 300


def test_the_length_that_is_given_replaces_the_default():
    assert (TrainingOptions().epochs, TrainingOptions().steps) == (50, None)
    assert (TrainingOptions(steps=7).epochs, TrainingOptions(steps=7).steps) == (None, 7)
    assert (Rooms().steps, Rooms(epochs=2).steps, Rooms(epochs=2).epochs) == (300, None, 2)
    assert TrainingOptions(steps=7, epochs=None).steps == 7


def test_resolved_values_are_read_back_as_they_are():
    for options in (TrainingOptions(steps=7), TrainingOptions(), Rooms()):
        assert type(options).model_validate(options.model_dump(mode="json")) == options


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"steps": 3, "epochs": 4}, "give one of them"),
        ({"epochs": None}, "give one of them"),
        ({"milestones": [40, 20]}, "milestones: they must grow"),
        ({"batch": 2, "accumulate": 3}, "a batch of 2 has no 3 micro batches"),
        ({"nesterov": True, "momentum": 0}, "nesterov"),
        ({"nesterov": True, "optimiser": "adam"}, "nesterov"),
        ({"epochs": 5, "warm_up": 5}, "warm_up"),
        ({"epochs": 5, "start": 5}, "start: a length of 5 ends there"),
        ({"steps": 5, "start": 7}, "start: a length of 5 ends there"),
    ],
)
def test_what_does_not_fit_together_is_refused(values, said):
    with pytest.raises(ConfigError, match=said):
        check(TrainingOptions, values, "training")

"""What the loop promises: the same bytes for the same seed, however a batch is cut and whoever loads it."""

import logging
import os
import re
import signal

import numpy as np
import pytest
import torch
from tests.training.toy import Strays, Toy
from torch import nn

from kinoflow.errors import ConfigError, DataError, KinoflowError
from kinoflow.training.checkpoint import save
from kinoflow.training.groups import Group
from kinoflow.training.loop import fit
from kinoflow.training.options import TrainingOptions


def train(place, trainee=None, seed=0, samples=32, **values):
    """Train for 12 steps of 8 samples; return history and trainee."""
    trainee = trainee or Toy(samples)
    options = TrainingOptions(**({"steps": 12, "batch": 8, "learning_rate": 0.1, "log_every": 4} | values))
    return fit(trainee, options, seed, place, "toy", device="cpu"), trainee


def weights(trainee) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainee.model.state_dict().items()}


def bytes_of(folder, history, trainee) -> list[bytes]:
    save(folder / "model.safetensors", trainee.model, {})
    history.write_csv(folder / "history.csv")
    return [(folder / name).read_bytes() for name in ("model.safetensors", "history.csv")]


def apart(one, other) -> float:
    return max(float((a.double() - b.double()).abs().max()) for a, b in zip(one.values(), other.values(), strict=True))


def test_it_learns(tmp_path):
    history, trainee = train(tmp_path, steps=150, samples=64, batch=16, learning_rate=0.3, log_every=None)
    assert history.rows[-1]["train/loss"] < 0.6 * history.rows[0]["train/loss"]
    assert history.best["value"] > 0.9 and not trainee.model.training


@pytest.mark.parametrize("room", [Toy, Strays])
def test_the_same_seed_gives_the_same_bytes_whatever_was_drawn_before(tmp_path, room):
    found = []
    for name in "ab":
        torch.rand(3)
        np.random.rand(3)
        found.append(bytes_of(tmp_path / name, *train(tmp_path / name, room())))
    assert found[0] == found[1]
    assert found[0] != bytes_of(tmp_path / "c", *train(tmp_path / "c", room(), seed=1))


def test_torchs_global_state_is_left_alone(tmp_path):
    trainee = Strays()
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    train(tmp_path, trainee, threads=2)
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads
    assert not torch.get_deterministic_debug_mode()


@pytest.mark.parametrize("pieces", [2, 3, 8])
def test_micro_batches_add_up_to_the_whole_batch(tmp_path, pieces):
    """8 samples in 3 pieces are 2, 3 and 3: each counts by its samples. Dropout is on: masks know their samples."""
    layers = {"dtype": torch.float64, "norm": False, "dropout": 0.3}
    (whole, one), (cut, other) = (
        train(tmp_path / str(n), Toy(**layers), accumulate=n, optimiser="adam", learning_rate=0.01, weight_decay=0.0)
        for n in (1, pieces)
    )
    assert apart(weights(one), weights(other)) < 1e-12
    for a, b in zip(whole.rows, cut.rows, strict=True):
        assert a["train/loss"] == pytest.approx(b["train/loss"], rel=1e-12)
        assert a["train/top1"] == pytest.approx(b["train/top1"], rel=1e-6)


def test_the_last_batch_of_an_epoch_may_be_smaller(tmp_path):
    history, _ = train(tmp_path, samples=29, drop_last=False, steps=None, epochs=2, log_every=1, accumulate=2)
    assert len(history.rows) == 8
    history, _ = train(tmp_path / "dropped", samples=29, steps=None, epochs=2, log_every=1)
    assert len(history.rows) == 6


def test_worker_processes_change_nothing_but_the_time(tmp_path):
    found = [bytes_of(tmp_path / str(n), *train(tmp_path / str(n), workers=n)) for n in (0, 2)]
    assert found[0] == found[1]


class Broken(Toy):
    """One of its samples cannot be loaded."""

    def load(self, draws):
        if any(draw.sample == 3 for draw in draws):
            raise DataError("video 3 has gone; run the stage frames again")
        return super().load(draws)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_sample_stays_one_sentence(tmp_path, workers):
    with pytest.raises(DataError, match=r"^video 3 has gone; run the stage frames again$"):
        train(tmp_path, Broken(), workers=workers)


@pytest.mark.parametrize("end", [lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: os._exit(1)])
def test_a_worker_process_that_was_killed_is_one_sentence_and_the_same_command_continues(tmp_path, end):
    class Killed(Toy):
        def load(self, draws):
            if mortal and torch.utils.data.get_worker_info() and draws[0].epoch == 1:
                end()
            return super().load(draws)

    mortal = True
    with pytest.raises(KinoflowError, match=r"lower training\.workers; the same command continues"):
        train(tmp_path / "a", Killed(), workers=1)
    mortal = False
    found = [bytes_of(tmp_path / name, *train(tmp_path / name, Killed(), workers=1)) for name in "ab"]
    assert found[0] == found[1]


def test_the_norm_that_is_clipped_is_over_all_parameters_with_a_gradient(tmp_path):
    """Those that no group has count too; the step then is the clipped gradient times the rate."""

    class Half(Toy):
        def __init__(self):
            super().__init__(dtype=torch.float64, norm=False, dropout=0.0)
            named = list(self.model.named_parameters())
            self.groups = [Group("head", [pair for pair in named if pair[0].startswith("6.")])]

        def validate(self):
            self.gradients = {name: p.grad.clone() for name, p in self.model.named_parameters()}

    plain = {"steps": 1, "momentum": 0.0, "weight_decay": 0.0, "learning_rate": 0.5}
    (_, free), (_, clipped) = (train(tmp_path / str(c), Half(), clip=c, **plain) for c in (None, 0.05))
    norm = sum(g.square().sum() for g in free.gradients.values()) ** 0.5
    head = sum(g.square().sum() for n, g in free.gradients.items() if n.startswith("6.")) ** 0.5
    assert norm > 1.01 * head > 0.05
    start = weights(Half())
    for name, before in start.items():
        rate = 0.5 * 0.05 / (norm + 1e-6) if name.startswith("6.") else 0
        torch.testing.assert_close(
            clipped.model.state_dict()[name], before - rate * free.gradients[name], rtol=1e-9, atol=1e-12
        )


def test_rates_of_groups_are_multiples_all_the_way(tmp_path):
    class Two(Toy):
        def __init__(self):
            super().__init__(norm=False)
            named = list(self.model.named_parameters())
            self.groups = [Group("still", named[:2], rate=0.0), Group("head", named[2:], rate=2.0)]

    _, trainee = train(tmp_path, Two())
    start, end = weights(Two()), weights(trainee)
    assert torch.equal(start["0.weight"], end["0.weight"]) and not torch.equal(start["6.weight"], end["6.weight"])


def test_a_room_may_have_an_order_and_a_rate_of_its_own(tmp_path):
    class Own(Toy):
        def __init__(self):
            super().__init__()
            self.seen = []

        def load(self, draws):
            self.seen += [draw.sample for draw in draws]
            return super().load(draws)

        def order(self, epoch, seed):
            return [epoch] * self.samples

        def rate(self, step, plan):
            return 0.5 if step % 2 else None

    history, trainee = train(tmp_path, Own(), log_every=1, schedule="constant")
    assert trainee.seen == [0] * 32 + [1] * 32 + [2] * 32
    assert [row["learning_rate"] for row in history.rows] == [0.1, 0.05] * 6


def test_a_trainee_need_not_have_what_is_optional(tmp_path):
    class Bare:
        def __init__(self):
            toy = Toy()
            self.model, self.groups, self.samples = toy.model, toy.groups, toy.samples
            self.load, self.losses = toy.load, lambda batch: {"loss": toy.losses(batch)["class"]}

    history, _ = train(tmp_path, Bare(), log_every=None)
    assert [row["epoch"] for row in history.rows] == [1, 2, 3]
    assert history.columns() == ["step", "epoch", "learning_rate", "train/loss"] and not history.best


def test_rows_hold_means_over_the_samples_since_the_row_before(tmp_path):
    every, _ = train(tmp_path / "a", samples=29, drop_last=False, log_every=1, validate_every=12)
    few, _ = train(tmp_path / "b", samples=29, drop_last=False, log_every=4, validate_every=12)
    counts = np.array([8, 8, 8, 5] * 3)
    for name in ("train/loss", "train/class", "train/size", "train/top1"):
        single = np.array([row[name] for row in every.rows])
        means = np.add.reduceat(single * counts, [0, 4, 8]) / 29
        assert [row[name] for row in few.rows] == pytest.approx(means, rel=1e-12)


@pytest.mark.parametrize("length, start", [({"steps": 12}, 8), ({"steps": None, "epochs": 3}, 2)])
def test_a_training_that_starts_later_ends_as_the_whole_one_does(tmp_path, length, start):
    # Without momentum all that goes on is in the weights: those after 8 steps, with the draws and rates of the last 4.
    values = {"momentum": 0, "schedule": "cosine", "validate_every": 1} | length
    whole, expected = train(tmp_path / "whole", samples=32, **values)
    cut = {name: start if name in ("steps", "epochs") and value else value for name, value in values.items()}
    _, begun = train(tmp_path / "begun", samples=32, planned=length.get("epochs") or 12, **cut)
    rest, found = train(tmp_path / "rest", begun, start=start, **values)
    assert apart(weights(found), weights(expected)) == 0
    assert [row["step"] for row in rest.rows] == [row["step"] for row in whole.rows if row["step"] > 8]
    assert rest.rows[-1] == whole.rows[-1]


def test_the_best_weights_are_kept_where_that_is_asked_for(tmp_path):
    class Waxing(Toy):
        def validate(self):
            self.past = [*getattr(self, "past", []), weights(self)]
            return {"score": [0.1, 0.7, 0.7, 0.3][len(self.past) - 1]}

    values = {"steps": 8, "validate_every": 2}
    history, last = train(tmp_path / "last", Waxing(), **values)
    assert history.best == {"step": 4, "name": "score", "value": 0.7} and apart(weights(last), last.past[3]) == 0
    _, best = train(tmp_path / "best", Waxing(), keep="best", **values)
    assert apart(weights(best), best.past[1]) == 0 < apart(best.past[1], best.past[3])


def test_the_best_cannot_be_kept_without_a_validation(tmp_path):
    class Blind(Toy):
        def validate(self):
            return None

    with pytest.raises(ConfigError, match="keep: best needs a validation"):
        train(tmp_path, Blind(), keep="best")


class Wild(Toy):
    """Its loss is no number in the seventh step."""

    def losses(self, batch):
        self.steps = getattr(self, "steps", 0) + 1
        found = super().losses(batch)
        return found | {"class": found["class"] * (float("nan") if self.steps == 7 else 1)}


def test_a_loss_that_is_no_number_ends_the_training_and_the_last_good_state_stays(tmp_path):
    with pytest.raises(DataError) as refusal:
        train(tmp_path, Wild(), save_minutes=1e-9)
    said = str(refusal.value)
    assert re.fullmatch(
        r"toy: the loss of step 7 is nan: lower training.learning_rate \(now 0.1\), or lower training.clip \(now 20\);"
        r" the state before it stays in \S+state.pt",
        said,
    )
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["done"] == 6 and all(value.isfinite().all() for value in state["model"].values())


def test_weights_that_are_no_numbers_are_never_saved(tmp_path):
    class Quiet(Toy):
        def losses(self, batch):
            for parameter in self.model.parameters():
                parameter.register_hook(lambda g: g * float("inf"))
            return super().losses(batch)

    with pytest.raises(DataError, match="the weights after step 1 are no finite numbers: lower"):
        train(tmp_path, Quiet(), save_minutes=1e-9, clip=None)
    assert not (tmp_path / "state.pt").exists()


class Spiked(Toy):
    """The gradients of batches with some of the draws are no numbers, though the loss is one."""

    bad = frozenset({(0, 8), (0, 16), (2, 0)})  # epoch and first position of the batch

    def load(self, draws):
        return super().load(draws) | {"bad": torch.tensor((draws[0].epoch, draws[0].position) in self.bad)}

    def losses(self, batch):
        found = super().losses(batch)
        if batch["bad"]:
            found["class"].register_hook(lambda gradient: gradient * float("nan"))
        return found


@pytest.mark.parametrize("optimiser", ["sgd", "adam", "adamw"])
def test_a_step_whose_gradient_is_no_number_is_skipped_and_counted(tmp_path, caplog, optimiser):
    more = {"clip": 20, "optimiser": optimiser, "learning_rate": 0.01, "log_every": 1}
    _, two = train(tmp_path / "two", Spiked(norm=False), steps=3, **more)
    _, one = train(tmp_path / "one", Spiked(norm=False), steps=1, **more)
    assert apart(weights(one), weights(two)) == 0  # the second and the third step changed nothing
    history, whole = train(tmp_path / "all", Spiked(norm=False), **more)
    assert all(value.isfinite().all() for value in weights(whole).values())
    assert [row.get("train/skipped") for row in history.rows] == [None, 1, *[2] * 6, *[3] * 4]
    assert "toy: 3 steps so far are skipped: their gradients are no finite numbers" in caplog.text


def test_without_such_a_step_nothing_is_counted(tmp_path, caplog):
    history, _ = train(tmp_path, clip=20)
    assert "train/skipped" not in history.columns() and "skipped" not in caplog.text


def test_many_such_steps_in_a_row_end_the_training(tmp_path):
    class Broken(Spiked):
        bad = frozenset({(epoch, position) for epoch in range(1, 9) for position in range(0, 32, 8)})

    with pytest.raises(
        DataError, match="toy: the gradients of the last 10 steps are no finite numbers: lower training"
    ):
        train(tmp_path, Broken(), clip=20, steps=30, save_minutes=1e-9)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["done"] == 13


def test_bfloat16_works_on_a_processor(tmp_path):
    history, trainee = train(tmp_path, precision="bfloat16", steps=60, learning_rate=0.3)
    assert history.rows[-1]["train/loss"] < history.rows[0]["train/loss"]
    assert trainee.logits.dtype == torch.bfloat16 and next(trainee.model.parameters()).dtype == torch.float32


def test_float16_is_refused_on_a_processor(tmp_path):
    with pytest.raises(ConfigError, match=r"^training.precision: float16 is for CUDA.* take bfloat16$"):
        train(tmp_path, precision="float16")


def test_a_device_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no cuda:99 on this machine"):
        fit(Toy(), TrainingOptions(steps=1, batch=8), 0, tmp_path, "toy", device="cuda:99")
    with pytest.raises(ConfigError, match="'tpu!' is no device"):
        fit(Toy(), TrainingOptions(steps=1, batch=8), 0, tmp_path, "toy", device="tpu!")


def test_names_of_losses_and_scores_must_not_clash(tmp_path):
    class Clash(Toy):
        def scores(self, batch):
            return {"class": 1.0}

    with pytest.raises(ValueError, match="each its own"):
        train(tmp_path, Clash())


def test_it_says_the_learning_rate_in_force_and_where_it_is(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="kinoflow")
    train(tmp_path, lr_at_batch=64)
    assert "toy: 32 samples, 12 steps of 8, learning rate 0.0125 (0.1 for 64)" in caplog.text
    assert "toy: step 4 of 12: top1 0." in caplog.text and "12 steps in" in caplog.text


def test_a_frozen_parameter_and_one_without_gradient_stay_as_they_are(tmp_path):
    class Part(Toy):
        def __init__(self):
            super().__init__()
            self.model.register_parameter("unused", nn.Parameter(torch.ones(3)))
            self.model[0].weight.requires_grad_(False)
            self.groups = [Group("all", list(self.model.named_parameters()))]

    _, trainee = train(tmp_path, Part(), weight_decay=0.1)
    assert (
        torch.equal(trainee.model.unused, torch.ones(3))
        and apart({"": trainee.model[0].weight}, {"": Part().model[0].weight}) == 0
    )


def test_a_parameter_outside_the_model_is_a_bug(tmp_path):
    trainee = Toy()
    trainee.groups = [*trainee.groups, Group("teacher", [("attention", nn.Parameter(torch.ones(3)))])]
    with pytest.raises(ValueError, match="the parameter attention is in a group, but not in the model"):
        train(tmp_path, trainee)

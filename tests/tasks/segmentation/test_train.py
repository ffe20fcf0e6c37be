"""Training: the golden loop, every way to learn, what is written down, and that a killed training ends alike."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.conftest import ROOT
from tests.tasks import together
from tests.tasks.segmentation import tiny

from kinoflow.errors import ConfigError, DataError
from kinoflow.store.tables import read_csv
from kinoflow.tasks.segmentation import initial
from kinoflow.tasks.segmentation import train as stage
from kinoflow.tasks.segmentation.batches import first_videos
from kinoflow.tasks.segmentation.data import Item, read_films
from kinoflow.tasks.segmentation.evaluate import segmentation_evaluate
from kinoflow.tasks.segmentation.labels import Vocabulary
from kinoflow.tasks.segmentation.model import SegmentModel
from kinoflow.tasks.segmentation.options import SegmentationOptions, SegmentationTestOptions
from kinoflow.tasks.segmentation.parts import Parts, parted
from kinoflow.tasks.segmentation.train import StepTraining
from kinoflow.tasks.segmentation.trained import read_checkpoint
from kinoflow.training import checkpoint
from kinoflow.training.loop import fit

NAMES = {
    "init_logits": "initial_logits",
    "poisson_log_rates": "log_rates",
    "gaussian_means": "means",
    "gaussian_std": "deviations",
    "transition_embs_left": "source",
    "transition_embs_right": "target",
    "projection_matrix": "projection",
}


def history(path):
    rows = [row for _, row in read_csv(path.parent / "history.csv", ())]
    return [{name: float(text) for name, text in row.items() if text} for row in rows]


class Watched(StepTraining):
    """A training that writes down what each mini-batch costs."""

    def load(self, draws):
        return super().load(draws) | {"epoch": draws[0].epoch}

    def losses(self, batch):
        found = super().losses(batch)
        self.costs = getattr(self, "costs", [])
        self.costs.append((batch["epoch"], self.said["nats"] * batch["count"], self.said["rows"] * batch["count"]))
        return found


@pytest.fixture(scope="module")
def golden():
    found = dict(np.load(ROOT / "tests/golden/lhsmm/train_loop.npz"))
    rows = {tuple(key.split("__")[1:]): found[key] for key in found if key.startswith("features__")}
    return found, rows


def golden_training(golden, epochs):
    """Return the training of the golden file, in double precision."""
    found, rows = golden
    model = SegmentModel(
        int(found["num_states"]), 5, rank=int(found["rank"]), longest=int(found["max_span_length"])
    ).double()
    with torch.no_grad():
        for theirs, ours in NAMES.items():
            getattr(model, ours).copy_(torch.from_numpy(found[f"init_{theirs}"]))
    options = SegmentationOptions.model_validate(
        {
            "batches": {"videos": int(found["batch_size"]), "order": "original", "carry": True},
            "begin": {"means": "mean", "rows": "original"},
            "training": {
                "epochs": epochs,
                "batch": int(found["batch_accumulation"]),
                "learning_rate": float(found["lr"]),
                "clip": float(found["max_grad_norm"]),
            },
        }
    )
    items = [
        Item(video, task, "", "train", np.arange(len(x)), np.arange(len(x)) + 0.5, np.zeros((len(x), 1), int), ())
        for (task, video), x in rows.items()
    ]
    films = SimpleNamespace(rows=lambda item: rows[item.task, item.video], vocabulary=Vocabulary({}), windows={})
    chosen = first_videos([item.key for item in items])
    means, deviations = initial.gaussians([films.rows(items[n]) for n in chosen], 6, "mean", 0)
    model.start_emissions(torch.from_numpy(means), torch.from_numpy(deviations))
    return Watched(model, films, Parts(items, [], []), options, seed=0), options.training.model_copy(
        update={"drop_last": True}
    )


@pytest.mark.parametrize("epochs", [1, 3])
def test_the_golden_training_is_repeated(golden, tmp_path, epochs):
    trainee, training = golden_training(golden, epochs)
    fit(trainee, training, 0, tmp_path, "golden", device="cpu")
    for theirs, ours in NAMES.items():
        wanted = golden[0][f"epoch{epochs - 1}_{theirs}"]
        value = getattr(trainee.model, ours).detach().numpy()
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max(), err_msg=theirs)


def test_the_golden_losses_are_those_of_whole_epochs(golden, tmp_path):
    trainee, training = golden_training(golden, 3)
    fit(trainee, training, 0, tmp_path, "golden", device="cpu")
    costs = trainee.costs
    # What is left over counts in the first step of the next epoch, before anything has changed; so the epochs are cut anew.
    whole = sum(nats for epoch, nats, _ in costs)
    last = trainee.load([SimpleNamespace(epoch=3, position=0, sample=0)])["batches"][
        0
    ]  # the mini-batch that no step follows
    with torch.no_grad():
        whole += float(stage.losses_of_videos(trainee.model, last, "unsupervised").sum())
    assert whole == pytest.approx(float(golden[0]["train_loss_per_video"].sum() * 5), rel=1e-5)
    rows = sum(len(x) for x in golden[1].values())
    assert whole / rows == pytest.approx(float(golden[0]["train_nll_per_frame"].sum()), rel=1e-5)


# ---------------------------------------------------------------- all ways to learn


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"model": {"states": 5, "rank": None}},
        {"model": {"states": 5, "rank": 2, "duration": "geometric"}},
        {"models": "per_task"},
        {"begin": {"means": "kmeans"}},
        {"begin": {"means": "mean", "rows": "original"}},
        {"related": ["related"], "limit": 2},
        {"cross_validation": {"videos": 3}},
        {"batches": {"how": "drawn"}, "training": {"batch": 2}},
        {"rows": {"blocks": ["b"], "subsample": 2, "downscale": 2.0, "permute": 1}},
        {**tiny.LABELLED, "learn": "closed_form"},
        {**tiny.LABELLED, "learn": "closed_form", "models": "per_task"},
        {**tiny.LABELLED, "learn": "gradient"},
        {"model": {"states": 0, "rank": 3}, "learn": "discriminative", "batches": {"by_task": True}},
        {**tiny.LABELLED, "learn": "closed_then_gradient"},
        {**tiny.LABELLED, "constraints": {"ordering": "video"}},
        {"model": {"states": 0}, "constraints": {"narration": "drawn"}, "batches": {"by_task": True}},
        {
            **tiny.LABELLED,
            "labels": {"background": "previous"},
            "constraints": {"ordering": "task", "narration": "drawn"},
        },
        {
            **tiny.LABELLED,
            "labels": {"background": "removed", "task_specific": True},
            "constraints": {"ordering": "task"},
        },
    ],
    ids=str,
)
def test_every_way_of_learning_ends_with_a_usable_checkpoint(train, films, tmp_path, more):
    path = train(tmp_path / "r" / "seed-0", tiny.options(**{"training": {"epochs": 2}, **more}), steps=films.steps)
    trained = read_checkpoint(path)
    assert not (path.parent / ".work").exists()
    assert all(torch.isfinite(p).all() for model in trained.models.values() for p in model.parameters())
    rows = history(path)
    assert all(np.isfinite(value) for row in rows for value in row.values())


def test_likelihood_grows_and_the_history_says_so(unlabelled):
    rows = history(unlabelled)
    assert len(rows) == 3 and rows[-1]["validation/nll_per_row"] < rows[0]["validation/nll_per_row"]
    wanted = {"train/nll_per_row", "train/nll_per_video", "train/parameter_norm", "validation/gradient_norm"}
    assert wanted | {"learning_rate", "validation/nll_per_video"} <= set(rows[-1])
    assert all(row["validation/gradient_norm"] > 0 for row in rows)


@pytest.mark.parametrize("how", [{}, {"models": "per_task"}, {**tiny.LABELLED, "learn": "closed_form"}], ids=str)
def test_followed_videos_are_written_down_after_each_epoch_and_choose_nothing(train, tmp_path, how):
    keep = {"training": {"keep": "last" if "learn" in how else "best"}}
    free = train(tmp_path / "a" / "seed-0", tiny.options(**how, **keep))
    path = train(tmp_path / "b" / "seed-0", tiny.options(**how, **keep, follow_on=["test"]))
    tensors, others = checkpoint.read(path)[0], checkpoint.read(free)[0]
    assert all(torch.equal(tensors[name], others[name]) for name in others)
    named = {"followed/nll_per_row", "followed/nll_per_video"}
    rows = history(path)
    told = [{name: row.pop(name) for name in named} for row in rows]
    assert rows == history(free) and all(np.isfinite(value) for row in told for value in row.values())


def test_the_last_likelihood_of_followed_videos_is_that_of_the_test(train, films, tmp_path):
    path = train(tmp_path / "a" / "seed-0", tiny.options(follow_on=["test"]))
    out = [tmp_path / name for name in ("metrics.json", "predictions.csv")]
    of = films.tables | {"features": films.features, "options": SegmentationTestOptions(by_task=False)}
    segmentation_evaluate(path, **of, metrics=out[0], predictions=out[1])
    tested = json.loads(out[0].read_bytes())["nll"]["per_row"]
    assert history(path)[-1]["followed/nll_per_row"] == pytest.approx(tested, rel=1e-5)


def test_videos_of_a_draw_that_are_tested_can_be_followed(films):
    options = tiny.options(cross_validation={"videos": 3}, follow_on=["train"], hold_out=[])
    read = read_films(**films.tables, features=films.features, rows=options.rows, labels=options.labels)
    parts = parted(read, options)
    assert {item.video for item in parts.followed} == {item.video for item in parts.test} and parts.test


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(train, unlabelled, tmp_path):
    again = train(tmp_path / "a" / "seed-0", tiny.options())
    assert again.read_bytes() == unlabelled.read_bytes()
    assert (again.parent / "history.csv").read_bytes() == (unlabelled.parent / "history.csv").read_bytes()
    assert train(tmp_path / "b" / "seed-1", tiny.options(), seed=1).read_bytes() != unlabelled.read_bytes()


class KilledError(BaseException):
    pass


@pytest.mark.parametrize("models, kills", [("mixed", (3, 2)), ("per_task", (2, 2, 2))])
def test_a_killed_training_ends_with_the_same_bytes(train, tmp_path, monkeypatch, models, kills):
    options = tiny.options(
        models=models, batches={"how": "drawn", "videos": 2}, training={"batch": 2, "save_minutes": 1e-9, "epochs": 2}
    )
    whole = train(tmp_path / "whole" / "seed-0", options)
    honest, left = StepTraining.losses, [0]

    def killed(self, batch):
        left[0] -= 1
        if left[0] == 0:
            raise KilledError
        return honest(self, batch)

    monkeypatch.setattr(StepTraining, "losses", killed)
    folder = tmp_path / "killed" / "seed-0"
    for steps in kills:
        left[0] = steps
        with pytest.raises(KilledError):
            train(folder, options)
        assert (folder / ".work").is_dir() and not (folder / "model.safetensors").exists()
    monkeypatch.undo()
    again = train(folder, options)
    assert again.read_bytes() == whole.read_bytes()
    assert (folder / "history.csv").read_bytes() == (whole.parent / "history.csv").read_bytes()


def test_two_processes_train_the_model_of_the_embedded_study_as_one_does(train, tmp_path, port):
    """Three mini-batches an epoch, two a step: every second step has one, and the second process none."""
    other = {"batches": {"videos": 4}, "rows": {"subsample": 1}}
    wanted = together.brief(SegmentationOptions, together.study().segmentation["states32"], 2, **other)
    together.trains_alike(tmp_path, port, stage, lambda folder: train(folder, wanted))


def test_leftover_mini_batches_are_a_step_or_are_carried_over(train, tmp_path):
    base = {"batches": {"videos": 2}, "training": {"batch": 2, "epochs": 2}}
    step = history(train(tmp_path / "a" / "seed-0", tiny.options(**base)))
    carry = base | {"batches": {"videos": 2, "carry": True}}
    carried = history(train(tmp_path / "b" / "seed-0", tiny.options(**carry)))
    assert step[-1]["step"] > carried[-1]["step"] and carried[-1]["step"] % 2 == 0


def test_what_is_best_on_validation_is_kept(train, tmp_path):
    path = train(tmp_path / "a" / "seed-0", tiny.options(training={"keep": "best", "learning_rate": 0.3, "epochs": 4}))
    assert checkpoint.read(path)[1]["room"] == "segmentation"


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "more, error, said",
    [
        ({"model": {"states": 500}}, DataError, "rows to train on, but 500 states"),
        ({"rows": {"blocks": ["c"]}}, ConfigError, "has no block 'c'"),
        ({"train_on": ["nowhere"]}, ConfigError, "no video with features is in the split 'nowhere'"),
        ({"hold_out": ["nobody"]}, ConfigError, "no training video is of the recording 'nobody'"),
        ({"hold_out": [f"person{k}" for k in range(3)]}, ConfigError, "no video is left to train on"),
        ({"cross_validation": {"videos": 30}}, ConfigError, "no task has more videos than are trained on"),
        ({**tiny.LABELLED, "constraints": {"narration": "table"}}, ConfigError, "table of windows is missing"),
        ({"test": {"constraints": {"ordering": "video"}}}, ConfigError, "states stand for no labels"),
        ({"hold_out": [], "hold_out_share": 0, "training": {"keep": "best"}}, ConfigError, "best needs a validation"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_said_in_a_sentence(train, tmp_path, more, error, said):
    with pytest.raises(error, match=said):
        train(tmp_path / "r" / "seed-0", tiny.options(**more))


@pytest.mark.parametrize(
    "values, said",
    [
        ({"learn": "closed_form"}, "is for dense models"),
        ({"learn": "gradient", "model": {"states": 8}}, "a state for each label: set 0"),
        ({"constraints": {"ordering": "task"}}, "needs a background class after each step"),
        ({"learn": "gradient", "constraints": {"ordering": "video"}}, "labels say the order already"),
        ({"related": ["related"], "learn": "gradient"}, "videos of other tasks have no labels"),
        ({"validate_on": ["test"]}, "what is tested must choose nothing"),
        ({"training": {"precision": "bfloat16"}}, "need float32"),
    ],
    ids=str,
)
def test_options_that_do_not_fit_are_refused(values, said):
    with pytest.raises(ValueError, match=said):
        SegmentationOptions.model_validate(values)


def test_features_that_are_no_numbers_are_found_before_anything_is_trained(train, films, tmp_path):
    broken = tiny.make(tmp_path / "films")
    rows = {v: np.array(s.rows(v)) for s in map(stage_shard, broken.features) for v in s.videos}
    rows["test00.npy"][3, 2] = np.nan
    tiny.write_features(broken.folder, rows)
    with pytest.raises(DataError, match=r"'test00\.npy' are not finite in row 3"):
        train(tmp_path / "r" / "seed-0", tiny.options(), of=broken)


def stage_shard(path):
    from kinoflow.store.shards import Shard

    return Shard(path)


def test_videos_without_labels_are_trained_on_only_where_labels_are_not_needed(train, tmp_path, caplog):
    caplog.set_level("WARNING", logger="kinoflow")
    train(tmp_path / "a" / "seed-0", tiny.options(training={"epochs": 1}))
    assert "no labels" not in caplog.text
    train(tmp_path / "b" / "seed-0", tiny.options(**tiny.LABELLED, learn="closed_form"))
    assert "1 videos have no labels and are not trained on: 'train09.npy'" in caplog.text


def test_a_golden_checkpoint_says_all_that_is_needed(unlabelled):
    about = checkpoint.read(unlabelled)[1]
    assert json.loads(json.dumps(about)) == about and about["dataset"] == "tiny" and about["seconds"] == 0.5
    trained = read_checkpoint(unlabelled)
    assert trained.states == 5 and not trained.labelled and trained.columns.tolist() == list(range(6))
    assert set(trained.counts) == {"coffee", "tea"}

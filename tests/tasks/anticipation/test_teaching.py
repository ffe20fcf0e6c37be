"""Training with what teachers say: records, those that are missing, several of them."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tests.tasks.anticipation import world as tiny
from tests.tasks.anticipation.world import about, options, plan_of, trainee

from kinoflow.errors import ConfigError, DataError
from kinoflow.tasks.anticipation.planning import network
from kinoflow.tasks.anticipation.records import read_records, write_records
from kinoflow.tasks.anticipation.scoring import read_checkpoint
from kinoflow.tasks.anticipation.teaching import taught
from kinoflow.training.draws import Draw

FEW = 3  # steps where nothing need be learned


def same(a, b):
    """Whether two checkpoints hold the same weights to the bit."""
    ours, theirs = load_file(a), load_file(b)
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)


def part_of(world, folder, keep):
    """Records of some actions alone."""
    found = read_records(world.teacher)
    told = {uid: found.logits[i] for i, uid in enumerate(found.uids) if keep(i)}
    write_records(folder / "part.h5", tiny.records(told))
    return folder / "part.h5"


def test_with_all_records_missing_the_weights_are_those_of_no_teacher(world, train, tmp_path):
    nothing = part_of(world, tmp_path, lambda i: False)
    without = train(tmp_path / "a", options(8, losses={"cls_action": 1, "past_cls_action": 0.5}), teacher=None)
    zero = train(tmp_path / "b", options(8, losses={"cls_action": 1, "past_cls_action": 0.5, "distill": 0}))
    missing = train(tmp_path / "c", options(8, max_missing_records=1), teacher=[nothing])
    assert same(without, zero) and same(without, missing)
    assert about(missing)["teaching"]["missing"] == 84
    assert not same(without, train(tmp_path / "d", options(8)))


def test_missing_records_are_counted_masked_and_too_many_are_refused(world, tmp_path):
    some = part_of(world, tmp_path, lambda i: i % 3)
    with pytest.raises(DataError, match=r"28 of 84 training actions have no record, '\S+' for example; .*now 0.05"):
        trainee(world, options(), some)
    with_some = trainee(world, options(max_missing_records=0.5), some)
    assert with_some.plan.teaching.missing == 28
    with_some.model.eval()
    batch = with_some.load([Draw(n, 0, n, 0) for n in range(84)])
    with torch.no_grad():
        found = with_some.losses(batch)["distill"]
        batch["teacher"][~batch["there"]] = 7  # whatever stands there
        assert torch.equal(with_some.losses(batch)["distill"], found)
        assert found > 0


def test_the_uids_of_records_are_looked_up_as_texts(world):
    found = taught([world.teacher], ["v00.mp4#1", "nowhere"], tiny.CLASSES, 0.5)
    assert found.there.tolist() == [True, False] and not found.scores[1].any()


def test_the_shuffled_control_hands_the_same_records_round(world):
    uids = [str(uid) for uid in world.rows.uid]
    plain, shuffled = (taught([world.teacher], uids, tiny.CLASSES, 0, shuffle) for shuffle in (None, 5))
    rank = lambda found: sorted(map(tuple, found.scores[:, 0].tolist()))  # noqa: E731
    assert rank(plain) == rank(shuffled) and not np.array_equal(plain.scores, shuffled.scores)


def test_several_teachers_are_weighed_by_an_attention_that_learns(world, train, tmp_path):
    losses = {"cls_action": 1, "ens_distill": 1}
    path = train(tmp_path, options(FEW, losses=losses, network={"width": 16}), teacher=[world.teacher] * 3)
    found = load_file(path)
    first = network(plan_of(world, options(losses=losses)), 0).state_dict()
    assert not np.array_equal(found["attention.in_proj_weight"], first["attention.in_proj_weight"].numpy())
    assert read_checkpoint(path).network  # the attention is no part of what is used


def test_the_heads_of_the_attention_may_be_set(world):
    wanted = options(losses={"cls_action": 1, "ens_distill": 1}, distill={"heads": 1})
    assert network(plan_of(world, wanted), 0)["attention"].heads == 1


def test_records_of_another_dataset_are_refused(world, train, tmp_path):
    names = (*tiny.NAMES[:-1], "fry egg")
    write_records(tmp_path / "other.h5", tiny.records({"a": np.zeros(6)}, names))
    with pytest.raises(DataError, match="these records are of tiny with 6 classes .*'fry egg' is not among them"):
        train(tmp_path, options(FEW), teacher=[tmp_path / "other.h5"])


def test_two_records_need_the_attention_and_widths_must_agree(world, train, tmp_path):
    with pytest.raises(ConfigError, match="several records are for the loss ens_distill"):
        train(tmp_path, options(FEW), teacher=[world.teacher] * 2)
    with pytest.raises(ConfigError, match="distill.heads: 3 do not divide the 8 columns"):
        wanted = options(FEW, losses={"cls_action": 1, "ens_distill": 1}, distill={"heads": 3})
        train(tmp_path, wanted, teacher=[world.teacher] * 2)
    write_records(tmp_path / "wide.h5", tiny.records({str(u): np.zeros(6) for u in world.rows.uid}, width=20))
    with pytest.raises(ConfigError, match="student's features have 8 columns, the teacher's 20"):
        train(tmp_path, options(FEW, losses={"distill_feat": 1}), teacher=[tmp_path / "wide.h5"])

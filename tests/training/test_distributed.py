"""Several processes compute what one does: real processes that speak over the loopback (gloo)."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from tests.conftest import ROOT
from tests.training.conftest import in_team
from tests.training.test_loop import apart, bytes_of, train, weights
from tests.training.toy import SIZE, Toy
from torch import nn

from kinoflow.errors import KinoflowError
from kinoflow.training import loop
from kinoflow.training.distributed import Team
from kinoflow.training.gather import gathered, spread
from kinoflow.training.norm import SyncNorm, ghost, synchronised
from kinoflow.training.options import TrainingOptions

EXACT = {"steps": 20, "learning_rate": 0.05, "dtype": torch.float64, "log_every": 1}


class Watched(Toy):
    """Keeps the gradients of its last step."""

    def validate(self):
        self.gradients = {name: p.grad.clone() for name, p in self.model.named_parameters()}
        return super().validate()


def work(place, values):
    """Train as one of several processes; the first leaves weights, gradients and history."""
    values = dict(values)
    trainee = Watched(values.pop("samples", 32), values.pop("dtype", torch.float32))
    history, _ = train(place, trainee, **values)
    if os.environ.get("RANK", "0") == "0":
        torch.save(
            {"weights": weights(trainee), "gradients": trainee.gradients, "rows": history.rows}, place / "result.pt"
        )
    elif "RANK" in os.environ:
        torch.save(weights(trainee), place / f"weights-{os.environ['RANK']}.pt")


def alone_and_together(tmp_path, port, size, values):
    """Return the results of one process and of ``size`` processes."""
    for name in ("one", "all"):
        (tmp_path / name).mkdir()
    work(tmp_path / "one", values)
    assert in_team(size, port, work, tmp_path / "all", values) == [0] * size
    return [torch.load(tmp_path / name / "result.pt", weights_only=True) for name in ("one", "all")]


def test_two_processes_with_half_the_batch_each_train_what_one_does(tmp_path, port):
    one, two = alone_and_together(tmp_path, port, 2, EXACT)
    assert apart(one["weights"], two["weights"]) < 1e-8
    for a, b in zip(one["rows"], two["rows"], strict=True):
        assert {k: float(v) for k, v in a.items()} == pytest.approx({k: float(v) for k, v in b.items()}, rel=1e-6)
        assert a["train/loss"] == pytest.approx(b["train/loss"], rel=1e-8)
    assert apart(two["weights"], torch.load(tmp_path / "all" / "weights-1.pt", weights_only=True)) == 0


def test_in_float32_loss_and_gradients_of_the_first_step_agree(tmp_path, port):
    one, two = alone_and_together(tmp_path, port, 2, {"steps": 1, "clip": None})
    assert one["rows"][0]["train/loss"] == pytest.approx(two["rows"][0]["train/loss"], rel=1e-5)
    for name, gradient in one["gradients"].items():
        assert float((gradient - two["gradients"][name]).abs().max()) <= 1e-5 * float(gradient.abs().max())


def test_processes_without_a_sample_take_part_all_the_same(tmp_path, port):
    """33 samples in batches of 8: the last batch of an epoch is one sample, for three processes."""
    values = EXACT | {"samples": 33, "drop_last": False}
    one, three = alone_and_together(tmp_path, port, 3, values)
    assert apart(one["weights"], three["weights"]) < 1e-8
    assert one["rows"][4]["train/loss"] == pytest.approx(three["rows"][4]["train/loss"], rel=1e-8)


def test_processes_that_have_nothing_to_do_are_told_of(tmp_path, caplog):
    crowd = Team(0, 9)
    told = loop._Training(Toy(), TrainingOptions(batch=8), 0, tmp_path, "train", torch.device("cpu"), crowd, None)
    with caplog.at_level("WARNING", "kinoflow"):
        told._say_rate()
    assert "so 1 of 9 processes have nothing to do" in caplog.text


def test_the_other_processes_begin_with_the_firsts_weights(tmp_path, port):
    def strange(place):
        trainee = Toy()
        if os.environ["RANK"] == "1":
            nn.init.ones_(trainee.model[0].weight)
        train(place, trainee)
        torch.save(weights(trainee), place / f"{os.environ['RANK']}.pt")

    assert in_team(2, port, strange, tmp_path) == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert apart(first, second) == 0


@pytest.mark.parametrize("killed", ["01", "0", "1"])
def test_a_team_of_which_some_were_killed_is_continued_by_the_same_command(tmp_path, port, killed):
    class Mortal(Toy):
        passes = 0

        def losses(self, batch):
            self.passes += 1
            if self.passes == 17 and os.environ["RANK"] in killed:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().losses(batch)

    def go(place, room):
        try:
            history, trainee = train(place / "place", room(), steps=24, save_minutes=1e-9, keep="best")
        except KinoflowError as error:
            assert "another process of this training has ended" in str(error)
            os._exit(1)
        if os.environ["RANK"] == "0":
            bytes_of(place, history, trainee)

    for name in "ab":
        (tmp_path / name).mkdir()
    ends = [-signal.SIGKILL if rank in killed else 1 for rank in "01"]
    assert in_team(2, port, go, tmp_path / "b", Mortal) == ends
    assert torch.load(tmp_path / "b" / "place" / "state.pt", weights_only=True)["done"] == 16
    for name in "ab":
        assert in_team(2, port, go, tmp_path / name, Toy) == [0, 0]
    for file in ("model.safetensors", "history.csv"):
        assert (tmp_path / "b" / file).read_bytes() == (tmp_path / "a" / file).read_bytes()


def summed(place):
    import torch.distributed as dist

    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo")
    torch.manual_seed(rank)
    model = nn.ModuleDict({"both": nn.Conv2d(2, 3, 3), "second": nn.Linear(2, 2), "none": nn.Linear(2, 2)}).double()
    model["both"].to(memory_format=torch.channels_last)
    weight = model["both"].weight
    Team(rank, 2).agree(model)
    values = [torch.zeros_like(weight) for _ in range(2)]
    dist.all_gather(values, weight.detach())
    assert torch.equal(*values) and not weight.is_contiguous()
    weight.grad = torch.empty_like(weight).copy_(rank + torch.arange(54.0).view(3, 2, 3, 3))
    if rank == 1:
        model["second"].weight.grad = torch.ones(2, 2, dtype=torch.float64)
    Team(rank, 2).sum_gradients(list(model.parameters()))
    assert torch.equal(weight.grad, 1.0 + 2 * torch.arange(54.0, dtype=torch.float64).view(3, 2, 3, 3))
    assert weight.grad.stride() == weight.stride()
    assert torch.equal(model["second"].weight.grad, torch.ones(2, 2, dtype=torch.float64))
    assert model["none"].weight.grad is None and model["both"].bias.grad is None
    dist.destroy_process_group()


def test_gradients_are_summed_whatever_their_memory_format_and_whoever_has_one(tmp_path, port):
    assert in_team(2, port, summed, tmp_path) == [0, 0]


def compared():
    import torch.distributed as dist

    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo")
    whole = torch.arange(6.0, dtype=torch.float64).view(3, 2)
    own = whole[(slice(0, 2), slice(2, 3), slice(0, 1))[rank]].clone().requires_grad_()
    with ghost(rank == 2):
        rows = gathered(own)
        (rows @ rows.T).sin().sum().mul((2, 1, 0)[rank] / 3).backward()  # as the loop weighs a mean over 3 samples
    alone = whole.clone().requires_grad_()
    (alone @ alone.T).sin().sum().backward()
    assert torch.equal(rows, whole)
    torch.testing.assert_close(own.grad, (alone.grad[:2], alone.grad[2:], torch.zeros_like(own))[rank])
    dist.destroy_process_group()


def test_samples_are_compared_with_those_of_all_processes_but_not_with_what_does_not_count(port):
    assert in_team(3, port, compared) == [0, 0, 0]


def shared():
    import torch.distributed as dist

    dist.init_process_group("gloo")
    rank, done = int(os.environ["RANK"]), []
    for count in (0, 1, 2, 7):
        assert spread(range(count), lambda n: done.append(n) or torch.full((n, 2), n)) is not None
        found = spread(range(count), lambda n: torch.full((n, 2), n))
        assert [x.tolist() for x in found] == [[[n, n]] * n for n in range(count)]
    assert done == [n for count in (0, 1, 2, 7) for n in range(rank, count, 2)]
    dist.destroy_process_group()


def test_work_is_shared_and_all_hear_of_all_results(port):
    assert spread("abc", str.upper) == ["A", "B", "C"]
    assert in_team(2, port, shared) == [0, 0]


def test_torchrun_starts_it(tmp_path):
    script = tmp_path / "stage.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom tests.training.test_distributed import EXACT, work\n"
        "work(Path(sys.argv[1]), EXACT)\n"
    )
    (tmp_path / "one").mkdir()
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    words = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        str(script),
        str(tmp_path),
    ]
    run = subprocess.run(words, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    work(tmp_path / "one", EXACT)
    both = [torch.load(place / "result.pt", weights_only=True)["weights"] for place in (tmp_path, tmp_path / "one")]
    assert apart(*both) < 1e-8


def norms(place, port):
    """In each process: outputs, gradients and statistics of synchronised norms, for its part of the rows."""
    import torch.distributed as dist

    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo")
    found = {}
    for name, module, x in cases():
        part = x.chunk(2)[rank].clone().requires_grad_()
        with synchronised(module):
            y = module(part)
            (y * weighting(x).chunk(2)[rank]).sum().backward()
        summed = [p.grad.clone() for p in module.parameters()]
        for gradient in summed:
            dist.all_reduce(gradient)
        found[name] = [y.detach(), part.grad, *summed, *module.buffers()]
    dist.destroy_process_group()
    torch.save(found, place / f"{rank}.pt")


def cases():
    generator = torch.Generator().manual_seed(1)

    def numbers(*shape):
        return 3 + torch.randn(shape, generator=generator, dtype=torch.float64)

    yield "pictures", nn.BatchNorm2d(3).double(), numbers(4, 3, SIZE, SIZE)
    yield "sequences, no momentum", nn.BatchNorm1d(3, momentum=None).double(), numbers(4, 3, 9)
    yield "rows", nn.BatchNorm1d(3).double(), numbers(4, 3)
    yield "volumes, no weights", nn.BatchNorm3d(3, affine=False).double(), numbers(4, 3, 2, 4, 4)
    yield "no statistics", nn.BatchNorm2d(3, track_running_stats=False).double(), numbers(4, 3, 5, 5)
    yield "eval", nn.BatchNorm2d(3).double().eval(), numbers(4, 3, 5, 5)
    yield "the class itself", SyncNorm(3).double(), numbers(4, 3, 5)


def weighting(x: torch.Tensor) -> torch.Tensor:
    return torch.linspace(-1, 1, x.numel(), dtype=x.dtype).view(x.shape).sin()


def test_synchronised_norms_are_torchs_over_the_whole_batch(tmp_path, port):
    assert in_team(2, port, norms, tmp_path, port) == [0, 0]
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for name, module, x in cases():
        if name == "the class itself":
            module = nn.BatchNorm1d(3).double()
        x.requires_grad_()
        y = module(x)
        (y * weighting(x)).sum().backward()
        first, second = (part[name] for part in parts)
        whole = [torch.cat([a, b]) for a, b in zip(first[:2], second[:2], strict=True)] + first[2:]
        expected = [y, x.grad, *(p.grad for p in module.parameters()), *module.buffers()]
        for ours, theirs in zip(whole, expected, strict=True):
            torch.testing.assert_close(ours, theirs.to(ours.dtype), rtol=1e-11, atol=1e-11, msg=name)
        for a, b in zip(first[2:], second[2:], strict=True):
            assert torch.equal(a, b)


def test_a_synchronised_norm_still_is_the_class_that_code_looks_for():
    model = nn.Sequential(nn.BatchNorm2d(2), nn.Sequential(nn.BatchNorm1d(2)))
    with synchronised(model):
        assert isinstance(model[0], SyncNorm) and isinstance(model[0], nn.BatchNorm2d)
        assert isinstance(model[1][0], SyncNorm) and isinstance(model[1][0], nn.BatchNorm1d)
    assert type(model[0]) is nn.BatchNorm2d and type(model[1][0]) is nn.BatchNorm1d

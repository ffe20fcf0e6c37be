"""Inference of the low-rank hidden semi-Markov model against what it replaces.

    python benchmarks/segmentation_inference.py         about five minutes; --repeats 5; --json FILE; --figure FILE.svg

One video of T = 150 frames, D = 30 columns, K = 20, rank N = 16, float32, one thread; emissions, forward and backward; CPU-seconds,
median of the repeats, each case in a fresh process and interleaved inside it. Beside it, written here from the formulas:

potentials   what the published program does: log potentials T x K x L x N, differentiated through
dense scan   a dense model, one step a frame, logs, transitions applied once a frame, differentiated through
torch-struct at L = 4 and 8 under a limit of memory, if it can be imported ("not run" otherwise)

Then: memory of the second step; growth in L and N in batches of 16; posteriors and decoding against the passes.
"""

import argparse
import importlib.util
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

from measure import Case, measure, write_line

T, K, N, D = 150, 20, 16, 30
STATES, RANKS, DENSE_STATES, VITERBI_STATES = (
    (64, 128, 256, 512, 1024),
    (16, 32, 64, 128, 256, 512),
    (64, 128, 256),
    (64, 128, 256, 512),
)
BATCH = 16
MEMORY_LIMIT = 6_000_000_000  # bytes of address space for torch-struct


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="measured steps of each case")
    parser.add_argument("--json", metavar="FILE", help="append the numbers as one JSON line")
    parser.add_argument("--figure", metavar="FILE", help="draw the growth")
    given = parser.parse_args()
    found: dict[str, Any] = {"benchmark": "segmentation_inference", "T": T, "K": K, "N": N, "D": D}
    found["one video"] = one = value("one video", one_video, repeats=given.repeats)
    ours = one["low rank 256"]
    print(f"{'one video, forward + backward':<40} {'CPU ms':>9}")
    for name, cpu in one.items():
        against = f"   {cpu / ours:7.1f} x low rank 256" if name in ("potentials 256", "dense scan 256") else ""
        print(f"  {name:<38} {1e3 * cpu:>9.1f}{against}")
    found["torch-struct"] = {states: torch_struct(states, given.repeats) for states in (4, 8)}
    for states, cpu in found["torch-struct"].items():
        low_rank = f"low rank {1e3 * one[f'low rank {states}']:.1f} ms"
        print(f"  torch-struct {states}: {cpu if isinstance(cpu, str) else f'{1e3 * cpu:.1f} ms'} ({low_rank})")
    peak = measure(Case("second step", second_step, before=first_step)).peak
    found["peak MB of the second step, L = 512"] = peak
    print(f"memory of the second step at L = 512: {peak:.1f} MB more than before it")
    found["growth"] = growth = value("growth", batches, repeats=given.repeats)
    for name, points in growth.items():
        print(f"{name}, batches of {BATCH}, CPU ms a video")
        for (size, cpu), (_, before) in zip(points, [(0, None), *points], strict=False):
            print(f"  {size:>5} {1e3 * cpu:>9.2f}" + (f"   x {cpu / before:.2f}" if before else ""))
    found["decoding"] = decoding = value("decoding", decodings, repeats=given.repeats)
    for states, times in decoding.items():
        print(f"L = {states}, one video: " + ", ".join(f"{name} {1e3 * cpu:.1f} ms" for name, cpu in times.items()))
        print(
            f"  posteriors / step {times['posteriors'] / times['step']:.2f}, Viterbi / forward {times['viterbi'] / times['forward']:.2f}"
        )
    write_line(given.json, found)
    if given.figure:
        draw(growth, decoding, given.figure)


def value(name: str, function: Callable[..., Any], **arguments: Any) -> Any:
    return measure(Case(name, function, arguments, imports)).value


def imports() -> None:
    import torch

    import kinoflow.tasks.segmentation.model  # noqa: F401

    torch.set_num_threads(1)


# ---------------------------------------------------------------- what is measured


def medians(works: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Return the median CPU-seconds of each work; the works take turns, the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats + 1):
        for name, work in works.items():
            start = time.process_time()
            work()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def model(states: int, rank: int | None = N, videos: int = 1) -> tuple[Any, Any, Any]:
    """Return a model whose means are random frames, and videos of noise around them: (model, x, lengths)."""
    import torch

    from kinoflow.tasks.segmentation.model import SegmentModel

    generator = torch.Generator().manual_seed(0)
    made = SegmentModel(states, D, rank=rank, longest=K)
    means = torch.randn(states, D, generator=generator)
    made.start_emissions(means, torch.ones(D))
    shown = torch.randint(states, (videos, T // 5), generator=generator).repeat_interleave(5, 1)
    x = means[shown] + torch.randn(videos, T, D, generator=generator)
    return made, x, torch.full((videos,), T)


def step_of(made: Any, x: Any, lengths: Any, likelihood: Callable[..., Any] | None = None) -> Callable[[], None]:
    def step() -> None:
        made.zero_grad()
        (-(likelihood or type(made).log_likelihood)(made, x, lengths).mean()).backward()

    return step


def one_video(repeats: int) -> dict[str, float]:
    works = {f"low rank {states}": step_of(*model(states)) for states in (4, 8, 64, 128, 256, 512, 1024)}
    slow = {
        "potentials 256": step_of(*model(256), potentials),
        "dense scan 256": step_of(*model(256, None), dense_scan),
    }
    _check()
    # Beside the slow ones as well as by itself: the first is what their ratios are made of.
    return medians({"low rank 256": works["low rank 256"], **slow}, repeats) | medians(works, repeats)


def _check() -> None:
    """The three must say the same of a small video."""
    import torch

    with torch.no_grad():
        for rank, other in ((N, potentials), (None, dense_scan)):
            made, x, lengths = model(12, rank)
            ours, theirs = made.log_likelihood(x, lengths), other(made, x, lengths)
            assert torch.allclose(ours, theirs.double(), rtol=1e-5), f"{other.__name__} says something else"


def segment_scores(made: Any, x: Any) -> Any:
    """Return the log of emissions and duration of every segment, (T, K, L): of d frames from t on; -inf beyond the end."""
    import torch

    from kinoflow.tasks.segmentation.factors import gaussian

    emissions = gaussian(x[0], made.means, made.current_deviations())  # (T, L)
    rows, window = [], torch.zeros_like(emissions)
    for d in range(1, K):
        inside = window[: T - d + 1] + emissions[d - 1 :]
        rows.append(torch.nn.functional.pad(inside, (0, 0, 0, d - 1), value=-torch.inf))
        window = inside
    none = torch.full_like(emissions, -torch.inf)
    return torch.stack([none, *rows], 1) + made.duration_table()


def potentials(made: Any, x: Any, lengths: Any) -> Any:
    """The published way: two tables T x K x L x N, entering and leaving a segment through each rank."""
    import torch

    from kinoflow.tasks.segmentation.factors import low_rank

    left, right = low_rank(made.source, made.target, made.projection)
    scores = segment_scores(made, x)
    enter = scores[..., None] + right  # (T, K, L, N)
    leave = left.expand(T, K, -1, -1) + 0.0  # (T, K, L, N)
    first = scores[0] + made.initial_logits.log_softmax(0)  # (K, L)
    begun = [first]  # of each time, log weight of segments that begin there, (K, L)
    for t in range(1, T + 1):
        durations = torch.arange(1, min(K - 1, t) + 1)
        ended = torch.stack([begun[t - d][d] for d in durations.tolist()])  # (d, L)
        if t == T:
            return torch.logsumexp(ended.flatten(), 0)[None]
        through = torch.logsumexp((ended[..., None] + leave[t - durations, durations]).flatten(0, 1), 0)  # (N,)
        begun.append(torch.logsumexp(through + enter[t], -1))
    raise AssertionError


def dense_scan(made: Any, x: Any, lengths: Any) -> Any:
    """A dense model, frame after frame in logs, for autograd to follow."""
    import torch

    scores, matrix = segment_scores(made, x), made.transition_logits.log_softmax(1)
    begins = [made.initial_logits.log_softmax(0)]
    for t in range(1, T + 1):
        ended = torch.stack([begins[t - d] + scores[t - d, d] for d in range(1, min(K - 1, t) + 1)])
        ends = torch.logsumexp(ended, 0)
        if t == T:
            return torch.logsumexp(ends, 0)[None]
        begins.append(torch.logsumexp(ends[:, None] + matrix, 0))
    raise AssertionError


def torch_struct(states: int, repeats: int) -> float | str:
    """Return CPU-seconds of torch-struct's step, or why there are none."""
    if importlib.util.find_spec("torch_struct") is None:
        return "not run: torch-struct cannot be imported"
    try:
        found = value(f"torch-struct {states}", struct_step, states=states, repeats=repeats)
    except RuntimeError:
        return "not run: it ended with the error above"
    return found or f"not run: it needs more than {MEMORY_LIMIT / 1e9:.0f} GB of memory"


def struct_step(states: int, repeats: int) -> float | None:
    """Return CPU-seconds of a step on as many frames, None if they do not fit into memory."""
    import torch
    from torch_struct import SemiMarkovCRF

    made, x, _ = model(states, None)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))

    def step() -> None:
        made.zero_grad()
        # (T, K, to, from) of segments that begin at t, T of them: a chain of T + 1 states, one longer than frames.
        scores = segment_scores(made, x).clamp(min=-1e9)
        SemiMarkovCRF((scores[..., None] + made.transition_logits.log_softmax(1).T)[None]).partition.sum().backward()

    try:
        return medians({"step": step}, repeats)["step"]
    except (MemoryError, RuntimeError) as error:
        if (
            isinstance(error, RuntimeError)
            and "memory" not in str(error)
            and not isinstance(error, torch.OutOfMemoryError)
        ):
            raise
        return None


_kept: list[Callable[[], None]] = []


def first_step() -> None:
    imports()
    _kept.append(step_of(*model(512)))
    _kept[0]()


def second_step() -> None:
    _kept[0]()


def batches(repeats: int) -> dict[str, list[tuple[int, float]]]:
    sizes = [("states, low rank 16", states, states, N) for states in STATES]
    sizes += [("rank, 512 states", rank, 512, rank) for rank in RANKS]
    sizes += [("states, dense", states, states, None) for states in DENSE_STATES]
    works = {f"{name}|{size}": step_of(*model(states, rank, BATCH)) for name, size, states, rank in sizes}
    found: dict[str, list[tuple[int, float]]] = {}
    for key, cpu in medians(works, repeats).items():
        name, _, size = key.rpartition("|")
        found.setdefault(name, []).append((int(size), cpu / BATCH))
    return found


def decodings(repeats: int) -> dict[int, dict[str, float]]:
    import torch

    def forward(made: Any, x: Any, lengths: Any) -> None:
        with torch.no_grad():
            made.log_likelihood(x, lengths)

    found = {}
    for states in VITERBI_STATES:
        one = model(states)
        made, *video = one
        works = {
            "forward": lambda one=one: forward(*one),
            "step": step_of(*one),
            "posteriors": lambda made=made, video=video: made.posteriors(*video),
            "viterbi": lambda made=made, video=video: made.viterbi(*video),
        }
        found[states] = medians(works, repeats)
    return found


# ---------------------------------------------------------------- the picture


def draw(growth: dict[str, list[tuple[int, float]]], decoding: dict[str, dict[str, float]], path: str) -> None:
    import matplotlib.pyplot as pyplot

    _, (left, middle, right) = pyplot.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    for axis, names in ((left, ("states, low rank 16", "states, dense")), (middle, ("rank, 512 states",))):
        for name in names:
            axis.loglog(*zip(*((size, 1e3 * cpu) for size, cpu in growth[name]), strict=True), marker="o", label=name)
        axis.set(xlabel=names[0].split(",")[0], ylabel=f"CPU ms a video, batches of {BATCH}")
    sizes = [int(size) for size in decoding]
    for name in ("forward", "step", "posteriors", "viterbi"):
        right.loglog(sizes, [1e3 * times[name] for times in decoding.values()], marker="o", label=name)
    right.set(xlabel="states", ylabel="CPU ms, one video")
    for axis in (left, middle, right):
        axis.set_ylim(bottom=1)
        axis.legend(frameon=False)
    pyplot.savefig(path)


if __name__ == "__main__":
    main()

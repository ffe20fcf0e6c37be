"""Set abstraction: a training step, a forward pass and a ranking against the plain ways to compute them.

    python benchmarks/abstraction_model.py      about eight minutes; --repeats 3; --small for a trial; --json FILE adds lines
        --only ranking                          one of agreement, step, forward, ranking; the ranking takes a minute

A step: 256 sets of 4 features of 2048 columns, K 512, F 2048, E 300, 391 nodes: forward, both losses, backward, Adam. Float32,
one thread. Against it: the form that evaluates every pair of a subset and a set that holds it (65 calls of a relation), and the
form that evaluates each subset once (15 calls) and sums with the same matrix. Their outputs agree to 1e-5, which is checked.
Ranking: records of 4 references and 5 queries in all spaces, together against one at a time. One at a time is twice: by the
same functions, which take blocks and tell of the whole set alone, and by a model that evaluates each subset once and tells of all
subsets. In all ways queries go by themselves only.
"""

import argparse
import statistics
from itertools import combinations
from typing import Any

from measure import Case, Comparison, compare, measure, table, write_line

FULL = {"sets": 256, "inputs": 2048, "bottleneck": 512, "width": 2048, "embedding": 300, "nodes": 391}
SMALL = {"sets": 32, "inputs": 256, "bottleneck": 64, "width": 256, "embedding": 30, "nodes": 40}
PARTS = ("agreement", "step", "forward", "ranking")
WAYS = ("blocks", "each subset once", "every pair")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="interleaved runs of each comparison")
    parser.add_argument("--small", action="store_true", help="a tenth of the widths, to try the benchmark itself")
    parser.add_argument("--only", choices=PARTS, help="one comparison alone")
    parser.add_argument("--json", metavar="FILE", help="append the numbers as JSON lines")
    given = parser.parse_args()
    shape, parts = SMALL if given.small else FULL, [given.only] if given.only else PARTS
    if "agreement" in parts:
        agreement = measure(Case("agreement", agree, {"shape": shape}, imports)).value
        print(f"outputs differ by {agreement:.1e} of their largest value at most (wanted: 1e-5)")
    for way, wanted in (("every pair", 2.7), ("each subset once", 1.1)) if "step" in parts else ():
        ratio = steps(shape, way, given.repeats, given.json)
        print(f"step: {ratio:.2f} x as fast as with {way}, the median of {given.repeats} (wanted: {wanted})")
    for n in (4, 5) if "forward" in parts else ():
        forwards(shape, n, given.repeats, given.json)
    for way in WAYS[:2] if "ranking" in parts else ():
        ratio = rankings(shape, way, given.repeats, given.json)
        print(
            f"ranking: {ratio:.2f} x as fast as one record at a time, {way}, the median of {given.repeats} (wanted: 5)"
        )


def steps(shape: dict[str, int], way: str, repeats: int, file: str | None) -> float:
    """Measure training steps against another way; print CPU and peak memory, return the median of the ratios."""
    ours, other = (Case(f"step, {each}", step, {"shape": shape, "way": each}, imports) for each in (WAYS[0], way))
    pair = compare(ours, other, repeats)
    return _told(pair, {"benchmark": "abstraction step", "against": way}, file)


def forwards(shape: dict[str, int], n: int, repeats: int, file: str | None) -> None:
    """Measure forward passes of sets of n; print their medians and peak memory."""
    ours, other = (
        Case(f"forward, n = {n}, {way}", forward, {"shape": shape, "way": way, "n": n}, imports) for way in WAYS[:2]
    )
    pair = compare(ours, other, repeats)
    ratio = _told(pair, {"benchmark": "abstraction forward", "n": n}, file)
    print(f"forward, n = {n}: {ratio:.2f} x as fast as with {WAYS[1]}, the median of {repeats}")


def rankings(shape: dict[str, int], way: str, repeats: int, file: str | None) -> float:
    """Measure 300 rankings together against one at a time; return the median of the ratios."""
    records = {"shape": shape, "records": 300}
    pair = compare(
        Case("300 rankings together", ranking, records | {"together": True}, imports),
        Case(f"one record at a time, {way}", ranking, records | {"together": False, "way": way}, imports),
        repeats,
    )
    return _told(pair, {"benchmark": "abstraction ranking", "against": way}, file)


def _told(pair: Comparison, about: dict[str, Any], file: str | None) -> float:
    """Print runs and medians of what the functions measured themselves (CPU-seconds); return the median of second / first."""
    print(table([*pair.first, *pair.second]))
    for runs in (pair.first, pair.second):
        seconds = statistics.median(run.value for run in runs)
        print(f"  {runs[0].name}: {seconds:.2f} CPU-s by itself, the median of {len(runs)}")
    ratio = statistics.median(b.value / a.value for a, b in zip(pair.first, pair.second, strict=True))
    write_line(file, about | {"median_ratio": ratio} | pair.record())
    return ratio


# ---------------------------------------------------------------- what is measured


def imports() -> None:
    import torch

    import kinoflow.tasks.abstraction.scoring  # noqa: F401

    torch.set_num_threads(1)


def model(shape: dict[str, int]) -> Any:
    from kinoflow.tasks.abstraction.model import SetModel
    from kinoflow.tasks.abstraction.options import NetworkOptions

    network = NetworkOptions(bottleneck=shape["bottleneck"], width=shape["width"])
    return SetModel(network, shape["inputs"], shape["embedding"], shape["nodes"])


def drawn(shape: dict[str, int], n: int = 4) -> Any:
    import torch

    return torch.rand(shape["sets"], n, shape["inputs"], generator=torch.Generator().manual_seed(0))


def by_pairs(network: Any, x: Any) -> Any:
    """f of every subset, every relation inside it evaluated anew."""
    import torch

    from kinoflow.tasks.abstraction.subsets import subsets

    def f(whole: tuple[int, ...]) -> Any:
        parts = (each for s in network.scales if s <= len(whole) for each in combinations(whole, s))
        return sum(relation(network, x, each) for each in parts)

    return torch.stack([f(whole) for whole in subsets(x.shape[1])], 1)


def once(network: Any, x: Any) -> Any:
    """f of every subset, each relation evaluated once."""
    import torch

    from kinoflow.tasks.abstraction.subsets import membership, subsets

    told = [each for each in subsets(x.shape[1]) if len(each) in network.scales]
    g = torch.stack([relation(network, x, each) for each in told])  # (T, B, F)
    rows = torch.from_numpy(membership(x.shape[1]))
    inside = torch.stack([rows[:, list(each)].all(1) for each in told], 1).to(x)  # (M, T)
    return (inside @ g.flatten(1)).unflatten(1, g.shape[1:]).transpose(0, 1)


def relation(network: Any, x: Any, videos: tuple[int, ...]) -> Any:
    one = network.relations[str(len(videos))]
    return one.second(one.first(x[:, list(videos)].flatten(1).relu()).relu())


def told(network: Any, x: Any, way: str) -> tuple[Any, Any]:
    """Return vectors (B, M, E) and logits (B, C, M) in one of the three ways."""
    if way == "blocks":
        found = network(x)
        return found.embeddings, found.logits
    f = (by_pairs if way == "every pair" else once)(network, x)
    return network.embedding(f), network.node(f).transpose(1, 2)


def plainly(network: Any, x: Any) -> tuple[Any, Any]:
    """Return features (B, M, F) and vectors (B, M, E), each subset evaluated once."""
    f = once(network, x)
    return f, network.embedding(f)


def agree(shape: dict[str, int]) -> float:
    """Return the largest difference of outputs, as a share of the largest one, in training as in evaluation."""
    import torch

    network, x, worst = model(shape), drawn({**shape, "sets": 16}), 0.0
    with torch.no_grad():
        expected = told(network, x, "every pair")
        for training in (True, False):
            for way in WAYS[:2]:
                found = told(network.train(training), x, way)
                worst = max(worst, *((a - b).abs().max() / b.abs().max() for a, b in zip(found, expected, strict=True)))
    return float(worst)


def step(shape: dict[str, int], way: str) -> float:
    """Return the CPU-seconds of a training step; one before it warms up."""
    import time

    import torch

    from kinoflow.tasks.abstraction.loss import set_losses
    from kinoflow.training.groups import one_group, optimiser
    from kinoflow.training.options import TrainingOptions

    network, x = model(shape).train(), drawn(shape)
    adam = optimiser(one_group(network), TrainingOptions(optimiser="adam", steps=2))
    labels = torch.randint(shape["nodes"], (shape["sets"], 15), generator=torch.Generator().manual_seed(1))
    targets = torch.rand(shape["sets"], 15, shape["embedding"], generator=torch.Generator().manual_seed(2))
    for _ in range(2):
        start = time.process_time()
        for parameter in network.parameters():
            parameter.grad = None
        vectors, logits = told(network, x, way)
        sum(set_losses(vectors, logits, targets, labels).values()).backward()
        adam.step()
        taken = time.process_time() - start
    return taken


def forward(shape: dict[str, int], way: str, n: int) -> float:
    """Return the CPU-seconds of a forward pass in evaluation."""
    import time

    import torch

    network, x = model(shape).eval(), drawn(shape, n)
    with torch.inference_mode():
        for _ in range(2):
            start = time.process_time()
            told(network, x, way)
            taken = time.process_time() - start
    return taken


def ranking(shape: dict[str, int], records: int, together: bool, way: str = WAYS[0]) -> float:
    """Rank five queries for each of the records' four references; return the CPU-seconds, without those of making a model."""
    import time

    import numpy as np

    from kinoflow.tasks.abstraction.scoring import Reader

    class Plain(Reader):
        """Evaluates each subset once."""

        def __post_init__(self) -> None:
            super().__post_init__()
            network = self.network
            network.whole = lambda x: tuple(each[:, -1] for each in plainly(network, x))
            network.singles = lambda x: tuple(
                each.unflatten(0, x.shape[:2])[:, :, 0] for each in plainly(network, x.flatten(0, 1)[:, None])
            )

    rng = np.random.default_rng(0)
    references, queries = (rng.random((records, n, shape["inputs"]), np.float32) for n in (4, 5))
    reader = (Reader if way == WAYS[0] else Plain)(model(shape))
    size = records if together else 1
    reader.completion(references[:1], queries[:1])
    start = time.process_time()
    for first in range(0, records, size):
        reader.completion(references[first : first + size], queries[first : first + size])
    return time.process_time() - start


if __name__ == "__main__":
    main()

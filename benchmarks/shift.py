"""The temporal shift against the whole training step.

    python benchmarks/shift.py                  about two minutes; --repeats 5; --json FILE adds a line

TSM on ResNet-50, one clip of 8 segments of 224 px, float32, one thread, forward and backward, in both layouts of memory. The
16 shifts are measured by themselves, on inputs of the network's own shapes, in turn with the step without any: what is
printed is their share of both together. The alternative that is measured beside it are slices that autograd follows.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from measure import Case, measure, write_line

SEGMENTS, SIDE, DIVISOR = 8, 224, 8
WAYS = ("own function", "slices")
LAYOUTS = ("channels first", "channels last")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="rounds, each measures everything once")
    parser.add_argument("--json", metavar="FILE", help="append the numbers as one JSON line")
    given = parser.parse_args()
    for layout in LAYOUTS:
        arguments = {"layout": layout, "repeats": given.repeats}
        times = measure(Case(f"shift, {layout}", step_and_shifts, arguments, imports)).value
        print(f"{layout}: step without shift {statistics.median(times['step']):.2f} CPU-s")
        shares = {way: [x / (x + step) for x, step in zip(times[way], times["step"], strict=True)] for way in WAYS}
        for way, found in shares.items():
            low, middle, high = (100 * f(found) for f in (min, statistics.median, max))
            print(
                f"  16 shifts by {way:<12} {middle:4.1f} % of the step ({low:.1f} to {high:.1f}, {len(found)} rounds)"
            )
        write_line(given.json, {"benchmark": "shift", "layout": layout, "shares": shares} | times)


# ---------------------------------------------------------------- what is measured


def imports() -> None:
    import torchvision.models

    import kinoflow.tasks.recognition.model  # noqa: F401

    torchvision.models.resnet50()


def step_and_shifts(layout: str, repeats: int) -> dict[str, list[float]]:
    """Return CPU-seconds of the step without shift, and of all shifts either way, one for each round."""
    import torch

    from kinoflow.tasks.recognition.shift import TemporalShift

    torch.manual_seed(0)
    memory = torch.channels_last if layout == "channels last" else torch.contiguous_format
    model = network(None).to(memory_format=memory).train()
    clip = torch.randn(1, SEGMENTS, 3, SIDE, SIDE)
    inputs = [torch.randn(shape).contiguous(memory_format=memory).requires_grad_() for shape in shapes()]
    shift = TemporalShift(SEGMENTS, DIVISOR)
    assert all(torch.equal(shift(x), by_slices(x)) for x in inputs), "the two ways give different rows"

    def step() -> None:
        pictures = clip.flatten(0, 1).contiguous(memory_format=memory).unflatten(0, (1, SEGMENTS))
        model(pictures)["action"].sum().backward()

    works = {"step": step, WAYS[0]: over(inputs, shift), WAYS[1]: over(inputs, by_slices)}
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats + 1):  # the first round warms up
        for name, work in works.items():
            start = time.process_time()
            work()
            times[name].append(time.process_time() - start)
    return {name: values[1:] for name, values in times.items()}


def network(shift: int | None) -> Any:
    from kinoflow.tasks.recognition.model import Recogniser
    from kinoflow.tasks.recognition.options import NetworkOptions

    return Recogniser(NetworkOptions(shift=shift, dropout=0), 3, SEGMENTS, {"action": 174})


def shapes() -> list[tuple[int, ...]]:
    """Return the shapes that the network's shifts get."""
    import torch

    from kinoflow.tasks.recognition.shift import TemporalShift

    model, found = network(DIVISOR).to("meta"), []
    for module in model.modules():
        if isinstance(module, TemporalShift):
            module.register_forward_pre_hook(lambda module, inputs: found.append(tuple(inputs[0].shape)))
    model(torch.zeros(1, SEGMENTS, 3, SIDE, SIDE, device="meta"))
    assert len(found) == 16, "ResNet-50 has 16 places"
    return found


def over(inputs: list[Any], way: Callable[[Any], Any]) -> Callable[[], None]:
    """Return what shifts all inputs, forward and backward; the gradients lie ready, as in a step."""
    gradients = [x.detach().clone() for x in inputs]

    def work() -> None:
        import torch

        for x, gradient in zip(inputs, gradients, strict=True):
            torch.autograd.grad(way(x), x, gradient)

    return work


def by_slices(x: Any) -> Any:
    """Shift as it is written down, for autograd to follow."""
    import torch

    clips, fold = x.unflatten(0, (-1, SEGMENTS)), x.shape[1] // DIVISOR
    y = torch.zeros_like(clips)
    y[:, :-1, :fold] = clips[:, 1:, :fold]
    y[:, 1:, fold : 2 * fold] = clips[:, :-1, fold : 2 * fold]
    y[:, :, 2 * fold :] = clips[:, :, 2 * fold :]
    return y.flatten(0, 1)


if __name__ == "__main__":
    main()

"""How long a training waits for its data, and what the training loop adds to the network's own work.

    python benchmarks/training.py               about four minutes; --steps 12; --json FILE adds a line

TSM on ResNet-18, 224 px, 8 segments, two clips a step, float32, multi-scale crops: recognition's own training, once from a
shard of JPEG frames (short side 256, as the room stores them) and once from the videos themselves (640x360, H.264, 10 s, GOP
up to 250), with none and with one process that loads ahead. Waiting is the time until the loop has the next batch. The
alternative to the loop is a bare one, written down here, over batches that lie ready: same network, losses and optimiser.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clips import make_clip
from measure import Case, measure, write_line

VIDEOS, SECONDS, BATCH = 4, 10, 2
SOURCES = ("JPEG shard", "videos")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12, help="training steps of each measurement")
    parser.add_argument("--json", metavar="FILE", help="append the numbers as one JSON line")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for source in SOURCES:
            for workers in (0, 1):
                arguments = {"folder": folder, "source": source, "workers": workers, "steps": given.steps}
                result = measure(Case(f"training from {source}", waiting, arguments, imports, threads=None))
                share = 100 * result.value["waiting"] / result.value["wall"]
                text = f"waits {share:.1f} % of {result.value['wall']:.1f} s; peak {result.peak:.0f} MB above imports"
                print(f"{source}, {workers} loading processes: {text}")
                write_line(given.json, {"benchmark": "waiting", "source": source, "workers": workers} | result.value)
        arguments = {"folder": folder, "steps": given.steps}
        times = measure(Case("the loop", against_a_bare_loop, arguments, imports)).value
    ratios = [a / b for a, b in zip(times["fit"], times["bare"], strict=True)]
    print(
        f"the loop: {statistics.median(ratios):.3f} of a bare one's CPU time ({min(ratios):.3f} to {max(ratios):.3f})"
    )
    write_line(given.json, {"benchmark": "loop", "ratios": ratios} | times)


# ---------------------------------------------------------------- data


def prepare(folder: Path) -> None:
    """Write videos, their tables and a shard of JPEG frames."""
    from kinoflow.media.frames import frames
    from kinoflow.media.options import FramesOptions
    from kinoflow.store import tables
    from kinoflow.store.files import sha256_of
    from kinoflow.store.tables import Probed, Segment, Video

    probed, films, rows = [], [], []
    (folder / "videos").mkdir()
    for i in range(VIDEOS):
        path = make_clip(folder / f"videos/v{i}.mp4", "640x360", SECONDS)
        about = {"video": path.name, "frames": SECONDS * 30, "fps": 30.0, "duration": SECONDS, "status": "readable"}
        probed.append(Probed(**about, kept=True, sha256=sha256_of(path)))
        films.append(Video(**about, path=path.name, split="train"))
        rows.append(Segment(segment=path.name, video=path.name, start=0, end=SECONDS, action=f"kind {i % 2}"))
    tables.write(folder / "probe.csv", probed, Probed)
    tables.write(folder / "videos.csv", films, Video)
    tables.write(folder / "segments.csv", rows, Segment)
    frames(folder / "videos", folder / "probe.csv", folder / "frames.h5", FramesOptions(size=256), code="benchmark")


def training(folder: str, source: str, steps: int, workers: int) -> tuple[Any, Any]:
    """Return the trainee and its training options."""
    from kinoflow.features.arithmetic import Arithmetic
    from kinoflow.tasks.recognition.data import Sources
    from kinoflow.tasks.recognition.groups import policy
    from kinoflow.tasks.recognition.model import Recogniser
    from kinoflow.tasks.recognition.options import RecognitionOptions
    from kinoflow.tasks.recognition.scoring import Trained
    from kinoflow.tasks.recognition.train import ClipTraining, planned
    from kinoflow.training.devices import device_of

    place = Path(folder)
    options = RecognitionOptions.model_validate(
        {
            "network": {"backbone": "resnet18", "shift": 8},
            "training": {"steps": steps, "batch": BATCH, "learning_rate": 0.001, "workers": workers},
        }
    )
    sources = Sources([place / "frames.h5"], None) if source == SOURCES[0] else Sources([], place / "videos")
    plan = planned(options, place / "segments.csv", place / "videos.csv", sources, True)
    network = Recogniser(options.network, 3, options.sampling.segments, {"action": 2}).to(
        memory_format=_channels_last()
    )
    trained = Trained(network, options, plan.classes, plan.counts(), plan.made, True, "")
    return ClipTraining(trained, plan, policy(network), Arithmetic(device_of("cpu"))), options.training


def _channels_last() -> Any:
    import torch

    return torch.channels_last


# ---------------------------------------------------------------- what is measured


def imports() -> None:
    import torchvision.models

    import kinoflow.tasks.recognition.train  # noqa: F401

    torchvision.models.resnet18()


def waiting(folder: str, source: str, workers: int, steps: int) -> dict[str, float]:
    """Return the seconds of a training, and those until the loop had its batches. The first step is not counted."""
    from kinoflow.training import loop

    trainee, options = training(folder, source, steps + 1, workers)
    waited, begun = [], []
    batches = loop.batches

    def timed(*arguments: Any) -> Iterator[Any]:
        feed = batches(*arguments)
        while True:
            start = time.perf_counter()
            try:
                batch = next(feed)
            except StopIteration:
                return
            waited.append(time.perf_counter() - start)
            begun.append(time.perf_counter())
            yield batch

    loop.batches = timed
    with tempfile.TemporaryDirectory() as place:
        loop.fit(trainee, options, 0, Path(place), "training", device="cpu")
    return {"waiting": sum(waited[1:]), "wall": time.perf_counter() - begun[0], "steps": steps}


def against_a_bare_loop(folder: str, steps: int) -> dict[str, list[float]]:
    """Return CPU-seconds of the loop and of a bare one over the same batches that lie ready; three rounds in turn."""
    import torch

    from kinoflow.training.draws import Draw
    from kinoflow.training.loop import fit

    torch.set_num_threads(1)
    times: dict[str, list[float]] = {"fit": [], "bare": []}
    for _ in range(3):
        trainee, options = training(folder, SOURCES[0], steps, 0)
        ready = trainee.load([Draw(sample, 0, sample, 0) for sample in range(BATCH)])
        trainee.load = lambda draws, ready=ready: ready
        with tempfile.TemporaryDirectory() as place:
            start = time.process_time()
            fit(trainee, options, 0, Path(place), "training", device="cpu")
            times["fit"].append(time.process_time() - start)
        trainee, options = training(folder, SOURCES[0], steps, 0)
        start = time.process_time()
        bare(trainee, options, ready, steps)
        times["bare"].append(time.process_time() - start)
    return times


def bare(trainee: Any, options: Any, ready: Any, steps: int) -> None:
    """Train as everybody would write it down."""
    import torch

    trainee.model.dropout = torch.nn.Dropout(trainee.model.dropout.p)
    optimiser = torch.optim.SGD(trainee.model.parameters(), options.learning_rate, momentum=0.9, weight_decay=5e-4)
    trainee.model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        sum(trainee.losses(ready).values()).backward()
        optimiser.step()


if __name__ == "__main__":
    main()

"""Videos cut into segments by a trained model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kinoflow.errors import DataError
from kinoflow.metrics.segmentation import segments
from kinoflow.progress import Progress
from kinoflow.tasks.segmentation import limits
from kinoflow.tasks.segmentation.data import Films, Item
from kinoflow.tasks.segmentation.model import SegmentModel
from kinoflow.tasks.segmentation.options import ConstraintOptions
from kinoflow.tasks.segmentation.train import padded


@dataclass(frozen=True, eq=False)
class Told:
    """What a model says of a video. A video that its constraints make impossible is all of state -1."""

    states: np.ndarray  # (T,) the state of each row
    starts: np.ndarray  # (S,) the first rows of its segments; equal neighbours are joined unless the order parts them
    posteriors: np.ndarray  # (T, L) float32: the probability of each state in each row

    @property
    def possible(self) -> bool:
        """Whether there is a segmentation that the constraints allow."""
        return bool(len(self.states)) and int(self.states[0]) >= 0

    @property
    def segments(self) -> list[tuple[int, int, int, float]]:
        """State, first row, row behind the last, and mean posterior of each segment."""
        ends = [*self.starts[1:].tolist(), len(self.states)]
        found = []
        for first, end in zip(self.starts.tolist(), ends, strict=True):
            state = int(self.states[first])
            sure = float(self.posteriors[first:end, state].mean()) if state >= 0 else 0.0
            found.append((state, first, end, sure))
        return found


def tell(
    model_of: Callable[[str], SegmentModel],
    films: Films,
    items: Sequence[Item],
    constraints: ConstraintOptions,
    decode: str,
    valid: bool,
    device: torch.device,
    at_once: int = 16,
    what: str = "decode",
) -> list[Told]:
    """Cut videos into segments; in the order of ``items``.

    model_of: task -> its model. valid: a video has the states of its task alone (states stand for labels). decode: viterbi or
    posterior. Videos are worked on in batches of one task and of similar length, which changes nothing of the results.
    """
    found: dict[int, Told] = {}
    order = sorted(range(len(items)), key=lambda n: (items[n].task, items[n].annotated, items[n].frames, n))
    with Progress(what, total=len(items), items="videos") as progress, torch.no_grad():
        for chosen in _batches(order, items, at_once):
            some = [items[n] for n in chosen]
            model = model_of(some[0].task)
            batch = padded([films.rows(item) for item in some], model)
            limited = {key: value.to(device) for key, value in limits.collated(some, films, constraints, valid).items()}
            told = decoded(
                model, batch["x"].to(device), batch["lengths"].to(device), limits.constraints_of(limited), decode
            )
            found |= dict(zip(chosen, told, strict=True))
            progress.step(len(chosen))
    return [found[n] for n in range(len(items))]


def _batches(order: Sequence[int], items: Sequence[Item], at_once: int) -> list[list[int]]:
    found: list[list[int]] = []
    for number in order:
        item = items[number]
        last = items[found[-1][0]] if found else None
        same = last is not None and (last.task, last.annotated) == (item.task, item.annotated)
        if same and len(found[-1]) < at_once:
            found[-1].append(number)
        else:
            found.append([number])
    return found


def decoded(
    model: SegmentModel, x: torch.Tensor, lengths: torch.Tensor, limited: limits.Constraints | None, decode: str
) -> list[Told]:
    """Cut the videos of one batch into segments: x (B, T, D), lengths (B,)."""
    shares = model.posteriors(x, lengths, limited)
    whole = shares.states.float().cpu().numpy()
    paths = model.viterbi(x, lengths, limited) if decode == "viterbi" else None
    found = []
    for number, (count, total) in enumerate(zip(lengths.tolist(), shares.log_partition.tolist(), strict=True)):
        if np.isnan(total):
            raise DataError("the likelihood of a video is no number; are its features far off those of the training?")
        own = whole[number, :count]
        if total == -np.inf:
            found.append(Told(np.full(count, -1, np.int64), np.zeros(1, np.int64), np.zeros_like(own)))
        elif paths is None:
            states = own.argmax(axis=1)
            found.append(Told(states, segments(states)[1], own))
        else:
            starts = np.array([run.start for run in paths[number].runs], np.int64)
            found.append(Told(paths[number].labels, starts, own))
    return found

"""What comes next after every step of a whole video: by one causal pass, as a stream, or by windows that slide along.

    whole(model, x)              x (T, D) -> {target: (T, C)}: row t is what is said after the steps 0 .. t
    Stream(model).push(x)        the same, step by step, with the keys and values of the steps before kept
    sliding(model, x, steps)     row t is what is said after the last ``steps`` steps up to t alone

All three say the same while a video is not longer than ``steps``. A network that joins groups of steps, or rolls out, sees
whole windows only: it slides.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from kinoflow.errors import ConfigError
from kinoflow.tasks.anticipation.aggregators import Rulstm
from kinoflow.tasks.anticipation.avt import AvtHead, Cache
from kinoflow.tasks.anticipation.model import Last, Student

TOGETHER = 64  # windows that go through the network at once


def check_causal(model: Student) -> None:
    """Raise ConfigError if the network cannot be told step by step."""
    if model.aggregator.group != 1:
        raise ConfigError("this network joins groups of steps: it is told by sliding windows, not step by step")
    if isinstance(model.head, AvtHead) and (model.head.ahead, model.head.average) != (1, 1):
        raise ConfigError("this network rolls out or averages steps: it is told by sliding windows, not step by step")


@torch.inference_mode()
def whole(model: Student, x: Tensor) -> dict[str, Tensor]:
    """Return the scores {target: (T, C)} after every step of a video x (T, D), in one pass.

    Raises ConfigError for a network that sees groups of steps, or for more steps than it has positions.
    """
    check_causal(model)
    forecast = model.head(model.aggregator(model.backbone(x[None])))
    return model.told(forecast.told[0])


@torch.inference_mode()
def sliding(
    model: Student, x: Tensor, steps: int, together: int = TOGETHER, filled: int | None = None
) -> dict[str, Tensor]:
    """Return the scores {target: (T, C)} after every step of a video x (T, D), from the last ``steps`` steps each.

    A network that joins groups of steps gets whole windows, of ``filled`` steps (None: ``steps``): the first step stands for
    what is missing before it.
    """
    found: dict[str, list[Tensor]] = {}
    full = model.aggregator.group != 1
    width = filled or steps if full else steps
    for ends in torch.arange(1, len(x) + 1).split(together):
        lengths = ends.clamp(max=steps)
        starts = ends - (torch.full_like(ends, width) if full else lengths)
        places = torch.maximum(starts[:, None] + torch.arange(width), (ends - lengths)[:, None])
        places = torch.minimum(places, ends[:, None] - 1)  # what fills up behind is never looked at
        even = full or bool((lengths == steps).all())
        said = model(x[places], None if even else lengths.to(x.device))
        for target, scores in said.scores.items():
            found.setdefault(target, []).append(scores)
    return {target: torch.cat(parts) for target, parts in found.items()}


class Stream:
    """A network that is told one step after the other.

    A transformer has so many positions: when they are used up, it goes on from the younger half of the steps.

    >>> from kinoflow.tasks.anticipation.options import StudentOptions
    >>> stream = Stream(Student(StudentOptions(), features=8, classes={"action": 5}, steps=4).eval())
    >>> stream.push(torch.zeros(8))["action"].shape
    torch.Size([5])
    """

    def __init__(self, model: Student):
        check_causal(model)
        self.model = model.eval()
        self._cache: Cache | None = None
        self._state: tuple[Tensor, Tensor] | None = None  # of the rolling LSTM
        self._seen: list[Tensor] = []  # what the transformer has read, to begin anew from

    @torch.inference_mode()
    def push(self, x: Tensor) -> dict[str, Tensor]:
        """Return the scores {target: (C,)} after one more step x (D,)."""
        return {target: scores[0] for target, scores in self.model.told(self._next(self._joined(x[None]))).items()}

    def _joined(self, x: Tensor) -> Tensor:
        """Return what the aggregator makes of one more step (1, D)."""
        x = self.model.backbone(x[None])[0]
        if not isinstance(self.model.aggregator, Rulstm):
            return x
        found, self._state = self.model.aggregator.step(x, self._state)
        return found

    def _next(self, x: Tensor) -> Tensor:
        """Return the predicted features (1, D)."""
        head = self.model.head
        if not isinstance(head, AvtHead):
            return x if isinstance(head, Last) else head(x[None]).future
        if self._cache is None or self._cache.steps == head.transformer.room:
            self._begin(head, x)
        self._seen.append(x)
        return head.step(x, self._cache)

    def _begin(self, head: AvtHead, x: Tensor) -> None:
        kept = self._seen[-(head.transformer.room // 2) :] if self._seen else []
        self._cache, self._seen = head.start(x), []
        for step in kept:
            head.step(step, self._cache)
            self._seen.append(step)


def streamed(model: Student, x: Tensor) -> dict[str, Tensor]:
    """Return the scores {target: (T, C)} after every step of a video x (T, D), by a stream."""
    stream = Stream(model)
    said: list[dict[str, Tensor]] = list(_pushed(stream, x))
    return {target: torch.stack([each[target] for each in said]) for target in said[0]}


def _pushed(stream: Stream, x: Tensor) -> Iterator[dict[str, Tensor]]:
    for step in x:
        yield stream.push(step)

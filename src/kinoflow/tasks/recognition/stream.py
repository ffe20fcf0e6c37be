"""A network trained on clips that reads a running video: one frame in, one row of scores out.

A one-sided shift takes channels from the past only. So a frame can be worked on when it comes, once: each shifted place of
the network keeps the shifted channels of the frame before, and gets the very features that a clip of all frames so far
would give it (Lin, Gan, Han, "TSM", 2019, section 4.2). Networks without shift read each frame for itself.
"""

import copy
from collections import deque

import numpy as np
import torch
from torch import Tensor, nn

from kinoflow.errors import ConfigError
from kinoflow.tasks.recognition.model import Recogniser
from kinoflow.tasks.recognition.options import InputOptions, NetworkOptions
from kinoflow.tasks.recognition.sampling import needed, windows
from kinoflow.tasks.recognition.shift import TemporalShift


class StreamedShift(nn.Module):
    """The one-sided shift for frames that come one by one: the first channels are those of the frame before.

    Before the first frame they are zeros.
    """

    def __init__(self, divisor: int):
        super().__init__()
        self.divisor, self._memory = divisor, None

    def forward(self, x: Tensor) -> Tensor:
        """Return the shifted pictures, (B, C, ...), of the newest frame of B videos; keep its first channels."""
        fold = x.shape[1] // self.divisor
        if not fold:
            return x
        before = torch.zeros_like(x[:, :fold]) if self._memory is None else self._memory
        self._memory = x[:, :fold].clone()
        return torch.cat((before, x[:, fold:]), 1)

    def forget(self) -> None:
        """Begin anew."""
        self._memory = None


class FrameByFrame:
    """A Recogniser that reads one frame at a time.

    model: its weights are shared, not copied; it stays as it is. Raises ConfigError if it cannot be streamed.

    >>> model = Recogniser(NetworkOptions(backbone="small", one_sided=True), channels=3, segments=8, heads={"verb": 5})
    >>> FrameByFrame(model).scores(torch.zeros(1, 3, 32, 32))["verb"].shape
    torch.Size([1, 5])
    """

    def __init__(self, model: Recogniser):
        check_streamable(model.network)
        weights = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
        self._model = copy.deepcopy(model, weights).eval()
        self._shifts = [_streamed(*place) for place in _shifts(self._model)]

    def features(self, pictures: Tensor) -> Tensor:
        """Return what the heads read, (B, F), of the newest frame of B videos, (B, c, H, W)."""
        with torch.inference_mode():
            return self._model.features(pictures[:, None])[:, 0]

    def scores(self, pictures: Tensor) -> dict[str, Tensor]:
        """Return each head's scores, (B, K), of the newest frame of B videos, (B, c, H, W)."""
        with torch.inference_mode():
            return {head: rows[:, 0] for head, rows in self._model.segment_scores(pictures[:, None]).items()}

    def forget(self) -> None:
        """Begin anew: the next frame is the first one of other videos."""
        for shift in self._shifts:
            shift.forget()


def check_streamable(network: NetworkOptions) -> None:
    """Raise ConfigError if a network needs frames that have not come yet, or several at once."""
    told = "this network cannot read frames one by one: "
    if network.shift and not network.one_sided:
        raise ConfigError(f"{told}its shift looks ahead; train one with network.one_sided: true")
    for name in ("temporal_pool", "non_local", "fuse"):
        if getattr(network, name):
            raise ConfigError(f"{told}network.{name} puts several frames together; train one without it")


def _shifts(model: nn.Module) -> list[tuple[nn.Module, str, TemporalShift]]:
    """Return the shifts of a network, each with the module that holds it and its name there."""
    return [
        (holder, name, child)
        for holder in model.modules()
        for name, child in holder.named_children()
        if isinstance(child, TemporalShift)
    ]


def _streamed(holder: nn.Module, name: str, shift: TemporalShift) -> StreamedShift:
    made = StreamedShift(shift.divisor)
    holder._modules[name] = made
    return made


class LastFrames:
    """The window of a running video: what a segment at the newest frame would read.

    Where a gray window would reach beyond the newest frame it ends there (as ``border: clamp`` does at a clip's end). Until
    enough frames have come, the newest one stands in for those that are missing. Raises ConfigError for optical flow.
    """

    def __init__(self, options: InputOptions):
        if options.kind == "flow":
            raise ConfigError(
                "this network reads optical flow, which a running video does not bring: stream another one"
            )
        self.options = options.model_copy(update={"border": "clamp"})
        self._kept: deque[np.ndarray] = deque(maxlen=needed(options))

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Return the frames (k, H, W, C) of the window that ends with ``frame`` (H, W, C), k = ``windows``' k."""
        self._kept.append(frame)
        newest = len(self._kept) - 1
        moment = 0 if self.options.kind == "difference" else newest
        (chosen,) = windows(np.array([moment]), newest + 1, self.options)
        return np.stack([self._kept[number] for number in chosen])

"""A training as TensorBoard shows it: the numbers of its history as scalars, and pictures and videos, in an events file."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.training.history import Row

NAMES = ("step", "epoch")  # what is no scalar of its own
FILES = "events.out.tfevents.*"
PAUSE = 100  # milliseconds of a video's frame


class Events:
    """An events file in ``folder`` that grows; what was left in the folder before goes, but what `resume` keeps of it."""

    def __init__(self, folder: Path | None):
        """``folder``: where to write; None: nowhere."""
        self.folder, self.writer = folder, None
        self._said = 0
        self._kept: list[Any] = []  # events of the files before

    def resume(self, rows: list[Row], step: int) -> None:
        """Go on after an interrupted training: write its rows, and the pictures of its file up to this step."""
        if self.folder is not None:
            self._kept = _shown(self.folder, step)
            self.write(rows)

    def write(self, rows: list[Row]) -> None:
        """Write those of ``rows``, all of the history so far, that are not written yet."""
        if self.folder is None or len(rows) == self._said:
            return
        writer = self._begun(self.folder)
        for row in rows[self._said :]:
            for name, value in row.items():
                if name not in NAMES:
                    writer.add_scalar(name, value, int(row["step"]))
        writer.flush()
        self._said = len(rows)

    def show(self, step: int, shown: Mapping[str, np.ndarray]) -> None:
        """Write pictures (H, W, 3) and videos (T, H, W, 3), uint8, by name; ValueError if one is of another kind."""
        if self.folder is None or not shown:
            return
        writer = self._begun(self.folder)
        for name, x in shown.items():
            writer.file_writer.add_summary(_summary(name, x), step)
        writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self.writer:
            self.writer.close()

    def _begun(self, folder: Path) -> Any:
        """Return the writer; at first, write what is kept of the files before, which go then."""
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            before = list(folder.glob(FILES))
            self.writer = SummaryWriter(str(folder))
            for event in self._kept:
                self.writer.file_writer.event_writer.add_event(event)
            self.writer.flush()
            for old in before:
                old.unlink()
        return self.writer


def _shown(folder: Path, last: int) -> list[Any]:
    """Return the events of pictures up to step ``last`` in the files of a folder, each name and step once."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    found = {}
    for path in sorted(folder.glob(FILES)):
        for event in LegacyEventFileLoader(str(path)).Load():  # of a file that was cut off, what is whole
            if event.step <= last and any(value.HasField("image") for value in event.summary.value):
                found[event.step, event.summary.value[0].tag] = event
    return list(found.values())


def _summary(name: str, x: np.ndarray) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    if x.dtype != np.uint8 or x.ndim not in (3, 4) or x.shape[-1] != 3:
        raise ValueError(f"{name} is {x.dtype} {x.shape}: show pictures (H, W, 3) or videos (T, H, W, 3), uint8")
    height, width = x.shape[-3:-1]
    encoded = _png(x) if x.ndim == 3 else _gif(x)
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=encoded)
    return Summary(value=[Summary.Value(tag=name, image=image)])


def _png(picture: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def _gif(video: np.ndarray) -> bytes:
    """Return an animation, which browsers show as a picture: so does TensorBoard with a video."""
    from PIL import Image

    first, *others = map(Image.fromarray, video)
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, duration=PAUSE, loop=0)
    return file.getvalue()

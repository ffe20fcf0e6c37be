"""What training shows a network: the views of a clip, drawn and varied as it does, side by side as a video."""

import os
import zlib
from collections.abc import Sequence

import numpy as np

from kinoflow.report.section import Block, Heading, Video
from kinoflow.tasks.alignment.data import Clip, Source
from kinoflow.tasks.alignment.options import AlignmentOptions
from kinoflow.tasks.alignment.panes import Shown, fps_of
from kinoflow.tasks.alignment.sampling import View
from kinoflow.tasks.alignment.showcase import HEIGHT, encoded
from kinoflow.tasks.alignment.shown import pictures


def blocks(clips: Sequence[Clip], source: Source, options: AlignmentOptions, mirror: bool, who: str) -> list[Block]:
    """Return the video of the views of the first clip that has two frames; nothing if there is none.

    source: of frames. mirror: whether mirrored clips are the same. who: the run, for captions.
    """
    clip = next((each for each in clips if each.frames > 1), None)
    if clip is None:
        return []
    rng = np.random.default_rng(zlib.crc32(os.fsencode(clip.name)))
    augment = options.augment.model_copy(update={"flip": options.augment.flip and mirror})
    drawn = pictures(clip, source, options, augment, rng)
    panes = [_pane(f"view {number}", clip, view, x) for number, (view, x) in enumerate(drawn, 1)]
    mp4 = encoded(panes, HEIGHT, fps_of(clip.times))
    if not mp4:
        return []
    caption = f"Frames of {clip.name} as {who} is shown them in training: drawn from the clip, varied by one draw for each view."
    caption += " Black: padding." if any((view.mask == 0).any() for view, _ in drawn) else ""
    said = f"{len(panes)} views of a training clip" if len(panes) > 1 else "A view of a training clip"
    return [Heading("What training shows"), Video(mp4, said, caption)]


def _pane(name: str, clip: Clip, view: View, x: np.ndarray) -> Shown:
    return Shown(name, lambda numbers: x[numbers], np.arange(len(x)), clip.times[view.chosen])

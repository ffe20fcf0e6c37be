"""What a training shows: how alike the frames of two clips are, and the views of a clip as the network sees them."""

from collections.abc import Mapping, Sequence

import numpy as np

from kinoflow.tasks.alignment.data import Clip, Source, by_set
from kinoflow.tasks.alignment.measures import similarity
from kinoflow.tasks.alignment.options import AlignmentOptions, VaryOptions
from kinoflow.tasks.alignment.sampling import View, views

ALL = 14  # validation clips (those of Pouring) of which all pairs are shown; of other numbers, the first two
SIDE = 512  # rows and columns of a picture at most


def compared(clips: Sequence[Clip]) -> dict[str, list[Clip]]:
    """Return the clips of each set that are compared with each other."""
    return {name: own if len(own) == ALL else own[:2] for name, own in by_set(clips).items()}


def similarities(
    clips: Mapping[str, Sequence[Clip]], vectors: Mapping[str, np.ndarray], normalised: bool
) -> dict[str, np.ndarray]:
    """Return pictures (m, n, 3) uint8 of pairs of clips, by name: the darker, the nearer.

    clips: of each set; where there are more than two, all ordered pairs. vectors: (L, D) of each clip, of length 1 if
    ``normalised``. Frames of the second clip down, of the first across, thinned to at most 512.
    """
    found = {}
    for name, own in clips.items():
        pairs = [(a, b) for a in own for b in own if a is not b] if len(own) > 2 else [tuple(own)] if own[1:] else []
        for a, b in pairs:
            x = vectors[a.name][:: _stride(len(vectors[a.name]))]
            picture = similarity(x, vectors[b.name], normalised)[:: _stride(len(vectors[b.name]))]
            shade = np.rint(255 * (1 - picture / picture.max())).astype(np.uint8)
            found["/".join(filter(None, ("similarity", name, f"{a.name} to {b.name}")))] = np.stack([shade] * 3, -1)
    return found


def _stride(frames: int) -> int:
    return -(-frames // SIDE)


def pictures(
    clip: Clip, source: Source, options: AlignmentOptions, augment: VaryOptions, rng: np.random.Generator
) -> list[tuple[View, np.ndarray]]:
    """Draw and vary the views of a clip as training does; return each with its pictures (T, S, S, 3) uint8, padding black."""
    drawn = views(clip.frames, options.sampling, rng)
    return [(view, _masked(view, varied(_frames(clip, source, view), augment, rng))) for view in drawn]


def _frames(clip: Clip, source: Source, view: View) -> np.ndarray:
    return source.frames(clip.video, clip.first + view.chosen)


def _masked(view: View, x: np.ndarray) -> np.ndarray:
    x[view.mask == 0] = 0
    return x


def varied(frames: np.ndarray, options: VaryOptions, rng: np.random.Generator) -> np.ndarray:
    """Vary frames (n, H, W, 3) uint8 by one draw, as `augment.vary` does, but for the scale of values: (n, S, S, 3) uint8."""
    import torch

    from kinoflow.tasks.alignment.augment import cut, draw, recolour

    variation = draw(*frames.shape[1:3], options, rng)
    tensors = torch.from_numpy(np.ascontiguousarray(frames))
    x = recolour(cut(tensors, variation.box, variation.mirrored, options.size), variation)
    return x.clamp(0, 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()

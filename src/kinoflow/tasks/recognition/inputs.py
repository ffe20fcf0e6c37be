"""From the frames of a clip to what the network reads: cut, mirrored, scaled, made gray, normalised.

The chains ``prepare_training``, ``prepare_validation`` and ``prepare_test`` take frames (T, k, H, W, C) uint8: T segments
of k frames each (``sampling.windows``), C = 3 colours, or 2 for optical flow (x and y, 128 = no motion). They give
float32 planes (T, c, S, S); c is ``channels``.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from PIL import Image

from kinoflow.errors import ConfigError, DataError
from kinoflow.tasks.recognition import crops
from kinoflow.tasks.recognition.options import AugmentOptions, ClipTestOptions, InputOptions, RecognitionOptions

# Mean and deviation of red, green and blue as shares of white: those of most published weights, and of BN-Inception's,
# which takes blue first and values up to 255.
USUAL = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
BN_INCEPTION = np.array([104.0, 117.0, 128.0]) / 255, np.full(3, 1 / 255)

SCALES = 1.0, 0.875, 0.75, 0.66  # of multi-scale crops; flow and differences go without the smallest one


def channels(options: InputOptions) -> int:
    """Return how many planes the network reads of each segment."""
    return options.frames * {"rgb": 3, "gray": 1, "flow": 2, "difference": 3}[options.kind]


def luma(frames: np.ndarray) -> np.ndarray:
    """Return the gray values (..., W) uint8 of colours (..., W, 3) uint8: (19595 R + 38470 G + 7471 B + 32768) >> 16."""
    width = frames.shape[-2]
    rows = Image.fromarray(np.ascontiguousarray(frames).reshape(-1, width, 3))
    return np.asarray(rows.convert("L")).reshape(frames.shape[:-1])


def differences(pictures: np.ndarray) -> np.ndarray:
    """Return what changes from each picture to the next: (..., L + 1, C, H, W) to (..., L, C, H, W)."""
    return np.diff(pictures, axis=-4)


# ---------------------------------------------------------------- the chains


def prepare_training(frames: np.ndarray, options: RecognitionOptions, mirror: bool, rng: Generator) -> np.ndarray:
    """Vary frames (T, k, H, W, C) by one draw from ``rng`` for the whole clip: (T, c, S, S) float32.

    mirror: whether the dataset's classes allow mirroring. What is drawn does not depend on which variations are on,
    except for the crop, which is drawn first. Colours vary in pictures, not in flow.
    """
    augment, flow = options.augment, options.input.kind == "flow"
    # Gray comes behind cutting and scaling, as published, but in validation before; it is cheaper before mirroring.
    cut = _gray_if_asked(_cut_by_chance(_flat(frames, options), options, rng), options)
    flipped, colour = rng.random() < 0.5, Colour.draw(augment, rng)
    if flipped and mirror and augment.flip:
        cut = crops.mirror(cut, flow)
    return _planes(cut.reshape(*frames.shape[:2], *cut.shape[1:]), options, None if flow else colour)


def prepare_validation(frames: np.ndarray, options: RecognitionOptions) -> np.ndarray:
    """Scale frames (T, k, H, W, C) and cut out the centre: (T, c, S, S) float32."""
    flat = _gray_if_asked(_flat(frames, options), options)
    cut = crops.centre_crop(crops.scale_short(flat, short_side(options)), options.input.size)
    return _planes(cut.reshape(*frames.shape[:2], *cut.shape[1:]), options)


def prepare_test(frames: np.ndarray, options: RecognitionOptions, mirror: bool) -> np.ndarray:
    """Cut the crops of ``options.test`` out of frames (n, k, H, W, C): (crops, n, c, S, S) float32.

    n may be several times the number of segments. mirror: whether the dataset's classes allow mirroring; if not, raises
    ConfigError for 10 crops.
    """
    check_crops(options.test, mirror)
    size, test, flow = options.input.size, options.test, options.input.kind == "flow"
    flat, side = _flat(frames, options), short_side(options)
    cut = crops.test_crops(flat, size, side, test.crops, test.full_resolution, flow)
    cut = [_gray_if_asked(crop, options) for crop in cut]
    return np.stack([_planes(crop.reshape(*frames.shape[:2], *crop.shape[1:]), options) for crop in cut])


def check_crops(options: ClipTestOptions, mirror: bool) -> None:
    """Raise ConfigError if clips are to be tested mirrored although the dataset's classes do not allow it."""
    if options.crops == 10 and not mirror:
        raise ConfigError(
            "test.crops: 10 crops show clips mirrored, but the dataset's option mirror says that this changes what they"
            " show; take 5"
        )


def short_side(options: RecognitionOptions) -> int:
    """Return to how many pixels the short side is scaled for validation and test.

    The published 256 for an input of 224 where training crops are smaller than the picture; the input's own size where
    training sees the picture whole.
    """
    size = options.input.size
    return size * 256 // 224 if options.augment.crop == "multi_scale" else size


def _flat(frames: np.ndarray, options: RecognitionOptions) -> np.ndarray:
    """Return the frames (T k, H, W, C); DataError if they are no pictures, or no flow fields, as the input wants."""
    kind, wanted = options.input.kind, 2 if options.input.kind == "flow" else 3
    if frames.shape[-1] != wanted:
        raise DataError(
            f"input.kind: {kind} is made of frames with {wanted} planes, but these have {frames.shape[-1]}; give"
            f" {'the shards of `kinoflow flow`' if kind == 'flow' else 'pictures'}"
        )
    return frames.reshape(-1, *frames.shape[2:])


def _cut_by_chance(frames: np.ndarray, options: RecognitionOptions, rng: Generator) -> np.ndarray:
    """Cut and scale frames (n, H, W, C) to (n, S, S, C) as ``options.augment.crop`` says."""
    augment, size = options.augment, options.input.size
    if augment.crop == "multi_scale":
        height, width = frames.shape[1:3]
        scales = augment.scales or SCALES[: 4 if options.input.kind in ("rgb", "gray") else 3]
        cut = crops.cut_crop(frames, crops.draw_crop(width, height, size, scales, rng))
        return crops.resize(cut, size, size)
    scaled = crops.scale_short(frames, size)
    if augment.crop == "none":
        return crops.centre_crop(scaled, size)
    x, y = rng.integers(-augment.shift, augment.shift, size=2, endpoint=True).tolist()
    return crops.shift_crop(scaled, size, x, y)


def _gray_if_asked(frames: np.ndarray, options: RecognitionOptions) -> np.ndarray:
    return luma(frames)[..., None] if options.input.kind == "gray" else frames


# ---------------------------------------------------------------- values


@dataclass(frozen=True)
class Colour:
    """A change of colours: contrast about the clip's mean, then brightness, then a gain of each colour."""

    contrast: float = 1.0
    brightness: float = 0.0  # shares of white
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @classmethod
    def draw(cls, options: AugmentOptions, rng: Generator) -> "Colour":
        """Draw a change for one clip; as many numbers are drawn whatever the options."""
        contrast, brightness, *gains = rng.uniform(-1, 1, 5).tolist()
        return cls(
            1 + options.contrast * contrast,
            options.brightness * brightness,
            tuple(1 + options.gain * gain for gain in gains),
        )


@lru_cache(64)  # every clip of a run asks for the same
def normalisation(options: InputOptions, segments: int, backbone: str) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of each plane of a clip, as shares of white: (T, c) each, not to be written to.

    ``normalise: original`` takes the planes of gray for red, green and blue in turn and leaves the last T c mod 3 as they
    are. backbone: bn_inception has values of its own.
    """
    own = backbone == "bn_inception"
    means, deviations = BN_INCEPTION if own else USUAL
    count = segments * channels(options)
    if options.kind == "flow":
        means, deviations = [128 / 255 if own else 0.5], [deviations.mean()]
    elif options.kind == "difference":
        means, deviations = [0.0], [1 / 255 if own else 1.0]
    elif options.kind == "gray" and options.normalise == "plain":
        means, deviations = [means.mean()], [deviations.mean()]
    turn = np.arange(count) % len(means)
    mean, deviation = np.take(means, turn), np.take(deviations, turn)
    if options.kind == "gray" and options.normalise == "original" and count % 3:
        mean[-(count % 3) :], deviation[-(count % 3) :] = 0, 1 / 255 if own else 1
    mean.flags.writeable = deviation.flags.writeable = False
    return mean.reshape(segments, -1), deviation.reshape(segments, -1)


def _planes(frames: np.ndarray, options: RecognitionOptions, colour: Colour | None = None) -> np.ndarray:
    """Make frames (n, k, S, S, C) uint8 into normalised planes (n, c, S, S) float32, the planes of a frame together."""
    kind, T, backbone = options.input.kind, options.sampling.segments, options.network.backbone
    if backbone == "bn_inception" and kind in ("rgb", "difference"):
        frames = frames[..., ::-1]
    x = frames.transpose(0, 1, 4, 2, 3).astype(np.float32, order="C")  # (n, k, C, S, S)
    x = differences(x) if kind == "difference" else x
    x = x.reshape(len(x), -1, *x.shape[3:])  # (n, c, S, S)
    mean, deviation = normalisation(options.input, T, backbone)
    factor, offset = _change(frames, kind, colour or Colour())
    # One product and one sum for everything: x / 255, its change of colours, and its normalisation.
    by_segment = x.reshape(-1, T, *x.shape[1:])
    by_segment *= (factor / (255 * deviation))[..., None, None].astype(np.float32)
    by_segment += ((offset - mean) / deviation)[..., None, None].astype(np.float32)
    return x


def _change(frames: np.ndarray, kind: str, colour: Colour) -> tuple[np.ndarray | float, np.ndarray | float]:
    """Return factor and offset of shares of white, one number or (3,): a change of colours, the clip's mean put in."""
    gains = np.array(colour.gains) if kind == "rgb" else 1.0
    if kind == "difference":  # of what is added to all pictures, nothing is left
        return colour.contrast, 0.0
    mean = frames.sum() / frames.size / 255 if colour.contrast != 1 else 0.0
    return colour.contrast * gains, (mean * (1 - colour.contrast) + colour.brightness) * gains


def shown(planes: np.ndarray, options: RecognitionOptions) -> np.ndarray:
    """Return what people see of planes (T, c, S, S), as pictures (n, S, S, 3) uint8: T, or for each segment as many as it has.

    Of flow, x is red, y is green, and gray is no motion; of differences, gray is none.
    """
    kind, backbone = options.input.kind, options.network.backbone
    mean, deviation = normalisation(options.input, len(planes), backbone)
    x = planes * deviation[..., None, None] + mean[..., None, None]  # shares of white
    x = x / 2 + 0.5 if kind == "difference" else x
    x = x.reshape(-1, {"gray": 1, "flow": 2}.get(kind, 3), *x.shape[2:])  # (n, C, S, S)
    if kind == "gray":
        x = x.repeat(3, axis=1)
    elif kind == "flow":
        x = np.concatenate([x, np.full_like(x[:, :1], 128 / 255)], axis=1)
    elif backbone == "bn_inception":
        x = x[:, ::-1]
    return np.rint(255 * x.clip(0, 1)).astype(np.uint8).transpose(0, 2, 3, 1)

"""What an extraction is, with every choice made: which network, weights, clips and pictures, on which device."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.features.backbones import BN_INCEPTION, RESNET3D, VIDEO_CLIP, is_video, member, usual_pictures
from kinoflow.features.options import FeaturesOptions, RunWeights
from kinoflow.features.transforms import Pictures, chosen
from kinoflow.features.weights import DRAWN, published_file
from kinoflow.options import resolved
from kinoflow.store.files import key_of, sha256_of
from kinoflow.training.devices import device_of

PUBLISHED = "torchvision:"
UNSAID = ("weights", "batch", "threads")  # told by their checksum; change no feature


@dataclass(frozen=True)
class Plan:
    """An extraction with every choice made.

    file: the file of the weights; None: drawn. whole: whether it must hold every weight. weights: its checksum, or "drawn".
    """

    options: FeaturesOptions
    video: bool
    clip: int
    pictures: Pictures
    how: Arithmetic
    file: Path | None
    whole: bool
    weights: str

    @property
    def clips(self) -> tuple[int, int, int]:
        """Frames of a clip, their distance, and the distance of clips."""
        return self.clip, self.options.dilation, self.options.stride

    def attrs(self) -> dict[str, str]:
        """Return what a shard says of how it was made."""
        extractor = json.loads(resolved(self.options, UNSAID)) | {"clip": self.clip}
        return {
            "extractor": json.dumps(extractor, sort_keys=True),
            "pictures": self.pictures.text(),
            "weights": self.weights,
            "dtype": self.options.dtype,
            "device": self.how.device.type,
            "blocks": "{}",
        }

    def key(self, content: str, code: str) -> str:
        """Return what tells whether the rows of a video with this content may be carried over."""
        batch = self.how.group(self.video) if self.how.device.type == "cuda" else 0  # rounding may follow it there
        return key_of(content, self.attrs(), batch, code)


def planned(options: FeaturesOptions, weights: str | None, device: str) -> Plan:
    """Make every choice that options leave open.

    weights: in place of those of the options: none, torchvision:NAME, or a file.
    Raises ConfigError or DataError if options contradict each other, or weights are not there.
    """
    video = is_video(options.backbone)
    clip = options.clip or (VIDEO_CLIP if video else 1)
    if clip > 1 and not video:
        raise ConfigError(
            f"clip: {options.backbone} reads single pictures; leave clip at 1, or take a network like r3d_18"
        )
    wanted = weights or options.weights
    published = _member(options.backbone, wanted)
    file = published_file(published) if published else _file(wanted)
    return Plan(
        options=options,
        video=video,
        clip=clip,
        pictures=chosen(options, usual_pictures(options.backbone, published)),
        how=Arithmetic(device_of(device), options.precision, options.threads, options.batch),
        file=file,
        whole=published is not None,
        weights=sha256_of(file) if file else DRAWN,
    )


def _member(backbone: str, wanted: str | RunWeights) -> Any:
    if isinstance(wanted, str) and wanted.startswith(PUBLISHED):
        if backbone in (RESNET3D, BN_INCEPTION):
            raise ConfigError(f"weights: torchvision has none for the network {backbone!r}; give none or a file")
        return member(backbone, wanted.removeprefix(PUBLISHED))
    return None


def _file(wanted: str | RunWeights) -> Path | None:
    if isinstance(wanted, RunWeights):
        raise ConfigError(
            f"weights: those of the run {wanted.run!r} are taken from its checkpoint; name the file by --weights"
        )
    if wanted == "none":
        return None
    if not Path(wanted).is_file():
        raise DataError(f"weights: there is no file {wanted}; give a file, torchvision:DEFAULT, or none")
    return Path(wanted)

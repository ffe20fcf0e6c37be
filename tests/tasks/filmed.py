"""Features of real videos as the workflow makes them for the rooms: of a network with drawn weights, or of a run's, then a PCA."""

import json
from dataclasses import dataclass
from pathlib import Path

from kinoflow.features.extract import features
from kinoflow.features.options import FeaturesOptions, PcaOptions
from kinoflow.features.pca import pca_apply, pca_fit, pca_partial
from kinoflow.media.frames import frames
from kinoflow.media.options import FramesOptions
from kinoflow.store import tables
from kinoflow.store.files import sha256_of
from kinoflow.store.shards import Shard
from kinoflow.store.tables import READABLE, Probed
from kinoflow.tasks.alignment.embed import Trained as Aligned
from kinoflow.tasks.alignment.extract import alignment_features
from kinoflow.tasks.alignment.model import build
from kinoflow.tasks.alignment.options import AlignmentOptions
from kinoflow.tasks.recognition import inputs
from kinoflow.tasks.recognition.extract import recognition_features
from kinoflow.tasks.recognition.model import Recogniser
from kinoflow.tasks.recognition.options import RecognitionOptions
from kinoflow.tasks.recognition.scoring import Trained
from kinoflow.training import checkpoint

COMPONENTS = 4


@dataclass(frozen=True)
class Filmed:
    """The folder of the videos, a shard of frames, one of features, their components, and the shard of these."""

    root: Path
    names: list[str]
    frames: Path
    features: Path
    basis: Path
    reduced: Path
    weights: Path | None  # of the run that made the features; None: drawn


def videos(folder: Path, make_video, count: int = 4) -> tuple[list[str], Path]:
    """Write videos and a shard of their frames."""
    names, rows = [f"v{number}.mp4" for number in range(count)], []
    for number, name in enumerate(names):
        make_video(folder / name, frames=36, seed=number)
        known = {"frames": 36, "fps": 12.0, "duration": 3.0, "status": READABLE, "kept": True}
        rows.append(Probed(video=name, sha256=sha256_of(folder / name), **known))
    tables.write(folder / "probe.csv", rows, Probed)
    frames(folder, folder / "probe.csv", folder / "frames.h5", FramesOptions(size=40, store="raw"), code="test")
    return names, folder / "frames.h5"


def recogniser(path: Path, stored: Path) -> Path:
    """Write the checkpoint of a small recogniser of gray windows, which has learned nothing, as a run leaves it."""
    about = json.loads(Shard(stored).attrs["options"])
    given = RecognitionOptions.model_validate(
        {
            "input": {"kind": "gray", "frames": 3, "size": about["size"]},
            "sampling": {"segments": 4},
            "network": {"backbone": "small", "shift": 8},
        }
    )
    network = Recogniser(given.network, inputs.channels(given.input), 4, {"action": 2}, given.input.kind, 0)
    classes = {"action": ("left", "right")}
    trained = Trained(network, given, classes, {"action": (1, 1)}, FramesOptions.model_validate(about), True, "trial")
    checkpoint.save(path, network, trained.about(0))
    return path


def aligner(path: Path, stored: Path) -> Path:
    """Write the checkpoint of a small network that aligns whole videos, which has learned nothing, as a run leaves it."""
    about = json.loads(Shard(stored).attrs["options"])
    given = AlignmentOptions.model_validate(
        {
            "network": {
                "backbone": "tiny",
                "pool": 2,
                "hidden": 16,
                "width": 8,
                "layers": 1,
                "heads": 2,
                "embedding": 6,
            },
            "augment": {"size": about["size"], "crop": False, "evaluate": "resize"},
        }
    )
    network, frames = build(given, 0, 3, 0), FramesOptions.model_validate(about)
    trained = Aligned(network, given, (), frames, True, "trial", "none", 4, 0)
    checkpoint.save(path, network, trained.about())
    return path


def reduced(folder: Path, root: Path, names: list[str], stored: Path, trained: bool, aligned: bool = False) -> Filmed:
    """Make features of a shard of frames, and their components; ``aligned``: by the network of an alignment run."""
    weights, shard = None, folder / "features.h5"
    if aligned:
        weights = aligner(folder / "run" / "model.safetensors", stored)
        options = FeaturesOptions(backbone="trained", stride=3)
        alignment_features(shard, options, weights, frames=stored, device="cpu", code="test")
    elif trained:
        weights = recogniser(folder / "run" / "model.safetensors", stored)
        options = FeaturesOptions(backbone="trained", stride=3)
        recognition_features(shard, options, weights, frames=stored, device="cpu", code="test")
    else:
        features(shard, FeaturesOptions(stride=3), frames=stored, device="cpu", code="test")
    basis, pca = folder / "basis.safetensors", PcaOptions(components=COMPONENTS, fit_on="all", whiten=True)
    pca_partial(shard, folder / "partial.h5", pca)
    pca_fit([folder / "partial.h5"], basis, pca)
    pca_apply(shard, basis, folder / "reduced.h5", pca)
    return Filmed(root, names, stored, shard, basis, folder / "reduced.h5", weights)

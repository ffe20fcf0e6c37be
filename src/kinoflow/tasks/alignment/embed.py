"""The stage `alignment-embed`: a trained network's vector for every frame of every clip, as a feature shard.

On a CPU every clip is embedded by itself, on one thread: its vectors depend on the clip alone. Clips that are done are kept
when the stage is killed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinoflow.errors import DataError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.features.kept import Rows, fill
from kinoflow.media.options import FramesOptions
from kinoflow.options import check, resolved
from kinoflow.stage import Folder, In, Out
from kinoflow.store.files import key_of, sha256_of
from kinoflow.tasks.alignment import data
from kinoflow.tasks.alignment.augment import prepare
from kinoflow.tasks.alignment.data import Clip, Sources
from kinoflow.tasks.alignment.measuring_options import AlignmentTestOptions, MeasuringOptions
from kinoflow.tasks.alignment.model import Aligner, build, video_embedding
from kinoflow.tasks.alignment.options import AlignmentOptions
from kinoflow.tasks.alignment.weights import begin
from kinoflow.training import checkpoint
from kinoflow.training.checkpoint import run_name
from kinoflow.training.devices import device_of
from kinoflow.training.options import TESTING

ROOM = "alignment"


@dataclass(frozen=True)
class Trained:
    """A network, and all that is needed to use it."""

    network: Aligner
    options: AlignmentOptions
    classes: tuple[str, ...]  # phases of the training clips, in the order in which they come in time
    frames: FramesOptions | None  # how the frames that it was trained on are made; None: it reads feature rows
    mirror: bool  # whether mirrored clips are the same
    dataset: str
    seen: str  # what labels the backbone has seen, in words
    clips: int  # that it was trained on
    seed: int

    def about(self) -> dict[str, Any]:
        """Return what a checkpoint says of itself, as JSON values; how the network is tested is not part of it."""
        return {
            "room": ROOM,
            "options": self.options.model_dump(mode="json", exclude=set(TESTING)),
            "model": self.network.about(),
            "classes": self.classes,
            "frames": self.frames and self.frames.model_dump(mode="json"),
            "mirror": self.mirror,
            "dataset": self.dataset,
            "seen": self.seen,
            "clips": self.clips,
            "seed": self.seed,
        }


@checkpoint.rebuilding
def read_checkpoint(path: Path) -> Trained:
    """Return the network of a checkpoint of this room; DataError if it is another file, or of other shapes."""
    tensors, about = checkpoint.read(path)
    if about.get("room") != ROOM:
        raise DataError(
            f"{path}: this is no checkpoint of an alignment run; give a model.safetensors that one has written"
        )
    network = Aligner.rebuild(about["model"])
    checkpoint.load_into(network, tensors, path)
    return Trained(
        network=network.eval(),
        options=check(AlignmentOptions, about["options"], str(path)),
        classes=tuple(about["classes"]),
        frames=about["frames"] and check(FramesOptions, about["frames"], str(path)),
        mirror=about["mirror"],
        dataset=about["dataset"],
        seen=about["seen"],
        clips=about["clips"],
        seed=about["seed"],
    )


def untrained(trained: Trained, weights: Path | None) -> Trained:
    """Return the same network as it was before its training: first weights of its seed, and the backbone's of a file.

    weights: the file that the training began with; without it the options' is taken. Of a network whose first weights are not
    known (it was imported), the backbone stays.
    """
    network = build(trained.options, len(trained.classes), trained.network.inputs, trained.seed)
    first = str(weights) if weights else trained.options.network.weights
    if first != "none":
        begin(network, first)
    elif trained.network.backbone is not None and trained.seed < 0:
        network.backbone.load_state_dict(trained.network.backbone.state_dict())
    return Trained(**{**vars(trained), "network": network.eval()})


# ---------------------------------------------------------------- the stage


def alignment_embed(
    model: In,
    videos: In,
    segments: In,
    embeddings: Out,
    options: AlignmentTestOptions,
    frames: list[In] | None = None,
    features: list[In] | None = None,
    root: Folder | None = None,
    splits: list[str] | None = None,
    device: str = "auto",
    code: str = "",
) -> None:
    """Write the vector of every frame of every clip as a feature shard, which other stages read like any other.

    Clips that are done are not computed again when the stage was killed, or is run again.

    model: the checkpoint, model.safetensors of an alignment run
    videos: the table of videos
    segments: the table of labelled segments, which say what clips are
    embeddings: the feature shard to write; its videos are the clips, called as their video or segment
    frames: the shards of frames, all of the dataset's
    features: the shards of features, for a network that reads rows
    root: the folder of the videos, to decode frames from there in place of shards
    splits: the splits whose clips are embedded; all if not given
    device: cpu, cuda, or auto: CUDA where there is some
    code: fingerprint of the stage's code; found out if not given
    """
    trained = read_checkpoint(model)
    inputs = [*(frames or ()), *(features or ())]
    source = data.sources(trained.options, frames or (), features or (), root, trained.frames)
    by_split = data.clips(segments, videos, source.read, trained.options)
    found = data.chosen(by_split, splits or sorted(by_split), "splits")
    embedder = Embedder(trained, options, source, Arithmetic(device_of(device)), run_name(model))
    identity = (sha256_of(model), resolved(options), code, str(root or ""))
    write_embeddings(embeddings, found, embedder, identity, inputs, root)


def write_embeddings(
    path: Path,
    found: Iterable[Clip],
    embedder: "Embedder",
    identity: Sequence[Any],
    inputs: Iterable[Path],
    root: Path | None,
) -> None:
    """Write the shard of clips' embeddings; what is there already of the same identity and inputs is carried over."""
    clips = {clip.name: clip for clip in found}
    states = [(Path(each).name, Path(each).stat().st_size, Path(each).stat().st_mtime_ns) for each in inputs]
    keys = {name: key_of(identity, states, _content(clip, root)) for name, clip in clips.items()}
    with embedder.how.settled():
        fill(path, keys, embedder.attrs(), "float32", lambda: embedder.of(clips))


def _content(clip: Clip, root: Path | None) -> list[Any]:
    """Return what tells a clip's frames from others, as JSON values."""
    state = Path(root, clip.video).stat() if root else None
    file = [state.st_size, state.st_mtime_ns] if state else []
    return [clip.video, clip.first, clip.times.tolist(), *file]


class Embedder:
    """A network in the mode of evaluation, and where its pictures come from."""

    def __init__(self, trained: Trained, test: MeasuringOptions, source: Sources, how: Arithmetic, name: str):
        self.trained, self.test, self.source, self.how, self.name = trained, test, source, how, name
        self.width = trained.options.network.embedding
        self._network = trained.network.to(how.device)
        self._clips: Mapping[str, Clip] = {}

    def of(self, clips: Mapping[str, Clip]) -> "Embedder":
        """Make `rows` know these clips by their names."""
        self._clips = clips
        return self

    def rows(self, video: str) -> Rows:
        """Return the embeddings (n, D) float32 and times (n,) of a clip, by its name."""
        clip = self._clips[video]
        return self.embedding(clip), clip.times[:: self.test.every]

    def embedding(self, clip: Clip) -> np.ndarray:
        """Return the vectors of a clip's frames, (n, D) float32."""
        read, test = self.reader(clip), self.test
        sampling = self.trained.options.sampling
        return video_embedding(self._network, read, clip.frames, sampling, test.chunk, test.every, test.chunk_overlap)

    def reader(self, clip: Clip):
        """Return the function that reads frames of a clip by their numbers (n,) as the network wants them."""
        device, augment = self.how.device, self.trained.options.augment

        def read(numbers: np.ndarray) -> Tensor:
            items = torch.from_numpy(np.ascontiguousarray(self.source.read.frames(clip.video, clip.first + numbers)))
            return items.to(device) if self.source.made is None else prepare(items.to(device), augment)

        return read

    def attrs(self) -> dict[str, Any]:
        """Return what the shard says of itself."""
        return {"made": "alignment", "run": self.name, "options": resolved(self.test)}

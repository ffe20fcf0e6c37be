"""The stage that embeds whole videos by a trained network of this room: features that other rooms read.

A video is one long clip of frames that lie ``stride`` apart, and what the encoder sees of it is the whole video (of more than
1,000 such frames, pieces of them, as in the room's own tests).
"""

from pathlib import Path

from kinoflow.errors import ConfigError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.features.kept import Rows, fill
from kinoflow.features.options import FeaturesOptions
from kinoflow.features.sources import DecodedVideos, StoredFrames
from kinoflow.media.options import FramesOptions
from kinoflow.media.reading import FrameShards, Videos
from kinoflow.options import resolved
from kinoflow.stage import Folder, In, Out
from kinoflow.store.files import key_of, parse_json, sha256_of
from kinoflow.store.shards import Shard
from kinoflow.store.tables import Probed, read
from kinoflow.tasks.alignment import data
from kinoflow.tasks.alignment.data import Clip, Sources
from kinoflow.tasks.alignment.embed import Embedder, Trained, read_checkpoint, run_name
from kinoflow.tasks.alignment.options import AlignmentTestOptions
from kinoflow.training.devices import device_of


def alignment_features(
    shard: Out,
    options: FeaturesOptions,
    weights: In,
    frames: In | None = None,
    root: Folder | None = None,
    table: In | None = None,
    device: str = "auto",
    code: str = "",
) -> None:
    """Embed every ``stride``-th frame of the videos of a shard; from frames, or from the videos themselves (root and table).

    shard: the feature shard to write
    weights: the checkpoint of an alignment run
    frames: the frame shard (from: frames); its frames must be made as those that the network was trained on
    root: the folder of the videos (from: video)
    table: the probe table of the shard (from: video)
    device: cpu, cuda, or auto: CUDA where there is some
    code: fingerprint of the stage's code; found out if not given
    """
    trained = read_checkpoint(weights)
    if options.backbone != "trained":
        raise ConfigError(f"backbone: {options.backbone!r} is for `kinoflow features`; here it is `trained`")
    if trained.options.network.backbone == "features":
        raise ConfigError("weights: this network reads rows of features, not pictures; take a run that reads frames")
    source, contents = _source(trained, options, frames, root, table)
    how = Arithmetic(device_of(device))
    attrs = {
        "extractor": resolved(options, ("weights", "batch", "threads")),
        "pictures": "",
        "weights": sha256_of(weights),
        "dtype": options.dtype,
        "device": how.device.type,
        "blocks": "{}",
    }
    keys = {video: key_of(content, attrs, code) for video, content in contents.items()}
    test = AlignmentTestOptions().model_copy(update={"every": options.stride})
    with how.settled():
        fill(shard, keys, attrs, options.dtype, lambda: WholeVideos(trained, test, source, how, run_name(weights)))


class WholeVideos(Embedder):
    """A trained network that embeds each video as one clip."""

    def rows(self, video: str) -> Rows:
        """Return the embeddings (n, D) float32 of every so-manieth frame of a video, and their times (n,) seconds."""
        times = self.source.read.times(video)
        return self.embedding(Clip(video, video, 0, times, ())), times[:: self.test.every]


def _source(
    trained: Trained, options: FeaturesOptions, frames: Path | None, root: Path | None, table: Path | None
) -> tuple[Sources, dict[str, str]]:
    """Return where frames come from, and {video: what tells its frames from others}."""
    if options.source == "video":
        if root is None or table is None:
            raise ConfigError("from: features of videos need --root and --table")
        made = trained.frames or data.decoding(trained.options)
        return Sources(Videos(root, made), made), DecodedVideos(root, read(table, Probed), made).contents
    if frames is None:
        raise ConfigError("from: features of frames need --frames")
    stored = StoredFrames(frames)
    here = FramesOptions.model_validate(parse_json(stored.shard.attrs.get("options", "{}")))
    _check_made(stored.shard, here, trained.frames or here)
    return Sources(FrameShards([stored.shard]), here), stored.contents


def _check_made(shard: Shard, here: FramesOptions, there: FramesOptions) -> None:
    """Refuse frames that differ from those that the network was trained on in rate, number, size or shape."""
    for name in ("rate", "count", "size", "shape"):
        mine, its = getattr(here, name), getattr(there, name)
        if mine != its:
            raise ConfigError(
                f"frames: {shard.path} is made with {name}: {mine}, but the network was trained on frames with {name}: {its};"
                " give the frames that it was trained on"
            )

"""The stage that embeds whole videos by a trained network of this room: features that other rooms read.

A video is one long clip of frames that lie ``stride`` apart, and what the encoder sees of it is the whole video (of more than
1,000 such frames, pieces of them, as in the room's own tests).
"""

from kinoflow.errors import ConfigError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.features.kept import Rows
from kinoflow.features.options import FeaturesOptions
from kinoflow.features.whole import frames_for, write_rows
from kinoflow.stage import Folder, In, Out
from kinoflow.tasks.alignment.data import Clip, Sources, decoding
from kinoflow.tasks.alignment.embed import Embedder, read_checkpoint
from kinoflow.tasks.alignment.measuring_options import AlignmentTestOptions
from kinoflow.training.checkpoint import run_name
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
    if trained.options.network.backbone == "features":
        raise ConfigError("weights: this network reads rows of features, not pictures; take a run that reads frames")
    read, made, contents = frames_for(options, trained.frames, lambda: decoding(trained.options), frames, root, table)
    how, test = Arithmetic(device_of(device)), AlignmentTestOptions().model_copy(update={"every": options.stride})

    def network() -> WholeVideos:
        return WholeVideos(trained, test, Sources(read, made), how, run_name(weights))

    write_rows(shard, options, weights, contents, how, code, network)


class WholeVideos(Embedder):
    """A trained network that embeds each video as one clip."""

    def rows(self, video: str) -> Rows:
        """Return the embeddings (n, D) float32 of every so-manieth frame of a video, and their times (n,) seconds."""
        times = self.source.read.times(video)
        return self.embedding(Clip(video, video, 0, times, ())), times[:: self.test.every]

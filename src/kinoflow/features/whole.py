"""What the stages share that run the network of a room along whole videos: where frames come from, and how rows are kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kinoflow.errors import ConfigError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.features.kept import fill
from kinoflow.features.options import FeaturesOptions
from kinoflow.features.sources import DecodedVideos, StoredFrames
from kinoflow.media.options import FramesOptions
from kinoflow.media.reading import FrameShards, Source, Videos
from kinoflow.options import resolved
from kinoflow.store.files import key_of, parse_json, sha256_of
from kinoflow.store.shards import Shard
from kinoflow.store.tables import Probed, read


def frames_for(
    options: FeaturesOptions,
    made: FramesOptions | None,
    usual: Callable[[], FramesOptions],
    frames: Path | None,
    root: Path | None,
    table: Path | None,
) -> tuple[Source, FramesOptions, dict[str, str]]:
    """Return where frames come from, how they are made, and {video: what tells its frames from others}.

    made: how the frames were made that the network was trained on, where it knows; usual: says how videos are read else.
    frames: the frame shard (from: frames). root, table: the folder of the videos and their probe table (from: video).
    """
    if options.backbone != "trained":
        raise ConfigError(f"backbone: {options.backbone!r} is for `kinoflow features`; here it is `trained`")
    if options.source == "video":
        if root is None or table is None:
            raise ConfigError("from: features of videos need --root and --table")
        how = made or usual()
        return Videos(root, how), how, DecodedVideos(root, read(table, Probed), how).contents
    if frames is None:
        raise ConfigError("from: features of frames need --frames")
    stored = StoredFrames(frames)
    here = FramesOptions.model_validate(parse_json(stored.shard.attrs.get("options", "{}")))
    _check_made(stored.shard, here, made or here)
    return FrameShards([stored.shard]), here, stored.contents


def _check_made(shard: Shard, here: FramesOptions, there: FramesOptions) -> None:
    """Refuse frames that differ from those that the network was trained on in rate, number, size or shape."""
    for name in ("rate", "count", "size", "shape"):
        mine, its = getattr(here, name), getattr(there, name)
        if mine != its:
            raise ConfigError(
                f"frames: {shard.path} is made with {name}: {mine}, but the network was trained on frames with {name}: {its};"
                " give the frames that it was trained on"
            )


def write_rows(
    shard: Path,
    options: FeaturesOptions,
    weights: Path,
    contents: dict[str, str],
    how: Arithmetic,
    code: str,
    network: Callable[[], Any],
) -> None:
    """Write the rows of all videos as a feature shard; those of videos that have not changed are carried over.

    contents: {video: what tells its frames from others}. network: makes what gives a video's rows, if some are to be made.
    """
    attrs = {
        "extractor": resolved(options, ("weights", "batch", "threads")),
        "pictures": "",
        "weights": sha256_of(weights),
        "dtype": options.dtype,
        "device": how.device.type,
        "blocks": "{}",
    }
    keys = {video: key_of(content, attrs, code) for video, content in contents.items()}
    with how.settled():
        fill(shard, keys, attrs, options.dtype, network)

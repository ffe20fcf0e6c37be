"""The stage that makes flow shards of clips which are folders of published optical flow: pictures of x and y.

Two layouts: x and y in two gray files (pictures.pattern, pictures.pattern_y: UCF101, HMDB51, Something v1), or x in red and y
in green of one (Something v2). Bytes stay as they were published, at the size that they have: 128 is no motion.
"""

from pathlib import Path

import numpy as np

from kinoflow.errors import DataError
from kinoflow.media.kept import Put, fill
from kinoflow.media.numbered import picture_files
from kinoflow.media.options import FolderFlowOptions
from kinoflow.options import resolved
from kinoflow.progress import log
from kinoflow.stage import Folder, In, Out
from kinoflow.store.files import key_of
from kinoflow.store.folders import content_hash
from kinoflow.store.planes import encode_planes
from kinoflow.store.tables import Probed, read


def picture_flow(root: Folder, table: In, shard: Out, options: FolderFlowOptions, code: str = "") -> None:
    """Make the flow of a shard of clips that are folders of published optical flow.

    A clip that fails stops the stage, but not before the others are done; their flow is not made again.

    root: the folder below which the clips' folders lie
    table: the probe table of the shard
    shard: the flow shard to write
    code: fingerprint of the stage's code; found out if not given
    """
    settings = resolved(options)
    rows = {row.video: row for row in read(table, Probed) if row.kept}
    keys = {video: key_of(row.sha256, settings, code) for video, row in rows.items()}
    attrs = {"store": options.store, "channels": 2, "options": settings}
    fill(shard, keys, attrs, lambda video, put: _make(root, rows[video], options, put), "flow", "clips")


def _make(root: Path, row: Probed, options: FolderFlowOptions, put: Put) -> None:
    folder, each = Path(root, row.video), 2 if options.pictures.pattern_y else 1
    try:
        if content_hash(folder) != row.sha256:
            raise DataError("it has changed since the probe looked at it; run the same command again")
        files = picture_files(folder, options.pictures)
        parts = [files[i : i + each] for i in range(0, len(files), each)]
        first = _field(parts[0])
        fields = (_field(part) for part in parts)
        pictures = (x.tobytes() if options.store == "raw" else encode_planes(x, options.quality) for x in fields)
        put(pictures, np.arange(len(parts)) / options.pictures.rate, first.shape[:2])
    except (DataError, OSError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{row.video!r} passed the probe, but {said}") from None
    log.info("read the flow of %r: %d frames", row.video, len(parts))


def _field(files: list[Path]) -> np.ndarray:
    """Return one field (H, W, 2) uint8 of its file, or of those of x and y."""
    from PIL import Image

    planes = []
    for file in files:
        with Image.open(file) as image:
            if len(files) == 1 and image.mode != "RGB":
                raise DataError(
                    f"{file.name!r} is gray, so it does not hold x and y; say pictures.pattern_y if they lie in two files"
                )
            planes.append(np.asarray(image.convert("L" if len(files) == 2 else "RGB")))
    return np.stack(planes, axis=2) if len(files) == 2 else np.ascontiguousarray(planes[0][:, :, :2])

"""Pictures whose channels are no colours (optical flow) as one gray JPEG: the channels lie below one another.

Coded as colours they would be mixed with each other and halved in resolution.
"""

import io

import numpy as np

SQUARE = 8  # pixels; JPEG codes a picture in squares of this side


def encode_planes(frame: np.ndarray, quality: int) -> bytes:
    """Encode (H, W, C) uint8 as a gray JPEG of C planes, each padded below by its last row so that no square holds two."""
    from PIL import Image

    padded = np.pad(frame, ((0, -len(frame) % SQUARE), (0, 0), (0, 0)), mode="edge")
    stack = np.ascontiguousarray(padded.transpose(2, 0, 1)).reshape(-1, frame.shape[1])
    out = io.BytesIO()
    Image.fromarray(stack).save(out, "JPEG", quality=quality, optimize=True)
    return out.getvalue()


def decode_planes(picture: bytes, channels: int, height: int) -> np.ndarray:
    """Decode what ``encode_planes`` made into (H, W, C) uint8; ValueError for a picture of another kind or height."""
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as image:
        stack = np.asarray(image)
    rows, width = stack.shape  # two numbers: a gray picture
    if rows != channels * (height + -height % SQUARE):
        raise ValueError(f"{rows} rows of pixels are not {channels} planes of {height}")
    return stack.reshape(channels, -1, width)[:, :height].transpose(1, 2, 0)

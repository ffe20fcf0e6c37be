"""Small made-up releases of datasets for alignment, in the exact format of the real ones."""

import io
import json
import struct
from pathlib import Path

import numpy as np
from tests.conftest import moving_square

PHASES = 5


def slow_crc32c(data: bytes) -> int:
    """CRC32C bit by bit, as its definition says."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


# ---------------------------------------------------------------- TFRecord


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def bytes_feature(value: bytes) -> bytes:
    return message(1, message(1, value))


def int_feature(value: int, packed: bool = True) -> bytes:
    return message(3, message(1, varint(value)) if packed else varint(1 << 3) + varint(value))


def entry(key: str, value: bytes) -> bytes:
    return message(1, message(1, key.encode()) + message(2, value))


def sequence_example(name: str, pictures: list[bytes], labels: list[int], packed: bool = True) -> bytes:
    context = entry("name", bytes_feature(name.encode())) + entry("len", int_feature(len(pictures)))
    context += entry("label", int_feature(-1)) + entry("label_string", bytes_feature(b"pouring"))
    video = b"".join(message(1, bytes_feature(picture)) for picture in pictures)
    told = b"".join(message(1, int_feature(label, packed)) for label in labels)
    return message(1, context) + message(2, entry("video", video) + entry("frame_labels", told))


def tfrecord(path: Path, payloads: list[bytes], crc=slow_crc32c) -> Path:
    def masked(data: bytes) -> bytes:
        found = crc(data)
        return struct.pack("<I", ((found >> 15 | found << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    parts = []
    for payload in payloads:
        head = struct.pack("<Q", len(payload))
        parts += [head, masked(head), payload, masked(payload)]
    path.write_bytes(b"".join(parts))
    return path


def jpeg(frame: np.ndarray, quality: int = 95) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(frame).save(out, "JPEG", quality=quality)
    return out.getvalue()


def staged(frames: int, phases: int) -> list[int]:
    """Phases in order, all of about the same length."""
    return [i * phases // frames for i in range(frames)]


def pouring(folder: Path, train: int = 2, val: int = 1, frames: int = 15, side: int = 224, crc=slow_crc32c) -> Path:
    """Two train shards and one val shard, as on the owner's server."""
    folder.mkdir(parents=True, exist_ok=True)

    def payload(name: str, seed: int) -> bytes:
        pictures = [jpeg(frame) for frame in moving_square(frames + seed, side, side, seed)]
        return sequence_example(name, pictures, staged(frames + seed, PHASES))

    names = {"train": [f"creme_{i}" for i in range(train)], "val": [f"milk_{i}" for i in range(val)]}
    for shard in range(2):
        own = [payload(name, i) for i, name in enumerate(names["train"]) if i % 2 == shard]
        tfrecord(folder / f"pouring_train-{shard}-of-2.tfrecord", own, crc)
    tfrecord(folder / "pouring_val-0-of-1.tfrecord", [payload(name, 7 + i) for i, name in enumerate(names["val"])], crc)
    return folder


# ---------------------------------------------------------------- Penn Action


def penn_action(folder: Path, clips: dict[str, tuple[str, str, int, int]], side: int = 40) -> tuple[Path, Path]:
    """Write {number: (split, action, frames, labels)}; return the release and the folder of phase labels."""
    from scipy.io import savemat

    release, phases = folder / "Penn_Action", folder / "labels_dir"
    (release / "labels").mkdir(parents=True)
    for seed, (number, (split, action, frames, labels)) in enumerate(clips.items()):
        place = release / "frames" / number
        place.mkdir(parents=True)
        for i, frame in enumerate(moving_square(frames, side, side + 8, seed), 1):
            (place / f"{i:06d}.jpg").write_bytes(jpeg(frame))
        told = {"action": action, "pose": "front", "nframes": frames, "train": 1, "x": np.zeros((frames, 13))}
        savemat(release / "labels" / f"{number}.mat", told)
        (phases / split / action).mkdir(parents=True, exist_ok=True)
        np.save(phases / split / action / f"{number}.npy", np.array(staged(labels, 2), np.int64))
    return release, phases


# ---------------------------------------------------------------- FineGym


def finegym(folder: Path, annotation: dict, train: dict[str, int], val: dict[str, int]) -> Path:
    """Write the annotation json and the lists of Gym99."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "finegym_annotation_info_v1.0.json").write_text(json.dumps(annotation))
    for name, listed in (("gym99_train_element_v1.0.txt", train), ("gym99_val_element.txt", val)):
        (folder / name).write_text("".join(f"{element} {number}\n" for element, number in listed.items()))
    return folder

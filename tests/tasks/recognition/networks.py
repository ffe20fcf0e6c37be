"""What tests of networks share: published numbers, procedural weights, networks made from published options."""

import json
from pathlib import Path
from zlib import crc32

import numpy as np
import torch

from kinoflow.tasks.recognition.model import Recogniser
from kinoflow.tasks.recognition.options import NetworkOptions
from kinoflow.tasks.recognition.tuning import GROUPED, GROUPED_FIRST

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "lsnet"
FORWARD = dict(np.load(GOLDEN / "forward.npz"))
META = json.loads(str(FORWARD["meta_json"]))
KINDS = {"RGB": "rgb", "Flow": "flow"}
BACKBONES = {"mobilenetv2": "mobilenet_v2"}


def network(**options) -> NetworkOptions:
    """Options of a network, with the defaults of the published files: no shift, no dropout."""
    return NetworkOptions.model_validate({"backbone": "resnet18", "shift": None, "dropout": 0} | options)


def recogniser(channels: int = 3, segments: int = 4, classes: int = 6, kind: str = "rgb", seed: int = 0, **options):
    return Recogniser(network(**options), channels, segments, {"action": classes}, kind, seed)


def described(meta: dict) -> Recogniser:
    """The network of a case of forward.npz, drawn."""
    fused, segments = meta.get("fuse_before_net", False), meta["T"]
    return recogniser(
        channels=meta["shape"][1] // segments,
        segments=segments,
        classes=meta["classes"],
        kind="gray" if meta.get("is_gray") else KINDS[meta["modality"]],
        backbone=BACKBONES.get(meta["base_model"], meta["base_model"]),
        shift=meta.get("shift_div", 8) if meta.get("is_shift") else None,
        shift_place=meta.get("shift_place", "blockres"),
        temporal_pool=meta.get("temporal_pool", False),
        non_local=meta.get("non_local", False),
        fuse=fused,
        dropout=meta.get("dropout", 0.8),
        softmax_first=not meta.get("before_softmax", True),
    )


def published_name(name: str, wide: bool = False) -> str:
    """The name that a weight has in the published files: one layer ``fc``, MobileNetV2's blocks numbered through."""
    parts = name.replace("fc.action.", "fc.").split(".")
    if parts[0] == "features" and parts[2] == "conv":
        table = {new: old for old, new in (GROUPED_FIRST if parts[1] == "1" else GROUPED).items()}
        parts[3:-1] = [table[".".join(parts[3:-1])]]
    return ".".join(parts)


def procedural(model: Recogniser) -> Recogniser:
    """Fill the weights by the rule of the golden files' README."""
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if not key.endswith("num_batches_tracked"):
                value.copy_(torch.from_numpy(drawn(published_name(key), tuple(value.shape))))
    return model


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.RandomState(crc32(name.encode()))
    if name.endswith(("running_mean", "bias")):
        return 0.1 * rng.standard_normal(shape)
    if name.endswith("running_var"):
        return 0.5 + rng.uniform(size=shape)
    if len(shape) == 1:
        return 1 + 0.1 * rng.standard_normal(shape)
    return rng.standard_normal(shape) * np.sqrt(1 / np.prod(shape[1:]))


def published_clips(case: str) -> torch.Tensor:
    """The input of a case of forward.npz, (B, T, c, H, W)."""
    meta = META[case]
    x = np.random.RandomState(crc32(case.encode())).standard_normal(meta["shape"]).astype(np.float32)
    assert np.array_equal(x.ravel()[:8], FORWARD[f"{case}_x_head"])
    return torch.from_numpy(x).unflatten(1, (meta["T"], -1))


def close(found: torch.Tensor, expected: np.ndarray) -> bool:
    """Tell whether float32 networks agree: 2e-4 of the largest magnitude, at least of 1."""
    found = found.detach().numpy()
    return found.shape == expected.shape and np.abs(found - expected).max() <= 2e-4 * max(1, np.abs(expected).max())

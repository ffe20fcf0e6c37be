"""The stage `import-carl`: a checkpoint that CARL's authors released, as one of ours.

Its file holds epoch, model_state, optimizer_state and the configuration (cfg) of its training. Sizes of layers are read off
the weights; what these do not tell, off the configuration. The file is loaded without running anything that it holds.
"""

import re
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kinoflow.datasets.published.penn_action import ACTIONS
from kinoflow.errors import DataError
from kinoflow.media.options import FramesOptions
from kinoflow.options import check
from kinoflow.progress import log
from kinoflow.stage import In, Out
from kinoflow.tasks.alignment.embed import Trained
from kinoflow.tasks.alignment.model import build
from kinoflow.tasks.alignment.options import AlignmentOptions, ReleasedOptions
from kinoflow.tasks.alignment.states import import_released
from kinoflow.training import checkpoint

BLOCKS = {6: "resnet50", 23: "resnet101", 36: "resnet152"}  # of the third stage
BASIC = {2: "resnet18", 6: "resnet34"}  # those whose blocks have two convolutions
SEEN = {"byol": "none (BYOL)", "simclr": "none (SimCLR)", "mocov2": "none (MoCo v2)"}
FINEGYM = 360  # pixels: its clips are 640 x 360, and the centre is cut out of these without scaling
UNKNOWN_SEED = -1  # of first weights that nobody knows


def import_carl(released: In, model: Out, options: ReleasedOptions) -> None:
    """Turn a checkpoint that CARL's program wrote into one of ours, for `kinoflow align` and the alignment stages.

    released: the released file, checkpoint_epoch_NNNNN.pth
    model: the checkpoint to write
    """
    state, cfg, epoch = read_released(released)
    tensors = import_released(state, str(released))
    wanted = converted(tensors, cfg, options, str(released))
    classes = len(tensors["classifier.weight"]) if "classifier.weight" in tensors else 0
    network = build(wanted, classes)
    unread = tuple(f"{part}." for part in ("head", "classifier") if getattr(network, part) is None)
    if wanted.network.encoder == "conv":  # it reads the third stage's maps; some files hold the fourth as well
        unread = (*unread, "backbone.layer4.")
    kept = {name: value for name, value in tensors.items() if not name.startswith(unread)}
    _load(network, kept, released)
    trained = Trained(
        network=network,
        options=wanted,
        classes=tuple(map(str, range(classes))),
        frames=FramesOptions(size=_short_side(cfg, wanted.augment.size)),
        mirror=True,
        dataset=options.dataset or ", ".join(_datasets(cfg)),
        seen=_seen(cfg),
        clips=0,
        seed=UNKNOWN_SEED,
    )
    _save(model, trained)
    log.info("%s: %s of epoch %s, %d weights", released, wanted.algorithm, epoch, len(kept))
    if left := len(tensors) - len(kept):
        log.info("%s: %d weights that it does not use are left out", released, left)


def _load(network: torch.nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    own = network.state_dict()
    counts = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
    checkpoint.load_into(network, counts | dict(tensors), path)


def _save(path: Path, trained: Trained) -> None:
    checkpoint.save(path, trained.network, trained.about())


def read_released(path: Path) -> tuple[dict[str, Tensor], Mapping[str, Any], Any]:
    """Return model_state, cfg and epoch of a released file; DataError if it is none, or would run code."""
    # cfg is an EasyDict, a dictionary whose keys are attributes: read as a plain one
    allowed = [(OrderedDict, "easydict.EasyDict"), (OrderedDict, "easydict.easydict.EasyDict"), Namespace]
    try:
        with torch.serialization.safe_globals(allowed):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file fails in any way; nothing in it is run
        raise DataError(
            f"{path}: this is no checkpoint of CARL, or holds more than weights and configuration; fetch it again"
        ) from None
    state = found.get("model_state") if isinstance(found, dict) else None
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(
            f"{path}: there is no model_state in this file; give checkpoint_epoch_NNNNN.pth as it was released"
        )
    cfg = found.get("cfg")
    return dict(state), cfg if isinstance(cfg, Mapping) else {}, found.get("epoch", "?")


# ---------------------------------------------------------------- configuration


def converted(
    tensors: Mapping[str, Tensor], cfg: Mapping[str, Any], options: ReleasedOptions, source: str
) -> AlignmentOptions:
    """Return the options of a run that has these weights, under our names; DataError if they do not tell all of them."""
    frames = _told(cfg, "TRAIN.NUM_FRAMES", options.frames)
    if frames is None:
        raise DataError(f"{source}: its configuration does not tell TRAIN.NUM_FRAMES; say it with frames")
    algorithm = str(_told(cfg, "TRAINING_ALGO", "scl"))
    contexts, crop = int(_told(cfg, "DATA.NUM_CONTEXTS", 1)), bool(_told(cfg, "AUGMENTATION.RANDOM_CROP", True))
    values = {
        "algorithm": algorithm.split("_")[0] if algorithm.startswith("single") else algorithm,
        "network": _network(tensors, cfg, source),
        "sampling": {
            "frames": int(frames),
            "scheme": "tcn" if algorithm == "tcn" else "uniform" if contexts > 1 else "time_augment",
            "contexts": contexts,
            "context_stride": int(_told(cfg, "DATA.CONTEXT_STRIDE", 15)),
            "region": max(1.0, float(_told(cfg, "DATA.SAMPLING_REGION", 1.5))),  # below 1 there is no stretch
            "rule": "window" if _finegym(cfg) else "video",
            "overlap": float(_told(cfg, "DATA.CONSISTENT_OFFSET", 0.2)),
        },
        "augment": {
            "size": int(_told(cfg, "IMAGE_SIZE", 224)),
            "crop": crop,
            "evaluate": "crop" if crop else "resize",
        },
        "scl": {
            "temperature": float(_told(cfg, "SCL.SOFTMAX_TEMPERATURE", 0.1)),
            "variance": float(_told(cfg, "SCL.LABEL_VARIENCE", 10.0)),
            "negatives": str(_told(cfg, "SCL.NEGATIVE_TYPE", "single_noself")),
        },
    }
    values["sets"] = options.sets or (
        "task" if any(name in ACTIONS or name.startswith("penn") for name in _datasets(cfg)) else "none"
    )
    return check(AlignmentOptions, values, source)


def _network(tensors: Mapping[str, Tensor], cfg: Mapping[str, Any], source: str) -> dict[str, Any]:
    encoder = (
        "transformer"
        if "embedder.inner.weight" in tensors
        else "conv"
        if "embedder.conv0.weight" in tensors
        else "vanilla"
    )
    needed = ["embedder.fc0.weight", "embedder.out.weight", "backbone.conv1.weight"]
    lacking = next((name for name in needed if name not in tensors), None)
    if lacking:
        raise DataError(f"{source}: it has no {lacking} (under CARL's name), which every checkpoint of CARL has")
    found: dict[str, Any] = {
        "backbone": _backbone(tensors, source),
        "encoder": encoder,
        "hidden": len(tensors["embedder.fc0.weight"]),
        "embedding": len(tensors["embedder.out.weight"]),
        "normalise": bool(_told(cfg, "MODEL.L2_NORMALIZE", True)),
        "chunk": int(_told(cfg, "MODEL.BASE_MODEL.FRAMES_PER_BATCH", 40)),
        "projection": "head.fc0.weight" in tensors,
    }
    base = str(_told(cfg, "MODEL.TRAIN_BASE", "frozen"))
    found["frozen"] = int(_told(cfg, "MODEL.BASE_MODEL.LAYER", 3)) if encoder != "conv" or base == "frozen" else 0
    found["only_norm"] = encoder == "conv" and base == "only_bn"
    if found["projection"]:
        found["projection_hidden"] = len(tensors["head.fc0.weight"])
    if encoder == "conv":
        found["conv_width"] = len(tensors["embedder.conv0.weight"])
    if encoder == "transformer":
        layers = {int(hit[1]) for name in tensors if (hit := re.match(r"embedder\.layers\.(\d+)\.", name))}
        found |= {
            "width": len(tensors["embedder.inner.weight"]),
            "layers": len(layers),
            "heads": int(_told(cfg, "MODEL.EMBEDDER_MODEL.NUM_HEADS", 8)),
        }
        if layers:
            found["feed_forward"] = len(tensors["embedder.layers.0.ff1.weight"])
    return found


def _backbone(tensors: Mapping[str, Tensor], source: str) -> str:
    blocks = {int(hit[1]) for name in tensors if (hit := re.match(r"backbone\.layer3\.(\d+)\.", name))}
    names = BLOCKS if "backbone.layer3.0.conv3.weight" in tensors else BASIC
    if len(blocks) not in names:
        raise DataError(f"{source}: a backbone with {len(blocks)} blocks in its third stage is not known here")
    return names[len(blocks)]


def _told(cfg: Mapping[str, Any], place: str, default: Any) -> Any:
    """Return what the configuration says at a dotted place, or the default."""
    value: Any = cfg
    for key in place.split("."):
        if not isinstance(value, Mapping) or key not in value:
            return default
        value = value[key]
    return default if value is None else value


def _datasets(cfg: Mapping[str, Any]) -> list[str]:
    names = _told(cfg, "DATASETS", ())
    return [str(name).lower() for name in (names if isinstance(names, list | tuple) else (names,))]


def _finegym(cfg: Mapping[str, Any]) -> bool:
    return any(name.startswith("finegym") for name in _datasets(cfg))


def _short_side(cfg: Mapping[str, Any], size: int) -> int:
    """Return the short side of the pictures that the network knows: its input's, of FineGym that of the whole picture."""
    return FINEGYM if _finegym(cfg) else size + size % 2


def _seen(cfg: Mapping[str, Any]) -> str:
    """Say what labels the backbone had seen; the published program never loaded the file that its configuration names."""
    name = str(_told(cfg, "MODEL.BASE_MODEL.NETWORK", "") or "").lower()
    said = next((text for key, text in SEEN.items() if key in name), "")
    known = f", though its configuration names {said.split('(')[-1].rstrip(')')}" if said else ""
    return f"classes of ImageNet, as far as is known{known}"

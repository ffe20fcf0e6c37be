"""Weights of a network: drawn from a seed, as torchvision publishes them, or from a file."""

import pickle
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from kinoflow.errors import DataError
from kinoflow.progress import log
from kinoflow.store.fetch import fetch

DRAWN = "drawn"  # in place of a checksum
NESTED = ("state_dict", "model")  # keys below which training programs keep a network's state
PREFIXES = ("", "backbone.", "model.", "base_model.")  # what a network is called inside a larger one
ATTEMPTS, PATIENCE = 2, 10.0  # without a network one wants to know soon
# Densely connected networks were published before layers had their present names: `norm.1.weight` is `norm1.weight` now.
OLD_DENSE = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:weight|bias|running_mean|running_var))$")


def drawn(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return ``build()`` with weights that depend on ``seed`` alone; the global random state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def published_file(member: Any) -> Path:
    """Return the file of torchvision's weights in the cache of torch hub; fetched if it is not there yet.

    member: of a model's enumeration of weights. Raises DataError that says where to get the file and where to put it.
    """
    name = Path(urlsplit(member.url).path).name
    path = Path(torch.hub.get_dir(), "checkpoints", name)
    digits = re.search(r"-([0-9a-f]{8,})\.", name)
    try:
        fetch(member.url, path, digits and digits[1], attempts=ATTEMPTS, patience=PATIENCE)
    except DataError as error:
        if path.exists():
            raise
        raise DataError(
            f"the weights {member!r} are not on this machine and do not come from the network ({error});"
            f" put {member.url} at {path}"
        ) from None
    return path


def load(network: nn.Module, path: Path, *, whole: bool = False) -> None:
    """Copy the weights of a file into ``network``; what the file does not have stays as drawn. Says how many matched.

    whole: refuse a file that lacks anything. Raises DataError, naming the file, if it holds no weights, or fits badly.
    """
    own = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    found = _named(read(path), own)
    matched = [key for key in own if key in found and found[key].shape == own[key].shape]
    missing, ignored = [key for key in own if key not in matched], len(found) - len(matched)
    log.info(
        "weights %s: %d of %d matched, %d missing%s, %d of the file ignored",
        path.name, len(matched), len(own), len(missing), few(missing), ignored,
    )  # fmt: skip
    if whole and missing:
        raise DataError(f"{path}: {_misfit(missing[0], own, found)}; leave crop and clip as the weights were published")
    if 2 * len(matched) < len(own):
        raise DataError(
            f"{path}: only {len(matched)} of the network's {len(own)} weights are in this file;"
            " it is of another network, or its names follow another custom"
        )
    with torch.no_grad():
        for key in matched:
            own[key].copy_(found[key])


def read(path: Path) -> dict[str, Tensor]:
    """Return {name: tensor} of a file of weights, .safetensors or what torch.save writes.

    Never runs code from the file. Raises DataError, naming the file, if it holds anything but weights.
    """
    try:
        state = _safetensors(path) if _is_safetensors(path) else _pickled(path)
    except OSError as error:
        raise DataError(f"{path}: this file of weights cannot be read: {error.strerror}") from None
    except pickle.UnpicklingError:
        raise DataError(
            f"{path}: this is no file of weights, or loading it would run code from it;"
            " save the network's state_dict() alone"
        ) from None
    except Exception as error:  # a damaged file fails in any way
        raise DataError(f"{path}: this is no readable file of weights ({type(error).__name__})") from None
    while inner := [state[key] for key in NESTED if isinstance(state, Mapping) and isinstance(state.get(key), Mapping)]:
        state = inner[0]
    tensors = {k: v for k, v in state.items() if isinstance(v, Tensor)} if isinstance(state, Mapping) else {}
    if not tensors:
        raise DataError(f"{path}: there are no weights in this file; save the network's state_dict()")
    return tensors


def _is_safetensors(path: Path) -> bool:
    """Such a file begins with the length of its JSON header, then the header."""
    with open(path, "rb") as file:
        return file.read(9)[8:] == b"{"


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def _pickled(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other pickle protocols; what cannot be read raises
        return torch.load(path, map_location="cpu", weights_only=True)


def _named(state: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state under the names that the network uses: without what stands in front of them in the file."""
    plain = {OLD_DENSE.sub(r"\1\2", key.removeprefix("module.")): value for key, value in state.items()}

    def without(prefix: str) -> dict[str, Tensor]:
        return {key.removeprefix(prefix): value for key, value in plain.items() if key.startswith(prefix)}

    best = max(PREFIXES, key=lambda prefix: len(own.keys() & without(prefix).keys()))
    found = {key: value for key, value in without(best).items() if not key.endswith("num_batches_tracked")}
    return {key: value.flatten() if _is_row(value, own.get(key)) else value for key, value in found.items()}


def _is_row(value: Tensor, own: Tensor | None) -> bool:
    """Whether a vector is written as a matrix of one row, as norms are in files that come from Caffe."""
    return own is not None and own.ndim == 1 and value.shape == (1, *own.shape)


def _misfit(key: str, own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    if key in found:
        return f"{key} has the shape {tuple(found[key].shape)}, the network needs {tuple(own[key].shape)}"
    return f"{key} is not in it"


def few(names: Sequence[str]) -> str:
    """Say the first of some names, as they stand behind their number: `` (a, b, c, ...)``, "" of none."""
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""

"""A trained model as one safetensors file, with all that is needed to build it again."""

import json
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from kinoflow.errors import DataError
from kinoflow.store.files import parse_json, write_bytes

ABOUT = "kinoflow"  # the key of the metadata

Rest = ParamSpec("Rest")
Result = TypeVar("Result")


def save(path: Path, model: nn.Module, about: Mapping[str, Any]) -> None:
    """Write the weights of ``model`` and ``about``, JSON values that say how to build it; the same state, the same bytes."""
    from safetensors.torch import save as serialise

    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    write_bytes(path, serialise(tensors, {ABOUT: json.dumps(about, sort_keys=True)}))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights {name: tensor} on the CPU, and ``about``.

    Raises DataError, naming the file, if it cannot be read or `save` did not write it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = (file.metadata() or {}).get(ABOUT)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except OSError as error:
        raise DataError(f"{path}: this checkpoint cannot be read: {error.strerror or error}") from None
    except SafetensorError:
        raise DataError(f"{path}: this is no safetensors file, or only a part of one; train again to get it") from None
    if about is None:
        raise DataError(
            f"{path}: these weights do not say which model they are of; give a checkpoint that kinoflow wrote"
        )
    try:
        return tensors, _About(path, parse_json(about))
    except (ValueError, TypeError):
        raise DataError(f"{path}: what this checkpoint says of its model is damaged; train again to get it") from None


class _About(dict[str, Any]):
    """What a checkpoint says of its model; a key that is not there is told in a sentence."""

    def __init__(self, path: Path, values: Any):
        super().__init__(values)
        self._path = path

    def __missing__(self, key: str) -> Any:
        raise DataError(f"{self._path}: this checkpoint does not say its {key!r}; it is damaged, or of another version")


def rebuilding(read: Callable[Concatenate[Path, Rest], Result]) -> Callable[Concatenate[Path, Rest], Result]:
    """Make a sentence of whatever a function raises that builds the network of a checkpoint, its first argument.

    A checkpoint may come from anywhere: what it says of its network may be of any shape.
    """

    @wraps(read)
    def guarded(path: Path, *args: Rest.args, **kwargs: Rest.kwargs) -> Result:
        try:
            return read(path, *args, **kwargs)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise DataError(
                f"{path}: what this checkpoint says of its network does not fit; it is damaged, or of another version ({reason})"
            ) from None

    return guarded


def load_into(model: nn.Module, tensors: Mapping[str, Tensor], source: str | Path) -> None:
    """Copy ``tensors`` into ``model``, all of them.

    Raises DataError, naming ``source`` and the first tensor that is missing, of another shape, or not of the model; the
    model is as before then.
    """
    own = model.state_dict()
    other = f"{source}: this checkpoint is of another model:"
    for name, value in own.items():
        if name not in tensors:
            raise DataError(f"{other} it has no {name}, which the network needs")
        if tensors[name].shape != value.shape:
            raise DataError(f"{other} {name} is {_shape(tensors[name])} there, and {_shape(value)} in the network")
    for name in tensors:
        if name not in own:
            raise DataError(f"{other} it has {name}, which the network has not")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(tensors[name])


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a single number"


def run_name(model: Path) -> str:
    """Return what a checkpoint is called in what is said: by its folder, and the run's above where it is a seed's."""
    seed, run = model.parent.name, model.parent.parent.name
    return f"{run} {seed}" if run and seed.startswith("seed-") else seed or model.stem

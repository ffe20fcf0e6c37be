"""The published metadata of sets: what the files are called, where they were, their vectors and features, names of runs.

The host of the originals is gone; ``fetch_metadata`` takes them from any other place, file: addresses included.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kinoflow.errors import DataError
from kinoflow.progress import log
from kinoflow.store import tensors
from kinoflow.store.fetch import fetch
from kinoflow.store.files import replacing
from kinoflow.tasks.abstraction.set_files import read_listfile

BASE = "http://abstraction.csail.mit.edu/data/metadata"
# kind of file: (its name, whether there is one for each split)
KINDS = {
    "graph": ("{dataset}_graph.json", False),
    "category_embeddings": ("{dataset}_category_embeddings.pth", False),
    "listfile": ("{dataset}_{split}_listfile.txt", True),
    "abstraction_sets": ("{dataset}_{split}_abstraction_sets.json", True),
    "embeddings": ("{dataset}_{split}_embeddings.pth", True),
    "features": ("resnet3d50_{dataset}_{split}_features.pth", True),
    "pretrained_model": ("AbstractionEmbedding_{dataset}_SAM_1-2-3-4_best.pth.tar", False),
}
EXPERIMENT = "AbstractionEmbedding"


# ---------------------------------------------------------------- files


def file_names(datasets: Iterable[str], kinds: Iterable[str], splits: Iterable[str]) -> list[str]:
    """Return the names of the published files; the sets of the test split are called ``human``."""
    found = []
    for dataset in datasets:
        for kind in kinds:
            pattern, by_split = KINDS[kind]
            for split in splits if by_split else ("",):
                word = "human" if (kind, split) == ("abstraction_sets", "test") else split
                found.append(pattern.format(dataset=dataset, split=word))
    return found


def fetch_metadata(
    folder: Path,
    names: Iterable[str],
    base: str = BASE,
    overwrite: bool = False,
    dry_run: bool = False,
    sha256: Mapping[str, str] | None = None,
    attempts: int = 5,
) -> list[Path]:
    """Bring published files into a folder, resuming and verifying; those that are there stay unless ``overwrite``.

    base: the address that a name is put behind. dry_run: only say what would be done. sha256: checksums by name.
    Raises DataError, saying what else can be done, where nothing answers.
    """
    found = []
    for name in names:
        path, url = Path(folder) / name, f"{base.rstrip('/')}/{name}"
        found.append(path)
        if path.exists() and not overwrite:
            log.info("%s is there", path)
            continue
        if dry_run:
            log.info("%s would come from %s", path, url)
            continue
        try:
            if overwrite:
                path.unlink(missing_ok=True)
            fetch(url, path, (sha256 or {}).get(name), attempts)
        except DataError as error:
            gone = " (the authors' host is gone)" if base == BASE else ""
            raise DataError(
                f"{error}{gone}; give another address, put the file at {path} yourself, or let kinoflow make its own taxonomy"
                " and sets"
            ) from None
    return found


# ---------------------------------------------------------------- vectors and features


def read_vectors(path: str | Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Read {name: vector} from a .pth (tensors only, nothing in it is run) or .npz (names, vectors): names, (N, E) float32."""
    if Path(path).suffix == ".npz":
        found = _npz(path, "names", "vectors")
        return tuple(map(str, found["names"])), np.asarray(found["vectors"], np.float32)
    found = _pth(path)
    if not isinstance(found, dict) or not found:
        raise DataError(f"{path}: this is no dictionary of vectors")
    widths = {tuple(vector.shape) for vector in found.values()}
    if len(widths) != 1 or len(next(iter(widths))) != 1:
        raise DataError(f"{path}: the vectors have the shapes {sorted(widths)[:3]}; they must be of one width")
    return tuple(map(str, found)), np.stack([vector.float().numpy() for vector in found.values()])


def write_vectors(path: str | Path, names: Sequence[str], vectors: np.ndarray) -> None:
    """Write {name: vector} as .pth or .npz, as ``read_vectors`` reads them."""
    with replacing(path) as new, open(new, "wb") as file:
        if Path(path).suffix == ".npz":
            np.savez(file, names=np.array(names), vectors=np.asarray(vectors, np.float32))
        else:
            import torch

            rows = torch.from_numpy(np.ascontiguousarray(vectors, np.float32))
            tensors.save({name: row.clone() for name, row in zip(names, rows, strict=True)}, file)


def row_names(dataset: str, split: str, listfile: str | Path, embeddings: str | Path | None) -> tuple[str, ...]:
    """Return the videos of the published features in the order of their rows.

    Moments' training and validation features stand in the order of the embeddings, all others in that of the list.
    """
    if dataset == "moments" and split != "test":
        if embeddings is None:
            raise DataError(f"{listfile}: rows of moments stand in the order of the embeddings; give that file too")
        return read_vectors(embeddings)[0]
    return tuple(row.name for row in read_listfile(listfile, ".mp4" if dataset == "kinetics" else ""))


def read_features(path: str | Path, names: Sequence[str] | None = None) -> tuple[tuple[str, ...], np.ndarray]:
    """Read published features: names and (N, D) float32.

    A .npz or .pth with ``features`` and ``names`` (or ``path``) tells its own names; a bare tensor has the rows of ``names``
    (see ``row_names``). DataError if there are not as many names as rows.
    """
    found = dict(_npz(path)) if Path(path).suffix == ".npz" else _pth(path)
    if isinstance(found, dict):
        try:
            rows = found["features"]
            names = found["names"] if "names" in found else found["path"]
        except KeyError as error:
            raise DataError(f"{path}: {error} is missing; features need their names beside them") from None
    else:
        rows = found
    x = np.asarray(rows, np.float32)
    if names is None or x.ndim != 2 or len(names) != len(x):
        count = "no" if names is None else len(names)
        raise DataError(
            f"{path}: there are {count} names for features of shape {x.shape}; give the list that they belong to"
        )
    return tuple(map(str, names)), x


def write_features(path: str | Path, names: Sequence[str], x: np.ndarray) -> None:
    """Write features (N, D) with their names as .npz or .pth; a .pth without names is a bare tensor, as published."""
    x, bare = np.ascontiguousarray(x, np.float32), not names and Path(path).suffix != ".npz"
    if not bare and len(names) != len(x):
        raise DataError(f"{path}: there are {len(names)} names for {len(x)} features")
    with replacing(path) as new, open(new, "wb") as file:
        if Path(path).suffix == ".npz":
            np.savez(file, features=x, names=np.array(names))
        else:
            import torch

            rows = torch.from_numpy(x)
            tensors.save(rows if bare else {"features": rows, "path": list(names)}, file)


def _npz(path: str | Path, *needed: str) -> Any:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except Exception as error:  # a damaged file fails in any way; pickled objects are refused
        raise DataError(f"{path}: this .npz file cannot be read ({error})") from None
    missing = [name for name in needed if name not in found]
    if missing:
        raise DataError(f"{path}: {missing[0]!r} is missing in it")
    return found


def _pth(path: str | Path) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except Exception as error:  # a broken or hostile pickle may fail in any way; none of it is run
        raise DataError(f"{path}: this is no file of tensors ({type(error).__name__}); nothing in it was run") from None


# ---------------------------------------------------------------- names of runs


class Naming(NamedTuple):
    """What a run's name tells; the defaults are the published ones."""

    exp_id: str | None = None
    dataset: str = "moments"
    basemodel: str = "resnet3d50"
    loss_weights: Sequence[float] = (1, 1)
    criterion: Sequence[str] = ("MSE", "CE")
    optimizer: str = "Adam"
    lr: float = 1e-4
    scales: Sequence[int] = (1, 2, 3, 4)
    prefix: str = ""
    resume: str | None = None


def name_of(naming: Naming) -> str:
    """Return the published name of a run; its first field is the experiment's class, ``prefix`` stands before all of it.

    A resumed run has the name of its checkpoint without ``_checkpoint.pth.tar`` or ``_best.pth.tar``.
    """
    if naming.resume:
        name = Path(naming.resume).name
        for ending in ("_checkpoint.pth.tar", "_best.pth.tar"):
            name = name.removesuffix(ending)
    else:
        weights, criterion = "-".join(map(str, naming.loss_weights)), "-".join(naming.criterion)
        scales = "-".join(map(str, naming.scales))
        fields = (EXPERIMENT, naming.exp_id, naming.dataset, naming.basemodel, weights, criterion)
        name = "_".join(map(str, fields)) + f"_{naming.optimizer}-{naming.lr}_SAM_{scales}"
    return naming.prefix + "_".join((EXPERIMENT, *name.split("_")[1:]))

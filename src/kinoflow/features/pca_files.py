"""The two files between the stages of a PCA: the partial sums of one shard, and the basis.

Both hold groups. A group is what gets components of its own: a task (by_task) and a block of columns (by_block); without
them there is one group, of the task "" and the block "".

    partial sums, HDF5: mean-<i> (D_i,) float64, scatter-<i> (D_i (D_i + 1) / 2,) float64; attrs width, blocks, groups
        [[task, block, rows], ...] and options, JSON texts
    basis, safetensors: <i>.mean and <i>.scale (D_i,), <i>.components (k_i, D_i), <i>.variance (k_i,),
        <i>.total_variance (), all float64, and <i>.rows () int64; the metadata "pca" is a JSON text: width, blocks, groups
        [[task, block], ...], options
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from kinoflow.errors import DataError
from kinoflow.features.covariance import Basis, Sums
from kinoflow.store import hdf5
from kinoflow.store.files import make_room, parse_json, replacing, write_bytes
from kinoflow.store.shards import put, roomy

DAMAGE = (OSError, KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError)  # what broken files raise
Blocks = dict[str, tuple[int, int]]  # {name: (first column, last column + 1)}; {"": (0, D)} without blocks


class Group(NamedTuple):
    """What gets components of its own."""

    task: str
    block: str

    def __str__(self) -> str:
        """Name the group in a sentence for people."""
        names = [f"the {kind} {name!r}" for kind, name in (("task", self.task), ("block", self.block)) if name]
        return " and ".join(names) or "all columns of all tasks"

    def order(self) -> tuple[bytes, bytes]:
        """Return what groups are sorted by."""
        return os.fsencode(self.task), os.fsencode(self.block)


@dataclass(frozen=True)
class Partial:
    """What a file of partial sums says of itself."""

    path: Path
    width: int  # columns of the features; 0 if the shard had no row
    blocks: Blocks
    groups: dict[Group, int]  # {group: its number in the file}
    options: dict[str, Any]  # those that decide what is summed up

    def sums(self, group: Group) -> Sums:
        """Read the sums of one group."""
        number = self.groups[group]
        try:
            with h5py.File(self.path, "r") as file:
                rows = parse_json(hdf5.told(file)["groups"])[number][2]
                found = Sums(rows, hdf5.array(file, f"mean-{number}"), hdf5.array(file, f"scatter-{number}"))
        except DAMAGE as error:
            raise DataError(f"{self.path}: this is no file of partial sums ({error}); run its stage again") from None
        if not (np.isfinite(found.mean).all() and np.isfinite(found.scatter).all()):
            raise DataError(f"{self.path}: the sums of {group} are not finite; delete the file and run its stage again")
        return found


def write_partial(
    path: Path, width: int, blocks: Blocks, options: dict[str, Any], groups: Iterable[tuple[Group, Sums]]
) -> None:
    """Write partial sums, group by group as they come: memory stays at one group."""
    rows = []
    with replacing(path) as new, roomy(new) as file:
        for number, (group, sums) in enumerate(groups):
            file.flush()
            make_room(new, sums.mean.nbytes + sums.scatter.nbytes)
            put(file, f"mean-{number}", sums.mean)
            put(file, f"scatter-{number}", sums.scatter)
            rows.append([*group, sums.rows])
        texts = {"blocks": blocks, "groups": rows, "options": options}
        hdf5.tell(file, {key: json.dumps(value, sort_keys=True) for key, value in texts.items()} | {"width": width})


def read_partial(path: Path) -> Partial:
    """Read what a file of partial sums says of itself; DataError if it is none."""
    try:
        with h5py.File(path, "r") as file:
            about = hdf5.told(file)
        texts = {key: parse_json(about[key]) for key in ("blocks", "groups", "options")}
        width = int(about["width"])
        groups = {Group(task, block): number for number, (task, block, _) in enumerate(texts["groups"])}
        return Partial(path, width, _blocks(texts["blocks"]), groups, texts["options"])
    except DAMAGE as error:
        raise DataError(f"{path}: this is no file of partial sums ({error}); run its stage again") from None


@dataclass(frozen=True)
class PcaBasis:
    """The components of all groups, and what they were fitted with."""

    width: int  # columns of the features
    blocks: Blocks
    groups: dict[Group, Basis]
    options: dict[str, Any]  # every PcaOptions value


def write_basis(path: Path, basis: PcaBasis) -> None:
    """Write a basis; equal values, equal bytes."""
    from safetensors.numpy import save

    tensors = {}
    for number, group in enumerate(basis.groups.values()):
        tensors |= {
            f"{number}.mean": group.mean,
            f"{number}.scale": group.scale,
            f"{number}.components": group.components,
            f"{number}.variance": group.variance,
            f"{number}.total_variance": np.array(group.total_variance),
            f"{number}.rows": np.array(group.rows, np.int64),
        }
    about = {"width": basis.width, "blocks": basis.blocks, "groups": list(basis.groups), "options": basis.options}
    # One key of metadata: several would come in an order that changes from run to run.
    write_bytes(path, save(tensors, metadata={"pca": json.dumps(about, sort_keys=True)}))


def read_basis(path: Path) -> PcaBasis:
    """Read a basis; DataError if the file is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            about = parse_json((file.metadata() or {})["pca"])
            groups = {Group(*names): _basis(file, number) for number, names in enumerate(about["groups"])}
        return PcaBasis(about["width"], _blocks(about["blocks"]), groups, about["options"])
    except (*DAMAGE, SafetensorError) as error:
        raise DataError(f"{path}: this is no basis of a PCA ({error}); run pca-fit again") from None


def _basis(file: Any, number: int) -> Basis:
    names = ("mean", "scale", "components", "variance")
    arrays = {name: file.get_tensor(f"{number}.{name}") for name in names}
    total, rows = (file.get_tensor(f"{number}.{name}").item() for name in ("total_variance", "rows"))
    return Basis(**arrays, total_variance=total, rows=rows)


def _blocks(found: dict[str, list[int]]) -> Blocks:
    return {name: (first, last) for name, (first, last) in found.items()}

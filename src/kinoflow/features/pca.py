"""Reduce features to their principal components: partial sums of each shard, one fit, one projection of each shard.

The fit is exact (a covariance, no iterations), takes one pass, and its memory does not grow with the number of rows. Each
shard's sums are about its own mean and are merged in the order of shards: the result does not depend on who finished first,
and a changed shard leaves the sums of the others as they are.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from kinoflow.errors import DataError
from kinoflow.features.covariance import BLOCK_ROWS, Projection, Sums, merged, principal, project, summed
from kinoflow.features.options import PcaOptions
from kinoflow.features.pca_files import (
    Blocks,
    Group,
    Partial,
    PcaBasis,
    read_basis,
    read_partial,
    write_basis,
    write_partial,
)
from kinoflow.options import resolved
from kinoflow.progress import Progress, log
from kinoflow.stage import In, Out
from kinoflow.store.files import parse_json
from kinoflow.store.shards import Shard, writing

TRAIN = "train"
SUMMED = ("by_block", "by_task", "fit_on")  # options that decide what is summed up


def pca_partial(features: In, partial: Out, options: PcaOptions, roles: In | None = None) -> None:
    """Sum up the training rows of one feature shard: their number, mean and scatter, for each group.

    features: the feature shard
    partial: the partial sums to write
    roles: split and task of each video, {video: [split, task, recording]}; needed by fit_on: train and by_task
    """
    shard = Shard(features)
    known = _roles(roles, shard, options)
    blocks = _blocks(shard, options)
    tasks: dict[str, list[str]] = {}
    for video in shard.videos:
        split, task = known[video]
        if options.fit_on == "all" or split == TRAIN:
            tasks.setdefault(task, []).append(video)
    wanted = {
        Group(task, block): (videos, columns)
        for task, videos in tasks.items()
        for block, columns in blocks.items()
        if any(len(shard.times(video)) for video in videos)
    }
    rows = sum(len(shard.times(video)) for videos, _ in wanted.values() for video in videos)
    with Progress(f"pca-partial {features.stem}", total=rows, items="rows") as progress:
        about = options.model_dump(mode="json", include=set(SUMMED))
        sums = (
            (group, summed(_training_blocks(shard, *wanted[group], progress.step)))
            for group in sorted(wanted, key=Group.order)
        )
        write_partial(partial, shard.x.shape[1], blocks, about, sums)


def pca_fit(partials: list[In], basis: Out, options: PcaOptions) -> None:
    """Merge the partial sums of all shards, in the order given, and find each group's principal components.

    partials: the partial sums, in the order of shards
    basis: the components to write (safetensors)
    """
    files = _same_kind([read_partial(path) for path in partials], options)
    groups = sorted({group for file in files for group in file.groups}, key=Group.order)
    if not groups:
        where = "the training split" if options.fit_on == TRAIN else "the features"
        raise DataError(f"PCA: there is no row in {where} to fit {options.components} components to")
    found = {}
    narrow: dict[str, int] = {}  # groups with fewer columns than components were asked for
    with Progress("pca-fit", total=len(groups), items="groups") as progress:
        for group in groups:
            sums = _merged([file for file in files if group in file.groups], group)
            count = min(options.components, len(sums.mean))
            if sums.rows <= count:
                raise DataError(
                    f"PCA: {group} has {sums.rows} rows to fit {count} components to, which takes at least {count + 1}: "
                    "lower components, or fit on more videos (fit_on, by_task)"
                )
            if count < options.components:
                narrow[str(group)] = count
            found[group] = principal(sums, count, options.standardise)
            progress.step()
    if narrow:
        name, count = next(iter(narrow.items()))
        others = f" and {len(narrow) - 1} more" if len(narrow) > 1 else ""
        text = "pca-fit: %d components are kept, not %d: there are no more columns (%s%s)"
        log.warning(text, count, options.components, name, others)
    write_basis(basis, PcaBasis(files[0].width, files[0].blocks, found, parse_json(resolved(options))))


def pca_apply(features: In, basis: In, shard: Out, options: PcaOptions, roles: In | None = None) -> None:
    """Project every video of a feature shard onto the components.

    features: the feature shard
    basis: the components, written by pca-fit
    shard: the reduced feature shard to write, float32
    roles: split and task of each video, {video: [split, task, recording]}; needed by by_task
    """
    source, fitted = Shard(features), read_basis(basis)
    if fitted.options != parse_json(resolved(options)):
        raise DataError(f"{basis}: it was fitted with other options; run pca-fit again with the options of pca-apply")
    known = _roles(roles, source, options, tasks_only=True)
    blocks = _blocks(source, options)
    if len(source.time) and (source.x.shape[1], blocks) != (fitted.width, fitted.blocks):
        raise DataError(f"{features}: {source.x.shape[1]} columns do not fit {basis}, fitted to {fitted.width} columns")
    ready = {group: Projection.of(found, options.whiten) for group, found in fitted.groups.items()}
    attrs, width = _reduced_attrs(source, fitted)
    with (
        threadpool_limits(1),  # the bytes must not depend on the number of cores
        Progress(f"pca-apply {features.stem}", total=len(source.videos), items="videos") as progress,
        writing(shard, attrs, frames=False, width=width, dtype="float32") as writer,
    ):
        for video in source.videos:
            task = known[video][1]
            if not any(group.task == task for group in ready):
                raise DataError(
                    f"{basis}: the task {task!r} of {video!r} has no components, as no video of it was fitted: "
                    "set by_task: false or fit_on: all"
                )
            parts = [(columns, ready[Group(task, name)]) for name, columns in fitted.blocks.items()]
            writer.add(video, _projected(source, video, parts), source.times(video))
            progress.step()


# ---------------------------------------------------------------- which videos, which columns


def _roles(
    path: Path | None, shard: Shard, options: PcaOptions, tasks_only: bool = False
) -> dict[str, tuple[str, str]]:
    """Return {video: (split, task)}, the task only where tasks are fitted by themselves."""
    if not (options.by_task or (options.fit_on == TRAIN and not tasks_only)):
        return dict.fromkeys(shard.videos, ("", ""))
    if path is None:
        raise DataError(
            "--roles: fit_on: train and by_task need the file with splits and tasks; give it, or set neither"
        )
    try:
        listed = parse_json(path.read_text())
        found = {video: (str(listed[video][0]), str(listed[video][1])) for video in shard.videos}
    except KeyError as error:
        raise DataError(
            f"{path}: the video {error.args[0]!r} of {shard.path} is not listed; run the index again"
        ) from None
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise DataError(f"{path}: this is no file of roles ({error}); run the index again") from None
    if not options.by_task:
        return {video: (split, "") for video, (split, _) in found.items()}
    nameless = [video for video, (_, task) in found.items() if not task]
    if nameless:
        raise DataError(
            f"{path}: by_task: the video {nameless[0]!r} has no task; give it one in the labels or splits file"
        )
    return found


def _blocks(shard: Shard, options: PcaOptions) -> Blocks:
    """Return the blocks of columns that are reduced by themselves, in alphabetical order of names."""
    width = shard.x.shape[1]
    if not options.by_block:
        return {"": (0, width)}
    named = parse_json(shard.attrs.get("blocks", "{}"))
    if not named and len(shard.time):
        raise DataError(f"{shard.path}: by_block: these features have no named blocks of columns; set by_block: false")
    for name, (first, last) in named.items():
        if len(shard.time) and not 0 <= first < last <= width:
            raise DataError(f"{shard.path}: the block {name!r} is to span the columns {first} to {last} of {width}")
    return {name: (named[name][0], named[name][1]) for name in sorted(named)}


def _same_kind(files: list[Partial], options: PcaOptions) -> list[Partial]:
    """Return the partial sums that hold rows, after seeing that all were made of one kind of features."""
    about = options.model_dump(mode="json", include=set(SUMMED))
    for file in files:
        if file.options != about:
            raise DataError(
                f"{file.path}: it was summed up with other options; run pca-partial again with those of pca-fit"
            )
    filled = [file for file in files if file.groups]
    for file in filled:
        if (file.width, file.blocks) != (filled[0].width, filled[0].blocks):
            raise DataError(
                f"{file.path}: its features have {file.width} columns and those of {filled[0].path} {filled[0].width}, or "
                "other blocks; the shards must come from one extractor"
            )
    return filled


def _merged(files: list[Partial], group: Group) -> Sums:
    sums = files[0].sums(group)
    for file in files[1:]:
        sums = merged(sums, file.sums(group))
    return sums


# ---------------------------------------------------------------- rows, from the map to the maths and back


def _reduced_attrs(shard: Shard, fitted: PcaBasis) -> tuple[dict[str, Any], int]:
    """Return the attributes of the reduced shard, where each block's components stand, and how many there are in all."""
    kept = {group.block: len(found.variance) for group, found in fitted.groups.items()}
    ends = np.cumsum([kept[name] for name in fitted.blocks]).tolist()
    blocks = {name: [last - kept[name], last] for name, last in zip(fitted.blocks, ends, strict=True)}
    attrs = {key: value for key, value in shard.attrs.items() if key != "blocks"}
    attrs["pca"] = json.dumps(fitted.options, sort_keys=True)
    if fitted.options["by_block"]:
        attrs["blocks"] = json.dumps(blocks, sort_keys=True)
    return attrs, ends[-1]


def _projected(shard: Shard, video: str, parts: list[tuple[tuple[int, int], Projection]]) -> np.ndarray:
    """Return the components of a video, (T, sum of k) float32; DataError if a feature is not finite."""
    span = shard.span(video)
    out = np.empty((span.stop - span.start, sum(projection.matrix.shape[1] for _, projection in parts)), np.float32)
    for start in range(0, len(out), BLOCK_ROWS):
        rows = np.arange(start, min(start + BLOCK_ROWS, len(out)))
        x, first = _rows(shard, span.start + rows), 0
        for columns, projection in parts:
            last = first + projection.matrix.shape[1]
            out[rows[0] : rows[-1] + 1, first:last] = project(x[:, slice(*columns)], projection)
            first = last
    finite = np.isfinite(out).all(1)
    if not finite.all():
        raise DataError(_not_finite(shard, span.start + int(finite.argmin())))
    return out


def _training_blocks(
    shard: Shard, videos: list[str], columns: tuple[int, int], step: Callable[[int], None]
) -> Iterator[np.ndarray]:
    """Yield the rows of some videos, (at most BLOCK_ROWS, D) float64 in one buffer; DataError if a feature is not finite."""
    spans = [shard.span(video) for video in videos]
    rows = np.concatenate([np.arange(span.start, span.stop) for span in spans])
    buffer = np.empty((min(BLOCK_ROWS, len(rows)), columns[1] - columns[0]))
    for start in range(0, len(rows), BLOCK_ROWS):
        now = rows[start : start + BLOCK_ROWS]
        x = buffer[: len(now)]
        x[:] = _rows(shard, now)[:, slice(*columns)]
        finite = np.isfinite(x).all(1)
        if not finite.all():
            raise DataError(_not_finite(shard, int(now[finite.argmin()])))
        yield x
        step(len(now))


def _rows(shard: Shard, rows: np.ndarray) -> np.ndarray:
    """Return some rows (numbers, ascending), (T, D), through a map of their own: pages that were read leave memory again."""
    if not isinstance(shard.x, np.memmap):
        return shard.x[rows]
    first, count, width = int(rows[0]), int(rows[-1] - rows[0]) + 1, shard.x.shape[1]
    offset = shard.x.offset + first * width * shard.x.dtype.itemsize
    x = np.memmap(shard.path, shard.x.dtype, "r", offset=offset, shape=(count, width))
    return x if count == len(rows) else x[rows - first]


def _not_finite(shard: Shard, row: int) -> str:
    place = int(np.searchsorted(shard.offsets, row, "right")) - 1
    video, at = shard.videos[place], float(shard.time[row])
    number = row - int(shard.offsets[place])
    return f"{shard.path}: the features of {video!r} are not finite in row {number} (at {at:.2f} s); mend or leave out the video"

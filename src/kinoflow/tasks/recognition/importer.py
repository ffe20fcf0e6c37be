"""The stage `recognition-import`: one of TSM's published files of weights, as a checkpoint of this room.

Layers are read off the weights, the rest off the file's name. Frames are chosen and normalised as the published code does.
The file is loaded without running anything that it holds.
"""

from pathlib import Path

from kinoflow.datasets.published.files import lines
from kinoflow.errors import DataError
from kinoflow.options import check
from kinoflow.progress import log
from kinoflow.stage import In, Out
from kinoflow.tasks.recognition.data import decoding
from kinoflow.tasks.recognition.options import RecognitionOptions
from kinoflow.tasks.recognition.scoring import Trained
from kinoflow.tasks.recognition.tuning import Published, published
from kinoflow.training import checkpoint

UNKNOWN_SEED = -1  # of first weights that nobody knows
SIDES_MATTER = ("something", "jester")  # in names of datasets that have classes for left and right


def recognition_import(
    weights: In, classes: In, model: Out, name: str = "", one_sided: bool = False, head: str = "action"
) -> None:
    """Turn one of TSM's published files of weights into a checkpoint, for `predict`, `stream` and `recognition-evaluate`.

    weights: the file, for example TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth
    classes: the list of its classes in their order, one a line, as `kinoflow annotations --classes` writes it
    model: the checkpoint to write, model.safetensors
    name: what the file was called first, where it has another name now: its name tells which network it is
    one_sided: its shift is from the past only, as in the network of TSM's live demo: it can be streamed
    head: the column of labels that its classes are of
    """
    network, told = published(weights, head, name, one_sided)
    names = tuple(text.strip('"') for _, text in lines(classes))
    _check_classes(names, network.fc[head].out_features, classes, weights)
    options = check(RecognitionOptions, _values(told, network.channels, head), str(weights))
    trained = Trained(
        network=network,
        options=options,
        heads={head: names},
        training={head: (0,) * len(names)},  # not known
        frames=None if told.kind == "flow" else decoding(options),
        mirror=not any(part in told.dataset for part in SIDES_MATTER),
        dataset=told.dataset,
    )
    checkpoint.save(model, network, trained.about(UNKNOWN_SEED))
    log.info("%s: %s, %d classes of %s", weights.name, told.network.backbone, len(names), told.dataset)


def _check_classes(names: tuple[str, ...], count: int, classes: Path, weights: Path) -> None:
    if len(names) != count:
        raise DataError(
            f"{classes}: it lists {len(names)} classes, but {weights} tells {count} apart; give the list it was trained with"
        )
    if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
        raise DataError(f"{classes}: the class {twice!r} stands there twice; give each once")


def _values(told: Published, planes: int, head: str) -> dict:
    """Return the options of a run that has these weights. planes: of the first convolution, for each segment."""
    seen: dict = {"kind": told.kind}
    if told.kind == "flow":
        seen |= {"frames": planes // 2}
    if told.kind == "gray":
        seen |= {"frames": planes, "interval": told.interval, "border": "original", "normalise": "original"}
    return {
        "heads": {head: {"classes": "file"}},
        "input": seen,
        "sampling": {"segments": told.segments, "scheme": told.scheme, "cover": "original"},
        "network": told.network.model_dump(),
    }

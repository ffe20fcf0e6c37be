"""What a training leaves: the last weights and the best ones, where a validation tells which are best."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from torch import nn

from kinoflow.training import checkpoint

BEST, LAST = "best.safetensors", "last.safetensors"  # in a training's work folder, and beside its checkpoint


def checkpoints(path: Path, trained: Sequence[tuple[nn.Module, Path]], keep: Literal["last", "best"]) -> Iterator[Path]:
    """Give the paths of the checkpoints to write, each while the models hold the weights to write there.

    path: of the weights to keep. Beside it come the others, BEST (LAST with ``keep``: best), where every training had a
    validation; what an earlier training left under these names goes. trained: models that `fit` has trained, with their
    work folders; in the end they hold the other weights.
    """
    yield path
    for name in (BEST, LAST):
        path.with_name(name).unlink(missing_ok=True)
    name = LAST if keep == "best" else BEST
    if not all((place / name).exists() for _, place in trained):
        return
    for model, place in trained:
        checkpoint.load_into(model, checkpoint.read(place / name)[0], place / name)
    yield path.with_name(name)

"""What a training leaves: the last weights, the best ones where a validation tells which, and those of asked-for epochs."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from torch import nn

from kinoflow.training import checkpoint
from kinoflow.training.options import CHECKPOINTS, TrainingOptions

# In a training's work folder, and beside its checkpoint:
BEST, LAST = "best.safetensors", "last.safetensors"
NUMBERED = f"{CHECKPOINTS}/*_[0-9]*.safetensors"


def numbered(count: int, options: TrainingOptions) -> str:
    """Return where the weights after so many epochs (steps, where the length is given in those) lie."""
    return f"{CHECKPOINTS}/{'epoch' if options.epochs else 'step'}_{count:05d}.safetensors"


def checkpoints(path: Path, trained: Sequence[tuple[nn.Module, Path]], keep: Literal["last", "best"]) -> Iterator[Path]:
    """Give the paths of the checkpoints to write, each while the models hold the weights to write there.

    path: of the weights to keep. Beside it come the others: BEST (LAST with ``keep``: best), and those of epochs, as far as
    every training has them; what an earlier training left under these names goes. trained: models that `fit` has trained,
    with their work folders; in the end they hold other weights.
    """
    yield path
    _clear(path.parent)
    for name in _left(trained, LAST if keep == "best" else BEST):
        for model, place in trained:
            checkpoint.load_into(model, checkpoint.read(place / name)[0], place / name)
        yield path.parent / name


def _left(trained: Sequence[tuple[nn.Module, Path]], beside: str) -> list[str]:
    """Return what all trainings have left, as paths below their work folders."""
    places = [place for _, place in trained]
    found = [{path.relative_to(place).as_posix() for path in place.glob(NUMBERED)} for place in places]
    single = [beside] if all((place / beside).exists() for place in places) else []
    return single + sorted(set.intersection(*found))


def _clear(folder: Path) -> None:
    for old in (folder / BEST, folder / LAST, *folder.glob(NUMBERED)):
        old.unlink(missing_ok=True)
    with suppress(OSError):  # it is not there, or has other files
        (folder / CHECKPOINTS).rmdir()

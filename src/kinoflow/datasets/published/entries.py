"""What the annotation files of a published dataset say: its classes in order, and the clips of each split."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field

from kinoflow.errors import DataError


@dataclass(frozen=True)
class Entry:
    """A clip, as an annotation file names it."""

    video: str  # the published video below the root; where there is none (Something v1, Jester) the clip's id
    folders: tuple[str, ...]  # where its pictures may lie below their root, the published place first
    label: int | None  # index of its class; None in a test split without answers
    text: str = ""  # a sentence that describes it
    recording: str = ""  # what it shares with clips of the same scene


@dataclass(frozen=True)
class Published:
    """A dataset, as its annotation files tell it."""

    classes: list[str]
    splits: dict[str, list[Entry]]  # train, validation, test: those there are, in the order of the files
    unused: int = 0  # clips that the files name, but put into no split
    listed: bool = False  # whether an annotation file already is the list of classes
    folders: bool = False  # whether clips are published as folders of pictures


@dataclass(frozen=True)
class Vocabulary:
    """The names of the classes as the split files write them, and the file that they come from."""

    names: Sequence[str]
    source: str
    index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        index = {name: i for i, name in enumerate(self.names)}
        if len(index) < len(self.names):
            twice = next(name for i, name in enumerate(self.names) if index[name] != i)
            raise DataError(f"{self.source}: the class {twice!r} stands there twice; remove one of them")
        object.__setattr__(self, "index", index)

    def find(self, name: str, where: str) -> int:
        """Return the index of a class; ``where`` (file and line) begins the error if there is none."""
        if name not in self.index:
            close = difflib.get_close_matches(name, self.names, n=1)
            hint = f" (did it mean {close[0]!r}?)" if close else ""
            raise DataError(
                f"{where}: there is no class {name!r} in {self.source}{hint}; take both files from the same release"
            )
        return self.index[name]

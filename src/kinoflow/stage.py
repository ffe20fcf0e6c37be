"""What a stage is: a plain function whose signature says what it reads and writes.

    def probe(root: Folder, list: In, table: Out, options: ProbeOptions, code: str = "") -> None:
        '''Open every video of one shard once.

        root: the folder of the videos
        list: the list of the shard's videos, written by `kinoflow lists`
        table: the probe table to write
        '''

``kinoflow.command`` turns it into a command. ``options`` is an option model, ``code`` the fingerprint of the stage's code
(part of the keys by which items are carried over).
"""

from pathlib import Path
from typing import Annotated

In = Annotated[Path, "input"]  # a file that must be there
Folder = Annotated[Path, "folder"]  # a folder that must be there
Out = Annotated[Path, "output"]  # a file that the stage writes
State = Annotated[Path, "state"]  # a file or folder beside the outputs that may or may not be there

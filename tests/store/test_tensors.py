"""Files of torch's own format on a disk that is full."""

import errno
import io

import pytest
import torch

from kinoflow.store import tensors

VALUES = {f"{number}": torch.full((1000,), float(number)) for number in range(5)}


class Full(io.BytesIO):
    """A file that takes so many bytes."""

    def __init__(self, room: int):
        super().__init__()
        self.room = room

    def write(self, part):
        if self.tell() + len(part) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(part)


def test_what_is_saved_comes_back():
    file = io.BytesIO()
    tensors.save(VALUES, file)
    file.seek(0)
    found = torch.load(file, weights_only=True)
    assert found.keys() == VALUES.keys() and all(torch.equal(found[name], VALUES[name]) for name in VALUES)


def test_a_full_disk_is_told_as_the_system_tells_it():
    whole = io.BytesIO()
    tensors.save(VALUES, whole)
    for room in (0, 10, 500, 5000, 12_000, len(whole.getvalue()) - 1):
        with pytest.raises(OSError) as refused:
            tensors.save(VALUES, Full(room))
        assert refused.value.errno == errno.ENOSPC

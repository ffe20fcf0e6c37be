"""TFRecord files without TensorFlow: checksums, framing, sequence examples."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.datasets.published.releases import sequence_example, slow_crc32c, tfrecord

from kinoflow.datasets.published.tfrecord import BLOCK, crc32c, examples, masked_crc, parse, records
from kinoflow.errors import DataError


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_the_checksum_is_that_of_the_definition(data):
    assert crc32c(data) == slow_crc32c(data)


@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 5])
def test_long_records_are_summed_in_rows_to_the_same_checksum(size):
    data = bytes(i * i % 251 for i in range(size))
    assert crc32c(data) == slow_crc32c(data)


def test_the_checksum_is_that_of_the_standard():
    assert crc32c(bytes(32)) == 0x8A9136AA and crc32c(b"\xff" * 32) == 0x62A8AB43  # RFC 3720, B.4
    assert masked_crc(b"") == 0xA282EAD8


@given(st.lists(st.binary(max_size=60), max_size=4))
@settings(max_examples=20, deadline=None)
def test_records_come_back_as_they_were_written(tmp_path_factory, payloads):
    path = tfrecord(tmp_path_factory.mktemp("records") / "a.tfrecord", payloads)
    assert list(records(path)) == payloads


@pytest.mark.parametrize("packed", [True, False])
def test_a_sequence_example_tells_context_and_lists(packed):
    found = parse(sequence_example("a-b", [b"one", b"two"], [3, -1], packed))
    assert found.context == {"name": [b"a-b"], "len": [2], "label": [-1], "label_string": [b"pouring"]}
    assert found.lists == {"video": [[b"one"], [b"two"]], "frame_labels": [[3], [-1]]}


def test_one_flipped_byte_anywhere_is_one_sentence(tmp_path):
    path = tfrecord(tmp_path / "a.tfrecord", [b"first", sequence_example("b", [b"x" * 40], [0])])
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        with pytest.raises(DataError, match="record [01]: .* fetch the file again") as error:
            list(records(path))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("left", [1, 11, 13, 20])
def test_a_file_that_ends_early_is_one_sentence(tmp_path, left):
    path = tfrecord(tmp_path / "a.tfrecord", [b"a record of some bytes"])
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(DataError, match="record 0: .*fetch the file again"):
        list(records(path))


@pytest.mark.parametrize("payload", [b"\x0a\xff", b"\x0b", b"\xff" * 12, b"\x0a\x02\x0a\x05"])
def test_what_is_no_sequence_example_is_one_sentence(tmp_path, payload):
    with pytest.raises(DataError, match="record 0: this is no sequence example"):
        list(examples(tfrecord(tmp_path / "a.tfrecord", [payload])))

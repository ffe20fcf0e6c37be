"""fetch: what arrives, what goes on where it broke off, what the checksum says."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoflow.errors import DataError
from kinoflow.store.fetch import fetch

DATA = random.Random(0).randbytes(5000)  # what the server of conftest.py has
SUM = hashlib.sha256(DATA).hexdigest()


# ---------------------------------------------------------------- what goes well


def test_a_file_arrives_whole_and_nothing_else_is_left(server, get):
    assert get(server.url("/a", server.good()), SUM) == (len(DATA), SUM)
    assert get.path.read_bytes() == DATA
    assert [path.name for path in get.path.parent.iterdir()] == ["file.bin"]


def test_a_file_that_is_there_is_verified_and_not_asked_for(server, get):
    get.path.write_bytes(DATA)
    assert get(server.url("/a", server.good()), SUM).sha256 == SUM
    assert server.ranges("/a") == []


def test_first_digits_of_a_checksum_are_enough(server, get):
    assert get(server.url("/a", server.good()), SUM[:8]).sha256 == SUM


def test_a_chunked_answer_arrives(server, get):
    def chunked(handler, before):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        ends = (1000, 5000) if before else (1000,)  # the first time it breaks off between two chunks
        for start, end in zip((0, *ends), ends, strict=False):
            handler.wfile.write(b"%x\r\n%s\r\n" % (end - start, DATA[start:end]))
        if before:
            handler.wfile.write(b"0\r\n\r\n")

    get(server.url("/a", chunked))
    assert get.path.read_bytes() == DATA
    assert len(get.pauses) == 1


def test_an_empty_file_arrives(server, get):
    assert get(server.url("/a", server.plain(b""))).size == 0


def test_redirects_are_followed_with_the_range(server, get):
    url = server.url("/to", server.good(cuts=[100]))
    get(server.url("/from", lambda handler, before: server.answer(handler, 302, headers={"Location": url})))
    assert get.path.read_bytes() == DATA
    assert server.ranges("/to") == [None, "bytes=100-"]


def test_file_addresses_work(get, tmp_path):
    source = tmp_path / "with blank.bin"
    source.write_bytes(DATA)
    assert get(source.as_uri(), SUM).size == len(DATA)
    get.path.unlink()
    with pytest.raises(DataError, match="the published one is"):
        get(source.as_uri(), "0" * 64)
    assert not get.path.exists()


def test_the_proxy_of_the_environment_is_not_asked_for_this_machine(server, get, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert get(server.url("/a", server.good()), SUM, attempts=1).size == len(DATA)


def test_addresses_with_blanks_and_umlauts_are_quoted(server, get):
    server.url("/an%20%C3%A4.bin?q=a%20b", server.good())
    assert get(server.url("/an ä.bin?q=a b"), SUM).size == len(DATA)


# ---------------------------------------------------------------- broken connections


def test_a_broken_download_goes_on_where_it_ended(server, get):
    get(server.url("/a", server.good(cuts=[1000, 2000])))
    assert get.path.read_bytes() == DATA
    assert server.ranges("/a") == [None, "bytes=1000-", "bytes=3000-"]


def test_a_date_is_as_good_as_an_etag(server, get):
    marks = {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT", "ETag": 'W/"1"'}
    get(server.url("/a", server.good(cuts=[1000], marks=marks)))
    assert get.path.read_bytes() == DATA
    assert server.seen[-1][1]["If-Range"] == marks["Last-Modified"]


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(0, 3000),
    cuts=st.lists(st.integers(0, 3000), max_size=5),
    marks=st.sampled_from([{"ETag": '"x"'}, {"ETag": 'W/"x"'}, {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, {}]),
    ranges=st.booleans(),
    published=st.booleans(),
)
def test_the_bytes_are_exact_wherever_it_breaks(server, size, cuts, marks, ranges, published):
    data = DATA[:size]
    server_side = (
        server.good(data, cuts, marks) if ranges else server.plain(*(data[:c] for c in cuts), data, lengths=[size])
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        digest = hashlib.sha256(data).hexdigest()
        url = server.url("/h", server_side)
        assert fetch(url, path, digest if published else None, 7, sleep=lambda s: None) == (size, digest)
        assert path.read_bytes() == data
        assert {p.name for p in path.parent.iterdir()} == ({"x"} if published else {"x", ".x.sha256"})


def test_new_bytes_make_the_attempts_begin_again(server, get):
    get(server.url("/a", server.good(cuts=[100] * 20)), attempts=2)
    assert get.path.read_bytes() == DATA


def test_it_gives_up_after_attempts_without_a_new_byte_and_keeps_what_came(server, get):
    with pytest.raises(DataError, match=r"ended 4000 bytes before the 4000 .* attempt 3 of 3; 1\.0 kB are kept"):
        get(server.url("/a", server.good(cuts=[1000, 0, 0, 0])), attempts=3)
    assert get.part.read_bytes() == DATA[:1000]
    get(server.url("/a", server.good()))
    assert get.path.read_bytes() == DATA
    assert server.ranges("/a") == ["bytes=1000-"]


def test_a_server_that_hangs_is_left_after_the_patience(server, get):
    def hang(handler, before):
        if before:
            return server.good()(handler, before)
        server.answer(handler, 200, DATA[:100], {"ETag": '"1"'}, len(DATA))
        handler.wfile.flush()
        return server.release.wait(5)

    start = time.monotonic()
    get(server.url("/a", hang), patience=0.2)
    assert time.monotonic() - start < 3
    assert server.ranges("/a") == [None, "bytes=100-"]


def test_a_killed_download_goes_on_and_asks_for_the_rest(server, get):
    def drip(handler, before):
        if before:
            return server.good()(handler, before)
        server.answer(handler, 200, DATA[:2000], {"ETag": '"1"'}, len(DATA))
        handler.wfile.flush()
        return server.release.wait(20)

    url = server.url("/a", drip)
    words = [sys.executable, "-c", "import sys; from kinoflow.store.fetch import fetch; fetch(*sys.argv[1:])"]
    source = Path(__file__).resolve().parents[2] / "src"
    child = subprocess.Popen([*words, url, get.path], env=os.environ | {"PYTHONPATH": str(source)})
    deadline = time.monotonic() + 20
    while not (get.part.exists() and get.part.stat().st_size == 2000) and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not get.path.exists()
    assert get(url).sha256 == SUM
    assert server.ranges("/a") == [None, "bytes=2000-"]


def test_two_at_once_fetch_once(server, get):
    def slow(handler, before):
        time.sleep(0.3)
        server.good()(handler, before)

    url, found = server.url("/a", slow), []
    threads = [threading.Thread(target=lambda: found.append(get(url, SUM))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(len(DATA), SUM)] * 2
    assert len(server.ranges("/a")) == 1
    assert not get.part.exists()


# ---------------------------------------------------------------- checksums


def test_a_wrong_checksum_names_both_and_leaves_no_file(server, get):
    with pytest.raises(DataError, match=f"{SUM}, the published one is {'0' * 64}"):
        get(server.url("/a", server.good()), "0" * 64)
    assert not get.path.exists()
    assert get.part.read_bytes() == DATA
    assert len(server.ranges("/a")) == 1


def test_a_wrong_checksum_after_resuming_starts_once_from_the_beginning(server, get):
    get.part.write_bytes(b"x" * 1000)
    get(server.url("/a", server.good()), SUM)
    assert get.path.read_bytes() == DATA
    assert server.ranges("/a") == ["bytes=1000-", None]


def test_a_wrong_checksum_after_resuming_does_not_start_for_ever(server, get):
    get.part.write_bytes(b"x" * 1000)
    with pytest.raises(DataError, match="the published one"):
        get(server.url("/a", server.good(cuts=[9999, 100])), "0" * 64)
    assert server.ranges("/a") == ["bytes=1000-", None, "bytes=100-"]


def test_a_complete_part_with_the_right_checksum_needs_no_server(get):
    get.part.write_bytes(DATA)
    assert get("http://127.0.0.1:9/a", SUM).sha256 == SUM


def test_without_a_published_checksum_the_first_one_is_kept_and_compared(server, get):
    get(server.url("/a", server.good()))
    record = get.path.with_name(".file.bin.sha256")
    assert record.read_text() == f"{SUM}  file.bin\n"
    get.path.unlink()
    with pytest.raises(DataError, match=f"at the first download it was {SUM}.* delete .*sha256 to accept"):
        get(server.url("/a", server.good(b"another", marks={"ETag": '"2"'})))
    assert not get.path.exists()
    record.unlink()
    assert get(server.url("/a", server.good(b"another", marks={"ETag": '"2"'}))).size == 7


def test_without_checksum_and_marks_nothing_is_pieced_together(server, get):
    get.part.write_bytes(DATA[:1000])
    get(server.url("/a", server.good(marks={})))
    assert server.ranges("/a") == [None]


def test_another_address_may_go_on_only_under_a_checksum(server, get):
    with pytest.raises(DataError):
        get(server.url("/a", server.good(cuts=[1000])), attempts=1)
    get(server.url("/b", server.good(marks={"ETag": '"mirror"'})), SUM)
    assert server.ranges("/b") == ["bytes=1000-"]
    assert "If-Range" not in server.seen[-1][1]
    get.path.unlink()
    with pytest.raises(DataError):
        get(server.url("/a", server.good(cuts=[1000])), attempts=1)
    get(server.url("/b", server.good(marks={"ETag": '"mirror"'})))
    assert server.ranges("/b") == [None]

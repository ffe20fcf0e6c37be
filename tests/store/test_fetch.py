"""fetch against a real server on the loopback that behaves as badly as servers do."""

import email.utils
import hashlib
import os
import random
import resource
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoflow.errors import DataError
from kinoflow.store.fetch import fetch

DATA = random.Random(0).randbytes(5000)
SUM = hashlib.sha256(DATA).hexdigest()


class Server:
    """Answers each path by a function of (handler, how many requests for it came before); keeps the requests' headers."""

    def __init__(self, context: ssl.SSLContext | None = None):
        self.paths, self.seen, self.release = {}, [], threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                before = sum(path == self.path for path, _ in server.seen)
                server.seen.append((self.path, dict(self.headers)))
                self.close_connection = True
                server.paths[self.path](self, before)

            def log_message(self, *words):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *words: None  # clients that hang up are the point here
        self.scheme = "https" if context else "http"
        if context:
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path, behaviour=None):
        """The address of ``path``, which from now on behaves so; nothing is remembered of its requests."""
        self.seen = [(p, h) for p, h in self.seen if p != path]
        if behaviour:
            self.paths[path] = behaviour
        return f"{self.scheme}://127.0.0.1:{self.http.server_port}{path}"

    def ranges(self, path):
        return [headers.get("Range") for p, headers in self.seen if p == path]

    def close(self):
        self.release.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.close()


def answer(handler, status, body=b"", headers=(), length=None):
    handler.send_response(status)
    for name, value in dict(headers).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def good(data=DATA, cuts=(), marks=(("ETag", '"1"'),)):
    """A server that does ranges as the standard says, and breaks its n-th answer off after ``cuts[n]`` bytes."""

    def behave(handler, before):
        wanted = handler.headers.get("Range")
        if wanted and handler.headers.get("If-Range", dict(marks).get("ETag")) == dict(marks).get("ETag"):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                return answer(handler, 416, headers={"Content-Range": f"bytes */{len(data)}", **dict(marks)})
            status, span = 206, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        else:
            start, status, span = 0, 200, {}
        body = data[start:]
        cut = cuts[before] if before < len(cuts) else len(body)
        answer(handler, status, body[:cut], {**dict(marks), **span}, len(body))

    return behave


def plain(*bodies, lengths=None):
    """A server without ranges and marks; the last body and length stay."""

    def behave(handler, before):
        body = bodies[min(before, len(bodies) - 1)]
        answer(handler, 200, body, length=lengths[min(before, len(lengths) - 1)] if lengths else None)

    return behave


def statuses(*given, then=None, headers=()):
    def behave(handler, before):
        if before < len(given):
            return answer(handler, given[before], b"no", headers)
        return (then or good())(handler, before)

    return behave


@pytest.fixture
def get(tmp_path):
    """get(url, sha256): fetch without waiting, into an own folder; get.pauses are the pauses it would have made."""

    def get(url, sha256=None, path=tmp_path / "file.bin", **options):
        return fetch(url, path, sha256, rng=random.Random(0), sleep=get.pauses.append, **options)

    get.pauses, get.path, get.part = [], tmp_path / "file.bin", tmp_path / ".file.bin.part"
    return get


# ---------------------------------------------------------------- what goes well


def test_a_file_arrives_whole_and_nothing_else_is_left(server, get):
    assert get(server.url("/a", good()), SUM) == (len(DATA), SUM)
    assert get.path.read_bytes() == DATA
    assert [path.name for path in get.path.parent.iterdir()] == ["file.bin"]


def test_a_file_that_is_there_is_verified_and_not_asked_for(server, get):
    get.path.write_bytes(DATA)
    assert get(server.url("/a", good()), SUM).sha256 == SUM
    assert server.ranges("/a") == []


def test_first_digits_of_a_checksum_are_enough(server, get):
    assert get(server.url("/a", good()), SUM[:8]).sha256 == SUM


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
    assert get(server.url("/a", plain(b""))).size == 0


def test_redirects_are_followed_with_the_range(server, get):
    url = server.url("/to", good(cuts=[100]))
    get(server.url("/from", lambda handler, before: answer(handler, 302, headers={"Location": url})))
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
    assert get(server.url("/a", good()), SUM, attempts=1).size == len(DATA)


def test_addresses_with_blanks_and_umlauts_are_quoted(server, get):
    server.url("/an%20%C3%A4.bin?q=a%20b", good())
    assert get(server.url("/an ä.bin?q=a b"), SUM).size == len(DATA)


# ---------------------------------------------------------------- broken connections


def test_a_broken_download_goes_on_where_it_ended(server, get):
    get(server.url("/a", good(cuts=[1000, 2000])))
    assert get.path.read_bytes() == DATA
    assert server.ranges("/a") == [None, "bytes=1000-", "bytes=3000-"]


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
    server_side = good(data, cuts, marks) if ranges else plain(*(data[:c] for c in cuts), data, lengths=[size])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        digest = hashlib.sha256(data).hexdigest()
        url = server.url("/h", server_side)
        assert fetch(url, path, digest if published else None, 7, sleep=lambda s: None) == (size, digest)
        assert path.read_bytes() == data
        assert {p.name for p in path.parent.iterdir()} == ({"x"} if published else {"x", ".x.sha256"})


def test_new_bytes_make_the_attempts_begin_again(server, get):
    get(server.url("/a", good(cuts=[100] * 20)), attempts=2)
    assert get.path.read_bytes() == DATA


def test_it_gives_up_after_attempts_without_a_new_byte_and_keeps_what_came(server, get):
    with pytest.raises(DataError, match=r"ended 4000 bytes before the 4000 .* attempt 3 of 3; 1\.0 kB are kept"):
        get(server.url("/a", good(cuts=[1000, 0, 0, 0])), attempts=3)
    assert get.part.read_bytes() == DATA[:1000]
    get(server.url("/a", good()))
    assert get.path.read_bytes() == DATA
    assert server.ranges("/a") == ["bytes=1000-"]


def test_a_server_that_hangs_is_left_after_the_patience(server, get):
    def hang(handler, before):
        if before:
            return good()(handler, before)
        answer(handler, 200, DATA[:100], {"ETag": '"1"'}, len(DATA))
        handler.wfile.flush()
        return server.release.wait(5)

    start = time.monotonic()
    get(server.url("/a", hang), patience=0.2)
    assert time.monotonic() - start < 3
    assert server.ranges("/a") == [None, "bytes=100-"]


def test_a_killed_download_goes_on_and_asks_for_the_rest(server, get):
    def drip(handler, before):
        if before:
            return good()(handler, before)
        answer(handler, 200, DATA[:2000], {"ETag": '"1"'}, len(DATA))
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
        good()(handler, before)

    url, found = server.url("/a", slow), []
    threads = [threading.Thread(target=lambda: found.append(get(url, SUM))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(len(DATA), SUM)] * 2
    assert len(server.ranges("/a")) == 1
    assert not get.part.exists()


# ---------------------------------------------------------------- answers that lie or change


def test_a_length_that_is_too_long_is_noticed(server, get):
    with pytest.raises(DataError, match="ended 100 bytes before the 5100 that the server promised"):
        get(server.url("/a", plain(DATA, lengths=[5100])), attempts=2)
    assert not get.path.exists()


def test_a_length_that_is_too_short_is_noticed(server, get):
    with pytest.raises(DataError, match="sends more than the 4900 bytes that it promised"):
        get(server.url("/a", plain(DATA, lengths=[4900])), attempts=2)
    assert not get.path.exists()


def test_a_right_checksum_counts_more_than_a_wrong_length(server, get):
    assert get(server.url("/a", plain(DATA, lengths=[5100])), SUM).sha256 == SUM
    assert get.pauses == []


def test_a_range_that_is_ignored_starts_again(server, get):
    get.part.write_bytes(b"x" * 1000)
    get(server.url("/a", plain(DATA)), SUM)
    assert get.path.read_bytes() == DATA
    assert server.ranges("/a") == ["bytes=1000-"]


def test_another_version_between_two_tries_starts_again(server, get):
    new = bytes(reversed(DATA))

    def change(handler, before):
        if before:
            return good(new, marks={"ETag": '"2"'})(handler, before)
        return good(cuts=[1000])(handler, before)

    get(server.url("/a", change))
    assert get.path.read_bytes() == new


@pytest.mark.parametrize("marks", [{"ETag": '"2"'}, {"Last-Modified": "Tue, 02 Jan 2024 00:00:00 GMT"}])
def test_another_version_is_noticed_even_if_the_server_ignores_if_range(server, get, marks):
    new, old = bytes(reversed(DATA)), dict.fromkeys(marks, "Mon, 01 Jan 2024 00:00:00 GMT")

    def change(handler, before):
        if handler.headers.get("Range"):
            span = {"Content-Range": "bytes 1000-4999/5000"}
            return answer(handler, 206, new[1000:], marks | span)
        return answer(handler, 200, new if before else new[:1000], marks if before else old, 5000)

    get(server.url("/a", change))
    assert get.path.read_bytes() == new


@pytest.mark.parametrize("span", ["bytes 0-4999/5000", "bytes 1000-4999/6000", "bytes 1000-4999/*", "nonsense", None])
def test_a_part_that_is_not_the_one_asked_for_is_not_used(server, get, span):
    def wrong(handler, before):
        if handler.headers.get("Range"):
            return answer(handler, 206, b"x" * 4000, {"ETag": '"1"'} | ({"Content-Range": span} if span else {}))
        return good(cuts=[1000])(handler, before)

    url = server.url("/a", wrong)
    if span == "bytes 1000-4999/*":  # fine: the size is known from the first answer
        assert get(url).size == 5000
    else:
        assert get(url).sha256 == SUM


def test_parts_that_are_shorter_than_asked_for_add_up(server, get):
    def sparing(handler, before):
        start = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
        if not before:
            return answer(handler, 200, DATA[:10], {"ETag": '"1"'}, 5000)
        end = min(5000, start + 2000)
        return answer(handler, 206, DATA[start:end], {"Content-Range": f"bytes {start}-{end - 1}/5000", "ETag": '"1"'})

    assert get(server.url("/a", sparing)).sha256 == SUM


def test_416_for_a_complete_part_ends_it(server, get):
    """The first answer told no length and the connection broke before its end mark."""

    def behave(handler, before):
        if before:
            return good()(handler, before)
        handler.send_response(200)
        for name, value in (("ETag", '"1"'), ("Transfer-Encoding", "chunked")):
            handler.send_header(name, value)
        handler.end_headers()
        return handler.wfile.write(b"%x\r\n%s\r\n" % (len(DATA), DATA))

    assert get(server.url("/a", behave)).sha256 == SUM
    assert server.ranges("/a") == [None, "bytes=5000-"]


def test_416_for_a_part_that_is_too_long_starts_again(server, get):
    get.part.write_bytes(b"x" * 6000)
    get(server.url("/a", good()), SUM)
    assert get.path.read_bytes() == DATA
    assert server.ranges("/a") == ["bytes=6000-", None]


def test_416_to_a_plain_request_is_final(server, get):
    with pytest.raises(DataError, match="answers 416"):
        get(server.url("/a", statuses(416)))
    assert len(server.ranges("/a")) == 1


# ---------------------------------------------------------------- refusals


def test_503_twice_is_waited_out_with_growing_pauses(server, get):
    get(server.url("/a", statuses(503, 503, 500, 429)), SUM)
    assert all(longest / 2 <= pause <= longest for longest, pause in zip((1, 2, 4, 8), get.pauses, strict=True))


def test_the_jitter_comes_from_the_generator_that_is_given(server, get):
    for _ in range(2):
        get(server.url("/a", statuses(503)), SUM)
        get.path.unlink()
    assert get.pauses[0] == get.pauses[1]


def test_retry_after_is_kept_to(server, get):
    get(server.url("/a", statuses(503, headers={"Retry-After": "7"})), SUM)
    assert get.pauses == [7.0]


def test_retry_after_as_a_date_counts_by_the_servers_clock(server, get):
    def busy(handler, before):
        if before:
            return good()(handler, before)
        handler.send_response_only(503)
        now = 1_700_000_000  # a clock that is years behind
        for name, moment in (("Date", now), ("Retry-After", now + 9)):
            handler.send_header(name, email.utils.formatdate(moment, usegmt=True))
        handler.send_header("Content-Length", "0")
        return handler.end_headers()

    get(server.url("/a", busy), SUM)
    assert get.pauses == [9.0]


def test_a_wait_of_hours_is_told_and_not_waited(server, get):
    with pytest.raises(DataError, match="asks to wait 2 h 00 min"):
        get(server.url("/a", statuses(503, headers={"Retry-After": "7200"})))


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_refusals_that_stay_are_final_at_once(server, get, status):
    with pytest.raises(DataError, match=f"answers {status} .* put the file at .*file.bin yourself"):
        get(server.url("/a", statuses(status)))
    assert len(server.ranges("/a")) == 1
    assert get.pauses == []


def test_a_server_that_is_not_there_is_asked_again(get):
    with pytest.raises(DataError, match="no connection: .*refused"):
        get("http://127.0.0.1:9/a", attempts=3)
    assert len(get.pauses) == 2


def test_an_address_that_is_none_is_final(get):
    with pytest.raises(DataError, match="127.0.0.1:x"):
        get("http://127.0.0.1:x/a")
    assert get.pauses == []


def test_redirects_do_not_lead_to_files_or_in_circles(server, get):
    for target in ("file:///etc/passwd", "/from"):
        url = server.url("/from", lambda handler, before, to=target: answer(handler, 302, headers={"Location": to}))
        with pytest.raises(DataError, match="answers 302"):
            get(url)


def test_a_web_page_is_not_taken_for_the_file(server, get):
    with pytest.raises(DataError, match="sent a web page, not 'file.bin'"):
        get(server.url("/a", plain(b"\n<!DOCTYPE html><title>please log in</title>")))


def test_a_login_page_does_not_cost_what_has_come(server, get):
    def behave(handler, before):
        if before:
            return answer(handler, 200, b"<html>", {"Content-Type": "text/html; charset=utf-8"})
        return good(cuts=[1000])(handler, before)

    with pytest.raises(DataError, match="sent a web page"):
        get(server.url("/a", behave))
    assert get.part.read_bytes() == DATA[:1000]


# ---------------------------------------------------------------- checksums


def test_a_wrong_checksum_names_both_and_leaves_no_file(server, get):
    with pytest.raises(DataError, match=f"{SUM}, the published one is {'0' * 64}"):
        get(server.url("/a", good()), "0" * 64)
    assert not get.path.exists()
    assert get.part.read_bytes() == DATA
    assert len(server.ranges("/a")) == 1


def test_a_wrong_checksum_after_resuming_starts_once_from_the_beginning(server, get):
    get.part.write_bytes(b"x" * 1000)
    get(server.url("/a", good()), SUM)
    assert get.path.read_bytes() == DATA
    assert server.ranges("/a") == ["bytes=1000-", None]


def test_a_wrong_checksum_after_resuming_does_not_start_for_ever(server, get):
    get.part.write_bytes(b"x" * 1000)
    with pytest.raises(DataError, match="the published one"):
        get(server.url("/a", good(cuts=[9999, 100])), "0" * 64)
    assert server.ranges("/a") == ["bytes=1000-", None, "bytes=100-"]


def test_a_complete_part_with_the_right_checksum_needs_no_server(get):
    get.part.write_bytes(DATA)
    assert get("http://127.0.0.1:9/a", SUM).sha256 == SUM


def test_without_a_published_checksum_the_first_one_is_kept_and_compared(server, get):
    get(server.url("/a", good()))
    record = get.path.with_name(".file.bin.sha256")
    assert record.read_text() == f"{SUM}  file.bin\n"
    get.path.unlink()
    with pytest.raises(DataError, match=f"at the first download it was {SUM}.* delete .*sha256 to accept"):
        get(server.url("/a", good(b"another", marks={"ETag": '"2"'})))
    assert not get.path.exists()
    record.unlink()
    assert get(server.url("/a", good(b"another", marks={"ETag": '"2"'}))).size == 7


def test_without_checksum_and_marks_nothing_is_pieced_together(server, get):
    get.part.write_bytes(DATA[:1000])
    get(server.url("/a", good(marks={})))
    assert server.ranges("/a") == [None]


def test_another_address_may_go_on_only_under_a_checksum(server, get):
    with pytest.raises(DataError):
        get(server.url("/a", good(cuts=[1000])), attempts=1)
    get(server.url("/b", good(marks={"ETag": '"mirror"'})), SUM)
    assert server.ranges("/b") == ["bytes=1000-"]
    assert "If-Range" not in server.seen[-1][1]
    get.path.unlink()
    with pytest.raises(DataError):
        get(server.url("/a", good(cuts=[1000])), attempts=1)
    get(server.url("/b", good(marks={"ETag": '"mirror"'})))
    assert server.ranges("/b") == [None]


# ---------------------------------------------------------------- disks


def test_too_little_room_is_said_before_a_byte_is_written(server, get):
    with pytest.raises(DataError, match=r"needs 1000000\.0 TB, and .* has .* free"):
        get(server.url("/a", plain(DATA, lengths=[10**18])))
    assert get.part.stat().st_size == 0


def test_a_write_that_fails_is_one_sentence_and_keeps_what_was_written(server, get):
    data = random.Random(1).randbytes(1_500_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(DataError, match=r"\.file\.bin\.part: cannot be written: File too large"):
            get(server.url("/a", good(data)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    kept = get.part.stat().st_size
    assert 0 < kept <= 1_000_000
    get(server.url("/a", good(data)))
    assert get.path.read_bytes() == data
    assert server.ranges("/a") == [f"bytes={kept}-"]


def test_a_folder_in_the_way_is_one_sentence(server, get, tmp_path):
    get.path.mkdir()
    with pytest.raises(DataError, match="here should be a file"):
        get(server.url("/a", good()))
    (tmp_path / "no").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        get(server.url("/a", good()), path=tmp_path / "no" / "x")


# ---------------------------------------------------------------- encryption


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    key, cert = (tmp_path_factory.mktemp("tls") / name for name in ("key.pem", "cert.pem"))
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*words.split(), "-keyout", key, "-out", cert], check=True, capture_output=True)
    return key, cert


@pytest.fixture(scope="module")
def secure(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[0])
    server = Server(context)
    yield server
    server.close()


def test_https_resumes_and_never_leads_to_http(server, secure, certificate, get, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[1]))
    to = server.url("/a", good())
    with pytest.raises(DataError, match="not encrypted"):
        get(secure.url("/a", lambda handler, before: answer(handler, 302, headers={"Location": to})))
    get(secure.url("/b", good(cuts=[1000])))
    assert secure.ranges("/b") == [None, "bytes=1000-"]


def test_a_certificate_that_nobody_vouches_for_is_final(secure, get):
    with pytest.raises(DataError, match="certificate verify failed"):
        get(secure.url("/a", good()))
    assert get.pauses == []

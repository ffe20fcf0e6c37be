"""fetch: answers that lie, change or refuse; full disks; encryption."""

import email.utils
import hashlib
import random
import resource
import shutil
import ssl
import subprocess

import pytest

from kinoflow.errors import DataError

DATA = random.Random(0).randbytes(5000)  # what the server of conftest.py has
SUM = hashlib.sha256(DATA).hexdigest()


# ---------------------------------------------------------------- answers that lie or change


def test_a_length_that_is_too_long_is_noticed(server, get):
    with pytest.raises(DataError, match="ended 100 bytes before the 5100 that the server promised"):
        get(server.url("/a", server.plain(DATA, lengths=[5100])), attempts=2)
    assert not get.path.exists()


def test_a_length_that_is_too_short_is_noticed(server, get):
    with pytest.raises(DataError, match="sends more than the 4900 bytes that it promised"):
        get(server.url("/a", server.plain(DATA, lengths=[4900])), attempts=2)
    assert not get.path.exists()


def test_a_right_checksum_counts_more_than_a_wrong_length(server, get):
    assert get(server.url("/a", server.plain(DATA, lengths=[5100])), SUM).sha256 == SUM
    assert get.pauses == []


def test_a_range_that_is_ignored_starts_again(server, get):
    get.part.write_bytes(b"x" * 1000)
    get(server.url("/a", server.plain(DATA)), SUM)
    assert get.path.read_bytes() == DATA
    assert server.ranges("/a") == ["bytes=1000-"]


def test_another_version_between_two_tries_starts_again(server, get):
    new = bytes(reversed(DATA))

    def change(handler, before):
        if before:
            return server.good(new, marks={"ETag": '"2"'})(handler, before)
        return server.good(cuts=[1000])(handler, before)

    get(server.url("/a", change))
    assert get.path.read_bytes() == new


@pytest.mark.parametrize("marks", [{"ETag": '"2"'}, {"Last-Modified": "Tue, 02 Jan 2024 00:00:00 GMT"}])
def test_another_version_is_noticed_even_if_the_server_ignores_if_range(server, get, marks):
    new, old = bytes(reversed(DATA)), dict.fromkeys(marks, "Mon, 01 Jan 2024 00:00:00 GMT")

    def change(handler, before):
        if handler.headers.get("Range"):
            span = {"Content-Range": "bytes 1000-4999/5000"}
            return server.answer(handler, 206, new[1000:], marks | span)
        return server.answer(handler, 200, new if before else new[:1000], marks if before else old, 5000)

    get(server.url("/a", change))
    assert get.path.read_bytes() == new


@pytest.mark.parametrize("span", ["bytes 0-4999/5000", "bytes 1000-4999/6000", "bytes 1000-4999/*", "nonsense", None])
def test_a_part_that_is_not_the_one_asked_for_is_not_used(server, get, span):
    def wrong(handler, before):
        if handler.headers.get("Range"):
            return server.answer(handler, 206, b"x" * 4000, {"ETag": '"1"'} | ({"Content-Range": span} if span else {}))
        return server.good(cuts=[1000])(handler, before)

    url = server.url("/a", wrong)
    if span == "bytes 1000-4999/*":  # fine: the size is known from the first answer
        assert get(url).size == 5000
    else:
        assert get(url).sha256 == SUM


def test_parts_that_are_shorter_than_asked_for_add_up(server, get):
    def sparing(handler, before):
        start = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
        if not before:
            return server.answer(handler, 200, DATA[:10], {"ETag": '"1"'}, 5000)
        end = min(5000, start + 2000)
        return server.answer(
            handler, 206, DATA[start:end], {"Content-Range": f"bytes {start}-{end - 1}/5000", "ETag": '"1"'}
        )

    assert get(server.url("/a", sparing)).sha256 == SUM


def test_416_for_a_complete_part_ends_it(server, get):
    """The first answer told no length and the connection broke before its end mark."""

    def behave(handler, before):
        if before:
            return server.good()(handler, before)
        handler.send_response(200)
        for name, value in (("ETag", '"1"'), ("Transfer-Encoding", "chunked")):
            handler.send_header(name, value)
        handler.end_headers()
        return handler.wfile.write(b"%x\r\n%s\r\n" % (len(DATA), DATA))

    assert get(server.url("/a", behave)).sha256 == SUM
    assert server.ranges("/a") == [None, "bytes=5000-"]


def test_416_for_a_part_that_is_too_long_starts_again(server, get):
    get.part.write_bytes(b"x" * 6000)
    get(server.url("/a", server.good()), SUM)
    assert get.path.read_bytes() == DATA
    assert server.ranges("/a") == ["bytes=6000-", None]


def test_416_to_a_plain_request_is_final(server, get):
    with pytest.raises(DataError, match="answers 416"):
        get(server.url("/a", server.statuses(416)))
    assert len(server.ranges("/a")) == 1


# ---------------------------------------------------------------- refusals


def test_503_twice_is_waited_out_with_growing_pauses(server, get):
    get(server.url("/a", server.statuses(503, 503, 500, 429)), SUM)
    assert all(longest / 2 <= pause <= longest for longest, pause in zip((1, 2, 4, 8), get.pauses, strict=True))


def test_the_jitter_comes_from_the_generator_that_is_given(server, get):
    for _ in range(2):
        get(server.url("/a", server.statuses(503)), SUM)
        get.path.unlink()
    assert get.pauses[0] == get.pauses[1]


def test_retry_after_is_kept_to(server, get):
    get(server.url("/a", server.statuses(503, headers={"Retry-After": "7"})), SUM)
    assert get.pauses == [7.0]


def test_retry_after_as_a_date_counts_by_the_servers_clock(server, get):
    def busy(handler, before):
        if before:
            return server.good()(handler, before)
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
        get(server.url("/a", server.statuses(503, headers={"Retry-After": "7200"})))


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_refusals_that_stay_are_final_at_once(server, get, status):
    with pytest.raises(DataError, match=f"answers {status} .* put the file at .*file.bin yourself"):
        get(server.url("/a", server.statuses(status)))
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
        url = server.url(
            "/from", lambda handler, before, to=target: server.answer(handler, 302, headers={"Location": to})
        )
        with pytest.raises(DataError, match="answers 302"):
            get(url)


def test_a_web_page_is_not_taken_for_the_file(server, get):
    with pytest.raises(DataError, match="sent a web page, not 'file.bin'"):
        get(server.url("/a", server.plain(b"\n<!DOCTYPE html><title>please log in</title>")))


def test_a_login_page_does_not_cost_what_has_come(server, get):
    def behave(handler, before):
        if before:
            return server.answer(handler, 200, b"<html>", {"Content-Type": "text/html; charset=utf-8"})
        return server.good(cuts=[1000])(handler, before)

    with pytest.raises(DataError, match="sent a web page"):
        get(server.url("/a", behave))
    assert get.part.read_bytes() == DATA[:1000]


# ---------------------------------------------------------------- disks


def test_too_little_room_is_said_before_a_byte_is_written(server, get):
    with pytest.raises(DataError, match=r"needs 1000000\.0 TB, and .* has .* free"):
        get(server.url("/a", server.plain(DATA, lengths=[10**18])))
    assert get.part.stat().st_size == 0


def test_a_write_that_fails_is_one_sentence_and_keeps_what_was_written(server, get):
    data = random.Random(1).randbytes(1_500_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(DataError, match=r"\.file\.bin\.part: cannot be written: File too large"):
            get(server.url("/a", server.good(data)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    kept = get.part.stat().st_size
    assert 0 < kept <= 1_000_000
    get(server.url("/a", server.good(data)))
    assert get.path.read_bytes() == data
    assert server.ranges("/a") == [f"bytes={kept}-"]


def test_a_folder_in_the_way_is_one_sentence(server, get, tmp_path):
    get.path.mkdir()
    with pytest.raises(DataError, match="here should be a file"):
        get(server.url("/a", server.good()))
    (tmp_path / "no").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        get(server.url("/a", server.good()), path=tmp_path / "no" / "x")


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
def secure(certificate, new_server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[0])
    server = new_server(context)
    yield server
    server.close()


def test_https_resumes_and_never_leads_to_http(server, secure, certificate, get, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[1]))
    to = server.url("/a", server.good())
    with pytest.raises(DataError, match="not encrypted"):
        get(secure.url("/a", lambda handler, before: server.answer(handler, 302, headers={"Location": to})))
    get(secure.url("/b", server.good(cuts=[1000])))
    assert secure.ranges("/b") == [None, "bytes=1000-"]


def test_a_certificate_that_nobody_vouches_for_is_final(server, secure, get):
    with pytest.raises(DataError, match="certificate verify failed"):
        get(secure.url("/a", server.good()))
    assert get.pauses == []

"""A real server on the loopback that behaves as badly as servers do, and fetch without its pauses."""

import random
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kinoflow.store.fetch import fetch

DATA = random.Random(0).randbytes(5000)


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

    # what a path may do

    @staticmethod
    def answer(handler, status, body=b"", headers=(), length=None):
        handler.send_response(status)
        for name, value in dict(headers).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)

    @staticmethod
    def good(data=DATA, cuts=(), marks=(("ETag", '"1"'),)):
        """A server that does ranges as the standard says, and breaks its n-th answer off after ``cuts[n]`` bytes."""

        def behave(handler, before):
            wanted, condition = handler.headers.get("Range"), handler.headers.get("If-Range")
            if wanted and (condition is None or condition in dict(marks).values()):
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(data):
                    return Server.answer(handler, 416, headers={"Content-Range": f"bytes */{len(data)}", **dict(marks)})
                status, span = 206, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            else:
                start, status, span = 0, 200, {}
            body = data[start:]
            cut = cuts[before] if before < len(cuts) else len(body)
            Server.answer(handler, status, body[:cut], {**dict(marks), **span}, len(body))

        return behave

    @staticmethod
    def plain(*bodies, lengths=None):
        """A server without ranges and marks; the last body and length stay."""

        def behave(handler, before):
            body = bodies[min(before, len(bodies) - 1)]
            Server.answer(handler, 200, body, length=lengths[min(before, len(lengths) - 1)] if lengths else None)

        return behave

    @staticmethod
    def statuses(*given, then=None, headers=()):
        def behave(handler, before):
            if before < len(given):
                return Server.answer(handler, given[before], b"no", headers)
            return (then or Server.good())(handler, before)

        return behave


@pytest.fixture(scope="session")
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="session")
def new_server():
    """The class, for a server of one's own."""
    return Server


@pytest.fixture
def get(tmp_path):
    """get(url, sha256): fetch without waiting, into an own folder; get.pauses are the pauses it would have made."""

    def get(url, sha256=None, path=tmp_path / "file.bin", **options):
        return fetch(url, path, sha256, rng=random.Random(0), sleep=get.pauses.append, **options)

    get.pauses, get.path, get.part = [], tmp_path / "file.bin", tmp_path / ".file.bin.part"
    return get

"""One request over HTTP: the answer and its body, and whether another attempt may help."""

import email.utils
import http.client
import ipaddress
import select
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from kinoflow.errors import DataError

BLOCK = 1 << 18  # bytes asked of the connection at once
LAST_LOOK = 0.5  # seconds in which a server that sends more than it promised gives itself away
PASSING = (408, 425, 429)  # the statuses below 500 that may pass


class BrokenError(Exception):
    """Something that another attempt may mend. ``wait``: seconds the server asks for; ``lied``: what it sent is no good."""

    def __init__(self, text: str, wait: float = 0.0, lied: bool = False):
        super().__init__(text)
        self.wait, self.lied = wait, lied


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but never out of HTTP (urllib refuses that itself) and never out of encryption."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if urllib.parse.urlsplit(newurl).scheme != "https" == urllib.parse.urlsplit(req.full_url).scheme:
            raise DataError(
                f"{req.full_url}: the server leads on to {newurl}, which is not encrypted; correct the address"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Proxies(urllib.request.ProxyHandler):
    """The proxies of the environment, except for this machine itself."""

    def proxy_open(self, req, proxy, type):
        return None if _is_loopback(req.host) else super().proxy_open(req, proxy, type)


def _is_loopback(host: str) -> bool:
    name = urllib.parse.urlsplit(f"//{host}").hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def ask(url: str, headers: dict[str, str], patience: float) -> Any:
    """GET ``url`` and return the answer, whatever its status; the caller closes it.

    Raises BrokenError if no answer came within ``patience`` seconds, DataError if none ever will.
    """
    opener = urllib.request.build_opener(_Redirects(), _Proxies())
    try:
        return opener.open(urllib.request.Request(_quoted(url), headers=headers), timeout=patience)
    except urllib.error.HTTPError as answer:
        return answer
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError) or not isinstance(error.reason, OSError):
            raise DataError(f"{url}: cannot be fetched: {error.reason}; correct the address") from None
        raise BrokenError(f"no connection: {error.reason}") from None
    except ValueError as error:  # http.client.InvalidURL too
        raise DataError(f"{url}: this is no address that can be asked: {error}") from None
    except (OSError, http.client.HTTPException) as error:
        raise BrokenError(f"no answer: {str(error) or type(error).__name__}") from None


def _quoted(url: str) -> str:
    """Quote blanks and non-ASCII letters; what is quoted already stays. Raises ValueError for an address that is none."""
    parts = urllib.parse.urlsplit(url)
    if not parts.hostname or parts.port == 0:  # a port that is no number raises here; urllib would look such a host up
        raise ValueError("it names no host")
    path, query = (urllib.parse.quote(part, safe="%/:=&?~+!$,;'@()*[]") for part in (parts.path, parts.query))
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, query, ""))


def blocks(answer: http.client.HTTPResponse, promised: int | None) -> Iterator[bytes]:
    """Yield the body as it comes in. Raises BrokenError when it breaks off or is not ``promised`` bytes long.

    ``promised`` None: a length is not known, or chunks tell the end.
    """
    answer.length = None  # else http.client reads no further than this and hides what comes after
    left = promised
    while left != 0 or _is_more(answer):
        try:
            block = answer.read1(BLOCK if left is None else min(BLOCK, left + 1))
        except (OSError, http.client.HTTPException) as error:
            if left == 0:
                return
            raise BrokenError(f"the connection broke: {str(error) or type(error).__name__}") from None
        if not block:
            break
        if left is not None:
            if len(block) > left:
                raise BrokenError(f"the server sends more than the {promised} bytes that it promised", lied=True)
            left -= len(block)
        yield block
    if left:
        raise BrokenError(f"the connection ended {left} bytes before the {promised} that the server promised")


def _is_more(answer: http.client.HTTPResponse) -> bool:
    poll = select.poll()
    poll.register(answer.fileno(), select.POLLIN)
    return bool(poll.poll(LAST_LOOK * 1000))


def is_passing(status: int) -> bool:
    """Tell whether a refusal with this status may be another one the next time."""
    return status in PASSING or status >= 500


def wait_asked(headers: Any) -> float:
    """Return the seconds that Retry-After asks for (a number or a date, by the server's own clock), 0 without one."""
    text = (headers.get("Retry-After") or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    until, now = (_seconds(headers.get(name)) for name in ("Retry-After", "Date"))
    return 0.0 if until is None else max(0.0, until - (time.time() if now is None else now))


def _seconds(date: str | None) -> float | None:
    parsed = email.utils.parsedate_tz(date) if date else None
    return float(email.utils.mktime_tz(parsed)) if parsed else None

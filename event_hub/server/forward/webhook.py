"""A webhook receiver: one signed request for each batch, as Standard Webhooks has it."""

from __future__ import annotations

import http.client
import logging
import re
import socket
import ssl
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests
from requests.utils import get_auth_from_url

from ... import __version__
from ...causes import causes, timed_out
from . import signing
from .sink import MOST_BYTES, Batch, Failed
from .targets import Target

TIMEOUT = 15.0
"""Seconds that one request may take."""
LONGEST_WISH = 3600.0
"""Seconds of a `Retry-After` that are honoured."""
_ANSWER = 64 << 10
"""Bytes of an answer that are read, and thrown away, so that the connection can be used again."""
_ANSWER_TIME = 1.0
"""Seconds that they may take: what counts has arrived before them."""
_LOOPBACK = re.compile(r"localhost|127\.[0-9.]+|::1", re.IGNORECASE)

logging.getLogger("urllib3").setLevel(logging.CRITICAL)  # what it says of an answer has the whole URL in it


class _Session(requests.Session):
    """Sends what it is told to and nothing else: no cookies (a receiver could make each request larger than the one
    before), no password but the URL's own (`requests` would prefer one of `~/.netrc`), and nothing by a proxy to this
    machine. A redirect's body is not read, which `requests` does without a limit."""

    def __init__(self, url: str) -> None:
        super().__init__()
        user, password = get_auth_from_url(url)
        own: Any = (user.encode(), password.encode()) if user or password else lambda request: request
        self.auth = own
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self.direct = {"http": "", "https": ""} if _LOOPBACK.fullmatch(urlsplit(url).hostname or "") else {}

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002  # the name is requests' own
        return None


class Webhook:
    """Sends to one URL, one request at a time, on one connection for as long as it lasts. A `Sink`."""

    def __init__(self, target: Target, keys: tuple[bytes, ...]) -> None:
        self._url = target.address
        self._batch = target.batch
        self._keys = keys
        self._session = _Session(self._url)
        self._warm = False
        """The last request was answered, so its connection may still be open, or the receiver may just have closed it."""

    def limits(self) -> tuple[int, int]:
        return self._batch, MOST_BYTES

    def send(self, batch: Batch) -> None:
        body = _body(batch)
        warm, self._warm = self._warm, False
        try:
            with _within(TIMEOUT):
                try:
                    response = self._post(batch.id, body)
                except requests.ConnectionError as error:
                    if not warm or timed_out(error):
                        raise
                    response = self._post(batch.id, body)
        except Exception as error:  # anything that requests, urllib3, ssl or the system may say
            raise Failed(_reason(error)) from error
        try:
            self._finish(response)
        finally:
            response.close()
        _judge(response)

    def close(self) -> None:
        self._session.close()

    def _post(self, id: str, body: bytes) -> requests.Response:
        now = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"livekit-event-hub/{__version__}",
            "webhook-id": id,
            "webhook-timestamp": str(now),
            "webhook-signature": signing.signatures(self._keys, id, now, body),
        }
        return self._session.post(
            self._url,
            data=body,
            headers=headers,
            timeout=TIMEOUT,
            allow_redirects=False,
            stream=True,
            proxies=dict(self._session.direct),
        )

    def _finish(self, response: requests.Response) -> None:
        """Read the rest of the answer, if it is short and comes soon, so that the connection can be used again."""
        length = response.raw.length_remaining
        if (length is None and not response.raw.chunked) or (length or 0) > _ANSWER:
            return
        try:
            with _within(_ANSWER_TIME):
                response.raw.read(_ANSWER)
            self._warm = True
        except Exception:  # a new connection, then
            pass


def _body(batch: Batch) -> bytes:
    """What is posted: the events as they are in the history, each with its id."""
    return msgspec.json.encode(
        {
            "type": "events",
            "timestamp": datetime.fromtimestamp(batch.at, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "data": {
                "events": [{"id": str(item.cursor), "event": msgspec.Raw(item.data)} for item in batch.items],
                "cursor": str(batch.through),
            },
        }
    )


def _judge(response: requests.Response) -> None:
    """Raise `Failed` for everything but a 2xx."""
    status = response.status_code
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        where = _origin(response.headers.get("Location", ""))
        raise Failed(
            f"it answers {status}, a redirect{where}, which is not followed: name the final address in HUB_FORWARD"
        )
    if status == 410:
        raise Failed("it answers 410 Gone: nothing more is sent until the hub restarts", gone=True)
    try:
        phrase = f" {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = ""
    raise Failed(
        f"it answers {status}{phrase}",
        wait=retry_after(response.headers.get("Retry-After", "")),
        too_large=status == 413,
    )


def _origin(location: str) -> str:
    """Where a redirect leads, as far as it may be shown: the receiver may write there whatever it likes."""
    try:
        url = urlsplit(location)
        plain = re.fullmatch(r"https?://[a-z0-9.-]{1,253}", found := f"{url.scheme}://{url.hostname}")
        return f" to {found}" if plain else ""
    except ValueError:
        return ""


def retry_after(text: str, now: float | None = None) -> float | None:
    """Seconds that a `Retry-After` asks to wait, a number or a date, an hour at the most; None: it asks nothing."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_WISH)
    try:
        at = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None
    return min(max(0.0, at - (time.time() if now is None else now)), LONGEST_WISH)


def _within(seconds: float) -> AbstractContextManager[Any]:
    """`TimeoutError` after so many seconds, however busily the other side dribbles. In gevent's greenlets; in a thread
    (Flask's test client) there is only the limit for each single read, which `requests` keeps."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("socket"):
        import gevent

        return gevent.Timeout(seconds, TimeoutError("too late"))
    return nullcontext()


def _reason(error: BaseException) -> str:
    """Why a request failed, in a few words. Never what `requests` says: that has the URL in it."""
    if timed_out(error):
        return f"no answer within {TIMEOUT:g} s"
    if isinstance(error, requests.exceptions.ProxyError | requests.exceptions.InvalidSchema):
        return "the proxy that the environment names does not take it there (see HTTPS_PROXY, HTTP_PROXY and NO_PROXY)"
    inwards = list(reversed(causes(error)))
    if type(error) is OSError or any(isinstance(one, ssl.SSLError) and one.library == "X509" for one in inwards):
        return "the certificates that REQUESTS_CA_BUNDLE names cannot be read"
    for one in inwards:
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {one.verify_message} (see REQUESTS_CA_BUNDLE)"
        if isinstance(one, ssl.SSLError):
            return "it does not speak TLS as it should"
        if isinstance(one, socket.gaierror):
            return "the name of its host is not known"
    for one in inwards:
        if isinstance(one, OSError) and one.strerror and one.errno:
            return one.strerror[:1].lower() + one.strerror[1:]
    if isinstance(error, requests.exceptions.InvalidHeader) or any(map(_garbled, inwards)):
        return "what it answers is no HTTP"
    known = isinstance(error, requests.ConnectionError)
    return "the connection broke off" if known else f"the request cannot be made ({type(error).__name__})"


def _garbled(error: BaseException) -> bool:
    return isinstance(error, http.client.HTTPException) and not isinstance(error, http.client.RemoteDisconnected)

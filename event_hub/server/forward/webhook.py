"""A webhook receiver: one signed request per batch, according to Standard Webhooks."""

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
from ...exception_chain import causes, timed_out
from . import signing
from .checked_connections import CheckedAdapter
from .internal_addresses import Internal
from .sink import MOST_BYTES, Batch, DeliveryFailed
from .targets import Target

TIMEOUT = 15.0
"""Maximum seconds for one request."""
LONGEST_RETRY_AFTER = 3600.0
"""Maximum seconds of a `Retry-After` that are respected."""
_MOST_BODY = 64 << 10
"""Maximum bytes of a response body that are read and discarded, so that the connection can be reused."""
_BODY_TIMEOUT = 1.0
"""Maximum seconds to read them: the status, which counts, is there already."""
NO_INTERNAL = Internal()
_LOOPBACK = re.compile(r"localhost|127\.[0-9.]+|::1", re.IGNORECASE)

logging.getLogger("urllib3").setLevel(logging.CRITICAL)  # its messages contain the whole URL


class CheckedSession(requests.Session):
    """Sends only what the hub asks for: no cookies (a receiver could make each request larger than the one before), no
    password except the one in the URL (`requests` would prefer `~/.netrc`), and no proxy for this machine. It does not
    read the body of a redirect, which `requests` reads without a limit."""

    def __init__(self, url: str, internal: Internal) -> None:
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, CheckedAdapter(internal.allows))
        user, password = get_auth_from_url(url)
        own: Any = (user.encode(), password.encode()) if user or password else lambda request: request
        self.auth = own
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self.direct = {"http": "", "https": ""} if _LOOPBACK.fullmatch(urlsplit(url).hostname or "") else {}

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002  # requests defines the name
        return None


class Webhook:
    """Sends to one URL, one request at a time, and reuses the connection. A `Sink`."""

    def __init__(self, target: Target, keys: tuple[bytes, ...], internal: Internal = NO_INTERNAL) -> None:
        self._url = target.address
        self._batch = target.batch
        self._keys = keys
        self._session = CheckedSession(self._url, internal)
        self._warm = False
        """The last request succeeded, so its connection can be reused, unless the receiver has closed it meanwhile."""

    def limits(self) -> tuple[int, int]:
        return self._batch, MOST_BYTES

    def send(self, batch: Batch) -> None:
        body = _body(batch)
        warm, self._warm = self._warm, False
        try:
            with within(TIMEOUT):
                try:
                    response = self._post(batch.id, body)
                except requests.ConnectionError as error:
                    if not warm or timed_out(error):
                        raise
                    response = self._post(batch.id, body)
        except Exception as error:  # anything that requests, urllib3, ssl or the system can raise
            raise DeliveryFailed(reason_of(error)) from error
        try:
            self._discard_body(response)
        finally:
            response.close()
        _check_status(response)

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

    def _discard_body(self, response: requests.Response) -> None:
        """Read the body if it is short and arrives soon, so that the connection can be reused."""
        length = response.raw.length_remaining
        if (length is None and not response.raw.chunked) or (length or 0) > _MOST_BODY:
            return
        try:
            with within(_BODY_TIMEOUT):
                response.raw.read(_MOST_BODY)
            self._warm = True
        except Exception:  # the next request makes a new connection
            pass


def _body(batch: Batch) -> bytes:
    """The request body: the events byte for byte, each with its id."""
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


def _check_status(response: requests.Response) -> None:
    """Raise `DeliveryFailed` unless the status is 2xx."""
    status = response.status_code
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        where = _origin(response.headers.get("Location", ""))
        raise DeliveryFailed(
            f"it answers {status}, a redirect{where}, which is not followed: put the final URL into HUB_FORWARD"
        )
    if status == 410:
        raise DeliveryFailed("it answers 410 Gone: nothing is sent until the hub restarts", gone=True)
    try:
        phrase = f" {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = ""
    raise DeliveryFailed(
        f"it answers {status}{phrase}",
        wait=retry_after(response.headers.get("Retry-After", "")),
        too_large=status == 413,
    )


def _origin(location: str) -> str:
    """` to <origin>` for a redirect, if it is harmless to print: the receiver controls the text."""
    try:
        url = urlsplit(location)
        origin = f"{url.scheme}://{url.hostname}"
        return f" to {origin}" if re.fullmatch(r"https?://[a-z0-9.-]{1,253}", origin) else ""
    except ValueError:
        return ""


def retry_after(text: str, now: float | None = None) -> float | None:
    """Seconds to wait according to a `Retry-After`, a number or a date; at most an hour. None if it is invalid or empty."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None
    return min(max(0.0, at - (time.time() if now is None else now)), LONGEST_RETRY_AFTER)


def within(seconds: float) -> AbstractContextManager[Any]:
    """Raises `TimeoutError` after `seconds`, even if data keeps arriving. Works only under gevent; otherwise (Flask's test
    client) only the timeout that `requests` applies to each read counts."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("socket"):
        import gevent

        return gevent.Timeout(seconds, TimeoutError("too late"))
    return nullcontext()


def reason_of(error: BaseException) -> str:
    """Why a request failed, in a few words; never the text of `requests`, which contains the URL."""
    if timed_out(error):
        return f"no answer within {TIMEOUT:g} s"
    if isinstance(error, requests.exceptions.ProxyError | requests.exceptions.InvalidSchema):
        return "the proxy from the environment does not connect to it (see HTTPS_PROXY, HTTP_PROXY and NO_PROXY)"
    chain = list(reversed(causes(error)))
    if type(error) is OSError or any(isinstance(cause, ssl.SSLError) and cause.library == "X509" for cause in chain):
        return "the certificates in REQUESTS_CA_BUNDLE cannot be read"
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message} (see REQUESTS_CA_BUNDLE)"
        if isinstance(cause, ssl.SSLError):
            return "the TLS connection failed"
        if isinstance(cause, socket.gaierror):
            return "its host name cannot be resolved"
    for cause in chain:
        if isinstance(cause, OSError) and cause.strerror and cause.errno:
            return cause.strerror[:1].lower() + cause.strerror[1:]
    if isinstance(error, requests.exceptions.InvalidHeader) or any(map(_not_http, chain)):
        return "its response is not valid HTTP"
    if isinstance(error, requests.ConnectionError):
        return "the connection was lost"
    return f"the request cannot be made ({type(error).__name__})"


def _not_http(error: BaseException) -> bool:
    return isinstance(error, http.client.HTTPException) and not isinstance(error, http.client.RemoteDisconnected)

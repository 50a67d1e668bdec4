"""HTTP requests to one hub, with its errors as `HubError`."""

from __future__ import annotations

import http.client
import ipaddress
import logging
import os
import socket
import ssl
import time
import zlib
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import requests
from urllib3.exceptions import ProtocolError

from ..exception_chain import causes, timed_out
from .credentials import Credential
from .errors import AccessDenied, HubError, NotAHub, Refused, Unreachable, is_access_problem
from .plain_http import PlainHTTPClient, is_plain_http
from .results import Posted

_T = TypeVar("_T")
_MAX_PROBLEM = 1 << 20
"""Maximum bytes read of an error response."""
Pairs = list[tuple[str, str]]

logger = logging.getLogger("event_hub.client")


class Connection:
    """A session with one hub that keeps its connections open. For one thread at a time.

    `timeout`: seconds to wait for a connection, and for the next byte of a response.
    """

    def __init__(self, url: str, credential: Credential, timeout: float) -> None:
        self.url = url
        self.credential = credential
        self._sent: str | None = None
        """What the last request sent of it."""
        self.timeout = timeout
        self._session = requests.Session()
        # Otherwise `requests` would send credentials from ~/.netrc. Ours is a header of each request.
        self._session.auth = lambda request: request
        self._session.headers.update({"Accept": "application/json", "User-Agent": "livekit-event-hub-client"})
        # A proxy cannot reach this machine's loopback interface, so HTTP_PROXY is ignored for it.
        self._session.trust_env = not _is_loopback(url)
        self._session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True  # otherwise read only with `trust_env`
        self._plain = PlainHTTPClient(url, timeout) if is_plain_http(url, self._session.trust_env) else None
        self._post_headers = {name: str(value) for name, value in self._session.headers.items()}
        self._post_headers["Content-Type"] = "application/x-ndjson"
        self._post_headers["Accept-Encoding"] = "identity"
        self._encrypted = urlsplit(url).scheme == "https" or _is_loopback(url)

    def get(
        self,
        path: str,
        shape: type[_T],
        query: Pairs | None = None,
        *,
        also: tuple[int, ...] = (),
        publishing: bool = False,
    ) -> _T:
        """GET JSON and decode it as `shape`. `also`: statuses besides 200 that carry it. `publishing`: a credential for
        publishing alone will do. Raises `HubError`."""

        def get(headers: dict[str, str]) -> requests.Response:
            return self._request("GET", path, params=query, headers=headers)

        with self._with_credential(get, publishing) as response:
            return self._decode(response, shape, (200, *also), publishing)

    def post(self, lines: bytes) -> Posted:
        """POST events as NDJSON. Raises `HubError`."""
        with self._with_credential(lambda headers: self._post("/api/agent/data", lines, headers), True) as response:
            return self._decode(response, Posted, (200,), True)

    def post_json(self, path: str, body: Any, shape: type[_T]) -> _T:
        """POST `body` as JSON and decode the response as `shape`. Raises `HubError`."""
        data = msgspec.json.encode(body)

        def post(headers: dict[str, str]) -> requests.Response:
            return self._request("POST", path, data=data, headers={"Content-Type": "application/json", **headers})

        with self._with_credential(post, False) as response:
            return self._decode(response, shape, (200,))

    def stream(self, query: Pairs, last_event_id: str, silence: float) -> requests.Response:
        """Open a stream without reading its body. `silence`: seconds without a byte after which a read fails."""
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-cache"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        timeout = (self.timeout, silence)

        def get(credential: dict[str, str]) -> requests.Response:
            return self._request("GET", "/api/stream", params=query, headers={**headers, **credential}, timeout=timeout)

        response = self._with_credential(get, False)
        try:
            if response.status_code != 200 or _content_type(response) != "text/event-stream":
                raise self._refusal(response)
        except BaseException:
            response.close()
            raise
        return response

    def close(self) -> None:
        """Close all connections. The next request reconnects."""
        self._session.close()
        if self._plain:
            self._plain.close()

    def not_a_hub(self, response: requests.Response, reason: str = "") -> NotAHub:
        """The error for a response that does not come from a hub."""
        return NotAHub(self.url, response.status_code, _content_type(response), reason, _retry_after(response))

    def unreachable(self, error: BaseException) -> Unreachable:
        """The error for a failed connection."""
        return Unreachable(self.url, *_reason(error))

    def _with_credential(
        self, send: Callable[[dict[str, str]], requests.Response], publishing: bool
    ) -> requests.Response:
        """`send` a request with the credential's header; once more if the hub does not accept it and there is a newer."""
        credential = self._credential(publishing)
        bearer = credential.bearer()
        response = send(self._headers(bearer))
        if response.status_code == 401:
            try:
                newer = credential.renewed(bearer)
            except BaseException:
                response.close()
                raise
            if newer is not None:
                response.close()
                response = send(self._headers(newer))
        return response

    def _credential(self, publishing: bool) -> Credential:
        return self.credential if publishing or not self.credential.publishing_only else Credential()

    def _headers(self, bearer: str | None) -> dict[str, str]:
        self._sent = bearer
        if bearer is None:
            return {}
        if not self._encrypted:
            _warn_unencrypted(self.url)
        return {"Authorization": f"Bearer {bearer}"}

    def _post(self, path: str, body: bytes, headers: dict[str, str]) -> requests.Response:
        if self._plain is None:
            return self._request("POST", path, data=body, headers={"Content-Type": "application/x-ndjson", **headers})
        try:
            return self._plain.post(path, body, {**self._post_headers, **headers})
        except (OSError, http.client.HTTPException, zlib.error, ValueError) as error:
            raise self.unreachable(error) from error

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        options = {"timeout": self.timeout, "stream": True, "allow_redirects": False, **options}
        for attempt in (1, 2):
            try:
                return self._session.request(method, f"{self.url}{path}", **options)
            except OSError as error:  # including all of `requests`' own
                # The server may close a persistent connection just as it is used again. Sending a request twice is
                # safe: events have ids.
                stale = isinstance(error, requests.ConnectionError) and isinstance(
                    error.args[:1] and error.args[0], ProtocolError
                )
                if attempt == 2 or not stale:
                    raise self.unreachable(error) from error
        raise AssertionError

    def _decode(
        self, response: requests.Response, shape: type[_T], statuses: tuple[int, ...], publishing: bool = False
    ) -> _T:
        if response.status_code not in statuses or _content_type(response) != "application/json":
            raise self._refusal(response, publishing)
        try:
            body = response.content
        except (requests.RequestException, OSError) as error:
            raise self.unreachable(error) from error
        try:
            return msgspec.json.decode(body, type=shape)
        except (ValueError, RecursionError):
            raise self.not_a_hub(response, "it sent JSON, but not a hub's") from None

    def has_newer_credential(self) -> bool:
        """Whether there is a newer credential to read with than that of the last request. Raises
        `CredentialUnavailable`."""
        return self._credential(False).renewed(self._sent) is not None

    def denied(self, status: int, problem: dict[str, Any], publishing: bool, wait: float | None = None) -> AccessDenied:
        """The error for a credential that is missing, or that the hub does not accept."""
        sent = self._credential(publishing)
        return AccessDenied(status, problem, wait, source=sent.source, livekit=sent.livekit)

    def _refusal(self, response: requests.Response, publishing: bool = False) -> HubError:
        """The error for an unsuccessful response. Reads no more than `_MAX_PROBLEM` bytes of it."""
        status, wait = response.status_code, _retry_after(response)
        if _content_type(response) == "application/problem+json":
            try:
                body = response.raw.read(_MAX_PROBLEM, decode_content=True)
                problem = msgspec.json.decode(body, type=dict[str, Any])
            except (ValueError, RecursionError):
                return self.not_a_hub(response)
            except Exception as error:  # urllib3's exceptions, which `requests` does not wrap here
                return self.unreachable(error)
            if is_access_problem(status, problem):
                return self.denied(status, problem, publishing, wait)
            return Refused(status, problem, wait)
        if 300 <= status < 400:
            try:
                target = urlsplit(response.headers.get("Location", ""))
            except ValueError:
                return self.not_a_hub(response)
            return self.not_a_hub(response, f"status {status}, redirects to {target.scheme}://{target.hostname}")
        return self.not_a_hub(response)


_warned: set[str] = set()
"""Addresses that `_warn_unencrypted` has warned of."""


def _warn_unencrypted(url: str) -> None:
    """Warn, once per hub and process, that a credential travels in the clear."""
    if url not in _warned:
        _warned.add(url)
        logger.warning("The credential for the hub at %s is sent without encryption: use https:// there.", url)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _content_type(response: requests.Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _retry_after(response: requests.Response) -> float | None:
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time()) if text else None
    except (ValueError, OverflowError):
        return None


def _reason(error: BaseException) -> tuple[str, str]:
    """Why a connection failed, in a few words, and what to do about it if that is known."""
    if isinstance(error, requests.ConnectTimeout):
        return "connecting timed out", ""
    if timed_out(error):
        return "no response in time", ""
    found = causes(error)
    for cause in found:
        if isinstance(cause, ssl.SSLError):
            return _tls_reason(cause)
    if type(error) is OSError:  # what some versions of `requests` raise for a missing file
        return "the file in REQUESTS_CA_BUNDLE cannot be read", "correct REQUESTS_CA_BUNDLE"
    for cause in reversed(found):
        if isinstance(cause, socket.gaierror):
            return "unknown host name", ""
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror[:1].lower() + cause.strerror[1:], ""
    return "the connection broke", ""


def _tls_reason(error: ssl.SSLError) -> tuple[str, str]:
    bundle = os.environ.get("REQUESTS_CA_BUNDLE")
    if error.library == "X509" or (bundle and not os.path.exists(bundle)):
        return "the file in REQUESTS_CA_BUNDLE cannot be read", "correct REQUESTS_CA_BUNDLE"
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"its TLS certificate is not valid: {error.verify_message.rstrip('.')}"
        if "ostname" in error.verify_message or "IP address" in error.verify_message:
            return reason, "use a host name that the certificate is for"
        return reason, "to trust another certificate authority, set REQUESTS_CA_BUNDLE to its PEM file"
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return "the server does not use TLS", "try http:// instead of https://"
    return "the TLS handshake failed", "check that the server uses TLS, or try http://"

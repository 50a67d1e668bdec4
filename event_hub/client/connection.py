"""HTTP to one hub: requests out, answers or our errors back."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import time
import zlib
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import requests
from requests.auth import AuthBase
from urllib3.exceptions import ProtocolError

from ..causes import causes, timed_out
from .errors import HubError, NotAHub, Refused, Unreachable
from .light_http import LightHTTP, light
from .records import Posted

_T = TypeVar("_T")
_PROBLEM_BYTES = 1 << 20
Pairs = list[tuple[str, str]]


class Connection:
    """A session with one hub that keeps its connections open. For one thread at a time.

    `timeout`: seconds to wait for a connection, and for the next byte of an answer.
    """

    def __init__(self, url: str, key: str | None, timeout: float) -> None:
        self.url = url
        self.timeout = timeout
        self._session = requests.Session()
        # Also without a key: else `requests` would send what ~/.netrc has for the host.
        self._session.auth = _Bearer(key)
        self._session.headers.update({"Accept": "application/json", "User-Agent": "livekit-event-hub-client"})
        # HTTP_PROXY is for the world outside; a proxy's own localhost is another one.
        self._session.trust_env = not _loopback(url)
        self._light = LightHTTP(url, timeout) if light(url, self._session.trust_env) else None
        self._post_headers = {name: str(value) for name, value in self._session.headers.items()}
        self._post_headers["Content-Type"] = "application/x-ndjson"
        self._post_headers["Accept-Encoding"] = "identity"
        if key:
            self._post_headers["Authorization"] = f"Bearer {key}"

    def get(self, path: str, shape: type[_T], query: Pairs | None = None, *, also: tuple[int, ...] = ()) -> _T:
        """GET JSON of this shape. `also`: statuses beside 200 that come with it. Raises `HubError`."""
        with self._request("GET", path, params=query) as response:
            return self._decode(response, shape, (200, *also))

    def post(self, lines: bytes) -> Posted:
        """POST events as NDJSON. Raises `HubError`."""
        with self._post("/api/agent/data", lines) as response:
            return self._decode(response, Posted, (200,))

    def stream(self, query: Pairs, last_event_id: str, silence: float) -> requests.Response:
        """Open a stream; the response's body is not read yet. `silence`: seconds without a byte before a read fails."""
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-cache"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        timeout = (self.timeout, silence)
        response = self._request("GET", "/api/stream", params=query, headers=headers, timeout=timeout)
        try:
            if response.status_code != 200 or _content_type(response) != "text/event-stream":
                raise self._refusal(response)
        except BaseException:
            response.close()
            raise
        return response

    def close(self) -> None:
        """Close what is open. The connection can be used again: it opens what it needs."""
        self._session.close()
        if self._light:
            self._light.close()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _post(self, path: str, body: bytes) -> requests.Response:
        if self._light is None:
            return self._request("POST", path, data=body, headers={"Content-Type": "application/x-ndjson"})
        try:
            return self._light.post(path, body, self._post_headers)
        except (OSError, http.client.HTTPException, zlib.error, ValueError) as error:
            raise self.unreachable(error) from error

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        options = {"timeout": self.timeout, "stream": True, "allow_redirects": False, **options}
        for attempt in (1, 2):
            try:
                return self._session.request(method, f"{self.url}{path}", **options)
            except requests.RequestException as error:
                # A kept connection may end in the very moment in which it is used again. Every request of ours may be
                # sent twice: events have ids.
                stale = isinstance(error, requests.ConnectionError) and isinstance(
                    error.args[:1] and error.args[0], ProtocolError
                )
                if attempt == 2 or not stale:
                    raise self.unreachable(error) from error
        raise AssertionError

    def _decode(self, response: requests.Response, shape: type[_T], statuses: tuple[int, ...]) -> _T:
        if response.status_code not in statuses or _content_type(response) != "application/json":
            raise self._refusal(response)
        try:
            body = response.content
        except (requests.RequestException, OSError) as error:
            raise self.unreachable(error) from error
        try:
            return msgspec.json.decode(body, type=shape)
        except (ValueError, RecursionError):
            raise self.not_a_hub(response, "JSON, but not a hub's") from None

    def _refusal(self, response: requests.Response) -> HubError:
        """The error that an answer stands for. Reads no more of it than a problem can have."""
        status, wait = response.status_code, _retry_after(response)
        if _content_type(response) == "application/problem+json":
            try:
                body = response.raw.read(_PROBLEM_BYTES, decode_content=True)
                problem = msgspec.json.decode(body, type=dict[str, Any])
            except (ValueError, RecursionError):
                return self.not_a_hub(response)
            except Exception as error:  # urllib3's own, which `requests` leaves as they are here
                return self.unreachable(error)
            return Refused(status, problem, wait)
        if 300 <= status < 400:
            try:
                there = urlsplit(response.headers.get("Location", ""))
            except ValueError:
                return self.not_a_hub(response)
            return self.not_a_hub(response, f"status {status}, it sends us on to {there.scheme}://{there.hostname}")
        return self.not_a_hub(response)

    def not_a_hub(self, response: requests.Response, reason: str = "") -> NotAHub:
        """The error for an answer that no hub gives."""
        return NotAHub(self.url, response.status_code, _content_type(response), reason, _retry_after(response))

    def unreachable(self, error: BaseException) -> Unreachable:
        """The error for a connection that fails."""
        return Unreachable(self.url, _reason(error))


class _Bearer(AuthBase):
    def __init__(self, key: str | None) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


def _loopback(url: str) -> bool:
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


def _reason(error: BaseException) -> str:
    """Why a connection failed, in a few words: the innermost cause that the system names."""
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    if timed_out(error):
        return "no answer in time"
    for one in reversed(causes(error)):
        if isinstance(one, socket.gaierror):
            return "the name of the host is not known"
        if isinstance(one, OSError) and one.strerror:
            return one.strerror[:1].lower() + one.strerror[1:]
    return "the connection broke off"

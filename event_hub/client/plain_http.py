"""POSTs through the standard library's HTTP client, in a quarter of the time that `requests` takes.

The publisher's thread shares the interpreter with a voice loop, which waits while the thread works. Only for plain HTTP
without a proxy; TLS and proxies are left to `requests`.
"""

from __future__ import annotations

import http.client
import io
import socket
import zlib
from urllib.parse import urlsplit

import requests
from requests.utils import get_environ_proxies, select_proxy

_MAX_BODY = 1 << 20
"""Maximum bytes read of a response; a hub's responses are small."""


def is_plain_http(url: str, trust_env: bool) -> bool:
    """Whether requests to `url` need neither TLS nor a proxy."""
    return urlsplit(url).scheme == "http" and not (trust_env and select_proxy(url, get_environ_proxies(url)))


class PlainHTTPClient:
    """One persistent connection to the host of `url`, for one thread at a time. `timeout`: seconds."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self._path = parts.path.rstrip("/")
        self._connection = _NoDelayConnection(
            parts.hostname or "", 80 if parts.port is None else parts.port, timeout=timeout
        )

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> requests.Response:
        """POST and read the response.

        Raises OSError and `http.client.HTTPException`; the next POST then reconnects. If the server closed a persistent
        connection in the meantime, the POST is sent again at once on a new one; the hub recognizes duplicates.
        """
        reused = self._connection.sock is not None
        try:
            return self._post(path, body, headers)
        except (ConnectionError, http.client.BadStatusLine):
            self.close()
            if not reused:
                raise
        except BaseException:
            self.close()
            raise
        try:
            return self._post(path, body, headers)
        except BaseException:
            self.close()
            raise

    def _post(self, path: str, body: bytes, headers: dict[str, str]) -> requests.Response:
        self._connection.request("POST", f"{self._path}{path}", body, headers)
        answer = self._connection.getresponse()
        if answer.status < 200:
            raise http.client.BadStatusLine(f"{answer.status}, an informational response")
        content = answer.read(_MAX_BODY)
        if not answer.isclosed():
            if answer.length or answer.chunked:
                self.close()
                if len(content) < _MAX_BODY:
                    raise http.client.IncompleteRead(content, answer.length)
            else:  # the body ends with the connection
                while len(content) < _MAX_BODY and (more := answer.read(_MAX_BODY - len(content))):
                    content += more
                self.close()
        if answer.headers.get("Content-Encoding") in ("gzip", "deflate"):  # a proxy compressed it unasked
            content = zlib.decompressobj(47).decompress(content, _MAX_BODY)
        response = requests.Response()
        response.status_code = answer.status
        response.headers.update(answer.headers.items())
        response._content = content
        response.raw = _RawBody(content)
        return response

    def close(self) -> None:
        self._connection.close()


class _NoDelayConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _RawBody(io.BytesIO):
    """The part of `requests.Response.raw` that this package uses."""

    def read(self, size: int | None = -1, decode_content: bool = False) -> bytes:  # noqa: ARG002
        return super().read(size)

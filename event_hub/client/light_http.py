"""POSTs by the standard library's own HTTP client: what `requests` takes four times as long for.

A publisher's thread shares the interpreter with a voice loop, which waits while it works. For plain HTTP without a proxy;
all else (TLS and its settings, proxies) is left to `requests`.
"""

from __future__ import annotations

import http.client
import io
import socket
import zlib
from urllib.parse import urlsplit

import requests
from requests.utils import get_environ_proxies, select_proxy

_MOST = 1 << 20
"""Bytes of an answer that are read: a hub's are small."""


def light(url: str, trust_env: bool) -> bool:
    """Whether requests to `url` need nothing but HTTP."""
    return urlsplit(url).scheme == "http" and not (trust_env and select_proxy(url, get_environ_proxies(url)))


class LightHTTP:
    """One kept connection to the host of `url`. For one thread at a time. `timeout`: seconds."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self._path = parts.path.rstrip("/")
        self._connection = _Connection(parts.hostname or "", 80 if parts.port is None else parts.port, timeout=timeout)

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> requests.Response:
        """POST and read the answer. Raises OSError and `http.client.HTTPException`, after which the next POST connects
        anew. A kept connection that has ended meanwhile is replaced at once: our POSTs may be sent twice."""
        kept = self._connection.sock is not None
        try:
            return self._post(path, body, headers)
        except (ConnectionError, http.client.BadStatusLine):
            self.close()
            if not kept:
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
            raise http.client.BadStatusLine(f"{answer.status}, which is no answer yet")
        content = answer.read(_MOST)
        if not answer.isclosed():
            if answer.length or answer.chunked:
                self.close()
                if len(content) < _MOST:
                    raise http.client.IncompleteRead(content, answer.length)
            else:  # it ends where the connection does
                while len(content) < _MOST and (more := answer.read(_MOST - len(content))):
                    content += more
                self.close()
        if answer.headers.get("Content-Encoding") in ("gzip", "deflate"):  # a proxy's, unasked
            content = zlib.decompressobj(47).decompress(content, _MOST)
        response = requests.Response()
        response.status_code = answer.status
        response.headers.update(answer.headers.items())
        response._content = content
        response.raw = _Raw(content)
        return response

    def close(self) -> None:
        self._connection.close()


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Raw(io.BytesIO):
    """What `requests` has as `raw`, as far as we use it."""

    def read(self, size: int | None = -1, decode_content: bool = False) -> bytes:  # noqa: ARG002
        return super().read(size)

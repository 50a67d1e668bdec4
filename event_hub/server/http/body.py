"""The body of a POST: read within limits and decoded, into events or the value that a route needs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from ..cooperate import TimeSlice
from ..errors import RequestError

NDJSON = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
RECEIVED = "hub.body_received"
"""True in the environ of a request whose whole body has been received: reading it takes no time."""
_PIECE = 64 << 10
_UPLOAD_SLICE = 0.001
"""Seconds of an upload before others run."""
_MOST_RECEIVED = 16 * _PIECE
"""Maximum bytes on the wire for one piece of a chunked body. A chunk of one byte takes six on the wire, but gunicorn parses
an endless chunk header from its beginning again with each packet."""
_decode = msgspec.json.Decoder().decode


def read(environ: dict[str, Any], limit: int, timeout: float) -> bytes:
    """The whole body, at most `limit` bytes, within `timeout` seconds (under gevent only); raises `RequestError`."""
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() not in ("", "identity"):
        raise RequestError("unsupported_encoding", f"Content-Encoding is {environ['HTTP_CONTENT_ENCODING']}")
    length = declared_length(environ, limit)
    if length is None and not environ.get("wsgi.input_terminated"):
        return b""
    if length is not None and environ.get(RECEIVED):
        whole: bytes = environ["wsgi.input"].read(length)
        return whole
    with _deadline(timeout):
        try:
            body = _whole(environ, length, limit)
        except RequestError:
            raise
        except Exception as error:  # each server raises different errors
            raise RequestError("bad_body", f"the body is incomplete or is not valid HTTP: {error!r}") from None
    if length is not None and len(body) < length:
        raise RequestError("bad_body", f"the body ended after {len(body)} of {length} bytes")
    if len(body) > limit:
        raise RequestError("body_too_large", f"the body has more than {limit} bytes", limit=limit)
    return body


def _whole(environ: dict[str, Any], length: int | None, limit: int) -> bytes:
    """`length` bytes; without a length, a whole chunked body, but at most `limit` + 1 bytes."""
    source, connection = environ["wsgi.input"], environ.get("gunicorn.socket")
    metered = connection if isinstance(connection, Metered) else None
    body: bytes
    try:
        if length is not None:
            if metered:
                metered.meter(length + _PIECE)  # the next request may arrive with the end of this body
            body = source.read(length)
            return body
        pieces, left = [], limit + 1
        while left:
            if metered:
                metered.meter(_MOST_RECEIVED)
            piece = source.read(min(_PIECE, left))
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)
    finally:
        if metered:
            metered.meter(None)


class Metered:
    """A connection that counts what it receives (`worker.MeteredConnection`)."""

    def meter(self, limit: int | None) -> None:
        """From now on yield to other greenlets after each piece, and refuse more than `limit` bytes; None ends this."""
        raise NotImplementedError


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise `body_timeout` after `seconds`, under gevent; other servers have their own limits."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("socket"):
        yield
        return
    gevent: Any = sys.modules["gevent"]
    timer = gevent.Timeout.start_new(seconds)
    try:
        yield
    except gevent.Timeout as expired:
        if expired is not timer:
            raise
        raise RequestError("body_timeout", f"the body did not arrive within {seconds:g} s") from None
    finally:
        timer.close()


def declared_length(environ: dict[str, Any], limit: int) -> int | None:
    """The length that a request declares for its body, None if it declares none; raises `RequestError`."""
    declared = environ.get("CONTENT_LENGTH")
    if not declared:
        return None
    if not (declared.isascii() and declared.isdigit()):
        raise RequestError("bad_body", "Content-Length is not a number")
    length = int(declared)
    if length > limit:
        raise RequestError("body_too_large", f"the body has {length} bytes, the limit is {limit}", limit=limit)
    return length


def pieces(environ: dict[str, Any], limit: int, timeout: float) -> Iterator[bytes]:
    """The body piece by piece, at most `limit` bytes; raises `RequestError`. `timeout`: seconds to wait for each piece."""
    length = declared_length(environ, limit)
    if length is None and not environ.get("wsgi.input_terminated"):
        return
    source, connection = environ["wsgi.input"], environ.get("gunicorn.socket")
    received = 0
    time_slice = TimeSlice(_UPLOAD_SLICE)
    try:
        while length is None or received < length:
            if isinstance(connection, Metered):
                connection.meter(_MOST_RECEIVED)
            size = _PIECE if length is None else min(_PIECE, length - received)
            with _deadline(timeout):
                try:
                    piece = source.read(size)
                except RequestError:
                    raise
                except Exception as error:
                    raise RequestError("bad_body", f"the body is incomplete or is not valid HTTP: {error!r}") from None
            if not piece:
                break
            received += len(piece)
            if received > limit:
                raise RequestError("body_too_large", f"the body has more than {limit} bytes", limit=limit)
            yield piece
            time_slice.pause_if_due()  # while data keeps coming, nothing else makes the loop look at its sockets
    finally:
        if isinstance(connection, Metered):
            connection.meter(None)
    if length is not None and received < length:
        raise RequestError("bad_body", f"the body ended after {received} of {length} bytes")


def decode(body: bytes, content_type: str, most: int) -> tuple[list[Any], bool]:
    """The events in `body`, and whether they are a batch; raises `RequestError`. Decodes at most `most` + 1 lines."""
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    if parameters and "charset" in parameters.lower():
        charset = parameters.lower().partition("charset=")[2].strip(' "').split(";")[0].strip(' "')
        if charset not in ("utf-8", "utf8", "us-ascii"):
            raise RequestError(
                "unsupported_media_type", f"events must be in UTF-8, not in {charset or 'another charset'}"
            )
    if kind in NDJSON:
        return _lines(body, most), True
    _require_json(kind)
    value = _json(body, "the body")
    return (value, True) if type(value) is list else ([value], False)


def _require_json(kind: str) -> None:
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise RequestError("unsupported_media_type", f"the content type is {kind or 'missing'}")


def read_json(environ: dict[str, Any], limit: int, timeout: float) -> Any:
    """The JSON value in the body of a request, None if there is no body; raises `RequestError`."""
    raw = read(environ, limit, timeout)
    if not raw.strip():
        return None
    _require_json(environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower())
    return _json(raw, "the body")


def _lines(body: bytes, most: int) -> list[Any]:
    events: list[Any] = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if line and not line.isspace():
            if len(events) > most:
                break
            try:
                events.append(_decode(line))
            except (ValueError, RecursionError):
                _json(line, f"line {number}", index=len(events), line=number)
                raise
    return events


def _json(text: bytes, what: str, **more: Any) -> Any:
    try:
        return _decode(text)
    except RecursionError:
        raise RequestError("bad_json", f"{what} is nested too deeply", **more) from None
    except ValueError as error:  # msgspec's errors and UnicodeDecodeError
        raise RequestError("bad_json", f"{what} is {_why(text, error)}", **more) from None


def _why(text: bytes, error: ValueError) -> str:
    if not text.strip():
        return "empty"
    if text.startswith(b"\x1f\x8b"):
        return "compressed with gzip; send it uncompressed"
    if text.startswith(b"\xef\xbb\xbf"):
        return "not JSON: it starts with a byte order mark"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    reason = str(error).replace(" - at `$[...]`", "").removeprefix("JSON is malformed: ")
    if "truncated" in reason:
        # msgspec reports the same for half a surrogate pair
        return "not JSON: it is cut off, or contains half a surrogate pair"
    return f"not JSON: {reason[:1].lower()}{reason[1:]}"

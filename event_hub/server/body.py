"""The body of a POST: read it within limits, and decode it into events, or whatever a route takes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from .errors import HubError

NDJSON = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
_PIECE = 64 << 10
_WRAPPING = 16 * _PIECE
"""Of a chunked body, a piece is read at a time, and may not come wrapped in more than this: chunks of a byte are six bytes
each on the wire, but gunicorn looks through all of an endless chunk header again with each packet."""
_decode = msgspec.json.Decoder().decode


def read(environ: dict[str, Any], limit: int, timeout: float) -> bytes:
    """The whole body, at most `limit` bytes; raises `HubError`. Within `timeout` seconds, where gevent serves."""
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() not in ("", "identity"):
        raise HubError("unsupported_encoding", f"Content-Encoding is {environ['HTTP_CONTENT_ENCODING']}")
    declared = environ.get("CONTENT_LENGTH")
    length: int | None = None
    if declared:
        if not (declared.isascii() and declared.isdigit()):
            raise HubError("bad_body", "Content-Length is not a number")
        length = int(declared)
        if length > limit:
            raise HubError("body_too_large", f"the body has {length} bytes, the limit is {limit}", limit=limit)
    elif not environ.get("wsgi.input_terminated"):
        return b""
    with _deadline(timeout):
        try:
            body = _whole(environ, length, limit)
        except HubError:
            raise
        except Exception as error:  # each server has errors of its own for this
            raise HubError("bad_body", f"the body broke off or is not framed as HTTP: {error!r}") from None
    if length is not None and len(body) < length:
        raise HubError("bad_body", f"the body broke off after {len(body)} of {length} bytes")
    if len(body) > limit:
        raise HubError("body_too_large", f"the body has more than {limit} bytes", limit=limit)
    return body


def _whole(environ: dict[str, Any], length: int | None, limit: int) -> bytes:
    """`length` bytes, or, of a chunked body, all there are but no more than one over the limit."""
    source, connection = environ["wsgi.input"], environ.get("gunicorn.socket")
    metered = connection if isinstance(connection, Metered) else None
    body: bytes
    try:
        if length is not None:
            if metered:
                metered.meter(length + _PIECE)  # the next request may come along with the end of this body
            body = source.read(length)
            return body
        pieces, left = [], limit + 1
        while left:
            if metered:
                metered.meter(_WRAPPING)
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
    """A connection that counts what it receives (`worker.Connection`)."""

    def meter(self, limit: int | None) -> None:
        """From now on let others go first with each piece, and refuse more than `limit` bytes; None: no longer."""
        raise NotImplementedError


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise `body_timeout` after `seconds`, under gevent; another server has limits of its own."""
    gevent = sys.modules.get("gevent")
    if gevent is None or not sys.modules["gevent.monkey"].is_module_patched("socket"):
        yield
        return
    timer = gevent.Timeout.start_new(seconds)
    try:
        yield
    except gevent.Timeout as expired:
        if expired is not timer:
            raise
        raise HubError("body_timeout", f"the body did not arrive within {seconds:g} s") from None
    finally:
        timer.close()


def decode(body: bytes, content_type: str, most: int) -> tuple[list[Any], bool]:
    """The events in `body`, and whether they came as a batch; raises `HubError`. Of more than `most` lines, the first."""
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    if parameters and "charset" in parameters.lower():
        charset = parameters.lower().partition("charset=")[2].strip(' "').split(";")[0].strip(' "')
        if charset not in ("utf-8", "utf8", "us-ascii"):
            raise HubError("unsupported_media_type", f"events are in UTF-8, not in {charset or 'that'}")
    if kind in NDJSON:
        return _lines(body, most), True
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise HubError("unsupported_media_type", f"the content type is {kind or 'missing'}")
    value = _json(body, "the body")
    return (value, True) if type(value) is list else ([value], False)


def one(environ: dict[str, Any], limit: int, timeout: float) -> Any:
    """The one JSON value in the body of a request, None where there is no body; raises `HubError`."""
    raw = read(environ, limit, timeout)
    if not raw.strip():
        return None
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise HubError("unsupported_media_type", f"the content type is {kind or 'missing'}")
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
        raise HubError("bad_json", f"{what} is nested too deeply", **more) from None
    except ValueError as error:  # msgspec's errors and UnicodeDecodeError
        raise HubError("bad_json", f"{what} is {_why(text, error)}", **more) from None


def _why(text: bytes, error: ValueError) -> str:
    if not text.strip():
        return "empty"
    if text.startswith(b"\x1f\x8b"):
        return "compressed with gzip; send it as it is"
    if text.startswith(b"\xef\xbb\xbf"):
        return "not JSON: it begins with a byte order mark"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    reason = str(error).replace(" - at `$[...]`", "").removeprefix("JSON is malformed: ")
    if "truncated" in reason:
        # msgspec says the same of a lone surrogate's missing half
        return "not JSON: it breaks off, or holds half a surrogate pair"
    return f"not JSON: {reason[:1].lower()}{reason[1:]}"

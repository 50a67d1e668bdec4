"""Encoding and decoding of event streams and their ids. Pure: bytes in, bytes or values out.

The format is Server-Sent Events as defined by the WHATWG HTML standard (section 9.2, "Server-sent events"). The hub's
frames are `id: <cursor>` and a single `data:` line of JSON, without an `event:` field, so that
`EventSource.onmessage` receives every event.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

_CURSOR = re.compile(r"([0-9a-z]{1,16})-(\d{1,18})", re.ASCII)


class Cursor(NamedTuple):
    """A place in the history: after `offset` events of `epoch`. Written as `<epoch>-<offset>`."""

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """Parse `<epoch>-<offset>`; None if `text` is not a cursor."""
        found = _CURSOR.fullmatch(text)
        return cls(found[1], int(found[2])) if found else None


def frame(epoch: str, offset: int, data: bytes) -> bytes:
    """Encode one event as a frame. `data`: JSON in UTF-8 without line breaks."""
    return b"id: %s-%d\ndata: %s\n\n" % (epoch.encode("ascii"), offset, data)


def frames(epoch: str, events: Iterable[tuple[int, bytes]]) -> list[bytes]:
    """`frame` for many events of one epoch: their offsets and data."""
    head = b"id: %b-" % epoch.encode("ascii")
    return [b"%b%d\ndata: %b\n\n" % (head, offset, data) for offset, data in events]


_SEPARATORS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))
"""LINE SEPARATOR, PARAGRAPH SEPARATOR and NEXT LINE in UTF-8, and their JSON escapes."""


def one_line(data: bytes) -> bytes:
    """Escape Unicode's line separators in JSON; its value does not change.

    They are valid within a line of SSE or NDJSON, but common line readers (`str.splitlines`, `requests` and `httpx`
    decoding lines, Node's `readline`) split lines there and tear events apart.
    """
    if not data.isascii() and (b"\xe2\x80" in data or b"\xc2\x85" in data):
        for separator, escape in _SEPARATORS:
            data = data.replace(separator, escape)
    return data


def chunk(data: bytes) -> bytes:
    """Encode `data` as one chunk of a chunked HTTP/1.1 body (RFC 9112, section 7.1).

    Each frame is its own chunk: clients that read in blocks (`requests`, 512 bytes at a time) then see each event
    immediately, and a frame cut off by a short send can be completed without sending the frames after it.
    """
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def retry(milliseconds: int) -> bytes:
    """How long an EventSource waits before it reconnects. A line rather than a frame: the next frame completes it."""
    return b"retry: %d\n" % milliseconds


@dataclass(slots=True)
class Message:
    """One dispatched message of a stream: its data, its event name, and the last id seen."""

    id: str
    data: str
    event: str = "message"


class Decoder:
    """Decodes a stream's bytes, split at any point, into the messages that an EventSource would dispatch.

    `last_id` is the last id received; `retry` is the last reconnection time received, in milliseconds.
    """

    def __init__(self) -> None:
        self.last_id = ""
        self.retry: int | None = None
        self._rest = b""
        self._data: list[str] = []
        self._event = ""
        self._started = False

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Take the next bytes and yield each message that they complete."""
        buffer = self._rest + chunk
        if not self._started and buffer:
            if len(buffer) < 3 and b"\xef\xbb\xbf".startswith(buffer):
                self._rest = buffer
                return
            self._started = True
            buffer = buffer.removeprefix(b"\xef\xbb\xbf")
        # The bytes may be split between CR and LF: a final CR waits for the next byte.
        hold = buffer.endswith(b"\r")
        lines = (buffer[:-1] if hold else buffer).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + (b"\r" if hold else b"")
        for line in lines:
            message = self._line(line)
            if message is not None:
                yield message

    def _line(self, line: bytes) -> Message | None:
        if not line:
            data, event = self._data, self._event
            self._data, self._event = [], ""
            return Message(self.last_id, "\n".join(data), event or "message") if data else None
        name, _, raw = line.partition(b":")
        value = raw.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value
        elif name == b"id" and "\0" not in value:
            self.last_id = value
        elif name == b"retry" and value.isascii() and value.isdigit():
            self.retry = int(value)
        return None

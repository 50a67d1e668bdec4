"""Frames and ids of the stream, both ways. Pure: bytes in, bytes or values out.

The format is Server-Sent Events as the WHATWG HTML standard defines them (section 9.2, "Server-sent events"). A frame
of ours is `id: <cursor>` and one `data:` line with JSON, without an `event:` field, so that `EventSource.onmessage`
sees everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

_CURSOR = re.compile(r"([0-9a-z]{1,16})-(\d{1,18})", re.ASCII)


class Cursor(NamedTuple):
    """A place in a history: after `offset` events of the lifetime `epoch`. Its text form is `<epoch>-<offset>`."""

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """The cursor that `text` writes, or None where it writes none."""
        found = _CURSOR.fullmatch(text)
        return cls(found[1], int(found[2])) if found else None


def frame(epoch: str, offset: int, data: bytes) -> bytes:
    """One event as a frame. `data`: JSON without a line break, UTF-8."""
    return b"id: %s-%d\ndata: %s\n\n" % (epoch.encode("ascii"), offset, data)


def chunk(data: bytes) -> bytes:
    """`data` as one chunk of a chunked HTTP/1.1 body (RFC 9112, section 7.1).

    A frame is a chunk of its own: clients that read by size (`requests`, 512 bytes at a time) see each event at once,
    and a frame that was torn by a short send can be finished without the ones after it.
    """
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def unchunk(body: bytes) -> bytes:
    """The data in whole chunks, for servers that do their own chunking."""
    parts, at = [], 0
    while at < len(body):
        end = body.index(b"\r\n", at)
        size = int(body[at:end], 16)
        parts.append(body[end + 2 : end + 2 + size])
        at = end + size + 4
    return b"".join(parts)


def retry(milliseconds: int) -> bytes:
    """How long an EventSource waits before it reconnects. A line, not a frame: it ends with the frame that follows."""
    return b"retry: %d\n" % milliseconds


@dataclass(slots=True)
class Message:
    """One dispatched event of a stream: the last id seen, the data, the event name."""

    id: str
    data: str
    event: str = "message"


class Decoder:
    """A stream's bytes, in whatever chunks they come, to messages, as an EventSource would dispatch them.

    `retry` is the last reconnection time that the stream named, in milliseconds; `last_id` the last id.
    """

    def __init__(self) -> None:
        self.last_id = ""
        self.retry: int | None = None
        self._rest = b""
        self._data: list[str] = []
        self._event = ""
        self._begun = False

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Take `chunk`; yields the messages that it completes."""
        buffer = self._rest + chunk
        if not self._begun and buffer:
            if len(buffer) < 3 and b"\xef\xbb\xbf".startswith(buffer):
                self._rest = buffer
                return
            self._begun = True
            buffer = buffer.removeprefix(b"\xef\xbb\xbf")
        # A chunk may end between CR and LF: a CR at the very end waits for what follows.
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

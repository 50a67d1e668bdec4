"""OGG Opus files, looked at without decoding: channels and duration (RFC 3533, RFC 7845)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

RATE = 48_000
"""Samples a second: Opus always counts in 48 kHz."""
_HEAD = 64 << 10
_PAGE = 65_307
"""Bytes of the largest page."""
_NO_PACKET = (1 << 64) - 1
_LAST = 4


class OggError(ValueError):
    """The file is not OGG Opus; the text says why."""


class OggOpus(NamedTuple):
    """`duration`: seconds of sound. `complete`: the file ends with its last page."""

    channels: int
    duration: float
    complete: bool


def probe(path: Path) -> OggOpus:
    """What is in the file; raises `OggError`, or OSError. Reads its first and last 64 KiB."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        size = file.seek(0, 2)
        file.seek(max(0, size - 2 * _PAGE))
        tail = file.read()
    if not head.startswith(b"OggS"):
        raise OggError("it does not begin as an OGG file")
    start = head.find(b"OpusHead", 0, 512)
    if start < 0 or len(head) < start + 19:
        raise OggError("it is OGG, but not Opus")
    channels = head[start + 9]
    skip = int.from_bytes(head[start + 10 : start + 12], "little")
    if not 1 <= channels <= 2:
        raise OggError(f"it has {channels} channels; one or two are expected")
    serial = head[14:18]
    granule, flags = _last_page(tail, serial)
    samples = granule - skip
    if samples <= 0:
        raise OggError("it contains no sound")
    return OggOpus(channels, samples / RATE, bool(flags & _LAST))


def _last_page(tail: bytes, serial: bytes) -> tuple[int, int]:
    """Granule position and flags of the last whole page of a stream with a position."""
    place = len(tail)
    while (place := tail.rfind(b"OggS", 0, place)) >= 0:
        page = tail[place:]
        if len(page) < 27 or page[4] != 0 or page[14:18] != serial or len(page) < 27 + page[26]:
            continue
        length = 27 + page[26] + sum(page[27 : 27 + page[26]])
        granule = int.from_bytes(page[6:14], "little")
        if len(page) >= length and granule != _NO_PACKET:
            return granule, page[5]
    raise OggError("it has no whole page")

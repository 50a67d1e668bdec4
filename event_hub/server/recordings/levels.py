"""How loud a recording is, a hundred times a second and channel: its waveform, and where sound begins. Pure.

A file of levels is `MAGIC`, the number of channels (1 byte), the number of windows (4 bytes, big-endian), then for each
channel its peaks, then for each channel its levels: a byte for each window. A peak is the largest sample, 255 for full
scale; a level is the mean power in half decibels above -127.5 dBFS.
"""

from __future__ import annotations

from collections.abc import Iterator

MAGIC = b"EHL1"
PER_SECOND = 100
_HEAD = len(MAGIC) + 5


class Levels:
    """The levels in `data`; raises ValueError if it is not a file of levels."""

    def __init__(self, data: bytes) -> None:
        if len(data) < _HEAD or not data.startswith(MAGIC):
            raise ValueError("it is not a file of levels")
        self.channels = data[len(MAGIC)]
        self.windows = int.from_bytes(data[len(MAGIC) + 1 : _HEAD], "big")
        if len(data) != _HEAD + 2 * self.channels * self.windows:
            raise ValueError("it is cut off")
        self._data = data

    def peaks(self, channel: int, points: int) -> Iterator[int]:
        """The largest peaks of a channel in at most `points` equal parts of the recording, 0 to 255."""
        begin = _HEAD + channel * self.windows
        size = max(1, -(-self.windows // max(1, points)))
        for start in range(0, self.windows, size):
            yield max(self._data[begin + start : begin + min(start + size, self.windows)])

    def decibels(self, channel: int) -> bytes:
        """The level of each window of a channel, in half decibels above -127.5 dBFS."""
        begin = _HEAD + (self.channels + channel) * self.windows
        return self._data[begin : begin + self.windows]

"""Histograms of latencies in stretches of time: what percentiles over days are computed from. Pure.

The buckets are 7 % wide, so a percentile is at most 7 % above the value that was measured.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from ...sessions.latency import FIGURES

TIMED = (*FIGURES, "tools")
"""The figures with buckets: a bucket names its figure by the place in this list."""
SIZES = (300, 3_600)
"""Seconds: how long the stretches are."""
_LEAST = 0.001
_WIDTH = math.log(1.07)
_PAIR = struct.Struct("<HI")
_HEAD = struct.Struct("<BI")

Counts = Counter[tuple[int, int, int, int]]
"""(size, slot, figure, bucket) → how many. A slot is a time divided by the size."""


def bucket(value: float) -> int:
    """The bucket of a latency in seconds."""
    return 0 if value <= _LEAST else math.ceil(math.log(value / _LEAST) / _WIDTH)


def upper_bound(number: int) -> float:
    """Seconds: no value of this bucket is larger."""
    return float(_LEAST * math.exp(number * _WIDTH))


def percentile(counts: Mapping[int, int], share: float) -> float:
    """The value that this share of the values does not exceed, by nearest rank. `counts`: bucket → how many; not empty."""
    rank = math.ceil(share * sum(counts.values()))
    seen = 0
    for number in sorted(counts):
        seen += counts[number]
        if seen >= rank:
            return upper_bound(number)
    raise ValueError("counts is empty")


def pack_points(points: Mapping[str, array[float]]) -> bytes:
    """A session's points as bytes."""
    return b"".join(
        _HEAD.pack(number, len(points[figure])) + points[figure].tobytes()
        for number, figure in enumerate(TIMED)
        if points.get(figure)
    )


def unpack_points(data: bytes) -> Iterator[tuple[int, array[float]]]:
    """The figure's number, and pairs of a time and a value."""
    at = 0
    while at < len(data):
        number, count = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        values = array("d")
        values.frombytes(data[at : at + 8 * count])
        at += 8 * count
        yield number, values


def counted(points: bytes) -> Counts:
    """What a session contributes to the buckets."""
    counts: Counts = Counter()
    for figure, values in unpack_points(points):
        for index in range(0, len(values), 2):
            at, number = int(values[index]), bucket(values[index + 1])
            for size in SIZES:
                counts[size, at // size, figure, number] += 1
    return counts


def pack_counts(counts: Mapping[int, int]) -> bytes:
    """bucket → how many, as bytes; empty if there are none."""
    return b"".join(_PAIR.pack(number, counts[number]) for number in sorted(counts) if counts[number])


def unpack_counts(data: bytes) -> Iterable[tuple[int, int]]:
    return _PAIR.iter_unpack(data)

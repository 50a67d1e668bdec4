"""Encodes a WAV file as OGG Opus, mono, as the hub takes recordings.

Runs as a process of its own, at low priority: an hour of audio takes half a minute. Usage: encode.py SOURCE TARGET.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

BIT_RATE = 32_000
"""Bits a second: speech cannot be told from the original, and an hour takes 14 MB."""


def encode(source: Path, target: Path) -> None:
    """Write `source` to `target`; stereo is mixed, because the hub's second channel is the agent's. Raises av.FFmpegError,
    OSError."""
    import av

    with av.open(str(source), "r", format="wav") as media, av.open(str(target), "w", format="ogg") as out:
        stream = out.add_stream("libopus", rate=48_000, layout="mono")
        stream.bit_rate = BIT_RATE
        for frame in media.decode(audio=0):
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


if __name__ == "__main__":
    os.nice(10)
    encode(Path(sys.argv[1]), Path(sys.argv[2]))

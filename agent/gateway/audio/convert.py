"""Decodes a container (WebM, Ogg, MP4, WAV) to a 16-bit WAV file.

Runs as a process of its own, because it decodes what strangers send: whatever FFmpeg does with it, the gateway goes on.
It imports nothing of this package, which would take longer than to decode a minute.
Usage: convert.py CONTAINER SOURCE TARGET LIMIT. Prints one JSON object: {"damaged": bool}. Exit codes: `Outcome`.
"""

from __future__ import annotations

import contextlib
import json
import sys
import wave
from enum import IntEnum
from pathlib import Path

DEMUXERS = {"webm": "matroska", "ogg": "ogg", "mp4": "mov", "wav": "wav"}
"""FFmpeg must not guess: it also knows playlists, which name other files."""
MEMORY = 1 << 30
"""Bytes of address space: a hostile file may announce tables of any size."""


class Outcome(IntEnum):
    """How the process exits."""

    DONE = 0
    UNDECODABLE = 3
    TOO_LARGE = 4
    NO_SPACE = 5


def convert(container: str, source: Path, target: Path, limit: int) -> tuple[Outcome, bool]:
    """Decode `source` to `target`, which may have `limit` bytes. Also returns whether parts of it were undecodable.

    The rate stays; more than two channels become stereo.
    """
    import av

    samples, damaged = 0, False
    with source.open("rb") as file:
        try:
            media = av.open(file, "r", format=DEMUXERS[container])
        except (av.FFmpegError, ValueError):
            return Outcome.UNDECODABLE, False
        with media, contextlib.ExitStack() as stack:
            if not media.streams.audio:
                return Outcome.UNDECODABLE, False
            stream = media.streams.audio[0]
            resampler: av.AudioResampler | None = None
            sound: wave.Wave_write | None = None
            packets = media.demux(stream)
            while True:
                try:
                    packet = next(packets, None)
                    if packet is None:
                        break
                except (av.FFmpegError, ValueError):
                    damaged = True
                    break  # nothing can be read beyond this
                try:
                    frames = packet.decode()
                except (av.FFmpegError, ValueError):
                    damaged = True
                    continue
                for frame in frames:
                    if resampler is None or sound is None:
                        channels = min(2, frame.layout.nb_channels)
                        rate = frame.sample_rate
                        layout = "mono" if channels == 1 else "stereo"
                        resampler = av.AudioResampler("s16", layout, rate)
                        sound = stack.enter_context(wave.open(str(target), "wb"))
                        sound.setnchannels(channels)
                        sound.setsampwidth(2)
                        sound.setframerate(rate)
                    for part in resampler.resample(frame):
                        samples += part.samples
                        if samples * 2 * channels + 44 > limit:
                            return Outcome.TOO_LARGE, damaged
                        sound.writeframesraw(bytes(part.planes[0])[: part.samples * 2 * channels])
            if resampler is not None and sound is not None:
                for part in resampler.resample(None):
                    samples += part.samples
                    sound.writeframesraw(bytes(part.planes[0])[: part.samples * 2 * channels])
    return (Outcome.DONE if samples else Outcome.UNDECODABLE), damaged


def main() -> None:
    """Run the command."""
    with contextlib.suppress(ImportError):  # Windows
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    container, source, target, limit = sys.argv[1:]
    try:
        outcome, damaged = convert(container, Path(source), Path(target), int(limit))
    except OSError:
        sys.exit(Outcome.NO_SPACE)
    except MemoryError:
        sys.exit(Outcome.UNDECODABLE)
    sys.stdout.write(json.dumps({"damaged": damaged}))
    sys.exit(outcome)


if __name__ == "__main__":
    main()

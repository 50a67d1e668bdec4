"""`python -m event_hub.server.recordings.decode`: decodes a recording, in a process of its own.

    levels FILE OUT                 write the levels of FILE (see `levels`) to OUT, atomically
    wav FILE CHANNEL RATE SAMPLES   write a channel as WAV to stdout: mono, 16 bit, exactly SAMPLES samples

Decoding an hour takes seconds of processor time, so it neither runs on the hub's event loop nor in its process, which would
have to load PyAV and NumPy.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .levels import MAGIC, PER_SECOND
from .ogg import RATE

_PR_SET_PDEATHSIG = 1
_NICE = 10
_WINDOW = RATE // PER_SECOND


def _decoded(path: str) -> Iterator[Any]:
    """The samples of a file, in arrays of a row per channel, from -1 to 1."""
    import av

    with av.open(path, format="ogg") as container:
        for frame in container.decode(audio=0):
            yield frame.to_ndarray()


def write_levels(path: str, out: str) -> None:
    """Write the levels of the file at `path` to `out`."""
    import numpy as np

    peaks: list[Any] = []
    powers: list[Any] = []
    rest: Any = None
    for samples in _decoded(path):
        rest = samples if rest is None else np.concatenate((rest, samples), axis=1)
        whole = rest.shape[1] // _WINDOW * _WINDOW
        if whole >= RATE:
            _measure(np, rest[:, :whole], peaks, powers)
            rest = rest[:, whole:]
    if rest is None:
        raise ValueError("it contains no sound")
    if missing := -rest.shape[1] % _WINDOW:
        rest = np.pad(rest, ((0, 0), (0, missing)))
    if rest.shape[1]:
        _measure(np, rest, peaks, powers)
    peak, power = np.concatenate(peaks, axis=1), np.concatenate(powers, axis=1)
    loud = np.clip((10 * np.log10(np.maximum(power, 1e-13)) + 127.5) * 2, 0, 255).round().astype(np.uint8)
    channels, windows = peak.shape
    data = b"".join(
        (
            MAGIC,
            struct.pack(">BI", channels, windows),
            np.clip(peak * 255, 0, 255).round().astype(np.uint8).tobytes(),
            loud.tobytes(),
        )
    )
    part = Path(f"{out}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _measure(np: Any, samples: Any, peaks: list[Any], powers: list[Any]) -> None:
    windows = samples.reshape(samples.shape[0], -1, _WINDOW)
    peaks.append(np.abs(windows).max(axis=2))
    powers.append((windows.astype(np.float64) ** 2).mean(axis=2))


def write_wav(path: str, channel: int, rate: int, samples: int) -> None:
    """Write one channel to stdout as WAV (RIFF, PCM, 16 bit)."""
    import av
    import numpy as np

    out = sys.stdout.buffer
    size = 2 * samples
    out.write(
        b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    )
    out.write(b"data" + struct.pack("<I", size))
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
    left = samples

    def write(frames: Any) -> int:
        written = 0
        for frame in frames:
            data = frame.to_ndarray().tobytes()[: 2 * (left - written)]
            out.write(data)
            written += len(data) // 2
        return written

    for decoded in _decoded(path):
        row = decoded[min(channel, decoded.shape[0] - 1)]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(row[None, :]), format="flt", layout="mono")
        frame.sample_rate = RATE
        left -= write(resampler.resample(frame))
    left -= write(resampler.resample(None))
    while left > 0:
        out.write(bytes(2 * min(left, RATE)))
        left -= min(left, RATE)
    out.flush()


def main(arguments: list[str]) -> int:
    """Do what `arguments` say; returns the exit code. What is wrong goes to stderr, in one line."""
    if sys.platform == "linux":  # end with the hub, even if that is killed
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(_NICE)
    try:
        match arguments:
            case ["levels", path, out]:
                write_levels(path, out)
            case ["wav", path, channel, rate, samples]:
                write_wav(path, int(channel), int(rate), int(samples))
            case _:
                print(__doc__, file=sys.stderr)  # noqa: T201
                return 2
    except BrokenPipeError:
        os._exit(0)  # the client has gone
    except Exception as error:
        print(f"{type(error).__name__}: {error}".splitlines()[0], file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

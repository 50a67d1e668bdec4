"""Real speech for the tests: synthesised by flite, recognised by pocketsphinx, without a key or a network.

`python -m tests.livekit.speech` runs the recogniser in its own process, because pocketsphinx holds the GIL while it
decodes. It reads utterances (four bytes of length, little endian, then PCM) and prints one line of text for each.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
import wave
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..hubs import ROOT
from ..toolchain import tool

Sound = NDArray[np.int16]
RATE = 16000
"""The sample rate of flite and pocketsphinx; 16 bits, mono."""


@cache
def said(text: str, voice: str = "slt") -> Sound:
    """`text` as speech."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        command = [tool("flite"), "-voice", voice, "-t", f" {text}", "-o", str(path)]
        subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL)
        with wave.open(str(path)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
            return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def resampled(sound: Sound, source: int, target: int) -> Sound:
    """The sound at another sample rate."""
    length = round(len(sound) * target / source)
    if source == target or not length:
        return sound[:length]
    spectrum = np.fft.rfft(sound.astype(np.float64))
    result = np.fft.irfft(spectrum, length) * (length / len(sound))
    return np.clip(np.rint(result), -32768, 32767).astype(np.int16)


def write_wav(path: Path, sound: Sound, rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound.tobytes())


def read_wav(path: Path) -> Sound:
    """Read a 16-bit mono file of any sample rate, as RATE."""
    with wave.open(str(path)) as file:
        return resampled(np.frombuffer(file.readframes(file.getnframes()), np.int16), file.getframerate(), RATE)


class Recogniser:
    """Speech to text in another process. Thread-safe; one utterance at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.livekit.speech"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def text(self, sound: Sound) -> str:
        """The words in `sound`, which has RATE."""
        pcm = sound.tobytes()
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(len(pcm).to_bytes(4, "little") + pcm)
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        assert line.endswith(b"\n"), "the recogniser has ended"
        return line.decode().strip()

    def file(self, path: str | Path) -> str:
        """The words in a WAV file."""
        return self.text(read_wav(Path(path)))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Recogniser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def overlap(expected: str, heard: str) -> float:
    """The share of the words of `expected` that occur in `heard`, in order; 1.0 means all."""
    wanted = words(expected)
    blocks = SequenceMatcher(None, wanted, words(heard), autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / len(wanted) if wanted else 1.0


def main() -> None:
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=RATE, loglevel="FATAL")
    while header := sys.stdin.buffer.read(4):
        pcm = sys.stdin.buffer.read(int.from_bytes(header, "little"))
        heard = ""
        if pcm:
            decoder.start_utt()
            decoder.process_raw(pcm, full_utt=True)
            decoder.end_utt()
            heard = decoder.hyp().hypstr if decoder.hyp() else ""
        print(heard, flush=True)


if __name__ == "__main__":
    main()

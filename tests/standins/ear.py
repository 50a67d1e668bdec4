"""What a streaming STT hears: speech found by its energy, words by pocketsphinx. Time is counted in samples, so the result
depends on the audio alone, however fast it arrives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..livekit.speech import RATE, Recogniser

BLOCK = RATE // 50
LOUD = 200.0
"""Root mean square above which 20 ms are speech. Flite speaks at 1000 and more; the tests' silence is digital."""
PAUSE = 0.4
"""Seconds of silence that end an utterance."""
STEP = 0.7
"""Seconds of speech between two interim results."""


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    start: float
    end: float
    """Seconds since the start of the stream, spread evenly: pocketsphinx is asked for words only."""


@dataclass(frozen=True, slots=True)
class Heard:
    """`started` has no words; `interim` and `final` have those of the utterance so far."""

    kind: Literal["started", "interim", "final"]
    start: float
    words: tuple[Word, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


_known: dict[bytes, list[str]] = {}
"""Sound → words: the tests say the same sentences to several vendors, and recognition takes most of their time."""


class Ear:
    """One stream of audio: 16 kHz, mono, 16 bits, little endian."""

    def __init__(self, recogniser: Recogniser) -> None:
        self._recogniser = recogniser
        self._rest = b""
        self._samples = 0
        self._speech = bytearray()
        self._silent = self._since = 0.0
        self._start = 0.0

    @property
    def seconds(self) -> float:
        """Length of the audio so far."""
        return self._samples / RATE

    def hear(self, pcm: bytes) -> Iterator[Heard]:
        """What this piece of audio adds."""
        data = self._rest + pcm
        whole = len(data) // (2 * BLOCK) * 2 * BLOCK
        self._rest = data[whole:]
        for at in range(0, whole, 2 * BLOCK):
            yield from self._block(data[at : at + 2 * BLOCK])

    def end(self) -> Iterator[Heard]:
        """The end of the utterance, now."""
        if self._speech:
            yield self._result("final")
            self._speech.clear()

    def _block(self, block: bytes) -> Iterator[Heard]:
        loud = float(np.sqrt(np.mean(np.frombuffer(block, "<i2").astype(np.float64) ** 2))) > LOUD
        if loud and not self._speech:
            self._start, self._silent, self._since = self.seconds, 0.0, 0.0
            yield Heard("started", self._start)
        self._samples += BLOCK
        if not loud and not self._speech:
            return
        self._speech += block
        self._silent = 0.0 if loud else self._silent + BLOCK / RATE
        self._since += BLOCK / RATE
        if self._silent >= PAUSE:
            yield from self.end()
        elif loud and self._since >= STEP:
            self._since = 0.0
            yield self._result("interim")

    def _result(self, kind: Literal["interim", "final"]) -> Heard:
        quiet = np.zeros(RATE // 4, np.int16)  # pocketsphinx expects some silence before the first word
        sound = np.concatenate([quiet, np.frombuffer(bytes(self._speech), "<i2"), quiet])
        key = hashlib.sha256(sound.tobytes()).digest()
        if key not in _known:
            _known[key] = self._recogniser.text(sound).split()
        texts = _known[key]
        length = len(self._speech) / 2 / RATE
        step = length / max(len(texts), 1)
        words = tuple(Word(text, self._start + i * step, self._start + (i + 1) * step) for i, text in enumerate(texts))
        return Heard(kind, self._start, words)

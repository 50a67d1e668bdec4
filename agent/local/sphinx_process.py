"""pocketsphinx in processes of their own, for programs that serve others while they recognize.

A decoder holds the GIL of its process. Measured on two busy processors, the 99th percentile of the round trip through the
gateway's echo endpoint is 0.7 ms without a transcription; during one it is 270 ms (at most 600 ms) with the decoder in the
gateway's process, and 4.7 ms (at most 12 ms) with the decoder in its own.

`ProcessDecoders` has the interface of `sphinx.Decoders`. Run as a script, this file is such a process: it imports neither
LiveKit nor this package.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

_HEADER = struct.Struct("<cI")
START, AUDIO, END, HYPOTHESIS = b"S", b"A", b"E", b"H"
"""What a process is asked. It answers everything: a length, and the hypothesis' UTF-8 text; OUT_OF_ORDER is an error."""
_LENGTH = struct.Struct("<i")
_OUT_OF_ORDER = -1
KEPT = 2
"""Processes that are kept for later; each takes 115 MB."""


class ProcessDecoders:
    """Decoders in processes of their own. Thread-safe. `close` ends those that are idle; others end when released."""

    def __init__(self) -> None:
        self._idle: list[ProcessDecoder] = []
        self._lock = threading.Lock()
        self._closed = False

    def acquire(self) -> ProcessDecoder:
        """A decoder. Blocks while it starts, about 0.5 s. Raises ConnectionError."""
        with self._lock:
            while self._idle:
                decoder = self._idle.pop()
                if decoder.alive:
                    return decoder
                decoder.close()
        return ProcessDecoder()

    def release(self, decoder: ProcessDecoder) -> None:
        """The decoder is no longer in use."""
        with self._lock:
            keep = not self._closed and decoder.alive and len(self._idle) < KEPT
            if keep:
                self._idle.append(decoder)
        if not keep:
            decoder.close()

    def close(self) -> None:
        """End the idle processes."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for decoder in idle:
            decoder.close()


class ProcessDecoder:
    """pocketsphinx' Decoder in another process, as far as it is used. Methods block, and raise ConnectionError."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._answer()  # it is loaded
        except ConnectionError:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def start_utt(self) -> None:
        """Begin an utterance. Raises RuntimeError if there is one."""
        self._ask(START)

    def process_raw(self, data: bytes, _no_search: bool = False, _full_utterance: bool = False) -> None:
        """Decode samples."""
        self._ask(AUDIO, data)

    def end_utt(self) -> None:
        """End the utterance. Raises RuntimeError if there is none."""
        self._ask(END)

    def hyp(self) -> Any:
        """The hypothesis: an object with `hypstr`, which may be empty."""
        return SimpleNamespace(hypstr=self._ask(HYPOTHESIS))

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()

    def _ask(self, what: bytes, data: bytes = b"") -> str:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(_HEADER.pack(what, len(data)) + data)
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise ConnectionError("the local recognizer's process has ended") from error
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        try:
            header = self._process.stdout.read(_LENGTH.size)
            length = _LENGTH.unpack(header)[0] if len(header) == _LENGTH.size else None
            text = self._process.stdout.read(max(0, length or 0))
        except (OSError, ValueError) as error:
            raise ConnectionError("the local recognizer's process has ended") from error
        if length is None or len(text) < length:
            raise ConnectionError("the local recognizer's process has ended")
        if length == _OUT_OF_ORDER:
            raise RuntimeError("an utterance begins in another, or ends without one")
        return text.decode()


def main() -> None:
    """Decode what comes on stdin, until it is closed."""
    import pocketsphinx

    decoder = pocketsphinx.Decoder(samprate=16000, logfn=os.devnull)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer

    def answer(text: bytes = b"", length: int | None = None) -> None:
        answers.write(_LENGTH.pack(len(text) if length is None else length) + text)
        answers.flush()

    answer()
    while len(header := requests.read(_HEADER.size)) == _HEADER.size:
        what, size = _HEADER.unpack(header)
        data = requests.read(size)
        text = b""
        try:
            if what == START:
                decoder.start_utt()
            elif what == AUDIO:
                decoder.process_raw(data, False, False)
            elif what == END:
                decoder.end_utt()
            else:
                found = decoder.hyp()
                text = (found.hypstr or "").encode() if found is not None else b""
        except RuntimeError:
            answer(length=_OUT_OF_ORDER)
            continue
        answer(text)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        main()

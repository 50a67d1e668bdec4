"""One recording on disk: written as it arrives, renamed when it is complete. Blocking: runs in a thread."""

from __future__ import annotations

import contextlib
import io
import os
import wave
from pathlib import Path

from .formats import CONVERTED, MAGIC, PCM_PART, RAW_PART, WAV_HEADER, Container, container_of, wav_lengths

try:
    import fcntl
except ImportError:  # Windows: there, a file that is open cannot be renamed, which protects it as well
    fcntl = None  # type: ignore[assignment]

LONGEST_WAV = (1 << 32) - 1
"""A WAV header has 32 bits for lengths."""


class RecordingFile:
    """A recording in progress. `stem`: the file's name without its extension. `rate`: of PCM, in Hz.

    `container` is None for PCM. The first bytes decide whether it is PCM, unless `declared` says webm: then bytes without a
    container's magic number are kept as an unknown format. All methods raise OSError.
    """

    def __init__(self, folder: Path, stem: str, *, declared: str | None = None, rate: int = 16000) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.stem, self.rate = folder, stem, rate
        self.container: Container | None = None
        self.size = 0
        """Bytes of audio received."""
        self._declared = declared
        self._head = b""
        self._decided = False
        self.part = folder / (stem + RAW_PART)
        self._file = _create(self.part)

    @property
    def is_pcm(self) -> bool:
        """Whether the file is a WAV file made of bare samples."""
        return self._decided and self.container is None and self._declared != "webm"

    def write(self, data: bytes) -> None:
        """Append a frame; nothing is held back, so that a kill -9 loses nothing that arrived."""
        self.size += len(data)
        if not self._decided:
            self._head += data
            if len(self._head) < MAGIC:
                return
            data = self._decide()
        _write(self._file, data)

    def close(self) -> None:
        """Make what was written durable. The file keeps its name until `keep` or `discard`."""
        if not self._decided and self._head:
            _write(self._file, self._decide())
        if self.is_pcm:
            whole = (self.part.stat().st_size - WAV_HEADER) // 2 * 2 + WAV_HEADER
            seal(self._file, whole)
        os.fsync(self._file.fileno())

    def keep(self, kind: str) -> Path:
        """Give the file its final name. Returns its path."""
        target = self.folder / f"{self.stem}.{kind}"
        self.part.rename(target)
        self._file.close()
        return target

    def replace(self) -> Path:
        """Put the converted file in the place of what was received. Returns its path."""
        target = self.folder / f"{self.stem}.wav"
        self.converted.rename(target)
        self.discard()
        return target

    def discard(self) -> None:
        """Remove what was written."""
        self.part.unlink(missing_ok=True)
        self._file.close()

    def abandon(self) -> None:
        """Leave the file to the next start of the gateway."""
        self._file.close()

    @property
    def converted(self) -> Path:
        """Where the decoded audio is written, if it was received in a container."""
        return self.folder / (self.stem + CONVERTED)

    def _decide(self) -> bytes:
        """Find out what the audio is; returns what is to be written first."""
        self._decided = True
        self.container = container_of(self._head)
        head, self._head = self._head, b""
        if not self.is_pcm:
            return head
        pcm = self.folder / (self.stem + PCM_PART)
        self.part.rename(pcm)
        self.part = pcm
        return _wav_header(self.rate) + head


class LeftOver(RecordingFile):
    """An unfinished recording of a gateway that was killed. Raises BlockingIOError if a gateway still writes it."""

    def __init__(self, part: Path) -> None:
        self.folder, self.part = part.parent, part
        self._file = part.open("r+b", buffering=0)
        try:
            _lock(self._file)
        except OSError:
            self._file.close()
            raise
        self.stem = part.name.removesuffix(RAW_PART).removesuffix(PCM_PART)
        self._head, self._decided = b"", True
        self._declared = None if part.name.endswith(PCM_PART) else "webm"
        head = self._file.read(WAV_HEADER)
        self.size = part.stat().st_size
        self.rate = 16000
        self.container = None
        if self.is_pcm:
            self.size = max(0, self.size - WAV_HEADER)
            self.rate = int.from_bytes(head[24:28], "little") or 16000
        else:
            self.container = container_of(head)


def seal(file: io.FileIO, size: int) -> None:
    """Write the lengths into the header of a WAV file that is to have `size` bytes."""
    file.truncate(size)
    for place, data in wav_lengths(size):
        file.seek(place)
        _write(file, data)


def duration_of(path: Path) -> float:
    """Seconds of audio in a WAV file."""
    with wave.open(str(path)) as sound:
        frames, rate = int(sound.getnframes()), int(sound.getframerate())
        return frames / rate


def _wav_header(rate: int) -> bytes:
    """The header of a 16-bit mono WAV file that has no samples yet."""
    header = io.BytesIO()
    with wave.open(header, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(b"")
    return header.getvalue()


def _create(path: Path) -> io.FileIO:
    """A new file, locked, without a buffer."""
    file = io.FileIO(path, "x+")
    try:
        _lock(file)
    except OSError:
        pass  # a file system without locks: then leftovers of other gateways in the same folder cannot be told apart
    return file


def _lock(file: io.FileIO) -> None:
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _write(file: io.FileIO, data: bytes) -> None:
    """Write all of it: on a disk that is almost full, a single write may store less."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def remove_converted(stem: str, folder: Path) -> None:
    """Remove what an interrupted conversion left."""
    with contextlib.suppress(OSError):
        (folder / (stem + CONVERTED)).unlink()

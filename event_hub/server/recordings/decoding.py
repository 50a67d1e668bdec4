"""Child processes that decode recordings: levels, once for each recording, and WAV on request."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import RequestError
from ..real_thread import in_real_thread
from .jobs import Audio
from .levels import Levels

logger = logging.getLogger(__name__)

WAV_RATE = 24_000
_WAV_HEAD = 44
_MODULE = [sys.executable, "-m", f"{__package__}.decode"]
_LONGEST = 900.0
"""Seconds for the levels of one recording: a day's takes about two minutes of processor time."""
_WAIT = 5.0
"""Seconds that a request waits for levels that are being computed."""
_CACHED = 4
_WAVS = 4
"""WAV files that are decoded at a time."""
_PIECE = 64 << 10


class Decoding:
    """The child processes of one hub."""

    def __init__(self, audio_path: Callable[[str], Path]) -> None:
        self._audio_path = audio_path
        self._wanted: deque[str] = deque()
        self._failed: dict[str, str] = {}
        self._cache: OrderedDict[str, Levels] = OrderedDict()
        self._lock = threading.Lock()
        self._running = False
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._wavs = threading.BoundedSemaphore(_WAVS)

    def want(self, job: str) -> None:
        """Compute the levels of a job's recording, after those that were wanted before."""
        with self._lock:
            if self._closed or job in self._wanted or job in self._failed:
                return
            self._wanted.append(job)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="hub-levels", daemon=True).start()

    def stop(self) -> None:
        """End the child."""
        self._closed = True
        if (child := self._child) is not None:
            child.kill()

    def levels(self, job: str) -> Levels:
        """The levels of a job's recording; raises `RequestError`."""
        if (known := self._cache.get(job)) is not None:
            self._cache.move_to_end(job)
            return known
        path = levels_path(self._audio_path(job))
        end = time.monotonic() + _WAIT
        while True:
            try:
                levels = Levels(in_real_thread(path.read_bytes))
                break
            except (FileNotFoundError, ValueError):
                self.want(job)
            if (why := self._failed.get(job)) is not None:
                raise RequestError("bad_recording", f"the recording cannot be decoded: {why}")
            if time.monotonic() > end:
                raise RequestError("recording_in_progress", "the recording is being decoded", retry_after=2)
            time.sleep(0.05)
        self._cache[job] = levels
        if len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
        return levels

    def forget(self, job: str) -> None:
        """The recording was erased."""
        self._cache.pop(job, None)
        self._failed.pop(job, None)

    def wav(self, job: str, channel: int, audio: Audio) -> tuple[int, Iterator[bytes]]:
        """A channel as WAV: its size in bytes, and its pieces; raises `RequestError`. Close the iterator, used or not."""
        samples = round(audio.duration * WAV_RATE)
        if not self._wavs.acquire(blocking=False):
            raise RequestError("recording_in_progress", f"{_WAVS} recordings are being decoded already", retry_after=5)
        words = ["wav", str(self._audio_path(job)), str(channel), str(WAV_RATE), str(samples)]
        return _WAV_HEAD + 2 * samples, _Pieces(words, self._wavs.release)

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._closed or not self._wanted:
                    self._running = False
                    return
                job = self._wanted[0]
            why = self._compute(self._audio_path(job))
            if why is not None and not self._closed:
                logger.error("the recording of job %s cannot be decoded: %s", job, why)
                self._failed[job] = why
            with self._lock:
                self._wanted.remove(job)

    def _compute(self, path: Path) -> str | None:
        """Returns why it failed."""
        out = levels_path(path)
        if out.exists():
            return None
        try:
            self._child = subprocess.Popen(
                [*_MODULE, "levels", str(path), str(out)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
        except OSError as error:
            return f"no process can be started: {error.strerror}"
        try:
            _, stderr = self._child.communicate(timeout=_LONGEST)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()
            return f"it took more than {_LONGEST:g} s"
        code, self._child = self._child.returncode, None
        return None if code == 0 else stderr.decode("utf-8", "replace").strip()[:300] or f"exit code {code}"


class _Pieces:
    """What a child writes to its stdout; it ends when this is closed."""

    def __init__(self, words: list[str], release: Callable[[], None]) -> None:
        self._words = words
        self._release = release
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._child is None:
            self._child = subprocess.Popen(
                [*_MODULE, *self._words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        assert self._child.stdout is not None
        piece = self._child.stdout.read(_PIECE)
        if not piece:
            raise StopIteration
        return piece

    def close(self) -> None:
        """End the child."""
        if self._closed:
            return
        self._closed = True
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            if self._child.stdout is not None:
                self._child.stdout.close()
        self._release()


def levels_path(audio: Path) -> Path:
    """Where the levels of a recording are stored."""
    return audio.with_suffix(".levels")

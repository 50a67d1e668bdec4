"""A rotating file of JSON lines that contains each event exactly once, even after `kill -9`.

The checkpoint contains the file's size after the last batch (`FileState`). Anything after that may be an incomplete
batch: it is cut off and written again, if the inode and the last bytes show that this is the same file. An unknown file
is never cut, only appended to.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import FileIO
from pathlib import Path

from ...sse import Cursor
from .checkpoint import CheckpointError, FileState
from .sink import MOST_BYTES, Batch, DeliveryFailed
from .targets import Target

logger = logging.getLogger(__name__)

_EVENTS = 250
"""Maximum events in one write, which takes about a millisecond."""
_TIME = "%Y%m%dT%H%M%SZ"
_END = 64
"""Bytes at the end of a file whose hash identifies it."""


class JSONLines:
    """Appends to one file, which only the hub writes, and rotates it. A `Sink`.

    `state`: the file's state in the checkpoint; `save` stores a new one with the same cursor.
    """

    def __init__(self, target: Target, state: FileState | None, save: Callable[[FileState], None]) -> None:
        self._path = Path(target.address)
        self._shown = target.shown
        self._rotate, self._keep = target.rotate, target.keep
        self._state = state
        self._save = save
        self._file: FileIO | None = None
        self._newline = False
        """Whether the file ends within a line, which a newline must complete first."""
        self._last_warning = ""

    def limits(self) -> tuple[int, int]:
        room = self._rotate - (self._state.size if self._state else 0)
        return _EVENTS, min(room if room > 0 else self._rotate, MOST_BYTES)

    def send(self, batch: Batch) -> FileState:
        data = b"\n".join([*(item.data for item in batch.items), b""])
        try:
            state = self._open()
            if state.size and state.size + len(data) > self._rotate:
                state = self._rotate_before(batch)
            return self._append(state, data)
        except OSError as error:
            self.close()
            raise DeliveryFailed(f"{self._shown} cannot be written ({error.strerror})") from None
        except CheckpointError as error:
            self.close()
            raise DeliveryFailed(str(error)) from None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> FileState:
        """Open the file, unless it is open, and return its state; nothing follows `size`."""
        if self._file is not None and not self._still_there(self._file):
            self.close()  # moved away, as logrotate does
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = FileIO(self._path, "a+")
            return self._recognize(self._file)
        assert self._state is not None
        size = os.fstat(self._file.fileno()).st_size
        return self._state if size == self._state.size else self._adopt(self._file)

    def _still_there(self, file: FileIO) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(file.fileno()))
        except FileNotFoundError:
            return False

    def _recognize(self, file: FileIO) -> FileState:
        """The state of a newly opened file; if it is the one in the checkpoint, cut off what follows."""
        now, state = os.fstat(file.fileno()), self._state
        if state and state.inode == now.st_ino and state.size <= now.st_size and state.end == _end(file, state.size):
            if now.st_size > state.size:
                file.truncate(state.size)
            self._newline = _within_a_line(file, state.size)
            return state
        return self._adopt(file)

    def _adopt(self, file: FileIO) -> FileState:
        """Continue at the end of a file that is new or was changed. Its state is saved before anything is written, so
        that after a kill the next write is recognized as incomplete."""
        now = os.fstat(file.fileno())
        state = FileState(now.st_ino, now.st_size, _end(file, now.st_size))
        self._save(state)
        self._state, self._newline = state, _within_a_line(file, state.size)
        return state

    def _append(self, state: FileState, data: bytes) -> FileState:
        file = self._file
        assert file is not None
        if self._newline:
            data = b"\n" + data
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[file.write(rest) or 0 :]
        except OSError:
            file.truncate(state.size)  # if even this fails, the next `_open` truncates
            raise
        self._newline = False
        size = state.size + len(data)
        self._state = FileState(state.inode, size, _end(file, size))
        return self._state

    # -- rotation ----------------------------------------------------------------------------------------------------

    def _rotate_before(self, batch: Batch) -> FileState:
        """Rename the file and start a new one for `batch`; if that fails, warn and let the file grow."""
        try:
            rotated = self._rotated_name(batch.items[0].cursor)
            self.close()  # Windows cannot rename an open file
            os.rename(self._path, rotated)
        except OSError as error:
            self._warn(f"{self._shown} cannot be rotated and keeps growing ({error.strerror})")
            return self._open()
        self._prune()
        return self._open()

    def _rotated_name(self, next: Cursor) -> Path:
        """A name that sorts after all existing ones even if the clock was set back, so that files sort by age."""
        stem, end = self._path.stem, f"-{next.epoch}-{max(0, next.offset - 1):012d}{self._path.suffix}"
        name = f"{stem}-{datetime.now(UTC):{_TIME}}{end}"
        for newest in self._rotated()[-1:]:
            if newest.name >= name:
                try:
                    at = datetime.strptime(newest.name[len(stem) + 1 :].partition("-")[0], _TIME).replace(tzinfo=UTC)
                    name = f"{stem}-{at + timedelta(seconds=1):{_TIME}}{end}"
                except (ValueError, OverflowError):
                    raise FileExistsError(0, f"no later time than that in {newest.name} exists") from None
        return self._path.with_name(name)

    def _rotated(self) -> list[Path]:
        return rotated_files(self._path)

    def _prune(self) -> None:
        """Delete the oldest rotated files beyond `keep`."""
        try:
            for old in self._rotated()[: -self._keep] if self._keep else ():
                old.unlink()
        except OSError as error:
            self._warn(f"old files of {self._shown} cannot be deleted ({error.strerror})")

    def _warn(self, text: str) -> None:
        """Log a warning, unless it repeats the previous one."""
        if self._last_warning != text:
            self._last_warning = text
            logger.warning("forwarding: %s", text)


def rotated_files(path: Path, more: str = "") -> list[Path]:
    """The rotated files of the file at `path`, oldest first. `more`: what their names have after the suffix (`.gz`)."""
    pattern = re.compile(
        re.escape(path.stem) + r"-[0-9]{8}T[0-9]{6}Z-[0-9a-z]{1,16}-[0-9]{12,18}" + re.escape(path.suffix + more)
    )
    try:
        return sorted(entry for entry in path.parent.iterdir() if pattern.fullmatch(entry.name))
    except FileNotFoundError:
        return []


def _last_bytes(file: FileIO, end: int, count: int) -> bytes:
    """Up to `count` bytes of `file` before `end`."""
    begin = max(0, end - count)
    file.seek(begin)
    data = b""
    while len(data) < end - begin and (more := file.read(end - begin - len(data))):
        data += more
    return data


def _within_a_line(file: FileIO, size: int) -> bool:
    return size > 0 and _last_bytes(file, size, 1) != b"\n"


def _end(file: FileIO, size: int) -> str:
    return hashlib.sha256(_last_bytes(file, size, _END)).hexdigest()[:16]

"""A file of JSON lines that rotates: each event once, through `kill -9`.

The place of the target says how long the file was when the last batch was in it (`Mark`). What is behind that is a batch
that nobody knows to be complete: it is cut off, and written again. For that the file has to be the same one, which its
inode and its last bytes tell. A file that the hub does not know is never cut, only added to.
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
from .place import Mark, PlaceError
from .sink import MOST_BYTES, Batch, Failed
from .targets import Target

logger = logging.getLogger(__name__)

_EVENTS = 250
"""Events in one write, at the most: about a millisecond."""
_TIME = "%Y%m%dT%H%M%SZ"
_END = 64
"""Bytes at the end by which a file is known again."""


class JSONLines:
    """Appends to one file, which is the hub's alone, and rotates it. A `Sink`.

    `mark`: how the file was when its place was saved last; `note` saves the place as it is with another mark.
    """

    def __init__(self, target: Target, mark: Mark | None, note: Callable[[Mark], None]) -> None:
        self._path = Path(target.address)
        self._shown = target.shown
        self._rotate, self._keep = target.rotate, target.keep
        self._mark = mark
        self._note = note
        self._file: FileIO | None = None
        self._newline = False
        """The file that is there ends within a line."""
        self._told = ""

    def limits(self) -> tuple[int, int]:
        room = self._rotate - (self._mark.size if self._mark else 0)
        return _EVENTS, min(room if room > 0 else self._rotate, MOST_BYTES)

    def send(self, batch: Batch) -> Mark:
        data = b"\n".join([*(item.data for item in batch.items), b""])
        try:
            mark = self._ready()
            if mark.size and mark.size + len(data) > self._rotate:
                mark = self._begin_another(batch)
            return self._append(mark, data)
        except OSError as error:
            self.close()
            raise Failed(f"{self._shown} cannot be written ({error.strerror})") from None
        except PlaceError as error:
            self.close()
            raise Failed(str(error)) from None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _ready(self) -> Mark:
        """Have the file open, with nothing behind the mark."""
        if self._file is not None and not self._still_there(self._file):
            self.close()  # somebody has moved it away, as logrotate does
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = FileIO(self._path, "a+")
            return self._known(self._file)
        assert self._mark is not None
        size = os.fstat(self._file.fileno()).st_size
        return self._mark if size == self._mark.size else self._adopt(self._file)

    def _still_there(self, file: FileIO) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(file.fileno()))
        except FileNotFoundError:
            return False

    def _known(self, file: FileIO) -> Mark:
        """The mark of a file that was just opened; what was written behind it is cut off."""
        now, mark = os.fstat(file.fileno()), self._mark
        if mark and mark.inode == now.st_ino and mark.size <= now.st_size and mark.end == _end(file, mark.size):
            if now.st_size > mark.size:
                file.truncate(mark.size)
            self._newline = _within_a_line(file, mark.size)
            return mark
        return self._adopt(file)

    def _adopt(self, file: FileIO) -> Mark:
        """Go on at the end of a file that is new, or not as it was left. It is noted before anything is written, so that
        after a kill what is written next is recognised."""
        now = os.fstat(file.fileno())
        mark = Mark(now.st_ino, now.st_size, _end(file, now.st_size))
        self._note(mark)
        self._mark, self._newline = mark, _within_a_line(file, mark.size)
        return mark

    def _append(self, mark: Mark, data: bytes) -> Mark:
        file = self._file
        assert file is not None
        if self._newline:
            data = b"\n" + data
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[file.write(rest) or 0 :]
        except OSError:
            file.truncate(mark.size)  # where not even this works, it is done when the file is opened again
            raise
        self._newline = False
        size = mark.size + len(data)
        self._mark = Mark(mark.inode, size, _end(file, size))
        return self._mark

    # -- rotation ----------------------------------------------------------------------------------------------------

    def _begin_another(self, batch: Batch) -> Mark:
        """Put the file aside under a name of its own, and begin a new one; where that fails it grows on, and says so."""
        try:
            aside = self._aside(batch.items[0].cursor)
            self.close()  # Windows moves no open file
            os.rename(self._path, aside)
        except OSError as error:
            self._tell(f"{self._shown} cannot be put aside and grows on ({error.strerror})")
            return self._ready()
        self._prune()
        return self._ready()

    def _aside(self, next: Cursor) -> Path:
        """A name behind all that are there, whatever the clock says, so that what is older is what sorts before."""
        stem, end = self._path.stem, f"-{next.epoch}-{max(0, next.offset - 1):012d}{self._path.suffix}"
        name = f"{stem}-{datetime.now(UTC):{_TIME}}{end}"
        for newest in self._rotated()[-1:]:
            if newest.name >= name:
                try:
                    at = datetime.strptime(newest.name[len(stem) + 1 :].partition("-")[0], _TIME).replace(tzinfo=UTC)
                    name = f"{stem}-{at + timedelta(seconds=1):{_TIME}}{end}"
                except (ValueError, OverflowError):
                    raise FileExistsError(0, f"no time comes after the one in {newest.name}") from None
        return self._path.with_name(name)

    def _rotated(self) -> list[Path]:
        """The files that rotation has named, oldest first."""
        pattern = re.compile(
            re.escape(self._path.stem)
            + r"-[0-9]{8}T[0-9]{6}Z-[0-9a-z]{1,16}-[0-9]{12,18}"
            + re.escape(self._path.suffix)
        )
        return sorted(entry for entry in self._path.parent.iterdir() if pattern.fullmatch(entry.name))

    def _prune(self) -> None:
        """Remove the oldest files but `keep`, of those that rotation has named."""
        try:
            for old in self._rotated()[: -self._keep] if self._keep else ():
                old.unlink()
        except OSError as error:
            self._tell(f"old files beside {self._shown} cannot be removed ({error.strerror})")

    def _tell(self, text: str) -> None:
        """Into the hub's log, once for each reason in a row."""
        if self._told != text:
            self._told = text
            logger.warning("forwarding: %s", text)


def _last_bytes(file: FileIO, end: int, count: int) -> bytes:
    """Up to `count` bytes of `file` before `end`."""
    begin = max(0, end - count)
    file.seek(begin)
    found = b""
    while len(found) < end - begin and (more := file.read(end - begin - len(found))):
        found += more
    return found


def _within_a_line(file: FileIO, size: int) -> bool:
    return size > 0 and _last_bytes(file, size, 1) != b"\n"


def _end(file: FileIO, size: int) -> str:
    return hashlib.sha256(_last_bytes(file, size, _END)).hexdigest()[:16]

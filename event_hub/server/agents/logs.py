"""An agent's log file: bounded on disk, shown without secrets and control characters."""

from __future__ import annotations

import os
from pathlib import Path

from .mask import Mask, shown

MOST = 1 << 20
"""Bytes beyond which a log is cut to …"""
KEPT = 256 << 10
"""… this many of its newest bytes."""
MAX_LINES = 2000
_FEW = 50
"""For up to this many lines, an eighth of that is read."""
_CATCH_UP = 5
"""How often a cut reads again for what was written meanwhile."""
_CUT = b"... (the hub removed older lines)\n"
_PARTIAL = b"... (the start of this line is missing) "
"""Precedes a line that is longer than the part that is read. It may start with half a secret, which no pattern finds."""


class LogFile:
    """The file for an agent's stdout and stderr."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> int:
        """A descriptor for the program. It always appends, so that the file can be cut while it is open. Raises OSError."""
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def cut(self) -> None:
        """If the file is too large, keep its newest part. Lines that are written at that very moment can be lost or come
        out of order."""
        try:
            if self.path.stat().st_size <= MOST:
                return
            newest = self._newest(KEPT, _CATCH_UP)
            with self.path.open("ab") as file:
                file.truncate(0)
                file.write(_CUT + newest)
        except OSError:
            pass  # a full disk or a missing file does not stop the agent

    def tail(self, lines: int, mask: Mask) -> list[str]:
        """The last lines, ready to show."""
        try:
            newest = self._newest(KEPT if lines > _FEW else KEPT // 8)
        except OSError:
            return []
        found = [line for line in newest.decode("utf-8", "replace").split("\n") if line.strip()]
        return [shown(_whole(line, mask.reach), mask) for line in found[-lines:]] if lines > 0 else []

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def _newest(self, size: int, again: int = 0) -> bytes:
        """The end of the file, from the start of a line; `again`: how often to read once more for new data."""
        if not self.path.is_file():
            raise FileNotFoundError(self.path)  # or it is a pipe, which would block
        with self.path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - size))
            newest = file.read(size)
            while again and (more := file.read(size)):
                newest, again = newest + more, again - 1
        return newest if end <= size else newest.partition(b"\n")[2] or _PARTIAL + newest


def _whole(line: str, reach: int) -> str:
    """The line. If its start is missing, without the part that could be half a secret."""
    mark = _PARTIAL.decode()
    return mark + line[len(mark) + reach :] if line.startswith(mark) else line

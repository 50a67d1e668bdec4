"""An agent's log file: kept small, shown without secrets and control characters."""

from __future__ import annotations

import os
from pathlib import Path

from .mask import Mask, shown

MOST = 1 << 20
"""Bytes from which on a log is cut, and …"""
KEPT = 256 << 10
"""… how many of the newest are kept then."""
MAX_LINES = 2000
_FEW = 50
"""Lines for which an eighth of that is read."""
_CATCH_UP = 5
"""Times that a cut reads what has been written while it read."""
_CUT = b"... (the hub has cut older lines off)\n"
_PARTIAL = b"... (the beginning of this line is cut off) "
"""Before a line that is longer than what is read or kept. Half a secret may stand there, which nobody would know."""


class LogFile:
    """What an agent writes to stdout and stderr."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> int:
        """A descriptor for the program: it only ever appends, so that the file can be cut under it. Raises OSError."""
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def cut(self) -> None:
        """Keep the newest part where the file has grown too large. Of what a flood writes at that very moment, some may be
        lost, or come before what was written earlier."""
        try:
            if self.path.stat().st_size <= MOST:
                return
            newest = self._newest(KEPT, _CATCH_UP)
            with self.path.open("ab") as file:
                file.truncate(0)
                file.write(_CUT + newest)
        except OSError:
            pass  # a full disk, or the file is gone: the agent goes on all the same

    def tail(self, lines: int, mask: Mask) -> list[str]:
        """The last lines, ready to be shown."""
        try:
            newest = self._newest(KEPT if lines > _FEW else KEPT // 8)
        except OSError:
            return []
        found = [line for line in newest.decode("utf-8", "replace").split("\n") if line.strip()]
        return [shown(_whole(line, mask.reach), mask) for line in found[-lines:]] if lines > 0 else []

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def _newest(self, size: int, again: int = 0) -> bytes:
        """The end of the file, from the beginning of a line on; `again`: so often see whether there is more by now."""
        if not self.path.is_file():
            raise FileNotFoundError(self.path)  # or a pipe, which would keep us waiting
        with self.path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - size))
            newest = file.read(size)
            while again and (more := file.read(size)):
                newest, again = newest + more, again - 1
        return newest if end <= size else newest.partition(b"\n")[2] or _PARTIAL + newest


def _whole(line: str, reach: int) -> str:
    """The line, less what could be half a secret where its beginning is not there."""
    mark = _PARTIAL.decode()
    return mark + line[len(mark) + reach :] if line.startswith(mark) else line

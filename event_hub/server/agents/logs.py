"""An agent's log file: kept small, shown without secrets and control characters."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

MOST = 1 << 20
"""Bytes from which on a log is cut, and …"""
KEPT = 256 << 10
"""… how many of the newest are kept then."""
MAX_LINES = 2000
_FEW = 50
"""Lines for which an eighth of that is read."""
_MAX_LINE = 2000
"""Characters of a line that are shown."""
_CATCH_UP = 5
"""Times that a cut reads what has been written while it read."""
_CUT = b"... (the hub has cut older lines off)\n"

_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASSW|CREDENTIAL", re.IGNORECASE)
_SHORTEST = 4
"""Characters of a value that is worth hiding: `1` in a variable called …_KEY_VERSION would blot out half of the log."""
_LOOKS_SECRET = re.compile(
    r"(\b(?:Bearer|Basic)\s+|[?&](?:access_token|api_key|key|token)=)[^\s&,;\"']+"
    r"|(://[^\s/:@]*:)[^\s/@]+(?=@)"
    r"|\beyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?"
    r"|\bsk-[\w-]{12,}",
    re.IGNORECASE,
)
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


class Mask:
    """Hides what must not be shown: the values of variables whose names look secret, tokens, and passwords in addresses."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        values = {v.strip() for n, v in environ.items() if _SECRET_NAME.search(n) and len(v.strip()) >= _SHORTEST}
        longest_first = sorted(values, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        """`text` with `***` for every secret."""
        if self._values:
            text = self._values.sub("***", text)
        return _LOOKS_SECRET.sub(lambda found: f"{found[1] or found[2] or ''}***", text)


def shown(line: str, mask: Mask) -> str:
    """A line as it is shown: what a terminal would leave of it, without secrets, at most 2000 characters."""
    text = mask(_CONTROL.sub("", line.rstrip("\r").rsplit("\r", 1)[-1]))
    return text if len(text) <= _MAX_LINE else f"{text[:_MAX_LINE]}…"


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
        return [shown(line, mask) for line in found[-lines:]] if lines > 0 else []

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def _newest(self, size: int, again: int = 0) -> bytes:
        """The end of the file, from the beginning of a line on; `again`: so often see whether there is more by now."""
        with self.path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - size))
            newest = file.read(size)
            while again and (more := file.read(size)):
                newest, again = newest + more, again - 1
        return newest if end <= size else newest.partition(b"\n")[2] or newest

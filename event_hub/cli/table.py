"""Events as rows of CSV (RFC 4180). Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

COLUMNS = ("id", "timestamp", "room", "session", "type", "participant", "role", "text", "fields")
_OWN = frozenset(COLUMNS) - {"id", "fields"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Table:
    """Rows as bytes: UTF-8, CRLF. `spreadsheet`: for Excel and its like, which take a cell that begins with `=`, `+`,
    `-` or `@` for a formula and UTF-8 for something else: such cells get a `'` in front, the file a byte order mark."""

    def __init__(self, spreadsheet: bool = False) -> None:
        self._spreadsheet = spreadsheet

    def header(self) -> bytes:
        """The first row."""
        return (b"\xef\xbb\xbf" if self._spreadsheet else b"") + _row(COLUMNS)

    def row(self, id: str, event: Mapping[str, Any]) -> bytes:
        """An event's row. Fields without a column of their own are JSON in the last one; what is absent is empty."""
        text = event.get("text")
        rest = {k: v for k, v in event.items() if k not in _OWN or (k == "text" and not isinstance(text, str))}
        cells = [id, *(self._cell(event.get(name)) for name in COLUMNS[1:-2])]
        cells.append(self._cell(text) if isinstance(text, str) else "")
        cells.append(self._cell(msgspec.json.encode(rest).decode() if rest else ""))
        return _row(cells)

    def _cell(self, value: Any) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            return msgspec.json.encode(value).decode()
        return f"'{value}" if self._spreadsheet and value.startswith(_FORMULA) else value


def _row(cells: Iterable[str]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().encode("utf-8", "replace")

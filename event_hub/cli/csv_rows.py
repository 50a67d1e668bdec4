"""Events as CSV rows (RFC 4180). Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

COLUMNS = ("id", "timestamp", "room", "session", "type", "participant", "role", "text", "fields")
_FIELDS_WITH_COLUMN = frozenset(COLUMNS) - {"id", "fields"}
_FORMULA_START = ("=", "+", "-", "@", "\t", "\r")


class CSVRows:
    """Encodes rows in UTF-8 with CRLF. `spreadsheet`: for programs such as Excel, which treat a cell that starts with
    `=`, `+`, `-` or `@` as a formula and do not detect UTF-8: such cells are prefixed with `'`, and the file starts with
    a byte order mark."""

    def __init__(self, spreadsheet: bool = False) -> None:
        self._spreadsheet = spreadsheet

    def header(self) -> bytes:
        """The header row."""
        return (b"\xef\xbb\xbf" if self._spreadsheet else b"") + _encode(COLUMNS)

    def row(self, id: str, event: Mapping[str, Any]) -> bytes:
        """The row of one event. Fields without a column of their own are JSON in the last; missing fields are empty."""
        text = event.get("text")
        rest = {
            name: value
            for name, value in event.items()
            if name not in _FIELDS_WITH_COLUMN or (name == "text" and not isinstance(text, str))
        }
        cells = [id, *(self._cell(event.get(name)) for name in COLUMNS[1:-2])]
        cells.append(self._cell(text) if isinstance(text, str) else "")
        cells.append(self._cell(msgspec.json.encode(rest).decode() if rest else ""))
        return _encode(cells)

    def _cell(self, value: Any) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            return msgspec.json.encode(value).decode()
        return f"'{value}" if self._spreadsheet and value.startswith(_FORMULA_START) else value


def _encode(cells: Iterable[str]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().encode("utf-8", "replace")

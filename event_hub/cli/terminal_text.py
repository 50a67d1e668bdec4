"""Make untrusted text safe for a terminal, and fit it into columns. Pure."""

from __future__ import annotations

import re
import unicodedata

# C0, DEL and C1 move the cursor, change the window title or inject input; the others change the writing direction or
# break the line; lone surrogates cannot be encoded.
_UNSAFE = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_NAMES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    code = ord(character)
    return _NAMES.get(character) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def escape(text: str, keep: str = "") -> str:
    """`text` with control characters escaped (`\\x1b`), except those in `keep`."""
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _escape(found), text)


def escape_json(text: str) -> str:
    """JSON text with the control characters that JSON allows unescaped as `\\u009b`: the same value, safe to print."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def width(text: str) -> int:
    """The number of terminal columns that `text` occupies."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut_end(text: str, columns: int) -> str:
    """The start of `text` that fits, followed by `…` if it was cut."""
    return text if width(text) <= columns else _fit(text, columns - 1) + "…"


def cut_start(text: str, columns: int) -> str:
    """The end of `text` that fits, preceded by `…` if it was cut."""
    return text if width(text) <= columns else "…" + _fit(text[::-1], columns - 1)[::-1]


def _fit(text: str, columns: int) -> str:
    used = 0
    for at, character in enumerate(text):
        used += _columns(character)
        if used > columns:
            return text[:at]
    return text

"""Text of somebody else's, made harmless for a terminal. Pure."""

from __future__ import annotations

import re
import unicodedata

# C0, DEL and C1 move the cursor, change the title, answer as if somebody had typed; the others turn the direction of
# writing or break the line; half surrogates cannot be written at all.
_UNSAFE = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_NAMES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    code = ord(character)
    return _NAMES.get(character) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def plain(text: str, keep: str = "") -> str:
    """`text` with control characters written as escapes (`\\x1b`), but for those in `keep`."""
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _escape(found), text)


def plain_json(text: str) -> str:
    """JSON text with the control characters that JSON allows raw as `\\u009b`: the same value, harmless."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def head(text: str, columns: int) -> str:
    """As much of the beginning of `text` as fits, with `…` where it was cut."""
    return text if width(text) <= columns else _fit(text, columns - 1) + "…"


def tail(text: str, columns: int) -> str:
    """As much of the end of `text` as fits, with `…` where it was cut."""
    return text if width(text) <= columns else "…" + _fit(text[::-1], columns - 1)[::-1]


def _fit(text: str, columns: int) -> str:
    used = 0
    for at, character in enumerate(text):
        used += _columns(character)
        if used > columns:
            return text[:at]
    return text

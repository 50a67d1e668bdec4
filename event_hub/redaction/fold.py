"""One spelling for characters that look alike, so that `４１１１`, `٤١١١` and `4111` are the same to every detector."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

INVISIBLE = "\u200b"
"""What every character without a width becomes: it may stand between any two characters of a number or an address."""
_DASHES = "‐‑‒–—―−﹘﹣－˗⁃"


def fold(text: str) -> str:
    """`text` with digits, dashes, spaces and full-width forms in ASCII; as long as before, character by character."""
    return text if text.isascii() else "".join(map(_fold, text))


@lru_cache(maxsize=4096)
def _fold(character: str) -> str:
    if character.isascii():
        return character
    if character in _DASHES:
        return "-"
    kind = unicodedata.category(character)
    if kind in ("Cf", "Mn", "Me"):
        return INVISIBLE
    if kind == "Cs":
        return "\ufffd"  # half a surrogate pair, which no engine takes
    digit = unicodedata.decimal(character, None)
    if digit is None:
        digit = unicodedata.digit(character, None)  # ① ² and such
    if digit is not None:
        return str(digit)
    if kind == "Zs":
        return " "
    plain = unicodedata.normalize("NFKC", character)
    return plain if len(plain) == 1 else character

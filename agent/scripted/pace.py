"""How fast people speak, in seconds at human speed."""

from __future__ import annotations

LETTERS_PER_SECOND = 15.0
"""Calm speech: about 160 words a minute."""
PAUSES = {",": 0.15, ";": 0.2, ":": 0.2, ".": 0.3, "?": 0.3, "!": 0.3}
"""Seconds of pause after a word that ends in this character."""


def spoken_seconds(word: str) -> float:
    """Seconds to say a word and the space after it."""
    return (len(word) + 1) / LETTERS_PER_SECOND + PAUSES.get(word[-1:], 0.0)

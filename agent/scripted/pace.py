"""How fast people speak, think and listen, in seconds at human speed."""

from __future__ import annotations

LETTERS_PER_SECOND = 15.0
"""Of somebody who speaks calmly: about 160 words a minute."""
BREATH = {",": 0.15, ";": 0.2, ":": 0.2, ".": 0.3, "?": 0.3, "!": 0.3}
"""The pause after a word that ends so."""


def spoken(word: str) -> float:
    """Seconds that a word takes with the space after it."""
    return (len(word) + 1) / LETTERS_PER_SECOND + BREATH.get(word[-1:], 0.0)

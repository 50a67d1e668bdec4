"""Made-up weather for the example tool, derived from the place's name and therefore always the same for it."""

from __future__ import annotations

import hashlib

_SKIES = (
    "sunny", "partly cloudy", "cloudy with a light breeze", "light rain", "showers and sunny spells", "foggy, then clear",
    "windy but dry", "clear and calm",
)  # fmt: skip
_KNOWN = {"san francisco": "sunny, 68°F"}
"""Places in the documents that this project follows."""


def example_weather(place: str) -> str:
    """`Oslo` → `light rain, 17 degrees`."""
    known = _KNOWN.get(place.strip().lower())
    if known is not None:
        return known
    digest = hashlib.sha256(place.strip().lower().encode()).digest()
    return f"{_SKIES[digest[0] % len(_SKIES)]}, {8 + digest[1] % 20} degrees"

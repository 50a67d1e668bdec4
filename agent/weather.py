"""Example data for the example tool: made up from the place's name, the same for it every time. No forecast."""

from __future__ import annotations

import hashlib

_SKIES = (
    "sunny", "partly cloudy", "cloudy with a light breeze", "light rain", "showers and sunny spells", "foggy, then clear",
    "windy but dry", "clear and calm",
)  # fmt: skip


def example_weather(place: str) -> str:
    """`Oslo` → `light rain, 17 degrees`: plausible, and invented."""
    digest = hashlib.sha256(place.strip().lower().encode()).digest()
    return f"{_SKIES[digest[0] % len(_SKIES)]}, {8 + digest[1] % 20} degrees"

"""The agent itself: its instructions and its tool. Replace it with your own."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit.agents import Agent, function_tool

from .weather import example_weather

DEFAULT_INSTRUCTIONS = (
    "You are a friendly voice assistant. The user talks to you, and hears what you write. Answer in one or two short "
    "sentences, without markup, lists or emoji. For questions about the weather use the tool lookup_weather."
)
LOOKUP_SECONDS = 0.3
"""Simulated response time of a weather service, so that the tool call can be seen on the page."""


class Assistant(Agent):
    """Greets, answers, and looks up the weather. `instructions` replace the default; `speed` scales the tool's delay."""

    def __init__(self, instructions: str | None = None, *, speed: float = 1.0, **options: Any) -> None:
        super().__init__(instructions=instructions or DEFAULT_INSTRUCTIONS, **options)
        self._speed = speed

    async def on_enter(self) -> None:
        """Greet the user first."""
        self.session.generate_reply(instructions="Greet the user briefly and offer your help.")

    @function_tool
    async def lookup_weather(self, location: str) -> str:
        """Look up the weather for a place. Returns made-up example data, not a forecast.

        Args:
            location: The city or region.
        """
        await asyncio.sleep(LOOKUP_SECONDS / self._speed)
        return example_weather(location)

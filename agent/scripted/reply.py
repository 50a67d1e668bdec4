"""A scripted reply, and the pace of the model that says it. Pure, and without LiveKit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FIRST_TOKEN = 0.35
"""Seconds until the first text or tool call, as with a fast model."""
WORDS_PER_SECOND = 25.0
CALL_TOKENS = 12
"""Tokens of a tool call."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The model's text, or the tool that it calls instead. `failures`: this many requests fail first."""

    text: str = ""
    tool: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    failures: int = 0


def words(text: str) -> list[str]:
    """The words, each but the first with the space before it, so that they join to the text."""
    parts = text.split(" ")
    return [word if index == 0 else f" {word}" for index, word in enumerate(parts)] if text else []


def tokens(text: str) -> int:
    """Roughly as many as a model would count."""
    return (len(text) + 3) // 4

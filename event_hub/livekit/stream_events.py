"""The events of a stream of the agent's text. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Source: TypeAlias = Literal["transcription", "llm"]
"""Where text was read: as the session outputs it, or raw, as the LLM writes it."""


@dataclass(frozen=True)
class TextDeltaEvent:
    """A piece of text. Deltas may be dropped if the reader is slow; `accumulated` always has all the text so far."""

    delta: str
    """The new text."""
    accumulated: str
    """All text of this generation so far, including `delta`."""
    type: Literal["text_delta"] = "text_delta"
    source: Source = "transcription"


@dataclass(frozen=True)
class TextCompleteEvent:
    """A generation has ended: the model has written its text, or was interrupted."""

    text: str
    """The whole text of this generation; after an interruption, the part that was written."""
    type: Literal["text_complete"] = "text_complete"
    source: Source = "transcription"
    interrupted: bool = False


StreamEvent: TypeAlias = TextDeltaEvent | TextCompleteEvent

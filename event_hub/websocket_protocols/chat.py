"""The text chat: `/` and `/chat`. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .base import Frame

# -- client → server ---------------------------------------------------------------------------------------------------


class Message(Frame):
    """The user writes. Messages are answered one after another."""

    type: Literal["message"] | None = Field(None, description="may be absent")
    message: str = Field(description="what the user writes")


class Cancel(Frame):
    """Interrupts the reply in progress: its `complete` and `result` follow."""

    type: Literal["cancel"] = "cancel"


# -- server → client ---------------------------------------------------------------------------------------------------


class Ready(Frame):
    """The first frame: the agent waits for messages."""

    type: Literal["ready"] = "ready"
    message: str = "Agent ready"


class Delta(Frame):
    """The agent writes. The deltas of a generation join to the text of its `complete`."""

    type: Literal["delta"] = "delta"
    delta: str = Field(description="the new text")
    accumulated: str = Field(description="all text of this generation so far")


class Complete(Frame):
    """A generation has ended. A turn has one generation, and another one after each tool call."""

    type: Literal["complete"] = "complete"
    text: str = Field(description="the whole text of this generation; empty if the turn has no text")
    interrupted: bool | None = Field(None, description="true if the generation was interrupted")


class FunctionCall(Frame):
    """The agent called a tool."""

    type: Literal["function_call"] = "function_call"
    name: str
    arguments: str = Field(description="JSON")


class FunctionCallOutput(Frame):
    """What the tool returned."""

    type: Literal["function_call_output"] = "function_call_output"
    output: str


class ChatMessage(Frame):
    """What the agent wrote."""

    type: Literal["message"] = "message"
    role: str
    content: str


ResultEvent = Annotated[FunctionCall | FunctionCallOutput | ChatMessage, Field(discriminator="type")]


class Result(Frame):
    """The turn is over, also if it failed: exactly one for each message that was accepted."""

    type: Literal["result"] = "result"
    events: tuple[ResultEvent, ...] = Field(description="what happened, in order")


CLIENT: dict[str, type[Frame]] = {"": Message, "message": Message, "cancel": Cancel}
"""Type → model. A message usually has no type."""

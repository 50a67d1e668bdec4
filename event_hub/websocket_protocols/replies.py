"""Streamed replies with speech: `/ws/llm-stream` and `POST /llm/query`. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .base import Error, Frame

Name = Annotated[str, Field(min_length=1, max_length=128)]

# -- client → server ---------------------------------------------------------------------------------------------------


class Turn(Frame):
    """One message of a conversation that the client has kept."""

    role: Literal["user", "assistant", "system"]
    content: str


class Ask(Frame):
    """The user asks. The requests of one session are answered in order."""

    text: str = Field(description="what the user said or wrote")
    session_id: Name | None = Field(None, description="the conversation; without it, the connection is one")
    voice_id: Annotated[str, Field(max_length=128)] | None = Field(
        None, description="the voice of the spoken reply; absent: the default voice, `none`: no speech"
    )
    chat_history: tuple[Turn, ...] | None = Field(
        None, description="earlier messages; used if the gateway has none of this session"
    )
    request_id: Name | None = Field(
        None, description="sent again after a reconnect, the request is not answered twice: its reply goes on"
    )


class Sync(Frame):
    """Asks for the state of a session, for example after a reconnect."""

    type: Literal["sync"] = "sync"
    session_id: Name


class Cancel(Frame):
    """Ends a reply: its `end` follows, with the text so far."""

    type: Literal["cancel"] = "cancel"
    request_id: Name | None = Field(None, description="absent: the reply that this connection waits for")


# -- server → client ---------------------------------------------------------------------------------------------------


class Start(Frame):
    """The reply begins."""

    type: Literal["start"] = "start"
    message: str = "Starting to generate response..."
    session_id: str
    request_id: str


class Chunk(Frame):
    """A piece of the reply, as the LLM writes it."""

    type: Literal["chunk"] = "chunk"
    content: str
    request_id: str


class End(Frame):
    """The text of the reply is complete."""

    type: Literal["end"] = "end"
    final_response: str = Field(description="all chunks, joined")
    message: str = "Response generation completed"
    request_id: str
    interrupted: bool | None = Field(None, description="true: it was cancelled")


class Audio(Frame):
    """The spoken reply. It follows `end`, unless `voice_id` is `none` or the client has left."""

    type: Literal["audio"] = "audio"
    content_type: Literal["audio/wav"] = "audio/wav"
    data: str = Field(description="a WAV file in base64: 16 bits, mono")
    voice_id: str | None = Field(None, description="the voice that was asked for")
    truncated: bool | None = Field(None, description="true: only the beginning of a long reply is spoken")
    request_id: str


class State(Frame):
    """A session as the gateway knows it."""

    type: Literal["state"] = "state"
    session_id: str
    history: tuple[Turn, ...] = Field(description="oldest first; empty if the session is unknown or forgotten")
    replying: str | None = Field(None, description="the request that is being answered; absent: none")


class Spoken(Frame):
    """The speech in the answer of `POST /llm/query`."""

    content_type: Literal["audio/wav"] = "audio/wav"
    data: str
    voice_id: str | None = None
    truncated: bool | None = None


class Answer(Frame):
    """The answer of `POST /llm/query`."""

    response: str
    session_id: str
    request_id: str
    audio: Spoken | None = None
    audio_error: str | None = Field(None, description="why there is no speech, if that failed")


CLIENT: dict[str, type[Frame]] = {"": Ask, "sync": Sync, "cancel": Cancel}
"""Frames that a client may send, by type."""
SERVER: tuple[type[Frame], ...] = (Start, Chunk, End, Audio, State, Error)

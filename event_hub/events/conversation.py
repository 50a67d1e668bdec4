"""What is said and heard: transcripts, text as it streams, audible speech."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from .envelope import Event, Seconds, Text


class Transcript(Event):
    when: ClassVar[str] = "user: interim and final; agent: what was really said, when playout ends"
    example: ClassVar[dict[str, Any]] = {
        "type": "transcript",
        "text": "What is the weather in Oslo?",
        "participant": "caller_1",
        "role": "user",
        "final": True,
        "utterance": "u1",
    }
    type: Literal["transcript"]
    text: Text
    final: bool | None = Field(None, description="false for an interim; without it the transcript counts as final")
    interrupted: bool | None = Field(None, description="the user cut the agent off here")
    typed: bool | None = Field(None, description="the user wrote it instead of saying it")


Source = Annotated[
    Text | None,
    Field(
        description="where it was read: `transcription`, as the session gives it out, or `llm`, as the model writes it"
    ),
]


class AgentTextDelta(Event):
    when: ClassVar[str] = "a piece of the agent's text, as the LLM streams it"
    example: ClassVar[dict[str, Any]] = {"type": "agent_text_delta", "delta": " sunny", "offset": 5, "utterance": "a1"}
    type: Literal["agent_text_delta"]
    delta: Text
    offset: int | None = Field(None, ge=0, description="characters before this delta, so that a lost one shows")
    source: Source = None


class AgentTextComplete(Event):
    when: ClassVar[str] = "the agent's text is complete (which is not: was said)"
    example: ClassVar[dict[str, Any]] = {"type": "agent_text_complete", "text": "It is sunny.", "utterance": "a1"}
    type: Literal["agent_text_complete"]
    text: Text
    source: Source = None


class AgentSpeechStarted(Event):
    when: ClassVar[str] = "the agent becomes audible; one started/finished pair per reply"
    example: ClassVar[dict[str, Any]] = {"type": "agent_speech_started", "utterance": "a1"}
    type: Literal["agent_speech_started"]


class AgentSpeechFinished(Event):
    when: ClassVar[str] = "the reply is over, said or cut off; a resumed false interruption is not a finish"
    example: ClassVar[dict[str, Any]] = {
        "type": "agent_speech_finished",
        "utterance": "a1",
        "interrupted": False,
        "position": 2.4,
    }
    type: Literal["agent_speech_finished"]
    interrupted: bool | None = Field(None, description="the user cut the agent off")
    position: Seconds | None = Field(None, description="seconds of audio that were heard")


class UserSpeechStarted(Event):
    when: ClassVar[str] = "the user starts to speak"
    example: ClassVar[dict[str, Any]] = {"type": "user_speech_started", "participant": "caller_1"}
    type: Literal["user_speech_started"]


class UserSpeechFinished(Event):
    when: ClassVar[str] = "the user stops speaking"
    example: ClassVar[dict[str, Any]] = {"type": "user_speech_finished", "participant": "caller_1"}
    type: Literal["user_speech_finished"]


class AgentFalseInterruption(Event):
    when: ClassVar[str] = "what sounded like an interruption was none"
    example: ClassVar[dict[str, Any]] = {"type": "agent_false_interruption", "resumed": True}
    type: Literal["agent_false_interruption"]
    resumed: bool = Field(description="the agent goes on with what it was saying")

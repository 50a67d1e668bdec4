"""Sessions that are attached and recorded, and helpers for their scripted models and callers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from livekit.agents import AgentSession, llm

from agent.scripted.caller import Caller
from agent.scripted.llm import Answer, ScriptedLLM
from agent.scripted.speaker import Speaker
from agent.scripted.stt import ScriptedSTT
from agent.scripted.tts import ScriptedTTS
from event_hub.client import Publisher
from event_hub.livekit import attach

from ..livekit_truth import Record

SPEED = 6.0


@dataclass
class Stage:
    """Attaches sessions, and records what LiveKit holds about them."""

    publisher: Publisher
    room: str
    records: list[Record] = field(default_factory=list)

    def attach(self, session: AgentSession[Any], **options: Any) -> AgentSession[Any]:
        attachment = attach(session, publisher=self.publisher, room=self.room, **options)
        self.records.append(Record(session, attachment))
        return session


Play = Callable[[Stage], Awaitable[None]]
PLAYS: dict[str, Play] = {}


def play(function: Play) -> Play:
    PLAYS[function.__name__] = function
    return function


def text_session(answer: Answer, **options: Any) -> AgentSession[Any]:
    return AgentSession(llm=ScriptedLLM(answer, speed=50), vad=None, turn_handling={"turn_detection": None}, **options)


def voice_session(
    answer: Answer, *, speed: float = SPEED, turn_detection: str = "stt", **options: Any
) -> tuple[AgentSession[Any], Caller, Speaker]:
    session: AgentSession[Any] = AgentSession(
        stt=ScriptedSTT(),
        llm=ScriptedLLM(answer, speed=speed),
        tts=options.pop("tts", None) or ScriptedTTS(speed=speed),
        vad=None,
        turn_handling={
            "turn_detection": turn_detection,  # type: ignore[typeddict-item]
            "endpointing": {"mode": "fixed", "min_delay": 0.5 / speed, "max_delay": 1.5 / speed},
            "interruption": {
                "mode": "vad",
                "min_duration": 0.3 / speed,
                "resume_false_interruption": True,
                "false_interruption_timeout": 2 / speed,
            },
            "preemptive_generation": {"enabled": options.pop("preemptive", False)},
        },
        user_away_timeout=None,
        aec_warmup_duration=None,
        session_close_transcript_timeout=0.2 / speed,
        **options,
    )
    caller, speaker = Caller(speed), Speaker(speed)
    session.input.audio, session.output.audio = caller, speaker
    return session, caller, speaker


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def answered(session: AgentSession[Any], replies: int) -> None:
    """Wait until the history has this number of the agent's messages and the agent listens again."""

    def rests() -> bool:
        said = [item for item in session.history.items if item.type == "message" and item.role == "assistant"]
        return len(said) >= replies and session.agent_state == "listening"

    await until(rests)


def asked(context: llm.ChatContext) -> str:
    """The last item's text if it is a user message, else an empty string."""
    last = context.items[-1]
    return (last.text_content or "") if last.type == "message" and last.role == "user" else ""


def output(context: llm.ChatContext) -> str:
    """The last item's output if it is a tool output, else an empty string."""
    last = context.items[-1]
    return last.output if last.type == "function_call_output" else ""

"""Plays scripted conversations: a real AgentSession between a scripted caller and a silent loudspeaker."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Any

from livekit.agents import AgentSession, TurnHandlingOptions

from event_hub.livekit import attach, report_ready

from ..assistant import Assistant
from ..running import until_stopped
from .caller import Caller
from .conversations import CONVERSATIONS, Conversation
from .llm import ScriptedLLM
from .speaker import Speaker
from .stt import ScriptedSTT
from .tts import ScriptedTTS

logger = logging.getLogger("agent")

THINKING = 0.9
"""Seconds before the caller replies."""
BETWEEN = 6.0
"""Seconds between two conversations."""
PATIENCE = 30.0
"""Seconds, at any speed, for the agent to reach the next step of the script."""


async def play(
    *, room: str, instructions: str | None, speed: float, times: int | None, stop: asyncio.Event, first: int = 0
) -> None:
    """Play `times` conversations (None: until `stop` is set), starting with number `first`. `stop` ends them early.

    Raises TimeoutError if the session does not follow the script.
    """
    report_ready(f"Playing a scripted conversation in room {room}, which needs no key and no LiveKit server.")
    for number in itertools.count():
        conversation = CONVERSATIONS[(first + number) % len(CONVERSATIONS)]
        logger.info("conversation %d, with %s, in room %s", number + 1, conversation.caller, room)
        await until_stopped(stop, _play_conversation(conversation, room, instructions, speed))
        if stop.is_set() or (times is not None and number + 1 >= times):
            return
        await until_stopped(stop, asyncio.sleep(BETWEEN / speed))
        if stop.is_set():
            return


async def _play_conversation(conversation: Conversation, room: str, instructions: str | None, speed: float) -> None:
    caller, speaker = Caller(speed), Speaker(speed)
    turn_handling: TurnHandlingOptions = {
        "turn_detection": "stt",
        "endpointing": {"mode": "fixed", "min_delay": 0.5 / speed, "max_delay": 1.5 / speed},
        "interruption": {
            "mode": "vad",
            "min_duration": 0.3 / speed,
            "resume_false_interruption": True,
            "false_interruption_timeout": 2.0 / speed,
        },
        "preemptive_generation": {"enabled": False},  # so that events always come in the same order
    }
    session: AgentSession[Any] = AgentSession(
        stt=ScriptedSTT(),
        llm=ScriptedLLM(conversation.answer, speed=speed),
        tts=ScriptedTTS(speed=speed),
        vad=None,
        turn_handling=turn_handling,
        user_away_timeout=15 / speed,
        aec_warmup_duration=None,  # there is no echo
        session_close_transcript_timeout=0.2 / speed,
    )
    session.input.audio, session.output.audio = caller, speaker
    attach(session, room=room, participant=conversation.caller)
    progress = _Progress(session)
    try:
        await session.start(Assistant(instructions, speed=speed))
        await progress.until(lambda: progress.replies >= 1, "the greeting")
        for number, turn in enumerate(conversation.turns, 2):
            if turn.barge_in is not None:
                await asyncio.wait_for(speaker.reach(number - 1, turn.barge_in), PATIENCE)
            else:
                await progress.until(lambda n=number: progress.replies >= n - 1, "the end of the reply")  # type: ignore[misc]
                await asyncio.sleep(THINKING / speed)
            await caller.say(turn.caller)
        await progress.until(lambda: progress.replies > len(conversation.turns), "the goodbye")
        await asyncio.sleep(THINKING / speed)
    finally:
        await session.aclose()


class _Progress:
    """Counts the session's replies, and waits for more."""

    def __init__(self, session: AgentSession[Any]) -> None:
        self._session = session
        self._changed = asyncio.Event()
        self._items = 0
        session.on("conversation_item_added", self._added)
        session.on("agent_state_changed", self._notice)

    @property
    def replies(self) -> int:
        """How many replies are over."""
        return self._items - (self._session.agent_state in ("speaking", "thinking"))

    def _added(self, event: Any) -> None:
        self._items += getattr(event.item, "role", None) == "assistant"
        self._notice()

    def _notice(self, _event: object = None) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(f"the session did not reach {what} within {PATIENCE:g} s") from None

"""The agent that chats, and its session: text only."""

from __future__ import annotations

import copy
import os
from typing import Any

from livekit import rtc
from livekit.agents import Agent, AgentSession, llm
from livekit.agents.voice.agent_session import SessionConnectOptions

from ...assistant import Assistant

INSTRUCTIONS = (
    "You are a helpful assistant. The user chats with you in writing. Answer briefly, without markup. For questions about "
    "the weather use the tool lookup_weather."
)
CONTEXT = 200
"""Items of the conversation that the agent remembers: messages, tool calls and their outputs."""
STATE = "chat"
"""Where a gateway keeps the function that makes the agents, if it is not `ChatAssistant`."""


class ChatAssistant(Assistant):
    """Answers and looks up the weather. It does not greet: the protocol's first frame is `ready`."""

    def __init__(self) -> None:
        super().__init__(os.environ.get("HUB_AGENT_INSTRUCTIONS") or INSTRUCTIONS)

    async def on_enter(self) -> None:
        """Wait for the user."""


def make_session(model: llm.LLM[Any]) -> AgentSession[Any]:
    """A session without audio, for which LiveKit loads no models. `model` may be shared with other sessions."""
    return _Session(
        llm=_with_own_events(model),
        vad=None,
        turn_handling={"turn_detection": None},
        user_away_timeout=None,
        # By default, LiveKit closes a session after the fourth failure in a row: a chat outlives an outage of its LLM.
        conn_options=SessionConnectOptions(max_unrecoverable_errors=1 << 30),
    )


class _Session(AgentSession[Any]):
    """Does not keep its events: LiveKit stores all of them for a report at the end, 19 KiB for each question and answer."""

    def emit(self, event: Any, arg: Any) -> None:
        super(AgentSession, self).emit(event, arg)


async def forget(agent: Agent) -> None:
    """Forget the oldest items of the conversation, if there are too many."""
    if len(agent.chat_ctx.items) > CONTEXT:
        await agent.update_chat_ctx(agent.chat_ctx.copy().truncate(max_items=CONTEXT))
    agent.session.history.truncate(max_items=CONTEXT)


def _with_own_events(model: llm.LLM[Any]) -> llm.LLM[Any]:
    """A copy that shares the model's HTTP client but not its listeners.

    An LLM emits its errors and metrics to all sessions that it is the LLM of. With 200 sessions, each request would be
    counted 200 times, and an error would be reported by 199 sessions that have none.
    """
    own = copy.copy(model)
    rtc.EventEmitter.__init__(own)
    return own

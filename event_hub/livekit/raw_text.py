"""The LLM's raw text as a stream: as early as possible, and before the session's transcription nodes change it."""

from __future__ import annotations

import logging
from typing import Any

from livekit.agents import Agent

from .llm_tap import LLMTap
from .streaming_text_output import QUEUE, StreamingTextOutput

logger = logging.getLogger("event_hub.livekit")


def tap_llm(agent: Agent, *, queue_size: int = QUEUE) -> StreamingTextOutput:
    """Stream what the LLM of `agent` writes, including text that is never said. The events say `source: "llm"`.

    Call it before `session.start(agent)`. The stream is iterated like any `StreamingTextOutput`, but is not attached to
    `session.output`, so both can be used together. It follows this agent only, not those that it hands over to.
    `close()` restores the agent. Realtime models have no LLM text.
    """
    output = _RawTextOutput(queue_size=queue_size, source="llm")
    output.tap = LLMTap(agent, _Drafts(agent, output), _failed)
    return output


class _RawTextOutput(StreamingTextOutput):
    tap: LLMTap | None = None

    def close(self) -> None:
        tap, self.tap = self.tap, None
        if tap is not None:
            tap.remove()
        super().close()


class _Drafts:
    """Writes one agent's drafts to a stream."""

    def __init__(self, agent: Agent, output: StreamingTextOutput) -> None:
        self._agent, self._output = agent, output

    def draft(self, _speech: str | None) -> object:
        try:
            self._output.follow(self._agent.session)
        except RuntimeError as error:  # an llm_node that is called without a session: its flush ends the turn
            _failed("follow", error)
        return self

    def draft_text(self, _draft: Any, delta: str) -> None:
        self._output.write(delta)

    def draft_ended(self, _draft: Any, _complete: bool) -> None:
        self._output.flush()


def _failed(where: str, error: Exception) -> None:
    logger.warning("The LLM's text could not be streamed (%s).", where, exc_info=error)

"""Where the agent's text is read at the LLM itself, before the session's transcription nodes alter it."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from livekit.agents import Agent, llm

from .agent_speech import AgentSpeech, Utterance
from .quietly import Failed


class LLMTap:
    """Tells `speech` what one agent's `llm_node` gives, a draft a call. What fails goes to `failed`."""

    def __init__(self, agent: Agent, speech: AgentSpeech, failed: Failed) -> None:
        self.agent = agent
        self._speech: AgentSpeech | None = speech
        self._failed = failed
        self._node: Any = agent.llm_node
        self._own = "llm_node" in vars(agent)
        vars(agent)["llm_node"] = self._tapped

    def remove(self) -> None:
        """Leave the agent as it was found. Where somebody has wrapped us since, only pass through."""
        self._speech = None
        if vars(self.agent).get("llm_node") == self._tapped:
            if self._own:
                vars(self.agent)["llm_node"] = self._node
            else:
                del vars(self.agent)["llm_node"]

    async def _tapped(self, *arguments: Any, **options: Any) -> Any:
        result = self._node(*arguments, **options)
        if inspect.isawaitable(result):
            result = await result
        draft = self._draft()
        if isinstance(result, AsyncIterable):
            return self._tee(result, draft)
        self._take(result, draft)
        self._end(draft, True)
        return result

    async def _tee(self, chunks: AsyncIterable[Any], draft: Utterance | None) -> AsyncIterator[Any]:
        complete = False
        try:
            async for chunk in chunks:
                self._take(chunk, draft)
                yield chunk
            complete = True
        finally:
            self._end(draft, complete)
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()

    def _draft(self) -> Utterance | None:
        return self._speech.draft() if self._speech else None

    def _take(self, chunk: Any, draft: Utterance | None) -> None:
        try:
            if isinstance(chunk, llm.ChatChunk):
                chunk = chunk.delta.content if chunk.delta else None
            if self._speech and draft and isinstance(chunk, str) and chunk:
                self._speech.draft_text(draft, str(chunk))
        except Exception as error:
            self._failed("llm_node", error)

    def _end(self, draft: Utterance | None, complete: bool) -> None:
        try:
            if self._speech and draft:
                self._speech.draft_ended(draft, complete)
        except Exception as error:
            self._failed("llm_node", error)

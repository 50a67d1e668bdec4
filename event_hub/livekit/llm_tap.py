"""Reads the agent's text at the LLM itself, before the session's transcription nodes change it."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Protocol

from livekit.agents import Agent, llm

from .guarded import Failed
from .job_context import own_speech


class Drafts(Protocol):
    """Receives what an LLM writes: one draft per request. None of the methods waits."""

    def draft(self, speech: str | None) -> Any: ...
    def draft_text(self, utterance: Any, delta: str) -> None: ...
    def draft_ended(self, utterance: Any, complete: bool) -> None: ...


class LLMTap:
    """Reports the output of one agent's `llm_node` to `speech`, one draft per call. `failed` receives errors."""

    def __init__(self, agent: Agent, speech: Drafts, failed: Failed) -> None:
        self.agent = agent
        self._speech: Drafts | None = speech
        self._failed = failed
        self._node: Any = agent.llm_node
        self._own = "llm_node" in vars(agent)
        vars(agent)["llm_node"] = self._tapped

    def remove(self) -> None:
        """Restore the agent. If another wrapper was put around ours, ours only passes through."""
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

    async def _tee(self, chunks: AsyncIterable[Any], draft: Any) -> AsyncIterator[Any]:
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

    def _draft(self) -> Any:
        return self._speech.draft(own_speech()) if self._speech else None

    def _take(self, chunk: Any, draft: Any) -> None:
        try:
            if isinstance(chunk, llm.ChatChunk):
                chunk = chunk.delta.content if chunk.delta else None
            if self._speech and draft and isinstance(chunk, str) and chunk:
                self._speech.draft_text(draft, str(chunk))
        except Exception as error:
            self._failed("llm_node", error)

    def _end(self, draft: Any, complete: bool) -> None:
        try:
            if self._speech and draft:
                self._speech.draft_ended(draft, complete)
        except Exception as error:
            self._failed("llm_node", error)

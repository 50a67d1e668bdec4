"""Answers one request: the LLM with its tools, then the speech. Everything goes into the reply's log, and to the hub."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from types import SimpleNamespace
from typing import Any

from livekit.agents import function_tool, llm

from event_hub.livekit.errors import described
from event_hub.websocket_protocols.base import Error
from event_hub.websocket_protocols.replies import Audio, Chunk, End, Start

from ...assistant import DEFAULT_INSTRUCTIONS, LOOKUP_SECONDS
from ...failure import Failure
from ...weather import example_weather
from ..parts import Parts
from .conversation import Conversation
from .reply import Reply
from .speech import speak

logger = logging.getLogger("agent.gateway")

STEPS = 3
"""Rounds of tool calls in one reply."""
LONGEST_REPLY = 100_000
"""Characters after which a reply is ended."""


@function_tool
async def lookup_weather(location: str) -> str:
    """Look up the weather for a place. Returns made-up example data, not a forecast.

    Args:
        location: The city or region.
    """
    await asyncio.sleep(LOOKUP_SECONDS)
    return example_weather(location)


TOOLS: list[llm.Tool] = [lookup_weather]


class Answering:
    """Answers requests with the gateway's LLM and TTS."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def answer(self, conversation: Conversation, reply: Reply) -> None:
        """Answer one request. Never raises, but for a cancellation of the task."""
        report, request = conversation.report, reply.request_id
        reply.add(Start(session_id=conversation.id, request_id=request))
        report.user_said(reply.ask.text, f"{request}_user", typed=True)
        writing = asyncio.create_task(self._write(conversation, reply))
        cancelled = asyncio.create_task(reply.cancelled.wait())
        try:
            await asyncio.wait([writing, cancelled], return_when=asyncio.FIRST_COMPLETED)
        finally:
            writing.cancel()
            cancelled.cancel()
            results = await asyncio.gather(writing, cancelled, return_exceptions=True)
        failure = results[0] if isinstance(results[0], Exception) else None
        text = reply.text
        interrupted = reply.cancelled.is_set()
        if text:
            report.agent_complete(text, request)
            report.agent_said(text, request, interrupted or failure is not None)
        if failure is not None:
            self._fail(conversation, reply, failure)
            return
        conversation.remember("user", reply.ask.text)
        if text:
            conversation.remember("assistant", text)
        reply.add(End(final_response=text, request_id=request, interrupted=interrupted or None))
        if text.strip() and not interrupted and reply.ask.voice_id != "none" and reply.followers:
            await self._speak(conversation, reply, text)

    async def _write(self, conversation: Conversation, reply: Reply) -> None:
        """Stream the LLM's text into the reply, through its tool calls. Raises what the LLM raises."""
        model = await self._parts.llm()
        context = llm.ChatContext.empty()
        instructions = os.environ.get("HUB_AGENT_INSTRUCTIONS") or DEFAULT_INSTRUCTIONS
        context.add_message(role="system", content=instructions)
        for message in conversation.messages:
            context.add_message(role=message.role, content=message.content)
        context.add_message(role="user", content=reply.ask.text)
        length = 0
        for step in range(STEPS + 1):
            calls: list[llm.FunctionToolCall] = []
            tools = TOOLS if step < STEPS else []
            async with model.chat(chat_ctx=context, tools=tools) as stream:
                async for chunk in stream:
                    if chunk.delta is None:
                        continue
                    if chunk.delta.content and length < LONGEST_REPLY:
                        length += len(chunk.delta.content)
                        reply.add(Chunk(content=chunk.delta.content, request_id=reply.request_id))
                        conversation.report.agent_delta(chunk.delta.content, reply.request_id)
                    calls += chunk.delta.tool_calls or []
            if not calls:
                return
            for call in calls:
                await self._call(conversation, call, context)

    async def _call(self, conversation: Conversation, call: llm.FunctionToolCall, context: llm.ChatContext) -> None:
        report = conversation.report
        report.tool_started(call.call_id, call.name, _arguments(call.arguments))
        result = await llm.execute_function_call(call, llm.ToolContext(TOOLS))
        output = result.fnc_call_out
        report.tool_finished(call.call_id, call.name, output.output, output.is_error)
        context.items += [result.fnc_call, output]

    async def _speak(self, conversation: Conversation, reply: Reply, text: str) -> None:
        request, voice_id = reply.request_id, reply.ask.voice_id
        try:
            voice = await self._parts.tts(voice_id or None)
            data, truncated = await speak(voice, text)
        except Failure as failure:
            code = "bad_voice" if voice_id else "not_configured"
            reply.add(_error(code, failure.sentence, request))
        except Exception as error:
            sentence = _sentence(error, "tts")
            logger.warning("the speech of a reply failed: %s", sentence)
            conversation.report.error(sentence, "tts")
            reply.add(_error("speech_failed", f"{sentence} The text is complete.", request))
        else:
            conversation.report.agent_speech(True, request)
            reply.add(Audio(data=data, voice_id=voice_id, truncated=truncated or None, request_id=request))
            conversation.report.agent_speech(False, request)

    def _fail(self, conversation: Conversation, reply: Reply, error: Exception) -> None:
        """The fallback: the client gets a sentence, the conversation goes on."""
        if isinstance(error, Failure):
            reply.add(_error("not_configured", error.sentence, reply.request_id, retryable=False))
            return
        sentence = _sentence(error, "llm")
        logger.warning("a reply failed: %s", sentence)
        conversation.report.error(sentence, "llm")
        reply.add(_error("reply_failed", f"{sentence} Send the request again.", reply.request_id, retryable=True))


def _error(code: str, sentence: str, request_id: str, retryable: bool | None = None) -> Error:
    return Error(message=sentence, error=sentence, code=code, request_id=request_id, retryable=retryable)


def _sentence(error: Exception, part: str) -> str:
    """What failed, without the exception's own text, which may contain what was said."""
    facts = described(SimpleNamespace(type=f"{part}_error", error=error), None)
    text = str(facts["message"]).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def _arguments(text: str) -> Any:
    try:
        return json.loads(text or "{}")
    except ValueError:
        return {"invalid": text[:200]}

"""The chat with LiveKit's OpenAI plugin, over OpenAI's wire protocol (W03, W18)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import pytest
from livekit.agents import llm
from livekit.plugins import openai

from ...livekit.openai_standin import Standin, Trouble
from .chats import ScriptedParts, chatting, of, run, serving

PATH = "/v1/chat/completions"


@dataclass
class OpenAIParts(ScriptedParts):
    """One OpenAI LLM for all connections."""

    base_url: str = ""

    async def llm(self) -> llm.LLM[Any]:
        self.model = self.model or openai.LLM(model="gpt-4o-mini", base_url=self.base_url, api_key="secret-key")
        return self.model


def test_openai(caplog: pytest.LogCaptureFixture) -> None:
    """Tool calls and text of two connections that share the plugin's client; a wrong key; and it works again."""
    caplog.set_level(logging.CRITICAL, "livekit")
    with Standin() as standin:

        async def test() -> None:
            parts = OpenAIParts(base_url=standin.base_url)
            async with serving(parts) as gateway, chatting(gateway) as first, chatting(gateway) as second:
                frames, others = await asyncio.gather(
                    first.ask("What is the weather in Oslo?"), second.ask("Tell me a story.")
                )
                assert [event["type"] for event in frames[-1]["events"]] == [
                    "function_call",
                    "function_call_output",
                    "message",
                ]
                assert of(frames, "complete")[-1]["text"].startswith("I have looked it up.")
                assert "".join(frame["delta"] for frame in of(others, "delta")) == of(others, "complete")[0]["text"]
                assert len(of(others, "delta")) > 5
                standin.troubles[PATH] = Trouble(status=401)
                error, result = await first.ask("hello")
                assert error["code"] == "reply_failed"
                assert "gpt-4o-mini" in error["message"]
                assert "status 401: wrong key" in error["message"]
                assert result["events"] == []
                assert of(await first.ask("hello"), "complete")
            assert parts.model is not None
            await parts.model.aclose()

        run(test())
        assert {request.body["model"] for request in standin.asked(PATH)} == {"gpt-4o-mini"}

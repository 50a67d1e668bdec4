"""The scripted LLM's answers in a LiveKit session. The rules themselves are in `agent/scripted/rules.py`."""

from __future__ import annotations

from livekit.agents import llm

from ..scripted.reply import Reply
from ..scripted.rules import GREETING, TOOL, reply_to


def answer(chat_ctx: llm.ChatContext) -> Reply:
    """The answer to the user's last message and the tool's output since then."""
    said, found = "", ""
    for item in chat_ctx.items:
        if item.type == "message" and item.role == "user":
            said, found = item.text_content or "", ""
        elif item.type == "function_call_output":
            found = item.output
    return reply_to(said, found)


__all__ = ["GREETING", "TOOL", "answer"]

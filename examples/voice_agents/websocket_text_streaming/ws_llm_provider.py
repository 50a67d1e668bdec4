"""The LLM of ws_llm_server.py as a LiveKit LLM: `AgentSession(llm=WebSocketLLM(ws_url="ws://localhost:8765"))`.

The class is part of the library, and this module only passes it on. `python ws_llm_provider.py "What helps against a cold?"`
asks the server one question.
"""

from __future__ import annotations

import asyncio
import os
import sys

from livekit.agents import llm

from event_hub.livekit import WebSocketLLM, WebSocketLLMStream

__all__ = ["WebSocketLLM", "WebSocketLLMStream"]


async def main(question: str) -> None:
    url = os.environ.get("WS_LLM_URL") or "ws://localhost:8765"
    chat_ctx = llm.ChatContext.empty()
    chat_ctx.add_message(role="user", content=question)
    async with WebSocketLLM(ws_url=url, token=os.environ.get("GATEWAY_TOKEN")) as model:
        async for text in model.chat(chat_ctx=chat_ctx).to_str_iterable():
            print(text, end="", flush=True)
    print()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "What helps against a cold?"))

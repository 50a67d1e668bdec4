"""An agent's text while it is written: `python streaming_text_output.py "What is the weather in San Francisco?"`

The class itself is part of the library, and this module only passes it on. The demonstration needs no key: a script answers.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from livekit.agents import Agent, AgentSession, function_tool
from livekit.agents.voice.io import TextOutput

from agent.local import local_llm
from event_hub.livekit import StreamEvent, StreamingTextOutput, TextCompleteEvent, TextDeltaEvent

__all__ = ["LoggingTextOutput", "StreamEvent", "StreamingTextOutput", "TextCompleteEvent", "TextDeltaEvent"]

logger = logging.getLogger("text")


class LoggingTextOutput(TextOutput):
    """Logs how much text passes. `TextOutput` needs both arguments of its constructor, and has no defaults for them."""

    def __init__(self, *, next_in_chain: TextOutput | None = None) -> None:
        super().__init__(label="logging", next_in_chain=next_in_chain)

    async def capture_text(self, text: str) -> None:
        logger.debug("%d characters", len(text))
        if self.next_in_chain:
            await self.next_in_chain.capture_text(text)

    def flush(self) -> None:
        logger.info("generation complete")
        if self.next_in_chain:
            self.next_in_chain.flush()


class MyAgent(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You are a helpful assistant.")

    @function_tool
    async def lookup_weather(self, location: str) -> str:
        """Look up the weather for a place.

        Args:
            location: The city or region.
        """
        return "sunny, 68°F" if location == "San Francisco" else f"cloudy in {location}, 59°F"


async def main(question: str) -> None:
    streaming_output = StreamingTextOutput()
    async with AgentSession(llm=local_llm(), vad=None, turn_handling={"turn_detection": None}) as sess:
        sess.output.transcription = LoggingTextOutput(next_in_chain=streaming_output)
        await sess.start(MyAgent())
        result = sess.run(user_input=question)
        async for event in streaming_output:  # ends with this turn, tool calls included
            if event.type == "text_delta":
                print(event.delta, end="", flush=True)
            elif event.type == "text_complete":
                print()
        await result
        for happened in result.events:
            print(happened.type)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "What is the weather in San Francisco?"))

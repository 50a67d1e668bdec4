"""Real AgentSessions for the tests of attach: a scripted model, voice and loudspeaker that take almost no time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from livekit.agents import Agent, AgentSession, ToolError, function_tool, llm
from livekit.agents.voice import SpeechHandle
from livekit.agents.voice.io import TextOutput

from agent.scripted.llm import Answer, Reply, ScriptedLLM
from agent.scripted.speaker import Speaker
from agent.scripted.tts import ScriptedTTS
from event_hub.client import Publisher
from event_hub.livekit import attach

from ..hubs import PATIENCE, HubProcess

Event = dict[str, Any]

SPEED = 50.0
SECRET = "the password is hunter2"
STORY = "Once upon a time there was a fox. " * 40


class Clerk(Agent):
    """Greets. Has tools that work, fail, and tell the model why they fail."""

    def __init__(self, **options: Any) -> None:
        super().__init__(instructions="Be kind.", **options)
        self.greeting: SpeechHandle | None = None

    async def on_enter(self) -> None:
        self.greeting = self.session.generate_reply()

    @function_tool
    async def lookup_weather(self, location: str) -> str:
        """The weather."""
        return f"sunny in {location}"

    @function_tool
    async def broken(self) -> str:
        """Fails."""
        raise RuntimeError(SECRET)

    @function_tool
    async def refused(self) -> str:
        """Fails, and tells the model why."""
        raise ToolError(SECRET)

    @function_tool
    async def hand_over(self) -> Agent:
        """Hands over."""
        return Cashier(instructions="Take the money.")


class Cashier(Agent):
    pass


def answer(context: llm.ChatContext) -> Reply:
    """The model's answer to the last item."""
    last = context.items[-1]
    if last.type == "function_call_output":
        return Reply("Sorry, that did not work." if last.is_error else f"It is {last.output}.")
    if last.type != "message" or last.role != "user":
        return Reply("Hello, what can I do for you?")
    asked = last.text_content or ""
    if "weather" in asked:
        return Reply(tool="lookup_weather", arguments={"location": "Oslo"})
    for tool in ("broken", "refused", "hand_over"):
        if tool in asked:
            return Reply(tool=tool)
    if "fail once" in asked:
        return Reply("Now it works.", failures=1)
    if "story" in asked:
        return Reply(STORY)
    return Reply("Fine.")


def text_session(answers: Answer = answer, **options: Any) -> AgentSession[Any]:
    return AgentSession(
        llm=ScriptedLLM(answers, speed=SPEED), vad=None, turn_handling={"turn_detection": None}, **options
    )


def voice_session(speed: float = SPEED, **options: Any) -> AgentSession[Any]:
    session = text_session(tts=ScriptedTTS(speed=speed), use_tts_aligned_transcript=True, **options)
    session.output.audio = Speaker(speed)
    return session


async def greeted(session: AgentSession[Any]) -> None:
    """Wait until the agent has greeted."""
    agent = session.current_agent
    assert isinstance(agent, Clerk)
    while agent.greeting is None:  # `start` does not wait for it
        await asyncio.sleep(0.01)
    await agent.greeting


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(body(), 5 * PATIENCE)

    asyncio.run(limited())


async def sent(publisher: Publisher) -> None:
    """Wait until all events have reached the hub."""
    assert await asyncio.to_thread(publisher.flush, PATIENCE)


class Sink(TextOutput):
    def __init__(self, next_in_chain: TextOutput | None = None) -> None:
        super().__init__(label="sink", next_in_chain=next_in_chain)
        self.texts: list[str] = []
        self.flushes = 0

    async def capture_text(self, text: str) -> None:
        self.texts.append(text)

    def flush(self) -> None:
        self.flushes += 1


def events(hub: HubProcess, session: str) -> list[Event]:
    """All events that the hub has of a session, in order."""
    page = hub.get(f"/api/events?session={session}&limit=1000")
    assert not page["more"]
    return [entry["event"] for entry in page["events"]]


def kinds(found: list[Event]) -> list[str]:
    return [event["type"] for event in found]


def of(found: list[Event], kind: str) -> list[Event]:
    return [event for event in found if event["type"] == kind]


def conversation(
    hub: HubProcess, publisher: Publisher, *questions: str, session: Callable[[], AgentSession[Any]] = text_session
) -> list[Event]:
    """A greeting, an answer to each question, and the end: the events that the hub has of it."""
    ids: list[str] = []

    async def body() -> None:
        attached = session()
        ids.append(attach(attached, publisher=publisher).session)
        await attached.start(Clerk())
        await greeted(attached)
        for question in questions:
            await attached.run(user_input=question)
        await attached.aclose()
        await sent(publisher)

    run(body)
    return events(hub, ids[0])

"""Agents in text sessions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable
from typing import Any

from livekit.agents import (
    Agent,
    AgentSession,
    AgentTask,
    APIStatusError,
    RunContext,
    StopResponse,
    ToolError,
    function_tool,
    llm,
)
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions

from agent.scripted.llm import Reply

from .stage import Stage, asked, output, play, text_session, until


@play
async def text_only(stage: Stage) -> None:
    session = stage.attach(text_session(lambda context: Reply(f"You said {asked(context)!r}.")))
    await session.start(Agent(instructions="Repeat."))
    for question in ("Hello.", "How are you?"):
        await session.run(user_input=question)
    await session.aclose()


@play
async def text_not_latin(stage: Stage) -> None:
    """Right to left, without spaces, and with characters of several code points."""
    words = {
        "مرحبا": "مرحبًا بك! كيف يمكنني مساعدتك؟",
        "こんにちは": "こんにちは。ご用件は何でしょうか。",
        "नमस्ते": "नमस्ते 👩‍👩‍👧‍👦 é 𝔘",
    }
    session = stage.attach(text_session(lambda context: Reply(words[asked(context)])), text="llm")
    await session.start(Agent(instructions="أجب"))
    for question in words:
        await session.run(user_input=question)
    await session.aclose()


class Home(Agent):
    """Tools that return nothing, structures, and invalid outputs."""

    @function_tool
    async def light(self) -> None:
        """Switches the light on and returns nothing."""

    @function_tool
    async def door(self) -> str:
        """Asks for silence."""
        raise StopResponse

    @function_tool
    async def forecast(self) -> dict[str, Any]:
        """A structure."""
        return {"city": "Oslo", "days": [{"high": 21.5, "sunny": True}], "note": "å"}

    @function_tool
    async def opaque(self) -> object:
        """Returns what no model can read."""
        return object()

    @function_tool
    async def broken(self) -> str:
        """Raises."""
        raise RuntimeError("the password is hunter2")

    @function_tool
    async def refused(self) -> str:
        """Raises, and tells the model why."""
        raise ToolError("the password is hunter2")

    @function_tool
    async def move(self) -> tuple[Agent, str]:
        """Hands over to another agent, with a text."""
        return Agent(instructions="The other one."), "over to the other one"


def call_what_is_asked_for(context: llm.ChatContext) -> Reply:
    question = asked(context)
    return Reply(tool=question) if question and " " not in question else Reply("Done.")


@play
async def silent_tools(stage: Stage) -> None:
    session = stage.attach(text_session(call_what_is_asked_for))
    await session.start(Home(instructions="x"))
    for question in ("light", "door", "light", "How are you?"):
        await session.run(user_input=question)
    await session.aclose()


@play
async def structured_output(stage: Stage) -> None:
    """A tool that returns a structure, and a model that answers in JSON of which only one field is said."""

    class Structured(Home):
        async def transcription_node(self, text: AsyncIterable[Any], _: Any) -> AsyncIterable[str]:
            whole = "".join([piece async for piece in text])
            yield json.loads(whole)["response"]

    def answer(context: llm.ChatContext) -> Reply:
        if asked(context) == "forecast":
            return Reply(tool="forecast")
        return Reply(json.dumps({"mood": "cheerful", "response": f"Ok: {output(context) or asked(context)}"}))

    for source in ("transcription", "llm"):
        session = stage.attach(text_session(answer), text=source)
        await session.start(Structured(instructions="x"))
        for question in ("forecast", "And tomorrow?"):
            await session.run(user_input=question)
        await session.aclose()


@play
async def tools_that_fail(stage: Stage) -> None:
    session = stage.attach(text_session(call_what_is_asked_for))
    await session.start(Home(instructions="x"))
    for question in ("opaque", "no_such_tool", "broken", "refused", "move", "Who is there?"):
        await session.run(user_input=question)
    await session.aclose()


@play
async def updates(stage: Stage) -> None:
    """A tool that reports progress aloud and silently before it returns, and a tool that fails after a report."""

    class Slow(Agent):
        @function_tool
        async def search(self, ctx: RunContext[Any], what: str) -> str:
            """Takes its time."""
            await ctx.update(f"searching for {what}")
            await asyncio.sleep(0.05)
            await ctx.update("half of it", silent=True)
            await asyncio.sleep(0.05)
            return f"found {what}"

        @function_tool
        async def lost(self, ctx: RunContext[Any]) -> str:
            """Fails after its first report."""
            await ctx.update("looking", silent=True)
            raise RuntimeError("the password is hunter2")

    def answer(context: llm.ChatContext) -> Reply:
        if asked(context):
            name = asked(context)
            return Reply(tool=name, arguments={"what": "a key"} if name == "search" else {})
        return Reply("Still at it." if "searching" in output(context) else "That is all.")

    session = stage.attach(text_session(answer))
    await session.start(Slow(instructions="x"))
    for question in ("search", "lost"):
        await session.run(user_input=question)
    await asyncio.sleep(0.3)
    await session.aclose()


@play
async def tasks(stage: Stage) -> None:
    """A tool that awaits an AgentTask, which talks to the user."""

    class Name(AgentTask[str]):
        async def on_enter(self) -> None:
            self.session.generate_reply()

        @function_tool
        async def record(self, name: str) -> None:
            """The name is known."""
            self.complete(name)

    class Desk(Agent):
        @function_tool
        async def check_in(self) -> str:
            """Asks for the name."""
            return f"checked in as {await Name(instructions='Ask for the name.')}"

    def answer(context: llm.ChatContext) -> Reply:
        if "check in" in asked(context):
            return Reply(tool="check_in")
        if asked(context):
            return Reply(tool="record", arguments={"name": asked(context)})
        return Reply(f"You are {output(context)}." if "checked in" in output(context) else "What is your name?")

    session = stage.attach(text_session(answer))
    await session.start(Desk(instructions="x"))
    await session.run(user_input="I want to check in.")
    await session.run(user_input="Ada")
    await session.aclose()


class FailingLLM(llm.LLM[Any]):
    """Refuses every request that is about failing."""

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_: Any,
    ) -> llm.LLMStream:
        return _Failing(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Failing(llm.LLMStream):
    async def _run(self) -> None:
        question = asked(self._chat_ctx)
        words = "Half of " if "midway" in question else "Fine." if "fail" not in question else ""
        if words:
            self._event_ch.send_nowait(llm.ChatChunk(id="1", delta=llm.ChoiceDelta(role="assistant", content=words)))
        if "fail" in question:
            raise APIStatusError("the key is sk-1234", status_code=401, retryable=False)


@play
async def failing_llm(stage: Stage) -> None:
    """It fails, recovers, fails in mid-reply, and then so often that the session closes with the error."""
    session: AgentSession[Any] = AgentSession(llm=FailingLLM(), vad=None, turn_handling={"turn_detection": None})
    stage.attach(session)
    await session.start(Agent(instructions="x"))
    for question in ("Please fail.", "Hello.", "Please fail midway.", *["Please fail."] * 5):
        try:
            await session.run(user_input=question)
        except Exception:  # as an agent's own code might
            continue
    await until(lambda: stage.records[0].closed)
    await session.aclose()


@play
async def tools_and_instructions_change(stage: Stage) -> None:
    @function_tool
    async def extra() -> str:
        """A tool that comes later."""
        return "extra"

    agent = Home(instructions="First.")
    session = stage.attach(text_session(call_what_is_asked_for))
    await session.start(agent)
    await session.run(user_input="How are you?")
    await agent.update_tools([*agent.tools, extra])
    await session.run(user_input="extra")
    await agent.update_instructions("Second.")
    await agent.update_tools([extra])
    await session.run(user_input="How are you?")
    await session.aclose()

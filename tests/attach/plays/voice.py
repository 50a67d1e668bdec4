"""Agents with a voice pipeline (STT, LLM, TTS), without a room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable

from livekit import rtc
from livekit.agents import Agent, BackgroundAudioPlayer, StopResponse, function_tool, llm
from livekit.agents.ipc.mock_room import create_mock_room

from agent.scripted.llm import Reply
from agent.scripted.tts import ScriptedTTS

from .stage import SPEED, Stage, answered, asked, output, play, until, voice_session


class Greeter(Agent):
    async def on_enter(self) -> None:
        self.session.generate_reply()


class Clerk(Greeter):
    @function_tool
    async def hand_over(self) -> tuple[Agent, str]:
        """Hands over to an agent that greets."""
        return Greeter(instructions="Take the money."), "over to the cashier"


@play
async def handover(stage: Stage) -> None:
    def answer(context: llm.ChatContext) -> Reply:
        if "pay" in asked(context):
            return Reply("One moment.", tool="hand_over")
        if asked(context):
            return Reply("That is twelve crowns.")
        return Reply("This is the cashier." if output(context) else "Hello, what can I do for you?")

    session, caller, _ = voice_session(answer, preemptive=True)
    stage.attach(session, participant="ada")
    await session.start(Clerk(instructions="x"))
    await answered(session, 1)
    await caller.say("I want to pay now.")
    await answered(session, 3)
    await caller.say("How much is it?")
    await answered(session, 4)
    await session.aclose()


STORY = "Once upon a time there was a fox. " * 12


@play
async def interruptions(stage: Stage) -> None:
    """One reply is cut off in the middle, another before its first sound."""

    def answer(context: llm.ChatContext) -> Reply:
        question = asked(context)
        return Reply(
            STORY if "story" in question else "Four hundred crowns." if "balance" in question else "All right."
        )

    voice = ScriptedTTS(speed=SPEED)
    session, caller, speaker = voice_session(answer, tts=voice)
    stage.attach(session, participant="ada")
    await session.start(Agent(instructions="x"))
    await caller.say("Tell me a story.")
    await speaker.reach(1, 1.5)
    await caller.say("Stop, please.")
    await answered(session, 2)
    voice._speed = voice.speed = 0.2  # its first audio takes 0.6 s from here on
    await caller.say("What is my balance?")
    await until(lambda: session.agent_state == "thinking")
    await asyncio.sleep(0.3)
    session.interrupt(force=True)
    voice.speed = SPEED
    await caller.say("Never mind.")
    await answered(session, 3)
    await session.aclose()


@play
async def queued_replies(stage: Stage) -> None:
    """Replies read at the model; the second is written and its audio ready while the first is said."""

    def answer(context: llm.ChatContext) -> Reply:
        return Reply(f"This is reply number {sum(item.type == 'message' for item in context.items)}.")

    session, _, _ = voice_session(answer, preemptive=True)
    stage.attach(session, text="llm")
    await session.start(Agent(instructions="x"))
    handles = [session.generate_reply(instructions=f"Reply {number}.") for number in range(2)]
    handles.append(session.say("And this is what no model wrote."))
    for handle in handles:
        await handle
    given_up = session.generate_reply(instructions="Not this one.")
    last = session.say("The last one.")
    await asyncio.sleep(0.1)
    given_up.interrupt()
    await last
    await session.aclose()


@play
async def push_to_talk(stage: Stage) -> None:
    """The caller commits each turn, and takes back what was said before one of them."""
    session, caller, _ = voice_session(lambda context: Reply(f"You said {asked(context)}"), turn_detection="manual")
    stage.attach(session, participant="ada")
    await session.start(Agent(instructions="x"))
    await caller.say("Hello there.")
    session.commit_user_turn()
    await answered(session, 1)
    await caller.say("No, that was wrong.")
    session.clear_user_turn()
    await caller.say("The weather.")
    await caller.say("In Oslo.")
    await asyncio.sleep(0.1)  # committed before the STT's final, LiveKit would take the final as another turn
    session.commit_user_turn()
    await answered(session, 2)
    await session.aclose()


@play
async def background_audio(stage: Stage) -> None:
    """Background sounds, and a recording that is played instead of the TTS."""

    async def noise(seconds: float = 60.0) -> AsyncIterable[rtc.AudioFrame]:
        for _ in range(round(seconds / 0.1)):
            yield rtc.AudioFrame(bytes(2 * 4800), 48000, 1, 4800)
            await asyncio.sleep(0)

    session, caller, _ = voice_session(lambda context: Reply(f"You said {asked(context)}"))
    stage.attach(session, participant="ada")
    player = BackgroundAudioPlayer(ambient_sound=noise())
    await session.start(Agent(instructions="x"))
    await player.start(room=create_mock_room(), agent_session=session)
    await session.say("A recording.", audio=noise(0.5))
    await session.say("Another recording, not for the history.", audio=noise(0.5))
    await caller.say("Hello there.")
    await answered(session, 3)
    await player.aclose()
    await session.aclose()


@play
async def the_agents_own_code(stage: Stage) -> None:
    """`on_user_turn_completed` changes what the user said, and ignores a turn."""

    class Careful(Agent):
        async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
            text = new_message.text_content or ""
            if "secret" in text:
                raise StopResponse
            new_message.content = [text.replace("damn", "****")]

    session, caller, _ = voice_session(lambda context: Reply(f"You said {asked(context)}"))
    stage.attach(session, participant="ada")
    await session.start(Careful(instructions="x"))
    await caller.say("This damn thing.")
    await answered(session, 1)
    await caller.say("My secret number.")
    await asyncio.sleep(0.3)
    await caller.say("Hello.")
    await answered(session, 2)
    await session.aclose()


@play
async def several_sessions(stage: Stage) -> None:
    """One room with a session for each of two participants, and a second session for one of them."""

    async def talk(name: str, greeting: str) -> None:
        session, caller, _ = voice_session(lambda context: Reply(f"{name}, you said {asked(context)}"))
        stage.attach(session, participant=name)
        await session.start(Agent(instructions="x"))
        await caller.say(greeting)
        await answered(session, 1)
        await session.aclose()

    await asyncio.gather(talk("ada", "Good morning."), talk("bob", "Good evening, how are you?"))
    await talk("ada", "Me again.")

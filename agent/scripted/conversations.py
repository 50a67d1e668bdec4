"""The scripted conversations. Each has a tool call, an interruption and a recoverable error."""

from __future__ import annotations

from dataclasses import dataclass

from livekit.agents import llm

from .llm import Reply

TOOL = "lookup_weather"


@dataclass(frozen=True, slots=True)
class ScriptedTurn:
    """A line of the caller and the agent's answer.

    `place`: the agent first looks up the weather there, which replaces `{weather}` in the answer. `barge_in`: the caller
    interrupts the previous reply after this many seconds of it. `failures`: this many requests to the model fail first.
    """

    caller: str
    agent: str
    place: str = ""
    barge_in: float | None = None
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Conversation:
    caller: str
    greeting: str
    turns: tuple[ScriptedTurn, ...]

    def answer(self, chat_ctx: llm.ChatContext) -> Reply:
        """The model's answer to the caller's last line and the tool's output since then."""
        said, found = "", ""
        for item in chat_ctx.items:
            if item.type == "message" and item.role == "user":
                said, found = item.text_content or "", ""
            elif item.type == "function_call_output":
                found = item.output
        if not said:
            return Reply(self.greeting)
        for turn in self.turns:
            if turn.caller == said:
                if turn.place and not found:
                    return Reply(tool=TOOL, arguments={"location": turn.place}, failures=turn.failures)
                return Reply(turn.agent.format(weather=found), failures=0 if found else turn.failures)
        return Reply("I am sorry, I did not get that.")


CONVERSATIONS = (
    Conversation(
        "caller_ada",
        "Hello, this is the travel desk. What can I do for you?",
        (
            ScriptedTurn(
                "Hi, what is the weather like in Oslo today?",
                "In Oslo it is {weather}. It gets cool in the evening, so take a jacket.",
                place="Oslo",
            ),
            ScriptedTurn(
                "Good. And how do I get from the airport to the centre?",
                "There are three ways. The express train leaves every ten minutes and stops at the central station, the "
                "regional train is cheaper and takes a little longer, and there is a bus that runs all night.",
            ),
            ScriptedTurn(
                "Sorry, how long does the express train take?",
                "About twenty minutes. You can buy the ticket at the platform.",
                barge_in=4.2,
                failures=1,
            ),
            ScriptedTurn("Perfect, thank you. Goodbye!", "You are welcome. Have a good trip, and goodbye!"),
        ),
    ),
    Conversation(
        "caller_ben",
        "Good afternoon, you have reached the event desk. How can I help?",
        (
            ScriptedTurn(
                "I would like to know when the keynote begins.",
                "The keynote begins at nine thirty in the large hall. The doors open half an hour earlier, coffee and "
                "something to eat are in the foyer, and the seats in front are kept for the speakers.",
            ),
            ScriptedTurn(
                "Wait, is it being recorded?",
                "Yes, all talks are recorded. You will find them on our page the day after.",
                barge_in=3.4,
            ),
            ScriptedTurn(
                "And the garden party, will it rain in Lisbon tonight?",
                "For Lisbon I see {weather}. The party takes place in any case.",
                place="Lisbon",
                failures=1,
            ),
            ScriptedTurn("Great. That is all, bye!", "See you tonight. Goodbye!"),
        ),
    ),
    Conversation(
        "caller_chen",
        "Hello! I am the voice assistant. Ask me about the weather, or about anything on your mind.",
        (
            ScriptedTurn(
                "Could you compare Kyoto for me? I mean, how is the weather there?",
                "In Kyoto it is {weather}.",
                place="Kyoto",
            ),
            ScriptedTurn(
                "And in Reykjavik?",
                "In Reykjavik it is {weather}. If you can choose, I would pack for both, because the weather there is "
                "known to change within the hour, and no one has ever regretted a second pullover.",
                place="Reykjavik",
            ),
            ScriptedTurn(
                "Okay, okay. Then I take the pullover.",
                "A wise choice. Is there anything else?",
                barge_in=4.0,
            ),
            ScriptedTurn(
                "No, that was all. Thanks a lot!",
                "With pleasure. Until next time!",
                failures=1,
            ),
        ),
    ),
)

"""The local providers need no key and no network: flite's speech is recognised, and espeak-ng speaks where flite is missing."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from livekit.agents import inference, llm

from agent.failure import Failure
from agent.local import local_llm, local_stt, local_tts
from agent.local.answers import GREETING, answer
from agent.weather import example_weather

from ..toolchain import tool
from .speech import recognised, synthesised

SENTENCES = (
    "What is the weather in Oslo?",
    "Is it going to rain in London tomorrow?",
    "Wait, how long does it take?",
)
ERRORS = 0.2
"""Word error rate that is accepted; over twelve sentences of this voice 0.07 was measured."""


def words_of(text: str) -> list[str]:
    return re.sub(r"[^a-z' ]", "", text.lower()).split()


def distance(wanted: list[str], found: list[str]) -> int:
    """How many words to insert, delete or replace."""
    row = list(range(len(found) + 1))
    for i, a in enumerate(wanted, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(found, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def test_what_flite_says_is_recognised_with_interims() -> None:
    tool("flite")

    async def scenario() -> None:
        stt, tts = local_stt(inference.VAD()), local_tts()
        assert (stt.provider, tts.provider) == ("pocketsphinx", "flite")
        with pytest.raises(Failure, match="it has slt, awb"):
            local_tts("no-such-voice")
        await asyncio.to_thread(stt.prewarm)
        wrong = total = 0
        for sentence in SENTENCES:
            events = await recognised(stt, await synthesised(tts, sentence))
            kinds = [event.type.value for event in events]
            assert kinds[0] == "start_of_speech"
            assert kinds.index("interim_transcript") < kinds.index("final_transcript") < kinds.index("end_of_speech")
            finals = [e.alternatives[0].text for e in events if e.type.value == "final_transcript"]
            wrong += distance(words_of(sentence), words_of(" ".join(finals)))
            total += len(words_of(sentence))
        assert wrong / total <= ERRORS, f"{wrong} of {total} words"
        whole = await stt.recognize(await synthesised(tts, SENTENCES[0]))
        assert distance(words_of(SENTENCES[0]), words_of(whole.alternatives[0].text)) <= 2

    asyncio.run(scenario())


def test_without_flite_espeak_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_: None)

    async def scenario() -> None:
        tts = local_tts()
        assert tts.provider == "espeak-ng"
        short, long = (
            await synthesised(tts, "Hello."),
            await synthesised(tts, "Hello, this is a good deal longer, in one breath."),
        )
        assert 0.2 < short.duration < long.duration < 10
        assert max(abs(sample) for sample in long.data) > 1000, "there is sound"
        assert (await synthesised(tts, "...")).duration > 0
        stream = local_tts("no-such-voice").synthesize("Hello.")
        with pytest.raises(Exception, match="no voice no-such-voice"):
            await stream.collect()
        await stream.aclose()

    asyncio.run(scenario())


def test_the_local_llm_answers_what_it_hears() -> None:
    def after(*items: tuple[str, str]) -> Any:
        context = llm.ChatContext.empty()
        for role, text in items:
            if role == "tool":
                output = llm.FunctionCallOutput(name="lookup_weather", call_id="c", output=text, is_error=False)
                context.items.append(output)
            else:
                context.add_message(role=role, content=text)  # type: ignore[arg-type]
        return answer(context)

    assert after(("system", "be nice")).text == GREETING
    for said_text, place in (
        ("what is the weather in oslo", "Oslo"),
        ("is it going to rain in new york tomorrow", "New York"),
        ("how's the weather for the city of paris today please", "Paris"),
    ):
        reply = after(("user", said_text))
        assert (reply.tool, reply.arguments) == ("lookup_weather", {"location": place})
    assert "which city" in after(("user", "what is the weather like")).text
    found = example_weather("Oslo")
    assert after(("user", "weather in oslo"), ("tool", found)).text == f"The weather in Oslo is {found}."
    assert "Goodbye" in after(("user", "thank you very much goodbye")).text
    assert "look up the weather" in after(("user", "what can you do")).text
    assert "colourless" in after(("user", "colourless green ideas")).text
    assert local_llm().provider == "event-hub"

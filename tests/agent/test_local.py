"""The local providers: no key, no network. What flite says is recognised; without flite espeak-ng speaks."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import inference, llm

from agent.failure import Failure
from agent.local import local_llm, local_stt, local_tts
from agent.local.answers import GREETING, answer
from agent.weather import example_weather

from ..toolchain import tool

SENTENCES = (
    "What is the weather in Oslo?",
    "Is it going to rain in London tomorrow?",
    "Wait, how long does it take?",
)
ERRORS = 0.2
"""Words of a hundred that may be wrong: 7 were, over twelve sentences of this voice."""


async def said(tts: Any, text: str) -> rtc.AudioFrame:
    stream = tts.synthesize(text)
    frame: rtc.AudioFrame = await stream.collect()
    await stream.aclose()
    return frame


async def heard(stt: Any, audio: rtc.AudioFrame) -> list[Any]:
    """The events for this audio in 48 kHz, as it comes from a room, with silence around it."""
    resampler = rtc.AudioResampler(audio.sample_rate, 48000)
    data = b"".join(bytes(part.data) for part in [*resampler.push(audio), *resampler.flush()])
    data = bytes(48000) + data + bytes(96000)
    stream = stt.stream()
    for start in range(0, len(data), 4800):
        piece = data[start : start + 4800].ljust(4800, b"\0")
        stream.push_frame(rtc.AudioFrame(piece, 48000, 1, 2400))
        await asyncio.sleep(0.002)
    stream.end_input()
    events = [event async for event in stream]
    await stream.aclose()
    return events


def words(text: str) -> list[str]:
    return re.sub(r"[^a-z' ]", "", text.lower()).split()


def distance(wanted: list[str], found: list[str]) -> int:
    """Words to insert, delete or replace."""
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
            events = await heard(stt, await said(tts, sentence))
            kinds = [event.type.value for event in events]
            assert kinds[0] == "start_of_speech"
            assert kinds.index("interim_transcript") < kinds.index("final_transcript") < kinds.index("end_of_speech")
            finals = [e.alternatives[0].text for e in events if e.type.value == "final_transcript"]
            wrong += distance(words(sentence), words(" ".join(finals)))
            total += len(words(sentence))
        assert wrong / total <= ERRORS, f"{wrong} of {total} words"
        whole = await stt.recognize(await said(tts, SENTENCES[0]))
        assert distance(words(SENTENCES[0]), words(whole.alternatives[0].text)) <= 2

    asyncio.run(scenario())


def test_without_flite_espeak_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_: None)

    async def scenario() -> None:
        tts = local_tts()
        assert tts.provider == "espeak-ng"
        short, long = await said(tts, "Hello."), await said(tts, "Hello, this is a good deal longer, in one breath.")
        assert 0.2 < short.duration < long.duration < 10
        assert max(abs(sample) for sample in long.data) > 1000, "it is audible"
        assert (await said(tts, "...")).duration > 0
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

"""The voice page with the real gateway: a spoken question is recognised, answered word by word and aloud (seed 004)."""

from __future__ import annotations

import re
import wave
from io import BytesIO

import pytest
import requests
from playwright.sync_api import expect

from ...browser.chromium import wait_true
from ...hubs import PATIENCE, until
from ...livekit.speech import overlap
from ..gateways import GatewayProcess
from .voice_page import QUESTION, Open, open_page, voice_browser, voice_context

__all__ = ["open_page", "voice_browser", "voice_context"]

RECOGNISED = 4000 * PATIENCE
"""Milliseconds until the first transcript: its model is loaded first."""

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture
def address(gateway: GatewayProcess) -> str:
    return gateway.url


def test_a_spoken_question_is_answered_aloud(
    open_page: Open, gateway: GatewayProcess, subtests: pytest.Subtests
) -> None:
    """V16, V17, V10, V13, V14, V30, V31, V36: microphone, transcription, LLM, display, speech; and the kept recording."""
    voice = open_page()
    page = voice.page
    voice.connected()
    page.check("#keep")
    voice.press("Start Recording")
    with subtests.test("V31: interims while the question is spoken"):
        expect(page.locator(".draft")).to_be_visible(timeout=RECOGNISED)
    voice.wait_console("🎙️ Final transcript:")
    voice.press("Stop Recording")
    with subtests.test("V30: the words are recognised"):
        expect(voice.questions).to_be_visible()
        assert overlap(QUESTION, voice.questions.inner_text()) >= 0.6
    with subtests.test("V10, V17: the reply"):
        expect(page.locator(".said.agent")).to_have_attribute("data-state", "done")
        expect(voice.replies).to_contain_text(re.compile("weather|degrees|London", re.IGNORECASE))
        assert sum(line.startswith("📝") for line in voice.console) > 1
    with subtests.test("V13: it is spoken"):
        wait_true(page, "made.sounds.length === 1 && made.sounds[0].duration > 1 && !made.sounds[0].error")
        voice.press("Stop the reply")
        expect(page.get_by_role("button", name="Play again")).to_be_visible()
    with subtests.test("V36: the recording is a WAV file with the question"):
        link = page.locator("#recordings a")
        expect(link).to_have_text(re.compile(r"^streamed_audio_[0-9a-f-]{36}_\d+\.wav$"))
        answer = requests.get(str(link.get_attribute("href")), timeout=PATIENCE)
        with wave.open(BytesIO(answer.content)) as file:
            assert file.getnframes() / file.getframerate() > 2
    with subtests.test("V22: nothing is left open but the connection for replies"):
        voice.released()
        expect(voice.connection("Transcription")).to_contain_text("not in use")
        expect(voice.connection("Recording")).to_contain_text("not in use")
        until(lambda: gateway.connections() == 1, "the other connections to close")


def test_typed_messages_keep_their_context(open_page: Open) -> None:
    """V23, V11: the conversation comes back after a reload, and goes on by POST where no WebSocket opens."""
    voice = open_page()
    voice.page.select_option("#voice", "none")
    voice.connected()
    voice.type("What is the weather in Paris?")
    expect(voice.replies).to_contain_text("Paris")
    expect(voice.page.locator(".said.agent")).to_have_attribute("data-state", "done")
    said = voice.replies.inner_text()
    voice.page.reload()
    expect(voice.replies).to_have_text(said)
    voice.page.add_init_script(
        "const Real = WebSocket; WebSocket = class extends Real { constructor() { super('ws://127.0.0.1:9'); } };"
    )
    voice.page.reload()
    voice.type("Thank you")
    expect(voice.page.locator(".said.agent .note")).to_contain_text("without a WebSocket")
    expect(voice.replies).not_to_be_empty()


def test_a_gateway_with_a_token(open_page: Open, gateway: GatewayProcess) -> None:
    """V24: without it the page asks; with it everything works. The page itself needs none."""
    with GatewayProcess(gateway.folder, GATEWAY_TOKEN="secret") as guarded:
        guarded.ready()
        voice = open_page(origin=guarded.url)
        expect(voice.page.locator("#trouble")).to_contain_text("wants a token")
        voice.page.fill("#token", "secret")
        voice.press("Connect")
        voice.connected()
        voice.type("Hello")
        expect(voice.page.locator(".said.agent")).to_have_attribute("data-state", "done")

"""The voice page in Chromium with a microphone that speaks, against a server that does what a test wants (seed 004)."""

from __future__ import annotations

import asyncio
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from playwright.sync_api import expect

from ...browser.chromium import wait_true
from ...hubs import PATIENCE, ROOT
from ...livekit.speech import RATE, Sound, said
from .peer import REPLY, Peer, Socket, tone
from .voice_page import INSECURE_HOST, QUESTION, Open, open_page, voice_browser, voice_context

REPLIED = "".join(REPLY)
LLM, HEAR, KEEP = "/ws/llm-stream", "/ws/transcribe-stream", "/ws/audio-stream"
EVIL = "<img src=x onerror=alert(1)>"

__all__ = ["open_page", "voice_browser", "voice_context"]

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as made:
        yield made


@pytest.fixture
def address(peer: Peer) -> str:
    """Where the page is."""
    return peer.url


def likeness(expected: Sound, heard: Sound) -> float:
    """How much of `expected` is in `heard`, wherever it begins: the highest correlation, 1 at most."""
    size = len(heard) + len(expected)
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(expected, size))
    at = int(np.argmax(np.fft.irfft(spectrum, size)[: len(heard) - len(expected)]))
    part = heard[at : at + len(expected)].astype(np.float64)
    return float(np.corrcoef(part, expected.astype(np.float64))[0, 1])


def pcm(peer: Peer) -> bytes:
    return b"".join(frame for frame in peer.received.get(HEAR, []) if isinstance(frame, bytes))


# -- speaking ----------------------------------------------------------------------------------------------------------


def test_from_speech_to_speech(open_page: Open, peer: Peer, subtests: pytest.Subtests) -> None:
    """V16, V17, V10, V13, V14, V30, V31, V32, V22: a spoken question is shown yellow, then green, and answered aloud."""
    more = asyncio.Event()

    async def slow(socket: Socket, frame: dict[str, Any]) -> None:
        own = {"request_id": frame["request_id"]}
        await socket.send_json({"type": "start", "message": "…", **own})
        for content in REPLY:
            await socket.send_json({"type": "chunk", "content": content, **own})
            await more.wait()
            more.clear()
        await socket.send_json({"type": "end", "final_response": REPLIED, "message": "…", **own})
        await peer.speak(socket, frame)

    peer.reply = slow
    voice = open_page()
    page = voice.page
    voice.connected()
    expect(page.get_by_role("region", name="AI Voice Agent")).to_be_visible()
    voice.press("Start Recording")

    with subtests.test("V31: an interim is yellow, and a word says so"):
        interim = page.locator(".draft .interim")
        expect(interim).to_have_text("what timeinterim")
        hue, contrast = voice.colours(".draft .interim")
        assert 40 <= hue <= 65
        assert contrast >= 4.5

    with subtests.test("V32: the page says what it does; the level moves"):
        expect(voice.status).to_have_text("Listening. Press Stop Recording when you have finished.")
        expect(voice.connection("Transcription")).to_contain_text("connected")
        wait_true(page, "made.level > 0.4")

    with subtests.test("V30: what arrives is 16 kHz PCM of the microphone"):
        expected = said(QUESTION)
        peer.wait("the question", lambda: len(pcm(peer)) > 2 * (len(expected) + RATE))
        frames = [frame for frame in peer.received[HEAR] if isinstance(frame, bytes)]
        assert {len(frame) for frame in frames} == {1600}
        # The browser suppresses noise and adjusts the volume; something else would be near 0.
        assert likeness(expected, np.frombuffer(pcm(peer), np.int16)) > 0.4

    voice.press("Stop Recording")
    with subtests.test("the final text is sent, with all that the protocol has"):
        expect(voice.questions).to_have_text("What time is it?")
        (request,) = peer.wait("the request", peer.requests)
        assert request["text"] == "What time is it?"
        assert request["chat_history"] == []
        assert request["session_id"]
        assert request["request_id"]
        assert "voice_id" not in request

    with subtests.test("V31: a final text is green"):
        hue, contrast = voice.colours(".said.user .final")
        assert 130 <= hue <= 170
        assert contrast >= 4.5

    with subtests.test("V10: the reply grows with each chunk"):
        for number in range(len(REPLY)):
            expect(voice.replies).to_have_text("".join(REPLY[: number + 1]), use_inner_text=False)
            peer.loop.call_soon_threadsafe(more.set)

    with subtests.test("V13: it is spoken; it can be heard again"):
        wait_true(page, "made.sounds.length === 1 && made.sounds[0].ended")
        voice.press("Play again")
        wait_true(page, "made.sounds.length === 2 && made.sounds[1].ended")

    with subtests.test("V14: the console, in order"):
        steps = ("📤", "🚀", "📝", "✅", "🔊")
        assert [line for line in voice.console if line.startswith(steps)] == [
            "📤 Sending to LLM streaming endpoint: {text: What time is it?}",
            "🚀 LLM streaming started",
            *(f"📝 Streaming chunk: {content}" for content in REPLY),
            "✅ LLM streaming completed",
            "🔊 Generating TTS for response",
        ]

    with subtests.test("V22: the microphone is released, and its socket closed"):
        voice.released()
        peer.wait("the socket to close", lambda: not peer.sockets[HEAR])
        expect(voice.connection("Transcription")).to_contain_text("not in use")


def test_hands_free(open_page: Open, peer: Peer) -> None:
    """Each final is sent, without a click; the next utterance silences the reply to the last one."""
    peer.silent.add(HEAR)
    voice = open_page()
    voice.connected()
    voice.page.check("#hands-free")

    async def long(socket: Socket, frame: dict[str, Any]) -> None:
        await peer.answer(socket, {**frame, "voice_id": "none"})
        audio = {"type": "audio", "content_type": "audio/wav", "data": tone(30)}
        await socket.send_json({**audio, "request_id": frame["request_id"]})

    peer.reply = long
    voice.press("Start Recording")
    expect(voice.status).to_have_text("Listening. Say something.")
    peer.wait("the socket", lambda: peer.sockets.get(HEAR))
    peer.send(HEAR, {"type": "final", "text": "First.", "utterance": "u1"})
    expect(voice.status).to_have_text("The agent is speaking. Speak to interrupt it.")
    peer.send(HEAR, {"type": "partial", "text": "and", "utterance": "u2"})
    wait_true(voice.page, "made.sounds[0].paused")

    async def unfinished(socket: Socket, frame: dict[str, Any]) -> None:
        await socket.send_json({"type": "chunk", "content": "Well, ", "request_id": frame["request_id"]})

    peer.reply = unfinished
    peer.send(HEAR, {"type": "final", "text": "Second.", "utterance": "u2"})
    expect(voice.replies.nth(1)).to_have_text("Well, ", use_inner_text=False)
    peer.send(HEAR, {"type": "final", "text": "Third.", "utterance": "u3"})
    expect(voice.questions).to_have_text(["First.", "Second.", "Third."])
    _, second, third = peer.wait("three requests", lambda: peer.requests() if len(peer.requests()) > 2 else None)
    peer.wait("the cancel", lambda: peer.frames(LLM, type="cancel", request_id=second["request_id"]))
    expect(voice.page.locator(".said.agent .mark").nth(1)).to_have_text("interrupted")
    assert [each["content"] for each in third["chat_history"]] == ["First.", REPLIED, "Second.", "Well, "]
    voice.page.keyboard.press("Escape")  # stops a reply, not the recording
    expect(voice.page.locator(".said.agent .mark").nth(2)).to_have_text("interrupted")
    expect(voice.page.locator("#record")).to_have_text("Stop Recording")


def test_a_recording_is_kept(open_page: Open, peer: Peer) -> None:
    """V36, V38: WebM/Opus in slices of 100 ms between the commands; the page shows the file."""
    voice = open_page()
    page = voice.page
    page.check("#keep")
    voice.press("Start Recording")
    expect(page.locator("#keep")).to_be_disabled()
    expect(voice.connection("Recording")).to_contain_text("connected")
    peer.wait("slices", lambda: len(peer.received.get(KEEP, [])) > 15)
    voice.press("Stop Recording")
    link = page.locator("#recordings a")
    expect(link).to_have_text("streamed_audio_x_1.wav")
    expect(link).to_have_attribute("href", f"{peer.url}/uploads/streamed_audio_x_1.wav")
    expect(page.locator("#recordings li")).to_contain_text("1.0 s, 31 KiB, WAV")
    expect(page.locator("#keep")).to_be_enabled()
    assert page.locator("#recordings audio").count() == 1
    start, *slices, stop = peer.received[KEEP]
    assert (start, stop) == ("START_RECORDING", "STOP_RECORDING")
    with av.open(io.BytesIO(b"".join(slices))) as file:
        assert "webm" in file.format.name
        assert file.streams.audio[0].codec_context.name == "opus"
        seconds = sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))
    assert seconds / len(slices) == pytest.approx(0.1, rel=0.35)
    peer.wait("the socket to close", lambda: not peer.sockets[KEEP])
    voice.released()


# -- connections -------------------------------------------------------------------------------------------------------


def test_a_lost_connection_is_restored(open_page: Open, peer: Peer) -> None:
    """V18, V19, V21, V23, V24: cut in the middle of a reply, the same request is sent again, after `sync`, and shown once."""

    async def begin(socket: Socket, frame: dict[str, Any]) -> None:
        await socket.send_json({"type": "start", "message": "…", "request_id": frame["request_id"]})
        await socket.send_json({"type": "chunk", "content": "It ", "request_id": frame["request_id"]})

    peer.reply = begin
    voice = open_page()
    voice.connected()
    voice.type("What time is it?")
    expect(voice.replies).to_have_text("It ", use_inner_text=False)
    peer.reply = peer.answer
    peer.history = [{"role": "user", "content": "What time is it?"}]
    peer.drop(LLM)
    expect(voice.replies).to_have_text(REPLIED)
    first, again = peer.requests()
    assert first["request_id"] == again["request_id"]
    kinds = [frame.get("type", "request") for frame in peer.received[LLM]]
    assert kinds == ["sync", "request", "sync", "request"]
    expect(voice.page.get_by_role("button", name="Play again")).to_be_visible()

    peer.refused = {LLM}
    peer.drop(LLM)
    expect(voice.connection("Replies")).to_contain_text(re.compile("attempt 3 in"))
    trouble = voice.page.locator("#trouble")
    expect(trouble).to_contain_text("Replies: no connection")
    expect(trouble).to_contain_text("python -m agent.gateway")
    peer.refused = set()
    voice.connected()
    expect(trouble).to_be_hidden()


def test_the_conversation_survives_a_reload(open_page: Open, peer: Peer) -> None:
    """V23: `sync` brings back the conversation; a request without a reply is sent again under its id, once."""
    voice = open_page()
    voice.connected()
    peer.silent.add(LLM)
    voice.type("And tomorrow?")
    peer.wait("the request", peer.requests)
    peer.silent.clear()
    peer.history = [
        {"role": "user", "content": "What time is it?"},
        {"role": "assistant", "content": "Noon."},
        {"role": "user", "content": "And tomorrow?"},
    ]
    voice.page.reload()
    expect(voice.questions).to_have_text(["What time is it?", "And tomorrow?"])
    expect(voice.replies).to_have_text(["Noon.", REPLIED])
    first, second = peer.requests()
    assert (first["request_id"], first["session_id"]) == (second["request_id"], second["session_id"])
    voice.page.reload()
    expect(voice.questions).to_have_text(["What time is it?", "And tomorrow?"])
    assert len(peer.requests()) == 2
    peer.history = []
    voice.press("New conversation")
    expect(voice.questions).to_have_count(0)
    voice.type("Hello")
    last = peer.wait("a request", lambda: peer.frames(LLM, text="Hello"))[0]
    assert last["session_id"] != first["session_id"]
    assert last["chat_history"] == []


def test_without_a_websocket_messages_are_posted(open_page: Open, peer: Peer) -> None:
    """V11: one POST for each message, its reply shown and spoken. Without either, they wait, in order, and are sent once."""
    audio = {"content_type": "audio/wav", "data": tone(), "voice_id": "slt"}
    query = peer.query
    peer.query = lambda frame: (200, {**query(frame)[1], "audio": audio})
    peer.refused = {LLM}
    voice = open_page()
    voice.type("What time is it?")
    expect(voice.replies).to_have_text(REPLIED)
    expect(voice.page.locator(".said.agent .note")).to_contain_text("without a WebSocket")
    wait_true(voice.page, "made.sounds.length === 1 && made.sounds[0].ended")
    (posted,) = peer.frames("POST")
    assert posted["text"] == "What time is it?"
    assert posted["request_id"]
    assert any("falling back to POST" in line for line in voice.console)

    refusal = {"error": "The LLM's key is missing.", "message": "The LLM's key is missing.", "code": "not_configured"}
    peer.query = lambda frame: (503, refusal)
    voice.type("Again?")
    expect(voice.page.locator(".said.agent .note.bad")).to_have_text("The LLM's key is missing.")

    voice.page.route("**/llm/query", lambda route: route.abort())
    for text in ("one", "two"):
        voice.type(text)
    expect(voice.page.locator(".said.agent .note").nth(2)).to_contain_text("as soon as it is back")
    peer.refused = set()
    voice.connected()
    expect(voice.replies).to_have_text([REPLIED, "", REPLIED, REPLIED])
    assert [frame["text"] for frame in peer.requests()] == ["one", "two"]
    voice.press("Try again")
    expect(voice.replies).to_have_text([REPLIED] * 4)


def test_speech_is_not_lost_with_the_connection(open_page: Open, peer: Peer) -> None:
    """V19, V21: what has no final transcript yet is sent again; interims of the lost connection go."""
    peer.silent.add(HEAR)
    voice = open_page()
    voice.connected()
    voice.press("Start Recording")
    ready = {"type": "ready", "sample_rate": 16000, "channels": 1}
    peer.wait("the socket", lambda: peer.sockets.get(HEAR))
    peer.send(HEAR, ready)
    peer.send(HEAR, {"type": "speech_started"})
    peer.send(HEAR, {"type": "partial", "text": "what is", "utterance": "u1"})
    expect(voice.page.locator(".draft .interim .words")).to_have_text("what is")
    peer.wait("audio", lambda: len(pcm(peer)) > 30_000)
    before = pcm(peer)
    peer.drop(HEAR)
    peer.wait("another connection", lambda: peer.opened[HEAR] == 2 and peer.sockets[HEAR])
    lost = len(pcm(peer))
    peer.send(HEAR, ready)
    expect(voice.page.locator(".draft")).to_have_count(0)
    peer.wait("the audio again", lambda: len(pcm(peer)) > lost + len(before))
    assert pcm(peer)[lost : lost + len(before)] == before
    voice.press("Stop Recording")
    peer.wait("the end", lambda: peer.frames(HEAR, type="end"))
    peer.send(HEAR, {"type": "final", "text": "What is the time?", "utterance": "u1"})
    peer.send(HEAR, {"type": "end"})
    expect(voice.questions).to_have_text("What is the time?")


def test_a_transcription_that_is_refused_ends_the_recording(open_page: Open, peer: Peer) -> None:
    """V24: with a sentence; what was understood until then can be corrected and sent."""
    voice = open_page()
    voice.press("Start Recording")
    expect(voice.page.locator(".draft .interim .words")).to_have_text("what time")
    peer.close(HEAR, 4404)
    expect(voice.problem).to_contain_text("The gateway does not have this endpoint")
    expect(voice.page.locator("#record")).to_have_text("Start Recording")
    expect(voice.page.locator("#message")).to_have_value("what time")
    voice.released()


def test_a_token_is_asked_for(open_page: Open, peer: Peer) -> None:
    """V24: the gateway's refusal is explained; the token is used by all connections, and survives a reload."""
    voice = open_page()
    voice.connected()
    peer.close(LLM, 4401)
    expect(voice.page.locator("#trouble")).to_contain_text("The gateway wants a token")
    voice.page.fill("#token", "secret")
    voice.press("Connect")
    voice.connected()
    assert peer.tokens[LLM][-1] == "secret"
    voice.page.reload()
    voice.connected()
    assert peer.tokens[LLM][-1] == "secret"
    expect(voice.page.locator("#token-form")).to_be_hidden()


# -- hostile servers ---------------------------------------------------------------------------------------------------


def test_nothing_that_a_server_sends_is_markup_or_breaks_the_page(open_page: Open, peer: Peer) -> None:
    peer.silent.add(HEAR)
    peer.history = [{"role": "user", "content": EVIL}, {"role": "assistant", "content": EVIL}]

    async def hostile(socket: Socket, frame: dict[str, Any]) -> None:
        own = {"request_id": frame["request_id"]}
        for text in ("", "{", "null", "7", "[]", '{"type":7}', '{"type":"__proto__"}', '{"type":"chunk"}'):
            await socket.send_str(text)
        await socket.send_bytes(b"\0\xff")
        for kind in ("start", "chunk", "end", "audio", "state", "error", "pong", EVIL):
            await socket.send_json(
                {"type": kind, "request_id": ["x"], "content": {}, "final_response": 1, "history": 5}
            )
            await socket.send_json({"type": kind, "request_id": "unknown", "content": EVIL, "final_response": EVIL})
        await socket.send_json({"type": "start", "message": EVIL, **own})
        await socket.send_json({"type": "chunk", "content": EVIL, **own})
        await socket.send_json({"type": "end", "final_response": EVIL, "message": EVIL, **own})
        await socket.send_json({"type": "audio", "content_type": EVIL, "data": EVIL, **own})
        await socket.send_json({"type": "error", "error": EVIL, "message": EVIL, "code": EVIL})

    peer.reply = hostile
    voice = open_page()
    page = voice.page
    voice.connected()
    voice.type(EVIL)
    expect(voice.replies).to_have_text([EVIL, EVIL])
    expect(voice.problem).to_have_text(EVIL)
    page.check("#keep")
    voice.press("Start Recording")
    peer.wait("sockets", lambda: peer.sockets.get(HEAR) and peer.frames_text(KEEP))
    for kind in ("speech_started", "partial", "final", "reconnecting", "error", "end", "ready", EVIL):
        peer.send(HEAR, {"type": kind, "text": EVIL, "utterance": EVIL, "message": EVIL, "code": EVIL})
        peer.send(HEAR, {"type": kind, "text": 7, "utterance": [], "message": None})
    for kind in ("recording_saved", "recording_empty", "recording_started", "error"):
        fields = {"file": EVIL, "url": "javascript:alert(1)", "format": EVIL, "bytes": EVIL, "duration": EVIL}
        peer.send(KEEP, {"type": kind, **fields, "message": EVIL})
        peer.send(KEEP, {"type": kind, "file": 7})
    expect(page.locator("#recordings li")).to_have_count(1)
    assert page.locator("#recordings a, #recordings audio").count() == 0
    voice.press("Stop Recording")
    peer.reply = peer.answer
    voice.type("Still there?")
    expect(voice.replies.last).to_have_text(REPLIED)
    assert page.locator("img").count() == 0


def test_errors_end_the_reply_that_they_name(open_page: Open, peer: Peer) -> None:
    """A failed request can be sent again, under another id; a request that breaks the gateway is not sent for ever."""
    sentence = "The LLM does not answer."

    async def fail(socket: Socket, frame: dict[str, Any]) -> None:
        error = {"type": "error", "error": sentence, "message": sentence, "code": "llm_failed"}
        await socket.send_json({**error, "request_id": frame["request_id"]})

    async def mute(socket: Socket, frame: dict[str, Any]) -> None:
        await peer.answer(socket, {**frame, "voice_id": "none"})
        error = {"type": "error", "error": "No voice.", "message": "No voice.", "code": "tts_failed"}
        await socket.send_json({**error, "request_id": frame["request_id"]})

    async def unreadable(socket: Socket, frame: dict[str, Any]) -> None:
        await socket.send_json({"type": "error", "error": "text is too long", "code": "bad_frame"})

    async def crash(socket: Socket, frame: dict[str, Any]) -> None:
        await socket.close(code=1011)

    voice = open_page()
    notes = voice.page.locator(".said.agent .note")
    voice.connected()
    peer.reply = fail
    voice.type("Hello")
    expect(notes).to_have_text([sentence])
    peer.reply = mute
    voice.press("Try again")
    expect(notes).to_have_text(["No voice."])
    expect(voice.replies).to_have_text([REPLIED])
    assert len({frame["request_id"] for frame in peer.requests()}) == 2
    peer.reply = unreadable
    voice.type("Hello")
    expect(notes.nth(1)).to_have_text("text is too long")
    peer.reply = crash
    voice.type("Poison")
    expect(notes.nth(2)).to_contain_text("5 times", timeout=4000 * PATIENCE)
    assert len(peer.frames(LLM, text="Poison")) == 5


def test_waiting_messages_are_bounded(open_page: Open, peer: Peer) -> None:
    peer.silent.add(LLM)
    voice = open_page()
    voice.connected()
    for n in range(9):
        voice.type(f"message {n}")
    expect(voice.questions).to_have_count(8)
    expect(voice.problem).to_contain_text("Too many messages")
    assert voice.page.input_value("#message") == "message 8"
    voice.press("Stop the reply")
    expect(voice.page.locator(".said.agent .mark")).to_have_text(["interrupted"] * 8)


# -- what browsers and users do ----------------------------------------------------------------------------------------


def test_without_a_microphone(open_page: Open, peer: Peer) -> None:
    """V24: it is said why, and what to do; typing works."""
    voice = open_page()
    voice.connected()
    for error, sentence in {
        "NotAllowedError": "This page may not use the microphone",
        "NotFoundError": "No microphone found",
        "NotReadableError": "another program may be using it",
    }.items():
        voice.page.evaluate(
            "(name) => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', name)); }",
            error,
        )
        voice.press("Start Recording")
        expect(voice.problem).to_contain_text(sentence)
        expect(voice.page.locator("#record")).to_have_text("Start Recording")
    voice.released()
    peer.wait("the socket to close", lambda: not peer.sockets.get(HEAR))
    voice.type("Hello")
    expect(voice.replies).to_have_text(REPLIED)
    expect(voice.problem).to_be_hidden()


def test_an_insecure_page_says_so(open_page: Open, peer: Peer) -> None:
    voice = open_page(origin=f"http://{INSECURE_HOST}:{peer.port}")
    expect(voice.problem).to_contain_text("only on https pages and on localhost")
    voice.connected()
    voice.type("Hello")
    expect(voice.replies).to_have_text(REPLIED)


def test_a_page_that_was_opened_from_a_file(open_page: Open, peer: Peer, tmp_path: Path) -> None:
    """Its parts come from the gateway that its address names, the AudioWorklet too."""
    shutil.copy(ROOT / "static" / "gateway" / "voice.html", tmp_path)
    voice = open_page(f"?gateway=127.0.0.1:{peer.port}", origin=f"file://{tmp_path}")
    voice.connected()
    voice.press("Start Recording")
    expect(voice.page.locator(".draft .interim")).to_be_visible()
    voice.press("Stop Recording")
    expect(voice.replies).to_have_text(REPLIED)
    link = voice.page.get_by_role("link", name="Text chat")
    expect(link).to_have_attribute("href", f"{peer.url}/websocket_client.html")


def test_without_a_gateway_the_page_says_how_to_start_it(open_page: Open, tmp_path: Path) -> None:
    shutil.copy(ROOT / "static" / "gateway" / "voice.html", tmp_path)
    voice = open_page("?gateway=127.0.0.1:9", origin=f"file://{tmp_path}")
    expect(voice.page.locator("#missing")).to_contain_text("No gateway answers at http://127.0.0.1:9: start it with")


def test_stopped_before_the_microphone_is_allowed(open_page: Open, peer: Peer) -> None:
    """V22: an answer to the browser's question that comes too late opens nothing."""
    voice = open_page(
        script="""
          const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
          const allowed = new Promise((resolve) => (window.allow = resolve));
          navigator.mediaDevices.getUserMedia = async (wanted) => { await allowed; return ask(wanted); };
        """
    )
    voice.press("Start Recording")
    expect(voice.status).to_have_text("Opening the microphone …")
    voice.press("Stop Recording")
    expect(voice.page.locator("#record")).to_have_text("Start Recording")
    voice.page.evaluate("allow()")
    wait_true(voice.page, "made.tracks.length === 1")
    voice.released()


def test_a_microphone_that_is_unplugged(open_page: Open, peer: Peer) -> None:
    """What was said until then is sent."""
    voice = open_page()
    voice.connected()
    voice.press("Start Recording")
    expect(voice.page.locator(".draft")).to_be_visible()
    voice.page.evaluate("made.tracks[0].stop(); made.tracks[0].dispatchEvent(new Event('ended'))")
    expect(voice.questions).to_have_text("What time is it?")
    expect(voice.problem).to_contain_text("The microphone was disconnected")
    voice.released()


def test_speech_that_the_browser_holds_back(open_page: Open, peer: Peer) -> None:
    """V13: where sound needs a click first, there is a button for it."""
    voice = open_page(
        script="""
          const { play } = HTMLMediaElement.prototype;
          HTMLMediaElement.prototype.play = () => Promise.reject(new DOMException("not now", "NotAllowedError"));
          window.permit = () => void (HTMLMediaElement.prototype.play = play);
        """
    )
    voice.connected()
    voice.type("Hello")
    button = voice.page.get_by_role("button", name="Play", exact=True)
    expect(button).to_be_visible()
    voice.page.evaluate("permit()")
    button.click()
    wait_true(voice.page, "made.sounds.length === 2 && made.sounds[1].ended")


def test_voices(open_page: Open, peer: Peer) -> None:
    """The chosen voice is sent, remembered, and may be any; without speech nothing is waited for."""
    voice = open_page()
    voice.connected()
    voice.page.select_option("#voice", "slt")
    voice.type("one")
    expect(voice.replies).to_have_count(1)
    voice.page.select_option("#voice", "other")
    voice.page.fill("#other-voice", "en-UK-hazel")
    voice.type("two")
    expect(voice.replies).to_have_count(2)
    voice.page.select_option("#voice", "none")
    voice.type("three")
    expect(voice.replies.nth(2)).to_have_text(REPLIED)
    expect(voice.page.locator("#announced")).to_have_text(f"Agent: {REPLIED}")
    assert [frame.get("voice_id") for frame in peer.requests()] == ["slt", "en-UK-hazel", "none"]
    assert sum("Generating TTS" in line for line in voice.console) == 2
    voice.page.reload()
    assert voice.page.input_value("#voice") == "none"


def test_leaving_releases_everything(open_page: Open, peer: Peer) -> None:
    """V22: sockets, microphone and audio, when the page is left while everything runs."""
    voice = open_page()
    voice.connected()
    voice.page.check("#keep")
    voice.press("Start Recording")
    peer.wait("everything", lambda: peer.open_sockets() == 3)
    voice.page.goto("about:blank")
    peer.wait("all to close", lambda: peer.open_sockets() == 0)
    voice.page.go_back()
    voice.connected()


def test_by_keyboard_and_on_a_phone(open_page: Open, peer: Peer) -> None:
    """Everything is reached by Tab; nothing is wider than a phone; in the dark the colours stay readable."""
    voice = open_page()
    page = voice.page
    voice.connected()
    reached = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert reached >= {"conversation-scroll", "record", "message", "voice", "hands-free", "keep"}
    page.focus("#record")
    page.keyboard.press("Space")
    expect(page.locator(".draft .interim")).to_be_visible()
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 844})
    hue, contrast = voice.colours(".draft .interim")
    assert 40 <= hue <= 65
    assert contrast >= 4.5
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.querySelector('main').scrollWidth") <= 390
    page.keyboard.press("Space")
    expect(voice.replies).to_have_text(REPLIED)
    hue, contrast = voice.colours(".said.user .final")
    assert 130 <= hue <= 170
    assert contrast >= 4.5

"""Wrong settings, and servers that do not respond: one sentence that says what to do, and the exit code."""

from __future__ import annotations

import json
import sys
import threading
import types
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from agent import checks, pipeline, settings
from agent.failure import UNREACHABLE, WRONG_SETTINGS, Failure
from event_hub.providers import Providers

from ..hubs import HubProcess
from .agents import AgentProcess, events_until

LIVEKIT = {"LIVEKIT_URL": "ws://127.0.0.1:7880", "LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET": "s" * 32}
CLOSED = "127.0.0.1:1"
"""Nothing listens here. A free port could be taken a moment later."""


class Answers(BaseHTTPRequestHandler):
    """Responds to every request with the same status."""

    status: ClassVar[int] = 200

    def do_GET(self) -> None:
        data = json.dumps({}).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def answers() -> Iterator[tuple[str, type[Answers]]]:
    """The server's address, and the class whose `status` it responds with."""
    kind = type("Now", (Answers,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}", kind
        server.shutdown()
        thread.join()


def sentence(call: Any, *arguments: Any) -> tuple[str, int]:
    with pytest.raises(Failure) as failure:
        call(*arguments)
    assert str(failure.value) == failure.value.sentence
    return failure.value.sentence, failure.value.code


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, ["LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET are not set", "mode scripted"]),
        ({**LIVEKIT, "LIVEKIT_API_KEY": ""}, ["LIVEKIT_API_KEY is not set"]),
        ({**LIVEKIT, "LIVEKIT_URL": "127.0.0.1:7880"}, ["LIVEKIT_URL", "ws://"]),
    ],
)
def test_livekit_settings_that_are_missing_or_wrong_are_named(environ: dict[str, str], words: list[str]) -> None:
    text, code = sentence(settings.LiveKit.of, environ)
    assert code == WRONG_SETTINGS
    assert all(word in text for word in words), text


def test_the_mode_follows_from_what_is_set() -> None:
    assert settings.choose_mode({})[0] == "scripted"
    assert settings.choose_mode({**LIVEKIT, "AGENT_PROVIDERS": "local"})[0] == "worker"
    mode, why = settings.choose_mode(LIVEKIT)
    assert mode == "scripted"
    assert "OPENAI_API_KEY" in why
    assert "'shout'" in sentence(settings.mode_of, "shout")[0]
    assert len(sentence(settings.mode_of, "x" * 10_000)[0]) < 200


def test_x09_keys_of_the_chosen_providers_are_asked_for() -> None:
    chosen = {"AGENT_STT": "deepgram/nova-3", "AGENT_LLM": "anthropic", "AGENT_TTS": "cartesia"}
    text, _ = sentence(settings.require_keys, chosen)
    assert all(name in text for name in ("DEEPGRAM_API_KEY", "ANTHROPIC_API_KEY", "CARTESIA_API_KEY", "local"))
    settings.require_keys({"AGENT_PROVIDERS": "local"})
    settings.require_keys({"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"})
    assert "AGENT_PROVIDERS" in sentence(settings.require_keys, {"AGENT_PROVIDERS": "cheap"})[0]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://user:pa55word@127.0.0.1:7880/path", "ws://127.0.0.1:7880/path"),
        ("wss://host", "wss://host"),
        ("ws://[bad", "ws://[bad"),
        ("pa55word@host", "(not a URL)"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert settings.shown(url) == shown
    if "bad" in url or url == "pa55word@host":
        environ = {**LIVEKIT, "LIVEKIT_URL": url}
        assert "pa55word" not in sentence(settings.LiveKit.of, environ)[0]


def test_a_malformed_key_is_reported_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1\nsk-2")
    words, code = sentence(checks.check_openai)
    assert "OPENAI_API_KEY" in words
    assert "sk-" not in words
    assert code == WRONG_SETTINGS


@pytest.mark.parametrize("text", ["fast", "-1", "nan", "1e9"])
def test_a_setting_that_is_not_a_number_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AGENT_MIN_ENDPOINTING", text)
    assert "AGENT_MIN_ENDPOINTING" in sentence(settings.number, "AGENT_MIN_ENDPOINTING")[0]
    assert "AGENT_MIN_ENDPOINTING" in sentence(settings.check_numbers)[0]


# -- providers ---------------------------------------------------------------------------------------------------------


class VoicelessTTS:
    def __init__(self, *, model_id: str = "") -> None:
        self.model_id = model_id


class KeylessLLM:
    def __init__(self) -> None:
        raise ValueError("ELSEWHERE_KEY is not set\nand more lines")


@pytest.fixture
def openai_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key for OpenAI, and a plugin `elsewhere` with few abilities."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.delenv("AGENT_LANGUAGE", raising=False)
    plugin = types.ModuleType("livekit.plugins.elsewhere")
    plugin.TTS, plugin.LLM = VoicelessTTS, KeylessLLM  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, plugin.__name__, plugin)


@pytest.mark.usefixtures("openai_key")
def test_x09_providers_are_made_by_name_with_model_and_voice() -> None:
    made = pipeline.make_pipeline(
        Providers.of({"AGENT_LLM": "openai/gpt-4.1-mini", "AGENT_TTS": "openai/gpt-4o-mini-tts:coral"})
    )
    assert made.stt is not None
    assert made.stt.capabilities.streaming, "OpenAI's STT takes whole utterances: it is adapted"
    assert (made.llm and made.llm.model, made.tts and made.tts.model) == ("gpt-4.1-mini", "gpt-4o-mini-tts")
    assert made.tts is not None
    assert made.tts._opts.voice == "coral"  # type: ignore[attr-defined]
    elsewhere: Any = pipeline.make_pipeline(Providers.of({"AGENT_TTS": "elsewhere/large"})).tts
    assert elsewhere.model_id == "large", "plugins differ in the names of their parameters"
    realtime = pipeline.make_pipeline(Providers.of({"AGENT_REALTIME": "openai/gpt-realtime:marin"}))
    assert realtime.realtime is not None
    assert (realtime.stt, realtime.llm, realtime.tts, realtime.vad) == (None, None, None, None)


@pytest.mark.usefixtures("openai_key")
@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"AGENT_STT": "gladia/solaria-1"}, ["gladia", "pip install livekit-plugins-gladia"]),
        ({"AGENT_VAD": "nosuchvad"}, ["pip install livekit-plugins-nosuchvad"]),
        ({"AGENT_TTS": "elsewhere:anna"}, ["elsewhere takes no voice", "AGENT_TTS"]),
        ({"AGENT_STT": "elsewhere"}, ["elsewhere has no STT", "AGENT_STT"]),
        ({"AGENT_LLM": "elsewhere"}, ["AGENT_LLM=elsewhere cannot be used: ELSEWHERE_KEY is not set"]),
        ({"AGENT_LLM": "none"}, ["AGENT_LLM"]),
        ({"AGENT_STT": "none"}, ["AGENT_STT"]),
        ({"AGENT_VAD": "none"}, ["openai", "VAD"]),
        ({"AGENT_LLM": "local"}, ["AGENT_LLM"]),
        ({"AGENT_STT": "local/large"}, ["AGENT_STT", "large"]),
    ],
)
def test_x09_unusable_providers_say_what_to_do(environ: dict[str, str], words: list[str]) -> None:
    text, code = sentence(lambda: pipeline.make_pipeline(pipeline.read_providers(environ)))
    assert code == WRONG_SETTINGS
    assert all(word in text for word in words), text
    assert "\n" not in text


# -- the servers ------- ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [
        (401, ["LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"], WRONG_SETTINGS),
        (404, ["is not LiveKit", "LIVEKIT_URL"], WRONG_SETTINGS),
        (None, ["does not respond", "start livekit-server or correct LIVEKIT_URL"], UNREACHABLE),
    ],
)
def test_a_livekit_that_cannot_be_used(
    answers: tuple[str, type[Answers]], status: int | None, words: list[str], code: int
) -> None:
    address, kind = answers
    if status is None:
        address = CLOSED
    else:
        kind.status = status
    livekit = settings.LiveKit(f"ws://{address}", "devkey", "s" * 32)
    text, found = sentence(checks.check_livekit, livekit)
    assert found == code
    assert all(word in text for word in [*words, address]), text
    assert "s" * 32 not in text


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [(401, ["OPENAI_API_KEY"], WRONG_SETTINGS), (None, ["OPENAI_BASE_URL", "does not respond"], UNREACHABLE)],
)
def test_an_openai_that_cannot_be_used(
    answers: tuple[str, type[Answers]],
    monkeypatch: pytest.MonkeyPatch,
    status: int | None,
    words: list[str],
    code: int,
) -> None:
    address, kind = answers
    if status is None:
        address = CLOSED
    else:
        kind.status = status
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://{address}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    text, found = sentence(checks.check_openai)
    assert found == code
    assert all(word in text for word in [*words, address]), text
    kind.status = 200
    if status is not None:
        checks.check_openai()


# -- the program -------------------------------------------------------------------------------------------------------


def test_h13_the_agent_reports_to_the_hub_why_it_cannot_start(hub: HubProcess, tmp_path: Path) -> None:
    """For a missing plugin and an unreachable LiveKit, the sentence is published with the agent's id."""
    cases = {
        "plugin": ({"AGENT_STT": "gladia", "GLADIA_API_KEY": "k"}, WRONG_SETTINGS, "pip install"),
        "livekit": ({"LIVEKIT_URL": f"ws://{CLOSED}"}, UNREACHABLE, "start livekit-server"),
    }
    for name, (environ, code, words) in cases.items():
        folder = tmp_path / name
        folder.mkdir()
        start = {**LIVEKIT, "AGENT_PROVIDERS": "local", "HUB_AGENT_MODE": "worker", **environ}
        with AgentProcess(folder, HUB_URL=hub.url, HUB_AGENT_ID=f"ag_{name}", **start) as agent:
            assert agent.wait() == code
            reported = [e for e in events_until(hub.url, "agent_error", list(cases).index(name) + 1) if "message" in e][
                -1
            ]
            assert reported["agent_id"] == f"ag_{name}"
            assert reported["recoverable"] is False
            assert words in reported["message"]
            assert f"agent: {reported['message']}" in agent.output()
            assert "Traceback" not in agent.output()


def test_bad_command_lines_end_with_2_and_a_sentence(tmp_path: Path) -> None:
    cases = {
        "help": (["--help"], {}, 0, "--instructions"),
        "mode": (["--mode", "shout"], {}, 2, "worker, room, scripted or gateway"),
        "room": (["--mode", "room"], {**LIVEKIT, "AGENT_PROVIDERS": "local"}, 2, "--room NAME"),
        "speed": (["--speed", "0"], {}, 2, "--speed"),
        "hub": (["--mode", "scripted"], {"HUB_URL": "http://h/api/stream"}, 2, "HUB_URL"),
        "providers": (["--list-providers"], {"AGENT_STT": "deepgram/nova-3"}, 0, "DEEPGRAM_API_KEY: missing"),
    }
    for name, (arguments, environ, code, words) in cases.items():
        folder = tmp_path / name
        folder.mkdir()
        with AgentProcess(folder, *arguments, **environ) as agent:
            assert agent.wait() == code, name
            assert words in agent.output()
            assert "Traceback" not in agent.output()

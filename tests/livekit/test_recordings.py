"""Calls over a real LiveKit server whose agent uploads to the hub: the session can be heard and read again (issue 18)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from ..hubs import PATIENCE, ROOT, until
from ..recordings.test_audio import decoded
from .line import Line
from .speech import Recogniser, overlap, write_wav

ASKED = "What is the weather in London?"
LOCAL = {"AGENT_PROVIDERS": "local"}


EXAMPLE = (str(ROOT / "examples" / "recorded_agent" / "agent.py"), "dev")


@contextmanager
def agent(
    line: Line, program: tuple[str, ...] = ("-m", "tests.livekit.recorded_agent"), **environ: str
) -> Iterator[None]:
    """An agent that the hub did not start."""
    log = line.folder / "recorded_agent.log"
    settings = {**line.hub.environ, **LOCAL, "HUB_URL": line.hub.url, **environ}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *program],
            cwd=ROOT, env=settings, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    try:
        until(lambda: re.search(rb"registered( worker|\n)", log.read_bytes()), "the agent registers", 4 * PATIENCE)
        yield
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    except BaseException:
        print(log.read_text(errors="replace")[-6000:])
        raise
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait(PATIENCE)


def converse(line: Line, room: str) -> str:
    """A call: the greeting, a question, its answer. Returns the text that the caller heard last."""
    caller = line.call(room, f"caller_{room}")
    caller.wait("heard_ended")
    _, answering = caller.ask(ASKED)
    caller.wait("heard_ended", number=answering["number"])
    caller.leave()
    return room


def session_in(line: Line, room: str) -> dict[str, Any]:
    """The session of a room, once its recording and its whole trace are there."""

    def found() -> dict[str, Any] | None:
        listed = requests.get(f"{line.hub.url}/api/sessions", params={"room": room}, timeout=PATIENCE).json()[
            "sessions"
        ]
        whole = [
            s for s in listed if s["recording"] and s["trace"] and s["trace"]["complete"] and s["status"] == "ended"
        ]
        assert len(whole) <= 1, "one call is one session"
        return line.hub.get(f"/api/sessions/{whole[0]['id']}") if whole else None

    result: dict[str, Any] = until(found, f"the recording of {room}", 4 * PATIENCE)
    return result


def words_of(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["role"], item["text"]) for item in document["conversation"] if item["kind"] == "said"]


def check_audio(line: Line, document: dict[str, Any], recogniser: Recogniser, folder: Path) -> None:
    """The words stand in the recording at the times that the transcript says."""
    url = f"{line.hub.url}{document['recording']['url']}"
    sound = decoded(requests.get(url, timeout=PATIENCE).content, 16_000)
    assert sound.shape[1] / 16_000 == pytest.approx(document["recording"]["duration"], abs=0.05)
    marks = requests.get(f"{url}/marks", timeout=PATIENCE).json()["marks"]
    assert {mark["role"] for mark in marks} == {"user", "agent"}
    for number, mark in enumerate(marks):
        channel = ("user", "agent").index(mark["role"])
        begin, end = (round(max(0.0, at) * 16_000) for at in (mark["offset"] - 0.4, mark["end"] + 0.4))
        path = folder / f"{number}.wav"
        write_wav(path, (sound[channel, begin:end] * 32767).astype(np.int16), 16_000)
        assert overlap(mark["text"], recogniser.file(str(path))) >= 0.3, mark  # it hears a part without what was before
        if mark["role"] == "user":  # the first 10 ms of sound near it
            near = sound[0, round((mark["offset"] - 0.2) * 16_000) : round((mark["offset"] + 0.2) * 16_000)]
            windows = near[: len(near) // 160 * 160].reshape(-1, 160).astype(float)
            loud = np.sqrt((windows**2).mean(axis=1)) >= 10 ** (-46 / 20)
            assert abs(mark["heard"] - (mark["offset"] - 0.2 + int(loud.argmax()) / 100)) <= 0.05, mark
        elif mark["heard"] is not None:  # a voice can be silent for longer at first
            assert -0.05 <= mark["heard"] - mark["offset"] <= 0.3, mark


def test_a_stock_agent_is_heard_and_read_again(
    open_line: Callable[..., Line], recogniser: Recogniser, tmp_path: Path
) -> None:
    """Issue 18: `record=True`, one variable and no `attach`: transcript, waterfall, and stereo audio."""
    line = open_line()
    with agent(line, LIVEKIT_OBSERVABILITY_URL=line.hub.url):
        converse(line, "stock")
        document = session_in(line, "stock")
    assert document["told"] == "afterwards"
    said = words_of(document)
    assert [role for role, _ in said][:2] == ["agent", "user"]
    assert overlap(ASKED, said[1][1]) >= 0.6
    assert document["latency"]["e2e_latency"]["count"] >= 1
    names = {span["name"] for span in line.hub.get(document["trace"]["url"])["spans"]}
    assert {"agent_session", "user_turn", "eou_wait", "llm_node", "tts_node", "agent_speaking"} <= names
    check_audio(line, document, recogniser, tmp_path)


def test_the_example_is_heard_and_read_again(
    open_line: Callable[..., Line], recogniser: Recogniser, tmp_path: Path
) -> None:
    """Issue 18: examples/recorded_agent, as it is, with LiveKit's own command line."""
    line = open_line(any_load=True)
    with agent(line, EXAMPLE, LIVEKIT_OBSERVABILITY_URL=line.hub.url):
        caller = line.call("example", "caller_example", agent="my-agent")
        caller.wait("heard_ended")
        _, answering = caller.ask(ASKED)
        caller.wait("heard_ended", number=answering["number"])
        caller.leave()
        document = session_in(line, "example")
    assert document["told"] == "afterwards"
    said = words_of(document)
    assert [role for role, _ in said] == ["agent", "user", "agent"]
    assert overlap(ASKED, said[1][1]) >= 0.6
    check_audio(line, document, recogniser, tmp_path)


def test_with_attach_it_is_one_session_and_kills_of_the_hub_lose_nothing(
    open_line: Callable[..., Line], recogniser: Recogniser, tmp_path: Path
) -> None:
    """Issue 18: figures agree within 20 ms; kill -9 of the hub during the call, and when the upload comes."""
    line = open_line()
    with agent(line, LIVEKIT_OBSERVABILITY_URL=line.hub.url, RECORDED_ATTACH="1"):
        caller = line.call("both", "caller_both")
        caller.wait("heard_ended")
        asked = caller.say(ASKED)
        caller.wait("said_started", number=asked)
        line.hub.kill()
        line.hub.start()
        ended = caller.wait("said_ended", number=asked)
        answering = caller.wait("heard_started", after=ended["time"])
        caller.wait("heard_ended", number=answering["number"])
        line.hub.kill()
        caller.leave()
        line.hub.start()
        document = session_in(line, "both")
    assert document["told"] is None
    assert document["room_sid"].startswith("RM_")
    metrics = [event for event in line.events() if event["type"] == "turn_metrics"]
    spans = line.hub.get(document["trace"]["url"])["spans"]
    for name, attribute in (("e2e_latency", "lk.e2e_latency"), ("end_of_turn_delay", "lk.end_of_turn_delay")):
        ours = sorted(event[name] for event in metrics if name in event)
        theirs = sorted({s["attributes"][attribute] for s in spans if attribute in s.get("attributes", {})})
        assert theirs == pytest.approx(ours, abs=0.02), name
    speaking = sorted(span["start"] for span in spans if span["name"] == "agent_speaking")
    began = sorted(event["timestamp"] for event in line.events() if event["type"] == "agent_speech_started")
    assert began == pytest.approx(speaking, abs=0.02)
    check_audio(line, document, recogniser, tmp_path)


def test_attach_uploads_a_recording_that_nobody_else_gets(open_line: Callable[..., Line]) -> None:
    """Issue 18: `record={"audio": True}` without an observability URL."""
    line = open_line()
    with agent(line, RECORDED_ATTACH="1", RECORDED='{"audio": true, "transcript": true}'):
        converse(line, "local")

        def recorded() -> dict[str, Any] | None:
            listed = requests.get(f"{line.hub.url}/api/sessions", params={"room": "local"}, timeout=PATIENCE).json()
            return next((s for s in listed["sessions"] if s["recording"]), None)

        summary = until(recorded, "the recording", 2 * PATIENCE)
    assert summary["recording"]["channels"] == 2
    assert summary["recording"]["duration"] > 3
    answer = requests.get(f"{line.hub.url}{summary['recording']['url']}", timeout=PATIENCE)
    assert answer.content.startswith(b"OggS")

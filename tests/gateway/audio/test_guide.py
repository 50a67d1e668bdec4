"""docs/gateway-audio.md: its code runs, in Python and in Chromium, whose microphone plays real speech."""

from __future__ import annotations

import re
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import sync_playwright

from ...browser.chromium import FLAGS
from ...hubs import PATIENCE, ROOT
from ...toolchain import tool
from ..gateways import GatewayProcess
from .sounds import silence, speech, wav

GUIDE = (ROOT / "docs" / "gateway-audio.md").read_text()
SENTENCE = "What is the weather in Berlin tomorrow?"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)


def ran(code: str, gateway: GatewayProcess, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code.replace("localhost:8765", f"127.0.0.1:{gateway.port}")],
        cwd=folder, capture_output=True, text=True, timeout=4 * PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_examples_run(gateway: GatewayProcess, tmp_path: Path) -> None:
    """V33 to V35, V25, V28."""
    record, transcribe = blocks("python")
    shown = ran(record, gateway, tmp_path)
    response = requests.get(shown.splitlines()[-1], timeout=PATIENCE)
    assert len(response.content) == 16044
    (tmp_path / "question.wav").write_bytes(wav(speech(SENTENCE)))
    shown = ran(transcribe, gateway, tmp_path)
    assert "final what is the weather in berlin tomorrow" in shown
    assert shown.splitlines()[-1].strip() == "end"


@pytest.fixture
def page(gateway: GatewayProcess, tmp_path: Path) -> Iterator[Any]:
    """A page of the gateway in Chromium, with a microphone that plays the sentence over and over."""
    sound = tmp_path / "speech.wav"
    sound.write_bytes(wav(silence(0.5) + speech(SENTENCE) + silence(1.5)))
    flags = [
        *FLAGS,
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={sound}",
        "--autoplay-policy=no-user-gesture-required",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYWRIGHT_NODEJS_PATH", tool("node"))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=tool("chromium"), args=flags, timeout=2000 * PATIENCE)
            made = browser.new_page()
            made.set_default_timeout(2000 * PATIENCE)
            made.goto(f"{gateway.url}/health")
            yield made
            browser.close()


def test_the_browser_examples_run(gateway: GatewayProcess, page: Any) -> None:
    """V36: what Chromium's MediaRecorder sends in slices of 100 ms becomes a WAV file; its samples are understood."""
    record, transcribe = (code.replace("localhost:8765", f"127.0.0.1:{gateway.port}") for code in blocks("js"))
    saved = page.evaluate(f"async () => {{ {record} return record(2); }}")
    assert saved["format"] == "wav"
    with wave.open(str(gateway.folder / "uploads" / saved["file"])) as file:
        assert (file.getframerate(), file.getsampwidth()) == (48000, 2)
        assert any(file.readframes(file.getnframes()))
    assert 1.0 < saved["duration"] < 10.0

    frames = page.evaluate(
        f"""async () => {{ {transcribe}
            const frames = [];
            let ended;
            const end = new Promise((resolve) => {{ ended = resolve; }});
            const finish = await transcribe((frame) => {{
                frames.push(frame);
                if (frames.filter(({{ type }}) => type === "final").length === 2) finish();
                if (frame.type === "end") ended();
            }});
            await end;
            return frames;
        }}"""
    )
    assert {frame["type"] for frame in frames} >= {"ready", "speech_started", "partial", "final", "speech_ended", "end"}
    assert not [frame for frame in frames if frame["type"] == "error"]
    assert {"weather", "berlin"} <= set(" ".join(f["text"] for f in frames if f["type"] == "final").split())

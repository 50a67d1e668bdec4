"""The voice page in a browser whose microphone speaks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from ...browser.chromium import FLAGS, wait_true
from ...conftest import outliving
from ...hubs import PATIENCE, until
from ...livekit.speech import RATE, resampled, said, write_wav
from ...toolchain import tool

QUESTION = "What is the weather in London?"
INSECURE_HOST = "voice.test"
"""A name of this machine that browsers do not take for secure."""

WATCH = """
  window.made = { tracks: [], contexts: [], sounds: [], level: 0 };
  const ask = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
  if (ask) navigator.mediaDevices.getUserMedia = async (wanted) => {
    const stream = await ask(wanted);
    made.tracks.push(...stream.getTracks());
    return stream;
  };
  window.AudioContext = class extends AudioContext {
    constructor(options) { super(options); made.contexts.push(this); }
  };
  window.Audio = class extends Audio {
    constructor(source) { super(source); made.sounds.push(this); }
  };
  addEventListener("DOMContentLoaded", () => {
    const bar = document.getElementById("level");
    if (!bar) return; // about:blank
    new MutationObserver(() => {
      made.level = Math.max(made.level, Number(bar.style.transform.slice("scaleX(".length, -1)) || 0);
    }).observe(bar, { attributes: true });
  });
"""
"""Notes what the page opens, and the highest level that it has shown."""


def microphone(folder: Path) -> list[str]:
    """Chromium's flags for a microphone that says QUESTION whenever a page begins to listen."""
    file = folder / "microphone.wav"
    quiet = np.zeros(RATE // 2, np.int16)
    speech = np.concatenate([quiet, said(QUESTION), np.tile(quiet, 4)])
    write_wav(file, resampled(speech, RATE, 48000), 48000)
    return [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={file}%noloop",
        "--autoplay-policy=no-user-gesture-required",
        f"--host-resolver-rules=MAP {INSECURE_HOST} 127.0.0.1",
    ]


class VoicePage:
    """The page, with what it writes to the console."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.console: list[str] = []
        self.problems: list[str] = []
        page.set_default_timeout(PATIENCE * 1000)
        page.on("console", lambda message: self.console.append(message.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.add_init_script(WATCH)
        page.goto(address)

    @property
    def problem(self) -> Locator:
        return self.page.locator("#problem")

    @property
    def status(self) -> Locator:
        return self.page.locator("#status")

    @property
    def replies(self) -> Locator:
        return self.page.locator(".said.agent .text")

    @property
    def questions(self) -> Locator:
        return self.page.locator(".said.user:not(.draft) .text")

    def connection(self, name: str) -> Locator:
        return self.page.locator("#connection-list > div", has_text=name)

    def connected(self) -> None:
        """Wait until replies can come over their WebSocket."""
        expect(self.connection("Replies")).to_have_attribute("data-state", "open")

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def type(self, text: str) -> None:
        self.page.fill("#message", text)
        self.page.press("#message", "Enter")

    def wait_console(self, beginning: str, number: int = 1) -> str:
        """The `number`-th line of the console that begins like that."""

        def found() -> str | None:
            self.page.evaluate("0")  # events are dispatched during calls
            lines = [line for line in self.console if line.startswith(beginning)]
            return lines[number - 1] if len(lines) >= number else None

        line: str = until(found, f"{beginning!r} on the console")
        return line

    def released(self) -> None:
        """Wait until the microphone and its audio context are released (V22)."""
        wait_true(
            self.page,
            "made.tracks.every((track) => track.readyState === 'ended')"
            " && made.contexts.every((context) => context.state === 'closed')",
        )

    def colours(self, selector: str) -> tuple[float, float]:
        """The hue of an element's text in degrees, and its contrast with the background behind it."""
        found: Any = self.page.locator(selector).first.evaluate(
            """(element) => {
              const background = (each) => {
                const colour = getComputedStyle(each).backgroundColor;
                return /, 0\\)$|transparent/.test(colour) ? background(each.parentElement) : colour;
              };
              return [getComputedStyle(element).color, background(element)];
            }"""
        )
        text, ground = ([int(part) for part in re.findall(r"\d+", colour)[:3]] for colour in found)
        return _hue(text), _contrast(text, ground)


def _hue(rgb: list[int]) -> float:
    import colorsys

    return colorsys.rgb_to_hsv(*(part / 255 for part in rgb))[0] * 360


def _contrast(one: list[int], other: list[int]) -> float:
    """As WCAG defines it."""

    def luminance(rgb: list[int]) -> float:
        linear = [part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


Open = Callable[..., VoicePage]


@pytest.fixture(scope="module")
def voice_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium that says QUESTION into its microphone."""
    flags = microphone(tmp_path_factory.mktemp("microphone"))
    with pytest.MonkeyPatch.context() as patch, outliving() as keep:
        patch.setenv("PLAYWRIGHT_NODEJS_PATH", tool("node"))
        with sync_playwright() as playwright:
            keep()
            chromium = playwright.chromium.launch(
                executable_path=tool("chromium"), args=[*FLAGS, *flags], timeout=2000 * PATIENCE
            )
            yield chromium
            chromium.close()


@pytest.fixture
def voice_context(voice_browser: Browser) -> Iterator[BrowserContext]:
    made = voice_browser.new_context(viewport={"width": 1280, "height": 800})
    yield made
    made.close()


@pytest.fixture
def open_page(voice_context: BrowserContext, address: str) -> Iterator[Open]:
    """Opens the voice page of `address`, a fixture of the module. An error in its scripts fails the test."""
    opened: list[VoicePage] = []

    def make(query: str = "", *, script: str = "", origin: str = "") -> VoicePage:
        page = voice_context.new_page()
        if script:
            page.add_init_script(script)
        opened.append(VoicePage(page, f"{origin or address}/voice.html{query}"))
        return opened[-1]

    yield make
    for voice in opened:
        voice.page.close()
    assert [problem for voice in opened for problem in voice.problems] == []

"""A browser is a caller, too: Chromium with a microphone that is a file, livekit-client, a token from the hub (H17)."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from ..browser.chromium import FLAGS
from ..examples.programs import served
from ..hubs import PATIENCE, ROOT, until
from ..toolchain import tool
from . import built
from .line import Line
from .session_events import SessionEvents, undisturbed
from .speech import RATE, overlap, resampled, said, write_wav

WATCH = Path(__file__).parent / "page" / "watch.js"
QUESTION = "Please tell me the weather in London."


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    """Chromium that says QUESTION into its microphone as soon as a page listens to that."""
    file = tmp_path / "microphone.wav"
    quiet = np.zeros(RATE // 2, np.int16)
    write_wav(file, resampled(np.concatenate([quiet, said(QUESTION), quiet]), RATE, 48000), 48000)
    flags = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={file}%noloop",
        "--autoplay-policy=no-user-gesture-required",
    ]
    monkeypatch.setenv("PLAYWRIGHT_NODEJS_PATH", tool("node"))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=tool("chromium"), args=[*FLAGS, *flags], timeout=2000 * PATIENCE
        )
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser) -> BrowserContext:
    return browser.new_context()


def documented(folder: Path, hub: str) -> Path:
    """A folder with the page of docs/livekit-server.md, for a hub elsewhere, and with livekit-client as npm installs it."""
    text = (ROOT / "docs" / "livekit-server.md").read_text()
    html = text.partition("<!-- test: call.html -->\n```html\n")[2].partition("```")[0]
    assert html.count("http://localhost:5000") == 1
    (folder / "call.html").write_text(html.replace("http://localhost:5000", hub))
    client = folder / re.search(r'src="([^"]+)"', html)[1]
    client.parent.mkdir(parents=True)
    shutil.copy(built.client(), client)
    return folder


def wait(page: Page, what: str, number: int = 1) -> dict[str, Any]:
    """The page's `number`-th note of `what`."""

    def noted() -> dict[str, Any] | None:
        found = [note for note in page.evaluate("notes") if note["what"] == what]
        return found[number - 1] if len(found) >= number else None

    note: dict[str, Any] = until(noted, f"the browser's {what}: {page.evaluate('notes')}", 2 * PATIENCE)
    return note


@dataclass
class Call:
    """A call from the browser: its notes, and the hub's events."""

    seen: SessionEvents
    identity: str
    greeting: tuple[dict[str, Any], dict[str, Any]]
    speaking: dict[str, Any]
    answer: tuple[dict[str, Any], dict[str, Any]]

    def assert_understood(self) -> None:
        """The agent heard what was said, and the audio was on time."""
        (question,) = self.seen.finals()
        assert overlap(QUESTION, question["text"]) >= 0.6
        assert "weather" in question["text"].lower()  # without that word nothing is looked up
        for reply, heard in zip(self.seen.replies(), (self.greeting, self.answer), strict=True):
            reply.assert_heard(*heard)


def call(line: Line, page: Page, address: str) -> Call:
    """Call, hear the greeting, ask, hear the answer, and leave."""
    page.add_init_script(path=WATCH)
    page.goto(f"{address}/call.html")
    page.get_by_role("button", name="Call").click()
    greeting = wait(page, "heard_started"), wait(page, "heard_ended")
    page.evaluate("allowMicrophone()")
    speaking = wait(page, "speaking")
    answer = wait(page, "heard_started", 2), wait(page, "heard_ended", 2)
    identity = page.evaluate("room.localParticipant.identity")
    page.close()
    session = line.wait_event("transcript", participant=identity, final=True)["session"]
    line.wait_event("session_ended", session=session)
    return Call(SessionEvents(line.events(), session), identity, greeting, speaking, answer)


def test_a_browser_calls(
    open_line: Callable[..., Line], new_page: Callable[[], Page], tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """The page of the docs hears the greeting, asks, and hears the answer; the hub has both sides. The providers are the local
    ones: no key, and no stand-in for another service."""
    line = open_line(AGENT_PROVIDERS="local", OPENAI_API_KEY="", OPENAI_BASE_URL="")
    line.start_agent(mode="worker")
    with served(documented(tmp_path, line.hub.url)) as address:
        done = undisturbed(lambda _: call(line, new_page(), address), Call.assert_understood)
    seen = done.seen
    _, weather = seen.replies()
    (question,) = seen.finals()

    with subtests.test("the caller's side"):
        assert (question["room"], question["participant"]) == ("kitchen", done.identity)
        assert question["timestamp"] > done.speaking["time"]

    with subtests.test("interims while the caller speaks, and they are of the same utterance"):
        interims = seen.all("transcript", role="user", final=False)
        assert interims
        assert {event["utterance"] for event in interims} == {question["utterance"]}
        assert seen.in_order(*interims, question)

    with subtests.test("the agent's side, as the browser hears it"):
        done.assert_understood()
        started, finished = seen.only("tool_call_started"), seen.only("tool_call_finished")
        assert seen.in_order(question, started, finished, weather.started)

    line.stop_agent()
    with subtests.test("no other service was asked"):
        assert line.standin.requests == []

"""The page's own "Talk": a real LiveKit server, a worker with local providers, Chromium with a microphone that is a file (H17)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest
import requests
from playwright.sync_api import Page, expect

from ..browser.chromium import wait_true
from ..hubs import PATIENCE, HubProcess
from . import built
from .line import Line
from .server import KEY, SECRET, LiveKitServer
from .session_events import SessionEvents
from .test_browser import WATCH, browser, context, wait

__all__ = ["browser", "context"]

LIVEKIT = {"LIVEKIT_URL": "ws://127.0.0.1:1", "LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}

GUARDED = """() => {
  const { mediaDevices } = navigator;
  const ask = mediaDevices.getUserMedia.bind(mediaDevices);
  const asked = new Promise((answer) => (window.allow = answer));
  window.given = [];
  mediaDevices.getUserMedia = async (wanted) => {
    await asked;
    const stream = await ask(wanted);
    given.push(...stream.getTracks());
    return stream;
  };
}"""
"""As a browser that asks its user first: `allow()` is the answer."""

UNPLUGGED = """() => {
  navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("none", "NotFoundError"));
  given.at(-1).stop();
  given.at(-1).dispatchEvent(new Event("ended"));
}"""

HELD_BACK = """() => {
  const refuse = () => Promise.reject(new DOMException("not now", "NotAllowedError"));
  navigator.mediaDevices.getUserMedia = refuse;
  const { play } = HTMLMediaElement.prototype;
  HTMLMediaElement.prototype.play = refuse;
  addEventListener("click", ({ target }) => {
    if (target.textContent === "Hear the agent") HTMLMediaElement.prototype.play = play;
  }, true);
}"""
"""A browser without a microphone that plays no audio without a click."""


LEVELS = """() => {
  window.levels = { heard: 0, spoken: 0 };
  setInterval(() => {
    for (const kind of Object.keys(levels)) {
      const bar = document.querySelector(`#call .level.${kind} i`);
      levels[kind] = Math.max(levels[kind], Number(bar?.style.transform.slice("scaleX(".length, -1)) || 0);
    }
  }, 50);
}"""
"""Keeps the most that each level has shown: it is over before a busy machine comes to look."""

AN_AGENT_TAKES = 4 * PATIENCE * 1000
"""Milliseconds until one that is started has joined: its library and its models take ten seconds of two idle cores."""


def opened(page: Page, hub: HubProcess, query: str = "") -> Page:
    """The page, live, with its dialog open."""
    page.goto(f"{hub.url}/{query}")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    page.click("#talk")
    return page


def joined(page: Page, room: str) -> None:
    expect(page.locator("#call .room")).to_have_text(room, timeout=AN_AGENT_TAKES)
    expect(page.locator("#call .phase")).to_have_text("connected")
    expect(page.locator("#talk-dialog")).to_be_hidden()


def delete_room(line: Line, room: str) -> None:
    """As its operator would."""
    claims = {"iss": KEY, "exp": time.time() + 60, "video": {"roomCreate": True}}
    answer = requests.post(
        f"http://127.0.0.1:{line.livekit.port}/twirp/livekit.RoomService/DeleteRoom",
        json={"room": room},
        headers={"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"},
        timeout=PATIENCE,
    )
    assert answer.ok, answer.text


def test_talking_from_the_page(
    open_line: Callable[..., Line], new_page: Callable[[], Page], subtests: pytest.Subtests
) -> None:
    """H17: Talk starts an agent where none runs, joins, is heard and hears; typing, mute, leaving; a room that is deleted."""
    built.module()
    line = open_line(AGENT_PROVIDERS="local", OPENAI_API_KEY="", OPENAI_BASE_URL="")
    page = new_page()
    page.add_init_script(path=WATCH)
    opened(page, line.hub).evaluate(LEVELS)
    bar, agent = page.locator("#call"), page.locator("#conversation .said.agent .text")

    with subtests.test("the dialog offers an agent, for none runs, and a new room"):
        assert re.fullmatch(r"talk-[0-9a-f]{4}", page.input_value("#talk-room"))
        expect(page.locator("#talk-dialog .offer")).to_contain_text("Start an agent for this room")
        expect(page.locator("#talk-agent")).to_be_checked()
    page.fill("#talk-room", "kitchen")
    page.fill("#talk-name", "Zoë")
    page.keyboard.press("Enter")
    expect(page.locator("#talk-dialog output")).to_contain_text("The agent is starting")
    joined(page, "kitchen")
    assert line.status()["mode"] == "worker"

    with subtests.test("the agent's greeting is heard, and its text is in the page's conversation"):
        wait(page, "heard_started")
        expect(page.locator("#call .people")).to_have_text(re.compile("^agent "))
        # Screen readers do not announce states.
        expect(page.locator("#call [role=status]")).to_have_text(["connected", "agent"], use_inner_text=True)
        wait_true(page, "levels.heard > 0.3")
        assert page.evaluate(
            "[...document.querySelectorAll('audio')].some((audio) => !audio.paused && audio.srcObject)"
        )
        wait(page, "heard_ended")
        expect(agent.first).not_to_be_empty()
        assert "room=kitchen" in page.url
        expect(page.locator("#rail [aria-current=true] .name")).to_have_text("kitchen")

    with subtests.test("what is said into the microphone is in the page's conversation, and answered"):
        expect(page.locator("#call button", has_text="Unmute")).to_be_visible()  # it waits for the browser's permission
        page.evaluate("allowMicrophone()")
        wait(page, "speaking")
        expect(page.locator("#conversation .said.user .text").first).not_to_be_empty()
        wait_true(page, "levels.spoken > 0.1")
        wait(page, "heard_ended", 2)
        expect(page.locator("#conversation .said.user:not(.interim) .text").first).not_to_be_empty()

    with subtests.test("mute and unmute by the keyboard"):
        mute = bar.get_by_role("button", name=re.compile("^(Mute|Unmute)$"))
        expect(mute).to_have_text("Mute")
        mute.focus()
        page.keyboard.press("Space")
        expect(mute).to_have_text("Unmute")
        expect(mute).to_have_attribute("aria-pressed", "true")
        page.keyboard.press("Space")
        expect(mute).to_have_text("Mute")

    with subtests.test("typing to the agent"):
        page.fill("#call input", "Thank you very much")
        page.keyboard.press("Enter")
        expect(page.locator("#conversation .said.user .text", has_text="Thank you very much")).to_be_visible()
        wait(page, "heard_ended", 3)

    with subtests.test("leaving ends the session"):
        bar.get_by_role("button", name="Leave").click()
        expect(bar).to_be_hidden()
        session = line.wait_event("transcript", role="user", final=True)["session"]
        line.wait_event("session_ended", session=session)
        seen = SessionEvents(line.events(), session)
        assert {event["participant"] for event in seen.finals()} == {seen.finals()[0]["participant"]}
        assert seen.finals()[-1]["text"] == "Thank you very much"

    page.evaluate(HELD_BACK)
    with subtests.test("the worker that is there is used"):
        page.click("#talk")
        page.fill("#talk-room", "cellar")
        expect(page.locator("#talk-dialog .offer")).to_be_hidden()
        assert page.input_value("#talk-name") == "Zoë"
        page.click("#talk-go")
        joined(page, "cellar")
        expect(page.locator("#call .people")).to_have_text(re.compile("^agent"), timeout=AN_AGENT_TAKES)

    with subtests.test("without a microphone the call goes on; what the browser does not play, a click does"):
        expect(bar.get_by_role("alert")).to_contain_text("This page may not use the microphone")
        bar.get_by_role("button", name="Hear the agent").click()
        expect(bar.get_by_role("button", name="Hear the agent")).to_be_hidden()

    with subtests.test("a room that is deleted ends the call with a sentence"):
        delete_room(line, "cellar")
        expect(bar.get_by_role("alert")).to_have_text("The call has ended: the room was deleted.")
        expect(bar.get_by_role("button", name="Leave")).to_be_hidden()
        bar.get_by_role("button", name="Close").click()
        expect(bar).to_be_hidden()

    line.stop_agent()


def test_where_no_agent_comes_one_is_sent_in(open_line: Callable[..., Line], new_page: Callable[[], Page]) -> None:
    """A worker does not join a room that exists already; an agent for this one room does."""
    built.module()
    line = open_line(AGENT_PROVIDERS="local", OPENAI_API_KEY="", OPENAI_BASE_URL="")
    page = opened(new_page(), line.hub)
    page.uncheck("#talk-agent")
    page.fill("#talk-room", "attic")
    page.click("#talk-go")
    joined(page, "attic")
    expect(page.locator("#call .people")).to_have_text("waiting for others to join")
    expect(page.get_by_role("alert").filter(has_text="No agent has joined")).to_be_visible()
    page.click("text=Start an agent for this room")
    expect(page.locator("#call .people")).to_have_text(re.compile("^agent"), timeout=AN_AGENT_TAKES)
    expect(page.locator("#call [role=alert]")).to_be_hidden()
    status = line.status()
    assert (status["mode"], status["room"]) == ("room", "attic")
    line.stop_agent()
    expect(page.locator("#call [role=alert]")).to_contain_text("The agent has left. ")
    page.click("text=Start an agent for this room")
    expect(page.locator("#call .people")).to_have_text(re.compile("^agent"), timeout=AN_AGENT_TAKES)
    page.close()  # closing the tab hangs up
    line.wait_event("session_ended")
    line.stop_agent()


@pytest.mark.slow
def test_talking_where_credentials_are_required(
    tmp_path: Path, hub_factory: Callable[..., HubProcess], new_page: Callable[[], Page]
) -> None:
    """There, the page may connect to its hub and to LIVEKIT_URL only."""
    built.module()
    with LiveKitServer(tmp_path) as livekit:
        hub = hub_factory(HUB_CONTROL_KEYS="boss:control-secret-0001", **livekit.environ).start()
        page = new_page()
        forbidden: list[str] = []
        page.on("console", lambda said: forbidden.append(said.text) if "Content Security" in said.text else None)
        page.goto(f"{hub.url}/")
        page.get_by_label("Key").fill("control-secret-0001")
        page.keyboard.press("Enter")
        expect(page.locator("#connection")).to_have_attribute("data-state", "live")
        page.click("#talk")
        page.fill("#talk-room", "kitchen")
        page.uncheck("#talk-agent")
        page.click("#talk-go")
        joined(page, "kitchen")
        assert forbidden == []
        page.evaluate("fetch('http://127.0.0.1:1/').catch(() => {})")
        page.get_by_role("button", name="Leave").click()
        assert any("http://127.0.0.1:1/" in text for text in forbidden), "the policy is in force"


def test_a_microphone_that_comes_late_or_goes(open_line: Callable[..., Line], new_page: Callable[[], Page]) -> None:
    """Who has left is not listened to, whatever the browser's question is answered with then; what was unplugged is said."""
    built.module()
    line = open_line(AGENT_PROVIDERS="local", OPENAI_API_KEY="", OPENAI_BASE_URL="")
    page = opened(new_page(), line.hub)
    page.evaluate(GUARDED)
    page.uncheck("#talk-agent")
    page.fill("#talk-room", "a / b? <img src=x onerror=alert(1)> é")
    page.click("#talk-go")
    joined(page, "a / b? <img src=x onerror=alert(1)> é")
    for _ in range(2):  # and twice is once
        page.evaluate(
            "[...document.querySelectorAll('#call button')].find((button) => button.textContent === 'Leave').click()"
        )
    expect(page.locator("#call")).to_be_hidden()
    page.evaluate("allow()")
    wait_true(page, "given.length === 1 && given[0].readyState === 'ended'")

    page.click("#talk")
    page.fill("#talk-room", "porch")
    page.click("#talk-go")
    joined(page, "porch")
    mute = page.locator("#call").get_by_role("button", name=re.compile("^(Mute|Unmute)$"))
    expect(mute).to_have_text("Mute")
    page.evaluate(UNPLUGGED)
    expect(mute).to_have_text("Unmute")
    expect(page.locator("#call [role=alert]")).to_contain_text("No microphone found")

    line.livekit.stop()
    expect(page.locator("#call .phase")).to_have_text("reconnecting")
    page.fill("#call input", "Are you there?")
    page.keyboard.press("Enter")
    expect(page.locator("#call [role=alert]")).to_contain_text("Not sent")
    assert page.input_value("#call input") == "Are you there?"
    page.locator("#call").get_by_role("button", name="Leave").click()
    expect(page.locator("#call")).to_be_hidden()


def test_without_livekit_the_dialog_names_the_settings(
    new_page: Callable[[], Page], hub_factory: Callable[..., HubProcess]
) -> None:
    page = opened(new_page(), hub_factory(LIVEKIT_API_KEY=KEY).start())
    dialog = page.locator("#talk-dialog")
    expect(dialog).to_contain_text("LIVEKIT_URL and LIVEKIT_API_SECRET are not set")
    expect(dialog.locator("a")).to_have_attribute("href", re.compile("/docs/guide/talking$"))
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert page.evaluate("document.activeElement.id") == "talk"


def test_missing_keys_of_the_agent_are_named(
    new_page: Callable[[], Page], hub_factory: Callable[..., HubProcess]
) -> None:
    """LiveKit is configured, the providers are not: the dialog that would start an agent says which key is missing."""
    built.module()
    page = opened(new_page(), hub_factory(**LIVEKIT).start(), "?room=lab")
    assert page.input_value("#talk-room") == "lab"
    page.click("#talk-go")
    answer = page.locator("#talk-dialog output")
    expect(answer).to_contain_text("OPENAI_API_KEY is not set")
    expect(answer).to_contain_text("or set AGENT_PROVIDERS=local, which needs none")
    expect(page.locator("#talk-go")).to_be_enabled()


def test_a_livekit_server_that_is_not_there(
    new_page: Callable[[], Page], hub_factory: Callable[..., HubProcess]
) -> None:
    built.module()
    page = opened(new_page(), hub_factory(**LIVEKIT).start())
    page.uncheck("#talk-agent")
    page.click("#talk-go")
    expect(page.locator("#talk-dialog output")).to_contain_text("Cannot connect to LiveKit at ws://127.0.0.1:1")
    expect(page.locator("#call")).to_be_hidden()


def test_without_livekit_client_the_dialog_says_how_to_get_it(
    new_page: Callable[[], Page], hub_factory: Callable[..., HubProcess]
) -> None:
    hub = hub_factory(**LIVEKIT).start()
    config = hub.get("/api/config")
    page = new_page()
    without = {**config, "features": [name for name in config["features"] if name != "talk"]}
    page.route("**/api/config", lambda route: route.fulfill(json=without))
    opened(page, hub)
    expect(page.locator("#talk-dialog pre")).to_have_text(".venv/bin/python -m tools.livekit_client")


@pytest.mark.parametrize("path", ["/static/vendor/livekit-client.esm.mjs", "/static/views/talk.js"])
def test_modules_have_a_type_that_browsers_take(hub: HubProcess, path: str) -> None:
    built.module()
    answer = requests.get(f"{hub.url}{path}", timeout=PATIENCE)
    assert answer.headers["Content-Type"].split(";")[0] == "text/javascript"
    assert "talk" in hub.get("/api/config")["features"]

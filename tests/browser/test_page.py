"""The page in a real Chromium (H18 H21–H25 D12)."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from event_hub.events import KNOWN

from ..hubs import ROOT, HubProcess
from ..toolchain import tool

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
IMG = "<img src=x onerror=\"document.title='XSS'\">"


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    # Playwright's own Node needs a library (libatomic) that a bare Debian does not have.
    monkeypatch.setenv("PLAYWRIGHT_NODEJS_PATH", tool("node"))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=tool("chromium"), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    one = browser.new_page()
    problems: list[str] = []
    one.on("pageerror", lambda error: problems.append(str(error)))
    yield one
    assert problems == []


def live(page: Page) -> None:
    expect(page.locator("#connection")).to_have_attribute("data-state", "live", timeout=30_000)


def test_a_conversation(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    page.goto(f"{hub.url}/")
    live(page)
    expect(page.locator("#sample")).to_contain_text(f"curl {hub.url}/api/agent/data")
    hub.publish({"type": "transcript", "text": "What is", "participant": "caller", "role": "user", "final": False})
    expect(page.locator("#conversation li.interim")).to_have_text("callerWhat is")
    hub.publish(
        {"type": "transcript", "text": "What is the weather?", "participant": "caller", "role": "user", "final": True}
    )
    expect(page.locator("#conversation li")).to_have_text(["callerWhat is the weather?"])
    expect(page.locator("#speaking")).to_be_hidden()
    hub.publish({"type": "agent_speech_started"})
    expect(page.locator("#speaking")).to_be_visible()
    hub.publish({"type": "agent_speech_finished"})
    expect(page.locator("#speaking")).to_be_hidden()
    hub.publish({"type": "my_own", "deep": {"a": [1]}})
    expect(page.locator("#log li").last).to_have_text(
        'my_own {"deep":{"a":[1]},"timestamp":' + str(_timestamp(hub)) + "}"
    )
    page.click("#post")
    expect(page.locator("#log li").last).to_contain_text("Hello from the page")


def _timestamp(hub: HubProcess) -> Any:
    return hub.get("/api/events")["events"][-1]["event"]["timestamp"]


def test_restart_in_mid_stream_needs_no_reload(
    page: Page, hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    """H18: the hub is killed and started again; the page goes on, nothing missing, nothing twice."""
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db").start()
    page.goto(f"{hub.url}/stream-test.html")
    live(page)
    for n in range(3):
        hub.publish({"type": "n", "n": n})
    expect(page.locator("#log li")).to_have_count(3)
    hub.kill()
    expect(page.locator("#connection")).to_have_attribute("data-state", "reconnecting", timeout=30_000)
    hub.start()
    for n in range(3, 6):
        hub.publish({"type": "n", "n": n})
    live(page)
    expect(page.locator("#log li")).to_have_count(6, timeout=30_000)
    hub.stop()  # an orderly shutdown, too
    hub.start()
    hub.publish({"type": "n", "n": 6})
    expect(page.locator("#log li")).to_have_count(7, timeout=30_000)
    numbers = [json.loads(text.split(" ", 1)[1])["n"] for text in page.locator("#log li").all_text_contents()]
    assert numbers == list(range(7))


def test_opened_from_disk(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    page.goto((ROOT / "static" / "stream-test.html").as_uri() + "?hub=" + urllib.parse.quote(hub.url))
    live(page)
    hub.publish({"type": "transcript", "text": "from disk"})
    expect(page.locator("#conversation li")).to_have_text(["somebodyfrom disk"])
    page.click("#post")
    expect(page.locator("#log li")).to_have_count(2)


def test_text_is_text_whatever_it_looks_like(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    """D12: `<img onerror>` in every text field of every known type and in an unknown one."""
    hub = hub_factory().start()
    page.goto(f"{hub.url}/")
    live(page)
    posted = 0
    for name, model in KNOWN.items():
        event = {
            key: IMG if isinstance(value, str) and key not in ("type", "role") else value
            for key, value in model.example.items()
        }
        hub.publish({**event, "type": name, "room": IMG, "session": IMG, "participant": IMG, "more": {IMG: IMG}})
        posted += 1
    hub.publish({"type": "unknown", IMG: IMG})
    expect(page.locator("#log li")).to_have_count(posted + 1)
    expect(page.locator("#conversation li")).not_to_have_count(0)
    assert page.locator("main img").count() == 0
    assert page.title() == "LiveKit Event Hub"


def test_docs_come_from_the_hub_alone(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    """No CDN: not one request goes anywhere else."""
    hub = hub_factory().start()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{hub.url}/docs")
    expect(page.locator(".opblock-summary-path").first).to_be_visible(timeout=30_000)
    paths = [text.replace("\u200b", "") for text in page.locator(".opblock-summary-path").all_text_contents()]
    assert "/api/stream" in paths
    for path in ("/docs/errors#bad_event", "/docs/events#transcript"):
        page.goto(f"{hub.url}{path}")
        expect(page.locator(":target")).to_be_visible()
    assert [url for url in asked if not url.startswith((hub.url, "data:"))] == []

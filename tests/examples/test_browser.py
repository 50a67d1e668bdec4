"""examples/browser: the plain page and the robust client, in Chromium (H26)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ..hubs import HubProcess, until
from .packages import EXAMPLES
from .programs import served, unavailable

FOLDER = EXAMPLES / "browser"
IMG = "<img src=x onerror=\"document.title='XSS'\">"


@pytest.mark.parametrize("origin", ["from disk", "from another origin"])
def test_the_plain_page(origin: str, page: Page, hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    """H26: it handles each event type, shows its state, and needs no reload after a restart of the hub."""
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db").start()
    with ExitStack() as stack:
        root = FOLDER.as_uri() if origin == "from disk" else stack.enter_context(served(FOLDER))
        page.goto(f"{root}/index.html?hub={hub.url}")
        expect(page.locator("#state")).to_have_text("connected")
        hub.wait_count(1)

        agent = {"type": "transcript", "participant": "agent", "room": "other"}
        hub.publish({"type": "transcript", "participant": "agent", "room": "demo", "text": "Goo", "final": False})
        expect(page.locator("#transcript li")).to_have_text(["agent: Goo"])
        hub.publish({**agent, "text": "elsewhere", "final": False})
        hub.publish({"type": "transcript", "participant": "agent", "room": "demo", "text": "Good day", "final": True})
        hub.publish({"type": "transcript", "text": IMG})
        lines = ["agent: Good day", "agent: elsewhere", f"unknown: {IMG}"]
        expect(page.locator("#transcript li")).to_have_text(lines)

        expect(page.locator("#speaking")).to_be_hidden()
        hub.publish({"type": "agent_speech_started"})
        expect(page.locator("#speaking")).to_be_visible()
        hub.publish({"type": "agent_speech_finished"})
        expect(page.locator("#speaking")).to_be_hidden()
        hub.publish({"type": "custom", "html": IMG})
        expect(page.locator("#log li")).to_contain_text('"type":"custom"')

        if origin == "from another origin":
            return

        hub.kill()
        expect(page.locator("#state")).to_have_text("reconnecting")
        with unavailable(hub.port) as asked:  # the browser gives up after a 503, but the page does not
            until(lambda: asked, "the page to reconnect after a 503")
        hub.start()
        hub.publish({"type": "transcript", "text": "not missed"})
        expect(page.locator("#transcript li")).to_have_text([*lines, "unknown: not missed"])
        expect(page.locator("#state")).to_have_text("connected")
        expect(page.locator("#log li")).to_have_count(1)
        assert page.title() == "Agent events"
        page.close()
        hub.wait_count(0)


def test_the_robust_page(page: Page, hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    """watch.mjs in a browser handles filters, a 503 and the loss of the history."""
    hub = hub_factory().start()
    with served(FOLDER) as root:
        page.goto(f"{root}/watch.html?hub={hub.url}&room=demo&room=demo2")
        hub.wait_count(1)
        hub.publish([{"type": "n", "n": n, "room": room} for n in range(3) for room in ("demo", "demo2", "other")])
        expect(page.locator("#log li")).to_have_count(6)
        hub.stop()
        with unavailable(hub.port) as asked:
            until(lambda: asked, "the page to reconnect after a 503")
        hub.start()
        hub.publish({"type": "last", "room": "demo", "html": IMG})
        expect(page.locator("#log li")).to_have_count(8)
        expect(page.locator("#log li").nth(6)).to_contain_text('"reason":"unknown_epoch"')
        expect(page.locator("#log li").nth(7)).to_contain_text('"type":"last"')
        assert page.title() == "Agent events, each exactly once"

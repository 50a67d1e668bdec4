"""The page opened during a conversation (D04, H34): one request and the stream give all of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from bench.conversations import Event, conversation

from ..hubs import PATIENCE, HubProcess
from .conftest import live

LOOK = """() => {
  const text = (root, path) => [...root.querySelectorAll(path)].map((one) => one.innerText);
  return { said: text(document, "#conversation .item"), states: text(document, "#what *"), rail: text(document, "#rail button"),
           speaking: !document.getElementById("speaking").hidden };
}"""


def same(late: Page, early: Page) -> None:
    """Wait until both pages show the same: a test cannot know when each has drawn its last event."""
    end = time.monotonic() + PATIENCE
    while (looks := [page.evaluate(LOOK) for page in (late, early)])[0] != looks[1] and time.monotonic() < end:
        early.wait_for_timeout(50)
    assert looks[0] == looks[1]


def history_requests(page: Page) -> list[str]:
    found: list[str] = []
    page.on("request", lambda request: found.append(request.url) if "/api/events" in request.url else None)
    return found


def in_the_middle(turns: int) -> tuple[list[Event], list[Event]]:
    """A conversation in two parts, split while the agent speaks and its text is incomplete."""
    events = list(conversation("support-7", "AS_1", turns))
    speaking = max(n for n, event in enumerate(events) if event["type"] == "agent_speech_started")
    return events[: speaking + 5], events[speaking + 5 :]


def test_a_late_page_shows_the_same_as_an_early_one(
    new_page: Callable[[], Page], hub_factory: Callable[..., HubProcess]
) -> None:
    """One response has a tenth of the 5,000 events, and what matters of the others."""
    hub = hub_factory().start()
    before, after = in_the_middle(98)
    assert len(before) > 5000
    early, late = new_page(), new_page()
    early.goto(f"{hub.url}/?room=support-7")
    live(early)
    for at in range(0, len(before), 500):
        hub.publish(before[at : at + 500])
    last = "It is going to be windy but dry,"
    expect(early.locator("#conversation .generating .spoken")).to_contain_text(last)
    asked = history_requests(late)
    late.goto(f"{hub.url}/?room=support-7")
    live(late)
    expect(late.locator("#conversation .generating .spoken")).to_contain_text(last)
    expect(late.locator("#speaking")).to_be_visible()
    expect(late.locator("#conversation .item")).to_have_count(early.locator("#conversation .item").count())
    same(late, early)
    assert len(asked) == 1
    hub.publish(after)
    for page in (early, late):
        expect(page.locator("#conversation .generating")).to_have_count(0)
        expect(page.locator("#speaking")).to_be_hidden()
        expect(page.locator("#conversation .said")).to_have_count(2 * 98)
    same(late, early)


def test_older_events_replace_the_condensed_past(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    """*Load older* shows every event and leaves the conversation unchanged."""
    hub = hub_factory().start()
    events = list(conversation("support-7", "AS_1", 40))
    hub.publish(events)
    page.goto(f"{hub.url}/")
    live(page)
    expect(page.locator("#conversation .said")).to_have_count(80)
    whole = page.evaluate(LOOK)["said"]
    while page.locator("#older").is_visible():
        shown = page.locator("#count").inner_text()
        page.click("#older")
        expect(page.locator("#count")).not_to_have_text(shown)
        expect(page.locator("#older")).to_be_enabled()
    expect(page.locator("#count")).to_have_text(f"{len(events):,} events")
    assert page.evaluate(LOOK)["said"] == whole


def test_a_link_to_an_old_session(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    """A session from before the newest events, which belong to others."""
    hub = hub_factory().start()
    old = list(conversation("support-1", "AS_old", 3))
    hub.publish(old)
    others: list[dict[str, Any]] = [
        {"type": "transcript", "text": f"word {n}", "room": f"r{n % 50}", "role": "user"} for n in range(9000)
    ]
    hub.publish(others)
    asked = history_requests(page)
    page.goto(f"{hub.url}/?session=AS_old")
    live(page)
    expect(page.locator("#conversation .said")).to_have_count(6)
    expect(page.locator("#conversation .said").last).to_contain_text("so take a jacket")
    assert len(asked) == 2
    hub.publish({"type": "transcript", "text": "One more", "room": "support-1", "session": "AS_old", "role": "user"})
    expect(page.locator("#conversation .said")).to_have_count(7)
    page.goto(f"{hub.url}/?session=AS_unknown")
    live(page)
    expect(page.locator("#empty")).to_contain_text("No conversation in AS_unknown")


def test_a_cleared_page_does_not_load_the_history(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    """A history that could not be loaded is requested again, but not after *Clear*."""
    hub = hub_factory().start()
    hub.publish([{"type": "transcript", "text": f"word {n}", "room": "demo", "role": "user"} for n in range(5)])
    away = {"detail": "the history is away", "retry": True}
    page.route("**/api/events?*", lambda route: route.fulfill(status=503, json=away))
    page.clock.install()
    page.goto(f"{hub.url}/")
    live(page)
    expect(page.locator("#empty")).to_contain_text("The hub refused: the history is away. The page keeps trying.")
    page.click("#clear")
    page.unroute("**/api/events?*")
    page.clock.fast_forward(3500)  # past the next attempt
    page.wait_for_timeout(500)  # and its response
    hub.publish({"type": "transcript", "text": "One more", "room": "demo", "role": "user"})
    expect(page.locator("#conversation .said .text")).to_have_text(["One more"])

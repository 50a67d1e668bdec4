"""Selecting rooms and sessions: Back and Forward, following the next session, old rooms, other hubs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from ..hubs import HubProcess
from .conftest import count, live, shown

Event = dict[str, Any]


def said(text: str, room: str, session: str, **more: Any) -> Event:
    return {"type": "transcript", "role": "user", "text": text, "room": room, "session": session, **more}


def room(page: Page, name: str) -> None:
    page.locator("#rail button:not(.session) .name").get_by_text(name, exact=True).click()


def current(page: Page, name: str) -> None:
    expect(page.locator("#rail button[aria-current=true] .name")).to_have_text(name)


def texts(page: Page, *expected: str) -> None:
    expect(page.locator("#conversation .said .text")).to_have_text(list(expected))


def opened(page: Page, hub: HubProcess, query: str = "") -> None:
    page.goto(f"{hub.url}/{query}")
    live(page)


def test_back_returns_to_the_previous_selection_without_a_reload(
    page: Page, hub_factory: Callable[..., HubProcess]
) -> None:
    hub = hub_factory().start()
    hub.publish([said("one", "a", "1"), said("two", "b", "2"), {"type": "transcript", "text": "three"}])
    opened(page, hub)
    page.evaluate("window.marked = true")
    room(page, "a")
    texts(page, "one")
    room(page, "b")
    texts(page, "two")
    room(page, "no room")
    texts(page, "three")
    page.click("#theme")
    page.go_back()
    texts(page, "two")
    current(page, "b")
    expect(page).to_have_url(re.compile("room=b"))
    page.go_back()
    page.go_back()
    texts(page, "one", "two", "three")
    current(page, "All rooms")
    page.go_forward()
    texts(page, "one")
    page.go_forward()
    page.go_forward()
    texts(page, "three")
    assert page.evaluate("window.marked")
    assert (
        page.evaluate("document.documentElement.dataset.theme") == "dark"
    )  # settings are not part of the browser history
    page.reload()
    live(page)
    texts(page, "three")


def test_a_room_that_is_typed_is_one_step_back(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    hub.publish([said("one", "support-7", "1"), said("two", "b", "2")])
    opened(page, hub)
    page.locator("#filter-room").press_sequentially("support-7", delay=200)
    texts(page, "one")
    page.go_back()
    texts(page, "one", "two")
    expect(page.locator("#filter-room")).to_have_value("")


def test_a_room_is_followed_into_its_next_session(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    hub.publish([said("first call", "a", "1"), said("elsewhere", "b", "9")])
    opened(page, hub)
    room(page, "a")
    texts(page, "first call")
    hub.publish(
        [
            {"type": "session_ended", "room": "a", "session": "1"},
            {"type": "session_started", "room": "a", "session": "2"},
            {"type": "agent_state_changed", "room": "a", "session": "2", "new_state": "thinking"},
            said("second call", "a", "2"),
        ]
    )
    texts(page, "first call", "second call")
    expect(page.locator("#agent-state")).to_have_text("agent thinking")
    count(page, "5 of 6 events")
    # a session can be selected, and stays
    expect(page.locator("#rail .session .name")).to_have_text(["2", "1"])
    page.locator("#rail .session", has_text="1").click()
    texts(page, "first call")
    expect(page).to_have_url(re.compile("session=1"))
    hub.publish(said("third call", "a", "3"))
    expect(page.locator("#rail .session .name")).to_have_text(["3", "2", "1"])
    texts(page, "first call")
    current(page, "1")


def test_the_log_of_a_room_that_is_older_than_the_newest_events(
    page: Page, hub_factory: Callable[..., HubProcess]
) -> None:
    hub = hub_factory().start()
    hub.publish([said(f"old {n}", "old", "1") for n in range(3)])
    hub.publish([{"type": "n", "n": n, "room": "busy"} for n in range(2500)])
    hub.publish([said(f"new {n}", "new", "2") for n in range(3)])
    opened(page, hub)
    count(page, "506 events")
    room(page, "old")
    texts(page, "old 0", "old 1", "old 2")
    count(page, "3 of 509 events")
    assert [event["text"] for event in shown(page)] == ["old 0", "old 1", "old 2"]
    expect(page.locator("#older")).to_be_hidden()
    page.fill("#filter-text", "old 1")
    count(page, "1 of 509 events")
    page.fill("#filter-text", "")
    hub.publish(said("old 3", "old", "1"))
    count(page, "4 of 510 events")
    page.go_back()
    count(page, "507 events")
    opened(page, hub, "?room=busy")  # by its address
    page.click("#older")
    count(page, "1,503 of 1,507 events")
    page.click("#older")
    expect(page.locator("#older")).to_be_hidden()
    assert [event["n"] for event in shown(page)] == list(range(2500))
    opened(page, hub, "?room=old")
    assert [event["text"] for event in shown(page)] == ["old 0", "old 1", "old 2", "old 3"]


def test_only_entries_of_the_room_that_is_shown_count_as_dropped(
    page: Page, hub_factory: Callable[..., HubProcess]
) -> None:
    hub = hub_factory().start()
    hub.publish([said(f"quiet {n}", "quiet", "1") for n in range(3)])
    opened(page, hub, "?room=quiet")
    hub.publish([said(f"busy {n}", "busy", "2") for n in range(1260)])
    count(page, "3 of 1,263 events")
    texts(page, "quiet 0", "quiet 1", "quiet 2")
    note = page.locator("#forgotten")
    expect(note).to_be_hidden()
    room(page, "All rooms")
    expect(note).to_have_text("The oldest 263 entries were dropped from this page; the hub still has the events.")
    room(page, "quiet")
    texts(page, "quiet 0", "quiet 1", "quiet 2")
    expect(note).to_be_hidden()


def test_another_hub_than_the_one_that_served_the_page_is_named(
    page: Page, hub: HubProcess, hub_factory: Callable[..., HubProcess]
) -> None:
    other = hub_factory().start()
    other.publish(said("elsewhere", "a", "1"))
    opened(page, hub, f"?hub={other.url}&room=a")
    texts(page, "elsewhere")
    notice = page.locator("#other-hub")
    expect(notice).to_have_text(
        f"You are viewing another hub: {other.url}, not the one that served this page. Show this hub"
    )
    expect(page.locator("#help")).to_have_attribute("href", f"{other.url}/docs/guide/")
    notice.locator("a").click()
    live(page)
    expect(page).to_have_url(f"{hub.url}/?room=a")
    expect(notice).to_be_hidden()
    opened(page, hub, f"?hub={hub.url}/api/stream")
    expect(notice).to_be_hidden()

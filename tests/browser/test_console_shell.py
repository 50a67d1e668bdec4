"""The views' addresses, Back and Forward, the search, the keys, and what says that the hub is away."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ..hubs import ROOT, HubProcess
from .accessibility import findings
from .calls import call
from .conftest import live

DISK = (ROOT / "static" / "stream-test.html").as_uri()


@pytest.fixture(scope="module", autouse=True)
def calls(hub: HubProcess) -> None:
    now = time.time()
    hub.publish([*call("AS_1", now - 600, [1.0, 2.5], room="desk")])
    hub.publish([*call("AS_live", now - 20, [1.0], room="live")][:-1])


def test_views_have_addresses_and_back_leads_through_them(page: Page, hub: HubProcess) -> None:
    page.goto(f"{hub.url}/?room=desk")
    live(page)
    for name in ("Sessions", "Trends", "Errors", "Events"):
        page.get_by_role("navigation", name="Views").get_by_role("link", name=name).click()
        expect(page).to_have_url(f"{hub.url}/{name.lower()}")
        expect(page.locator("#views [aria-current]")).to_have_text(name)
        expect(page).to_have_title(f"{name} · LiveKit Event Hub")
    for path in ("errors", "trends", "sessions", "?room=desk"):
        page.go_back()
        expect(page).to_have_url(f"{hub.url}/{path}")
    expect(page.locator("#filter-room")).to_have_value("desk")
    page.go_forward()
    expect(page.locator(".sessions .rows > li")).to_have_count(2)
    page.reload()
    expect(page.locator(".sessions .rows > li")).to_have_count(2)


def test_a_session_whose_name_has_slashes_has_an_address(page: Page, hub: HubProcess) -> None:
    name = "a/b?c#d%2F"
    hub.publish([{"type": "transcript", "text": "here", "role": "user", "room": "odd", "session": name}])
    page.goto(f"{hub.url}/sessions?room=odd")
    page.locator(".sessions .name > a").click()
    expect(page.locator(".turns > li")).to_contain_text("here")
    page.reload()
    expect(page.locator(".session-view h2")).to_have_text(f"odd · {name}")


def test_from_disk_the_views_are_in_the_fragment(page: Page, hub: HubProcess) -> None:
    page.goto(f"{DISK}#/sessions?hub={hub.url}&q=question")
    expect(page.locator(".sessions .match").first).to_be_visible()
    page.locator(".sessions .name > a", has_text="AS_1").click()
    expect(page).to_have_url(re.compile(r"#/sessions/AS_1\?.*room=desk"))
    expect(page.locator(".turns > li")).to_have_count(2)
    page.get_by_role("link", name="Live", exact=True).first.click()
    live(page)
    page.go_back()
    expect(page.locator(".turns > li")).to_have_count(2)


def test_the_theme_and_the_other_views_fields_stay(page: Page, hub: HubProcess) -> None:
    page.goto(f"{hub.url}/sessions?q=question")
    page.get_by_role("button", name="Theme").click()
    expect(page).to_have_url(f"{hub.url}/sessions?q=question&theme=dark")
    page.get_by_role("link", name="Trends").click()
    expect(page).to_have_url(f"{hub.url}/trends?theme=dark")


@pytest.mark.parametrize("key", ["/", "Control+k"])
def test_search_finds_what_was_said_and_views(page: Page, hub: HubProcess, key: str) -> None:
    page.goto(f"{hub.url}/errors")
    expect(page.locator("#search")).to_be_visible()
    page.keyboard.press(key)
    box = page.get_by_role("combobox", name="Search")
    expect(box).to_be_focused()
    box.fill("question 2")
    expect(page.locator(".palette mark").first).to_be_visible()
    assert findings(page, ".palette") == []
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/sessions/AS_1\?room=desk&turn=2"))
    page.keyboard.press(key)
    box.fill("tre")
    expect(page.locator(".palette li[aria-selected=true]")).to_contain_text("All sessions")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{hub.url}/trends")


def test_keys_do_nothing_while_one_types(page: Page, hub: HubProcess) -> None:
    page.goto(f"{hub.url}/sessions")
    search = page.get_by_role("searchbox", name="Search sessions")
    search.press_sequentially("/?jk")
    expect(search).to_have_value("/?jk")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.locator("h1").click()
    page.keyboard.press("?")
    expect(page.locator(".keys")).to_contain_text("next and previous turn")


def test_a_hub_that_is_away_is_announced_in_every_view(
    page: Page, hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    own = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db").start()
    own.publish([*call("AS_1", time.time() - 600, [1.0])])
    page.goto(f"{own.url}/sessions")
    expect(page.locator(".sessions .rows > li")).to_have_count(1)
    own.kill()
    expect(page.locator("#away")).to_contain_text("The hub does not answer since")
    expect(page).to_have_title("⚠ Sessions · LiveKit Event Hub")
    expect(page.locator("#icon")).to_have_attribute("href", re.compile("icon-away"))
    page.get_by_role("link", name="Live", exact=True).click()
    expect(page.locator("#away")).to_be_visible()
    own.start()
    expect(page.locator("#away")).to_be_hidden(timeout=60_000)
    expect(page).to_have_title("LiveKit Event Hub")
    expect(page.locator("#icon")).to_have_attribute("href", re.compile("icon.svg"))


def test_the_live_view_counts_the_wait(page: Page, hub: HubProcess) -> None:
    page.goto(f"{hub.url}/")
    live(page)
    entry = page.locator("#rail button", has_text="live").filter(has_text="AS_live")
    expect(entry.locator(".said")).to_have_text("answer 1")
    expect(entry.locator(".waits")).to_have_text("p95 1 s")
    names = {"room": "live", "session": "AS_live"}
    hub.publish([{"type": "user_speech_finished", "timestamp": time.time(), **names}])
    expect(entry.locator(".waits")).to_have_text(re.compile(r"waits \d+\.\d s"))
    hub.publish([{"type": "agent_speech_started", "timestamp": time.time() + 30, "utterance": "a9", **names}])
    expect(entry.locator(".waits")).to_have_text(re.compile(r"p95 \d"))


def test_agents_and_talk_have_addresses(page: Page, hub: HubProcess) -> None:
    page.goto(f"{hub.url}/agents")
    expect(page.locator("#agents-sheet")).to_be_visible()
    page.goto(f"{hub.url}/talk")
    expect(page.locator("#talk-dialog")).to_be_visible()


def test_the_filter_of_the_events_searches_the_whole_history(
    page: Page, hub_factory: Callable[..., HubProcess]
) -> None:
    own = hub_factory().start()
    own.publish([{"type": "note", "text": "needle one"}])
    own.publish([{"type": "hay", "n": n} for n in range(3000)])
    own.publish([{"type": "note", "text": "needle two"}])
    own.publish([{"type": "hay", "n": n} for n in range(9000)])
    page.goto(f"{own.url}/events?text=needle")
    live(page)
    expect(page.locator("#count")).to_contain_text("0 of")
    rows = page.locator("#log .row:not([hidden])")
    page.locator("#older").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("needle two")
    page.locator("#older").click()
    expect(rows).to_have_count(2)
    expect(page.locator("#older")).to_be_hidden()
    page.locator("#filter-text").fill("")
    expect(page).to_have_url(f"{own.url}/events")
    page.locator("#filter-type").fill("note")
    expect(page).to_have_url(f"{own.url}/events?type=note")
    page.locator("#older").click()
    expect(rows.first).to_contain_text("needle")

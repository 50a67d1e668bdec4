"""The list of sessions: search, filters, order, live rows, the keyboard."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, expect

from ..hubs import HubProcess
from .accessibility import findings_everywhere
from .calls import call

EVIL = "<img src=x onerror=document.title='pwned'>"
ROWS = ".sessions .rows > li"


@pytest.fixture(scope="module", autouse=True)
def calls(hub: HubProcess) -> None:
    now = time.time()
    for n in range(120):
        hub.publish([*call(f"AS_{n}", now - 80_000 + 600 * n, [0.8 + n % 7 / 2], room=f"r{n}", version="1")])
    hub.publish(
        [
            *call(
                "AS_bad",
                now - 500,
                [5.0, 1.0],
                errors=[(1, "llm", "overloaded")],
                tools=[(2, "refund", True)],
                agent=EVIL,
            )
        ]
    )
    said = {"type": "transcript", "role": "user", "room": "desk", "session": "AS_desk", "timestamp": now - 400}
    hub.publish([{**said, "text": f"my réfund {EVIL}", "participant": "ada"}])
    hub.publish([{"type": "annotation", "room": "desk", "session": "AS_desk", "tag": "escalated", "timestamp": now}])


def open_at(page: Page, hub: HubProcess, query: str = "") -> Page:
    page.goto(f"{hub.url}/sessions{query}")
    expect(page.locator(ROWS).first).to_be_visible()
    return page


def names(page: Page) -> list[str]:
    return [text.split(" · ")[-1] for text in page.locator(f"{ROWS} .name > a").all_inner_texts()]


def test_all_sessions_come_as_one_scrolls(page: Page, hub: HubProcess) -> None:
    open_at(page, hub)
    expect(page.locator(ROWS)).to_have_count(100)
    page.locator(".sessions.view").evaluate("view => view.scrollTop = view.scrollHeight")
    expect(page.locator(ROWS)).to_have_count(122)
    expect(page.locator(".sessions > .aside")).to_have_text("122 sessions.")


def test_words_are_found_and_lead_to_their_turn(page: Page, hub: HubProcess) -> None:
    open_at(page, hub)
    page.get_by_role("searchbox", name="Search sessions").fill("refund")
    expect(page).to_have_url(re.compile(r"q=refund"))
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page.locator(".match mark")).to_have_text("réfund")
    assert page.title().startswith("refund")
    page.locator(".match a").click()
    expect(page).to_have_url(re.compile(r"/sessions/AS_desk\?room=desk&turn=1"))
    expect(page.locator(".turns li.chosen")).to_contain_text(EVIL)
    page.go_back()
    expect(page.locator(".match mark")).to_be_visible()


def test_filters_are_in_the_address_and_can_be_shared(page: Page, hub: HubProcess) -> None:
    open_at(page, hub)
    page.get_by_role("button", name="Errors").first.click()
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page.locator(".problems")).to_contain_text("1 error")
    page.get_by_role("button", name="Failed tools").click()
    expect(page).to_have_url(re.compile(r"has=error%2Ctool_error"))
    page.reload()
    expect(page.locator(ROWS)).to_have_count(1)
    page.get_by_role("button", name="Notes").click()
    expect(page.locator(".sessions .nothing")).to_contain_text("No session matches")
    page.get_by_role("button", name="Clear filters").click()
    expect(page.locator(ROWS)).to_have_count(100)


def test_the_slowest_turn_comes_first(page: Page, hub: HubProcess) -> None:
    open_at(page, hub)
    page.locator(".session-row.head").get_by_role("button", name="Waits").click()
    expect(page.locator(ROWS).first).to_contain_text("AS_bad")
    expect(page.locator(ROWS).first.locator(".waits .red").first).to_be_attached()
    expect(page).to_have_url(re.compile(r"sort=slowest"))
    page.locator("select[aria-label='Longest wait at least']").select_option("5s")
    expect(page.locator(ROWS)).to_have_count(1)


def test_a_tag_is_a_filter(page: Page, hub: HubProcess) -> None:
    open_at(page, hub)
    page.get_by_role("button", name="escalated").click()
    expect(page.locator(ROWS)).to_have_count(1)
    page.get_by_role("button", name="tag escalated").click()
    expect(page.locator(ROWS)).to_have_count(100)


def test_live_rows_change_and_new_ones_are_announced(page: Page, hub: HubProcess) -> None:
    open_at(page, hub)
    page.locator(f"{ROWS} .name > a").first.focus()
    before = names(page)[:20]
    now = time.time()
    hub.publish([{"type": "session_started", "room": "new", "session": "AS_new", "timestamp": now}])
    expect(page.locator(".news")).to_have_text("↑ 1 new")
    assert names(page)[:20] == before, "nothing jumps while one reads"
    page.locator(".news").click()
    expect(page.locator(ROWS).first).to_contain_text("AS_new")
    hub.publish(
        [{"type": "agent_state_changed", "new_state": "thinking", "room": "new", "session": "AS_new", "timestamp": now}]
    )
    expect(page.locator(ROWS).first.locator(".state")).to_have_text("thinking")
    hub.publish([{"type": "session_ended", "room": "new", "session": "AS_new", "timestamp": now + 1}])
    expect(page.locator(ROWS).first.locator(".state")).to_have_text("ended")


def test_the_list_is_one_tab_stop_and_the_arrows_move(page: Page, hub: HubProcess) -> None:
    open_at(page, hub)
    stops = page.locator(f"{ROWS} :is(a, button, input):not([tabindex='-1'])")
    expect(stops).to_have_count(1)
    stops.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator(f"{ROWS}:nth-child(2) .name > a")).to_be_focused()
    page.keyboard.press("x")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("x")
    page.get_by_role("button", name="Compare").click()
    expect(page).to_have_url(re.compile(r"/compare\?a=session"))
    page.go_back()
    expect(page.locator(ROWS).first).to_be_visible()
    page.locator(f"{ROWS} .name > a").nth(1).focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/sessions/AS_"))


def test_no_findings_of_accessibility(page: Page, hub: HubProcess) -> None:
    open_at(page, hub, "?q=refund")
    assert findings_everywhere(page) == []
    open_at(page, hub)
    assert findings_everywhere(page) == []
    assert page.title() != "pwned"

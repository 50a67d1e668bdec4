"""The errors: groups, their turns, tools, sorting."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from ..hubs import HubProcess
from .accessibility import findings_everywhere
from .calls import call

EVIL = "<img src=x onerror=document.title='pwned'>"
ERRORS, TOOLS = ".errors table >> nth=0", ".errors table >> nth=1"


@pytest.fixture(scope="module", autouse=True)
def calls(hub: HubProcess) -> None:
    now = time.time()
    overloaded = [(1, "llm", "overloaded"), (3, "llm", "overloaded")]
    tools = [(1, "refund", True), (2, "refund", False), (3, "weather", False)]
    hub.publish([*call("AS_1", now - 7200, [1.0] * 3, errors=[*overloaded, (2, "tts", "no answer")], tools=tools)])
    hub.publish([*call("AS_2", now - 600, [1.0], errors=[(1, "llm", "overloaded")], room="sales")])
    hub.publish(
        [*call("AS_3", now - 300, [1.0], errors=[(1, EVIL, EVIL)], tools=[(1, EVIL, True)], agent=EVIL, room=EVIL)]
    )


@pytest.fixture
def shown(page: Page, hub: HubProcess) -> Page:
    page.goto(f"{hub.url}/errors?since=24h")
    expect(page.locator(ERRORS).locator("tr.group")).to_have_count(3)
    return page


def texts(page: Page, table: str, column: int) -> list[str]:
    return [text.strip() for text in page.locator(table).locator(f"tr.group > :nth-child({column})").all_inner_texts()]


def test_groups_lead_to_their_turns(shown: Page) -> None:
    assert texts(shown, ERRORS, 2)[0] == "3"
    assert texts(shown, ERRORS, 3)[0] == "2"
    group = shown.get_by_role("button", name="llm overloaded")
    expect(group).to_have_attribute("aria-expanded", "false")
    group.press("Enter")
    expect(group).to_have_attribute("aria-expanded", "true")
    links = shown.locator(".errors .examples:visible a")
    expect(links).to_have_count(3)
    expect(links.first).to_have_text("sales, turn 1")
    expect(links.first).to_have_attribute("href", re.compile(r"/sessions/AS_2\?room=sales&turn=1$"))
    assert shown.locator("img").count() == 0
    assert shown.title() == "Errors · LiveKit Event Hub"


def test_tools_with_the_share_that_failed(shown: Page) -> None:
    rows = shown.locator(TOOLS).locator("tr.group")
    expect(rows).to_have_count(3)
    refund = rows.filter(has_text="refund").locator("td").all_inner_texts()
    assert [text.strip() for text in refund[:3]] == ["2", "1", "50 %"]
    rows.filter(has_text="refund").get_by_role("button").click()
    expect(shown.locator(".errors .examples:visible a")).to_have_attribute(
        "href", re.compile(r"/sessions/AS_1\?.*turn=1$")
    )
    expect(rows.filter(has_text="weather").get_by_role("button")).to_have_count(0)


def test_columns_sort_and_the_address_says_how(shown: Page) -> None:
    head = shown.locator(ERRORS).get_by_role("columnheader", name="Count")
    expect(head).to_have_attribute("aria-sort", "descending")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert texts(shown, ERRORS, 2) == ["1", "1", "3"]
    shown.locator(TOOLS).get_by_role("button", name="Tool").click()
    expect(shown).to_have_url(re.compile("sort=-count.*tools=name"))
    shown.reload()
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(shown.locator(TOOLS).locator("tr.group th")).to_have_text([EVIL, "refund", "weather"])
    shown.locator(TOOLS).get_by_role("button", name="Share").click()
    expect(shown.locator(TOOLS).locator("tr.group th")).to_have_text([EVIL, "refund", "weather"])


def test_filters_and_what_there_is_not(shown: Page) -> None:
    shown.get_by_label("Only this room").fill("sales")
    shown.get_by_label("Only this room").press("Enter")
    expect(shown.locator(ERRORS).locator("tr.group")).to_have_count(1)
    expect(shown.locator(".errors .nothing", has_text="tool calls")).to_have_text(
        "No tool calls in the last 24 hours that match the filters."
    )
    expect(shown).to_have_url(re.compile("room=sales"))
    shown.go_back()
    expect(shown.locator(ERRORS).locator("tr.group")).to_have_count(3)


def test_what_is_unfolded_stays_so_when_new_errors_come(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    hub.publish([*call("AS_1", time.time() - 900, [1.0], errors=[(1, "llm", "overloaded")])])
    page.goto(f"{hub.url}/errors?since=1h")
    group = page.get_by_role("button", name="llm overloaded")
    group.click()
    expect(page.locator(".errors .examples a")).to_have_count(1)
    hub.publish([*call("AS_2", time.time() - 300, [1.0], errors=[(1, "llm", "overloaded")])])
    expect(page.locator(".errors .examples:visible a")).to_have_count(2)
    expect(group).to_be_focused()


def test_arrow_keys_move_within_the_groups(shown: Page) -> None:
    buttons = shown.locator(ERRORS).locator("button.unfold")
    assert shown.locator(ERRORS).locator("button.unfold[tabindex='0']").count() == 1
    buttons.first.focus()
    shown.keyboard.press("ArrowDown")
    expect(buttons.nth(1)).to_be_focused()
    shown.keyboard.press("End")
    expect(buttons.last).to_be_focused()


def test_no_findings_of_accessibility(shown: Page) -> None:
    shown.get_by_role("button", name="llm overloaded").click()
    assert findings_everywhere(shown) == []

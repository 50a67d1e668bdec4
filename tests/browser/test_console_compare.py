"""The comparison: versions, sessions, the picker, and the sentence that answers."""

from __future__ import annotations

import re
import time
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from ..hubs import HubProcess
from .accessibility import findings_everywhere
from .calls import call

EVIL = "<img src=x onerror=document.title='pwned'>@@%"


@pytest.fixture(scope="module", autouse=True)
def calls(hub: HubProcess) -> None:
    """Thirty turns of either version, of which the newer one is faster, and a call whose names are hostile."""
    now = time.time()
    for number in range(3):
        waits = [1.5 + 0.05 * turn for turn in range(10)]
        hub.publish([*call(f"AS_old{number}", now - 7200 + number, waits, version="1.0")])
        hub.publish([*call(f"AS_new{number}", now - 3600 + number, [wait / 2 for wait in waits], version="2.0")])
    hub.publish([*call(EVIL, now - 1000, [0.7, 0.8], agent=EVIL, room=EVIL, version=EVIL)])
    hub.publish([*call("AS_long", now - 900, [0.5], room="sales")])


@pytest.fixture
def versions(page: Page, hub: HubProcess) -> Page:
    page.goto(f"{hub.url}/compare?a=agent:assistant@1.0&b=agent:assistant@2.0")
    expect(page.locator(".compare .verdict")).to_be_visible()
    return page


@pytest.fixture
def sessions(page: Page, hub: HubProcess) -> Page:
    evil = f"session:{EVIL.replace('%', '%25').replace('@', '%40')}@{EVIL.replace('%', '%25').replace('@', '%40')}"
    page.goto(f"{hub.url}/compare?a={quote('session:AS_long@sales')}&b={quote(evil)}")
    expect(page.locator(".compare .verdict")).to_be_visible()
    return page


def cells(page: Page, table: str, name: str) -> list[str]:
    found = page.locator(".compare table", has_text=table).first.locator("tbody tr", has_text=name).first
    return [text.strip() for text in found.locator("td").all_inner_texts()]


def test_is_the_newer_version_faster(versions: Page) -> None:
    expect(versions.locator(".compare .verdict")).to_have_text(
        re.compile(
            r"^B answers 0\.\d\d s faster at the median \(.*, 30 and 30 turns\); the 95th percentile needs 100 turns"
        )
    )
    a, b, difference, *_, measured_a, measured_b = cells(versions, "Latencies", "Wait")
    # Upper bounds of buckets that are 7 % wide.
    assert 1.7 <= float(a.removesuffix(" s")) <= 1.88
    assert 0.85 <= float(b.removesuffix(" s")) <= 0.94
    assert re.fullmatch(r"−0\.\d\d s, −(4[6-9]|5[0-4]) %, faster", difference)
    assert (measured_a, measured_b) == ("30", "30")
    assert cells(versions, "Calls", "Calls") == ["3", "3"]
    assert versions.title() == "assistant 1.0 and assistant 2.0 · LiveKit Event Hub"
    expect(versions.locator(".turn-by-turn")).to_be_hidden()


def test_swap(versions: Page) -> None:
    versions.get_by_role("button", name="Swap").click()
    expect(versions.locator(".compare .verdict")).to_contain_text("slower at the median")
    expect(versions).to_have_url(re.compile(r"a=agent%3Aassistant%402\.0&b=agent%3Aassistant%401\.0"))
    versions.go_back()
    expect(versions.locator(".compare .verdict")).to_contain_text("faster at the median")


def test_sessions_turn_by_turn(sessions: Page) -> None:
    expect(sessions.locator(".compare .verdict")).to_have_text(
        "Not enough turns to tell (2 and 1 turns; 20 on each side are needed): "
        "so far, B's median is 0.20 s slower (0.70 s against 0.50 s)."
    )
    rows = sessions.locator(".compare .turns tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("question 1 of AS_long")
    expect(rows.first.locator("td").last).to_have_text("+0.20 s slower")
    expect(rows.nth(1)).to_contain_text("no such turn")
    expect(rows.first.locator("a").first).to_have_attribute(
        "href", re.compile(r"/sessions/AS_long\?room=sales&turn=1$")
    )
    widths = rows.first.locator(".bar").evaluate_all(
        "bars => bars.map((bar) => [...bar.children].reduce((sum, part) => sum + parseFloat(part.style.width), 0))"
    )
    assert widths[0] == pytest.approx(100 * 0.5 / 0.8, abs=0.2)
    assert widths[1] == pytest.approx(100 * 0.7 / 0.8, abs=0.2)
    assert sessions.locator("img").count() == 0


def test_the_picker_suggests_versions_and_sessions(page: Page, hub: HubProcess) -> None:
    page.goto(f"{hub.url}/compare")
    expect(page.locator(".compare .nothing")).to_contain_text("Choose two versions")
    first = page.get_by_role("combobox", name="A", exact=True)
    first.click()
    first.press_sequentially("1.0")
    expect(page.get_by_role("option", name="assistant 1.0")).to_be_visible()
    first.press("ArrowDown")
    expect(first).to_have_attribute("aria-activedescendant", "side-a-options-0")
    first.press("Enter")
    expect(page).to_have_url(re.compile(r"\?a=agent%3Aassistant%401\.0$"))
    expect(page.locator(".compare .nothing")).to_have_text("Choose B, too.")
    second = page.get_by_role("combobox", name="B", exact=True)
    second.click()
    page.get_by_role("option", name="sales · AS_long").click()
    expect(page).to_have_url(re.compile(r"b=session%3AAS_long%40sales$"))
    expect(page.locator(".compare .verdict")).to_contain_text("Not enough turns")
    second.click()
    expect(page.get_by_role("option", name=EVIL).first).to_be_visible()
    second.press("Escape")
    expect(second).to_have_value("sales · AS_long")
    assert page.locator("img").count() == 0


def test_an_address_that_names_nothing(page: Page, hub: HubProcess) -> None:
    page.goto(f"{hub.url}/compare?a=nonsense&b=agent:assistant@1.0")
    expect(page.locator(".compare .nothing")).to_contain_text("“nonsense” names neither a session")
    page.goto(f"{hub.url}/compare?a=session:AS_gone&b=agent:assistant@1.0")
    expect(page.locator(".compare .nothing.bad")).to_contain_text("AS_gone")
    page.goto(f"{hub.url}/compare?a=agent:assistant@9&b=agent:assistant@1.0")
    expect(page.locator(".compare .nothing.bad")).to_have_text("There are no calls of assistant 9 in the last 30 days.")


def test_no_findings_of_accessibility(sessions: Page, hub: HubProcess) -> None:
    assert findings_everywhere(sessions) == []
    sessions.goto(f"{hub.url}/compare?a=agent:assistant@1.0&b=agent:assistant@2.0")
    expect(sessions.locator(".compare .verdict")).to_be_visible()
    assert findings_everywhere(sessions) == []
    sessions.get_by_role("combobox", name="B", exact=True).click()
    expect(sessions.get_by_role("option").first).to_be_visible()
    assert findings_everywhere(sessions) == []

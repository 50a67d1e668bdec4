"""The trends: charts, totals, stretches of time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from ..hubs import HubProcess, until
from .accessibility import findings_everywhere
from .calls import call

EVIL = "<img src=x onerror=document.title='pwned'>"
CHART = ".trends .chart >> nth=0"


@pytest.fixture(scope="module", autouse=True)
def calls(hub: HubProcess) -> None:
    """Three calls of two agents in the last hours, and one whose names are HTML."""
    now = time.time()
    hub.publish([*call("AS_1", now - 7200, [1.0, 1.2, 1.4], version="1.0", tools=[(1, "refund", False)])])
    hub.publish([*call("AS_2", now - 3600, [1.0, 4.0], version="2.0", errors=[(2, "llm", "overloaded")])])
    hub.publish([*call("AS_3", now - 1800, [0.5], agent="booking", room="sales")])
    hub.publish([*call(EVIL, now - 1000, [0.7], agent=EVIL, room=EVIL, version=EVIL)])


@pytest.fixture
def shown(page: Page, hub: HubProcess) -> Callable[[str], Page]:
    def open_at(query: str) -> Page:
        page.goto(f"{hub.url}/trends{query}")
        expect(page.locator("#connection")).to_have_attribute("data-state", "live")
        return page

    return open_at


def row(page: Page, name: str) -> list[str]:
    cells: list[str] = (
        page.locator(".trends .figures tbody tr", has_text=name).first.locator("th, td").all_inner_texts()
    )
    return [cell.strip() for cell in cells]


def test_totals_and_charts_of_each_agent(shown: Callable[[str], Page]) -> None:
    page = shown("?since=24h")
    expect(page.locator(".trends .figures tbody tr")).to_have_count(3)
    name, calls, turns, median, p95, *_ = row(page, "assistant")
    assert (name, calls, turns) == ("assistant", "2", "5")
    # The hub's percentiles are upper bounds of buckets that are 7 % wide.
    assert 1.2 <= float(median.removesuffix(" s")) <= 1.29
    assert 4.0 <= float(p95.removesuffix(" s")) <= 4.29
    expect(page.locator(".trends .figures tbody tr", has_text="assistant").locator(".red")).to_have_count(1)
    expect(page.locator(".trends .chart canvas")).to_have_count(4)
    assert page.locator("img").count() == 0
    assert page.title() == "Trends · LiveKit Event Hub"
    expect(page.locator(".trends .freshness")).to_contain_text("As of ")


def test_legend_and_choices_are_in_the_address(shown: Callable[[str], Page]) -> None:
    page = shown("?since=24h")
    booking = page.get_by_role("group", name="Groups that are drawn").get_by_role("button", name="booking")
    expect(booking).to_have_attribute("aria-pressed", "true")
    booking.click()
    expect(booking).to_have_attribute("aria-pressed", "false")
    page.get_by_role("radio", name="LLM").check(force=True)
    expect(page.locator(".trends .chart h3").first).to_have_text("LLM")
    page.get_by_role("radio", name="Interruptions").check(force=True)
    assert re.search("figure=llm_node_ttft", page.url)
    assert re.search("problem=cuts", page.url)
    page.reload()
    expect(booking).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_role("radio", name="LLM")).to_be_checked()
    page.get_by_role("radio", name="All stages").check(force=True)
    expect(page.locator(".trends .latencies .chart")).to_have_count(6)
    page.get_by_role("radio", name="Version").check(force=True)
    expect(page.locator(".trends .figures tbody tr")).to_have_count(4)
    page.go_back()
    expect(page.get_by_role("radio", name="Agent")).to_be_checked()
    expect(page.locator(".trends .figures tbody tr")).to_have_count(3)


def test_groups_lead_to_their_parts_and_versions_to_a_comparison(shown: Callable[[str], Page]) -> None:
    page = shown("?since=24h")
    page.locator(".trends .figures a", has_text="assistant").click()
    expect(page.locator(".trends .figures tbody th")).to_have_text([re.compile(r"^\d\.0$")] * 2)
    link = page.get_by_role("link", name="Compare 1.0 with 2.0")
    expect(link).to_have_attribute(
        "href", re.compile(r"/compare\?a=agent%3Aassistant%401\.0&b=agent%3Aassistant%402\.0$")
    )
    page.get_by_label("Only this room").fill("nowhere")
    page.get_by_label("Only this room").press("Enter")
    expect(page.locator(".trends .nothing")).to_have_text("No sessions in the last 24 hours that match the filters.")


def test_dragging_selects_a_stretch_and_its_sessions(shown: Callable[[str], Page]) -> None:
    page = shown("?since=24h")
    chart = page.locator(CHART).locator(".u-over")
    expect(chart).to_be_visible()
    box = chart.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.8, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.999, middle, steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"since=\d+&until=\d+"))
    rows = page.locator(".sessions-of-stretch tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.first.locator("a").first).to_have_text("support · AS_2")
    expect(rows.first.locator("a").nth(1)).to_have_attribute(
        "href", re.compile(r"/sessions/AS_2\?room=support&turn=2$")
    )
    expect(page.get_by_role("link", name="Open as list")).to_have_attribute(
        "href", re.compile(r"/sessions\?since=\d+.*sort=slowest")
    )
    page.locator(".trends .chip").click()
    expect(page).to_have_url(re.compile(r"since=24h"))
    expect(page.locator(".sessions-of-stretch")).to_be_hidden()


def test_a_chart_is_read_with_the_keyboard(shown: Callable[[str], Page]) -> None:
    page = shown("?since=24h&agent=booking")
    chart = page.get_by_role("slider", name="Wait until the agent is heard")
    chart.focus()
    for _ in range(3):  # the call was half an hour ago, and buckets are half an hour long
        page.keyboard.press("ArrowLeft")
        if "booking" in (chart.get_attribute("aria-valuetext") or ""):
            break
    expect(chart).to_have_attribute(
        "aria-valuetext", re.compile(r"^\d+ \w+ .*; booking: median 5\d\d ms, p95 5\d\d ms, 1 measured$")
    )
    expect(page.locator(CHART).locator(".tip")).to_contain_text("booking")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"since=\d+&.*until=\d+"))
    expect(page.locator(".sessions-of-stretch tbody tr")).to_have_count(1)


def test_a_stretch_without_a_mouse(shown: Callable[[str], Page]) -> None:
    page = shown("?since=24h")
    page.get_by_text("Custom").press("Enter")
    page.get_by_label("From", exact=True).fill("2020-01-01T00:00")
    page.get_by_label("Until", exact=True).fill("2020-01-02T00:00")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator(".trends .nothing")).to_have_text("No sessions in 1 Jan.")
    page.get_by_role("radio", name="24 h", exact=True).check(force=True)
    expect(page.locator(".trends .figures tbody tr")).to_have_count(3)


def test_all_of_the_history(shown: Callable[[str], Page]) -> None:
    page = shown("?since=all")
    expect(page.locator(".trends .figures tbody tr")).to_have_count(3)
    expect(page.locator(".trends caption").first).to_have_text("Totals of all of the history")


def test_new_calls_appear_but_not_under_the_pointer(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    hub.publish([*call("AS_1", time.time() - 900, [1.0, 1.2])])
    page.goto(f"{hub.url}/trends?since=1h")
    canvas = page.locator(".trends .chart canvas").first
    expect(canvas).to_be_visible()
    drawn = "canvas => canvas.toDataURL()"
    page.locator(CHART).locator(".u-over").hover()
    expect(page.locator(CHART).locator(".tip")).to_be_visible()
    before = canvas.evaluate(drawn)
    hub.publish([*call("AS_2", time.time() - 300, [3.0])])
    until(lambda: row(page, "assistant")[1] == "2", "the new call to be listed")
    assert canvas.evaluate(drawn) == before
    page.mouse.move(5, 5)
    until(lambda: canvas.evaluate(drawn) != before, "the chart to be drawn")
    hub.stop()
    expect(page.locator(".trends .freshness")).to_contain_text("what is shown is from")
    assert row(page, "assistant")[1] == "2"


def test_a_hub_that_does_not_answer(shown: Callable[[str], Page]) -> None:
    page = shown("")
    page.route("**/api/series?**", lambda route: route.abort())
    page.get_by_role("radio", name="1 h", exact=True).check(force=True)
    expect(page.locator(".trends .nothing.bad")).to_contain_text("No hub answers")
    page.unroute("**/api/series?**")
    page.get_by_role("radio", name="24 h", exact=True).check(force=True)
    expect(page.locator(".trends .figures tbody tr")).to_have_count(3)


@pytest.mark.parametrize("query", ["?since=24h", "?since=24h&by=room&figure=all", "?until=9999999999"])
def test_no_findings_of_accessibility(shown: Callable[[str], Page], query: str) -> None:
    page = shown(query)
    expect(page.locator(".trends .figures tbody tr").first).to_be_visible()
    assert findings_everywhere(page) == []
    assert page.locator(".trends .legend button[tabindex='0']").count() == 1
    assert page.locator(".trends .wide a[tabindex='0']").count() >= 1


def test_times_are_in_the_readers_zone(chromium: Callable[[], Browser], hub: HubProcess) -> None:
    context = chromium().new_context(timezone_id="Asia/Kathmandu", viewport={"width": 1280, "height": 800})
    try:
        page = context.new_page()
        page.goto(f"{hub.url}/trends?since=1700000000&until=1700086400")
        expect(page.locator(".trends .chip")).to_contain_text("15 Nov 03:58 – 16 Nov 03:58")
    finally:
        context.close()

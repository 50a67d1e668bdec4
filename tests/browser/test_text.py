"""Text from events is never HTML, and never breaks the layout (D12)."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

import tools.two_rooms
from event_hub.events import KNOWN
from event_hub.events.lifecycle import LiveKitWebhook

from ..hubs import ROOT, HubProcess
from .conftest import count, live

Watched = tuple[Page, HubProcess]
IMG = "<img src=x onerror=\"document.title='XSS'\">"


def poisoned(value: Any) -> Any:
    if isinstance(value, str):
        return IMG
    if isinstance(value, dict):
        return {IMG: IMG, **{key: poisoned(item) for key, item in value.items()}}
    return [poisoned(item) for item in value] if isinstance(value, list) else value


def test_every_field_of_every_type(watched: Watched) -> None:
    page, hub = watched
    models = [*KNOWN.items(), ("livekit_track_published", LiveKitWebhook)]
    keep = ("type", "role", "rating")
    for name, model in models:
        event = {key: value if key in keep else poisoned(value) for key, value in model.example.items()}
        more = {"room": IMG, "session": IMG, "participant": IMG, "more": {IMG: [IMG]}}
        hub.publish({**event, **more, "type": name})
        hub.publish(
            {**event, "type": name, "utterance": IMG, "text": IMG, "message": IMG, "name": IMG}
            if name != "test"
            else event
        )
    hub.publish({"type": "unknown", IMG: IMG})
    posted = 2 * len(models) + 1
    count(page, f"{posted} events")
    expect(page.locator("#conversation li")).not_to_have_count(0)
    page.focus("#log")
    page.keyboard.press("Home")
    for _ in range(posted):
        expect(page.locator("#detail pre")).not_to_be_empty()
        page.keyboard.press("ArrowDown")
    for button in page.locator("#rail button").all():
        button.click()
    page.click("#rail button >> nth=0")
    page.click("#post")
    page.keyboard.press("Escape")
    page.reload()
    live(page)
    count(page, f"{posted} events")
    assert page.locator("img").count() == 0
    assert page.title() == "LiveKit Event Hub"


SOURCES = sorted(
    path for path in (ROOT / "static").rglob("*") if path.suffix in {".js", ".html"} and "vendor" not in path.parts
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_module_makes_html_of_text(path: Path) -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", path.read_text()
    )


def overflows(page: Page) -> list[str]:
    """The elements that are wider than the page."""
    found: list[str] = page.evaluate(
        """() => [document.documentElement, ...document.querySelectorAll("#conversation *, #caption-lines *, header, main, #rail, #detail")]
          .filter((e) => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX === "visible" && e.clientWidth)
          .map((e) => e.id || e.className)"""
    )
    return found


def test_60_kb_without_a_space_and_right_to_left_text(watched: Watched) -> None:
    page, hub = watched
    long = "x" * 60_000
    hebrew = "מה מזג האוויר באוסלו? 20 °C"
    combining = "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘ 👩‍👩‍👧‍👦 e\u0301"
    hub.publish(
        [
            {
                "type": "transcript",
                "role": "user",
                "text": long,
                "participant": "y" * 250,
                "room": "z" * 250,
                "session": "w" * 250,
            },
            {"type": "transcript", "role": "user", "text": hebrew},
            {"type": "transcript", "role": "user", "text": combining},
            {"type": "tool_call_started", "call_id": "1", "name": "f" * 250, "arguments": {"a": long}},
            {"type": "agent_error", "message": long[:40_000]},
            {"type": "a" * 64, "x": long},
        ]
    )
    count(page, "6 events")
    assert overflows(page) == []
    text = page.locator("#conversation .said .text").first
    assert len(text.inner_text()) < 4000
    text.locator("button").click()
    expect(text).to_have_text(long)
    assert overflows(page) == []
    rtl = page.locator("#conversation .text", has_text="אוסלו")
    assert rtl.evaluate("e => getComputedStyle(e).direction") == "rtl"
    expect(page.locator("#conversation .text", has_text="👩‍👩‍👧‍👦")).to_have_text(combining)
    page.set_viewport_size({"width": 360, "height": 700})
    assert overflows(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_deep_nesting_of_an_unknown_type(watched: Watched) -> None:
    page, hub = watched
    deep: Any = "bottom"
    for _ in range(200):
        deep = {"d": [deep]}
    hub.publish({"type": "deep", "value": deep})
    count(page, "1 event")
    page.locator("#log .row:visible").click()
    expect(page.locator("#detail pre")).to_contain_text("bottom")


@pytest.fixture(scope="module")
def two_rooms(hub: HubProcess) -> HubProcess:
    """A hub with conversations in two rooms."""
    hub.publish(tools.two_rooms.events(time.time()))
    return hub


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_it_fits_any_width(page: Page, two_rooms: HubProcess, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    page.goto(f"{two_rooms.url}/")
    live(page)
    expect(page.locator("#conversation li")).not_to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert overflows(page) == []
    if width < 760:
        expect(page.locator("#log")).to_be_hidden()
        page.click("#tab-log")
        expect(page.locator("#log .row").first).to_be_visible()
        expect(page.locator("#conversation")).to_be_hidden()
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#conversation")).to_be_visible()
    else:
        expect(page.locator("#log")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_is_readable(page: Page, two_rooms: HubProcess, theme: str) -> None:
    """WCAG AA: all visible text has a contrast of at least 4.5:1."""
    page.goto(f"{two_rooms.url}/?theme={theme}")
    live(page)
    expect(page.locator("#conversation li")).not_to_have_count(0)
    page.locator("#log .row:visible").nth(3).click()
    page.click("#where summary")
    low = page.evaluate(CONTRAST)
    assert low == []


CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour[3] !== 0) return colour;
    }
  };
  const low = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !e.checkVisibility({ opacityProperty: true }) || e.closest("script, option")) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) low.add(`${e.tagName}.${e.className} in ${e.parentElement.id || e.parentElement.className}: ${contrast.toFixed(2)}`);
  }
  return [...low];
}"""

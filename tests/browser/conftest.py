"""Chromium for the tests, and pages that fail a test if one of their scripts does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from ..conftest import outliving
from ..hubs import PATIENCE, HubProcess
from ..toolchain import headless_chromium, tool
from .chromium import FLAGS

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Callable[[], Browser]]:
    """A Chromium for the tests of a module, started again if it crashes."""
    made: list[Browser] = []
    with pytest.MonkeyPatch.context() as patch, outliving() as keep:
        # Playwright's bundled Node needs libatomic, which a bare Debian lacks.
        patch.setenv("PLAYWRIGHT_NODEJS_PATH", tool("node"))
        with sync_playwright() as playwright:
            keep()  # Chromium's processes come and go below Playwright's

            def running() -> Browser:
                if not made or not made[-1].is_connected():
                    launch = playwright.chromium.launch
                    made.append(launch(executable_path=headless_chromium(), args=FLAGS, timeout=2000 * PATIENCE))
                return made[-1]

            yield running
            for browser in made:
                browser.close()


@pytest.fixture
def context(chromium: Callable[[], Browser]) -> Iterator[BrowserContext]:
    # In a time zone where it is about noon, so that no day ends during a test: the page marks events of other days.
    zone = f"Etc/GMT{time.gmtime().tm_hour - 12:+d}"
    made = chromium().new_context(viewport={"width": 1280, "height": 800}, timezone_id=zone)
    yield made
    made.close()


@pytest.fixture
def new_page(context: BrowserContext) -> Iterator[Callable[[], Page]]:
    """Opens tabs of one browser. An error in any of their scripts fails the test."""
    problems: list[str] = []

    def make() -> Page:
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        return page

    yield make
    assert problems == []


@pytest.fixture
def page(new_page: Callable[[], Page]) -> Page:
    return new_page()


@pytest.fixture
def watched(page: Page, hub_factory: Callable[..., HubProcess]) -> tuple[Page, HubProcess]:
    """The page, live, on its own hub."""
    hub = hub_factory().start()
    page.goto(f"{hub.url}/")
    live(page)
    return page, hub


def live(page: Page) -> None:
    """Wait until the stream is open and the history is loaded, so that later events reach the page over the stream."""
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    expect(page.locator("#empty:not([hidden], :empty), #conversation > li")).not_to_have_count(0)


def count(page: Page, text: str) -> None:
    """Wait for the event count of the log: `3 events`, `2 of 3 events`."""
    expect(page.locator("#count")).to_have_text(text)


def shown(page: Page) -> list[dict[str, Any]]:
    """All events that match the log's filters, as "Copy all" copies them."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    # The message of an earlier copy may still be shown.
    page.evaluate("document.getElementById('toast').textContent = ''")
    page.click("#copy-shown")
    expect(page.locator("#toast")).to_contain_text("copied")
    lines: str = page.evaluate("navigator.clipboard.readText()")
    return [json.loads(line) for line in lines.splitlines()]

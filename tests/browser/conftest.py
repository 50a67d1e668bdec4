"""Chromium for the tests, and pages whose scripts must not fail."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from ..conftest import outliving
from ..hubs import PATIENCE, HubProcess
from ..toolchain import tool
from .chromium import FLAGS

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Callable[[], Browser]]:
    """One Chromium for a module's tests, another one where it has crashed. A context shares nothing with the next."""
    made: list[Browser] = []
    with pytest.MonkeyPatch.context() as patch, outliving() as keep:
        # Playwright's own Node needs a library (libatomic) that a bare Debian does not have.
        patch.setenv("PLAYWRIGHT_NODEJS_PATH", tool("node"))
        with sync_playwright() as playwright:
            keep()  # Chromium's processes come and go below Playwright's own

            def running() -> Browser:
                if not made or not made[-1].is_connected():
                    launch = playwright.chromium.launch
                    made.append(launch(executable_path=tool("chromium"), args=FLAGS, timeout=2000 * PATIENCE))
                return made[-1]

            yield running
            for one in made:
                one.close()


@pytest.fixture
def context(chromium: Callable[[], Browser]) -> Iterator[BrowserContext]:
    # Where it is about noon: no day ends within a test, for the page tells what is not of today.
    zone = f"Etc/GMT{time.gmtime().tm_hour - 12:+d}"
    made = chromium().new_context(viewport={"width": 1280, "height": 800}, timezone_id=zone)
    yield made
    made.close()


@pytest.fixture
def new_page(context: BrowserContext) -> Iterator[Callable[[], Page]]:
    """Makes tabs of one browser; an error in any script of theirs fails the test."""
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
    """The page, live on a hub of its own."""
    hub = hub_factory().start()
    page.goto(f"{hub.url}/")
    live(page)
    return page, hub


def live(page: Page) -> None:
    """The stream is open, and the history is there: what is published from now on is news to the page, nothing stored."""
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    expect(page.locator("#empty:not([hidden], :empty), #conversation > li")).not_to_have_count(0)


def count(page: Page, text: str) -> None:
    """The log has so many events: `3 events`, `2 of 3 events`."""
    expect(page.locator("#count")).to_have_text(text)


def shown(page: Page) -> list[dict[str, Any]]:
    """The events that the log would show if one scrolled through it, as "Copy all" gives them."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    # The word of an earlier copy may still be there, and says nothing of this one.
    page.evaluate("document.getElementById('toast').textContent = ''")
    page.click("#copy-shown")
    expect(page.locator("#toast")).to_contain_text("copied")
    lines: str = page.evaluate("navigator.clipboard.readText()")
    return [json.loads(line) for line in lines.splitlines()]

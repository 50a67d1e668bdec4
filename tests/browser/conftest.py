"""Chromium for each test, and pages whose scripts must not fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from ..hubs import PATIENCE, HubProcess
from ..toolchain import tool
from .chromium import FLAGS

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    # Playwright's own Node needs a library (libatomic) that a bare Debian does not have.
    monkeypatch.setenv("PLAYWRIGHT_NODEJS_PATH", tool("node"))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=tool("chromium"), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser) -> BrowserContext:
    return browser.new_context(viewport={"width": 1280, "height": 800})


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
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")


def count(page: Page, text: str) -> None:
    """The log has so many events: `3 events`, `2 of 3 events`."""
    expect(page.locator("#count")).to_have_text(text)


def shown(page: Page) -> list[dict[str, Any]]:
    """The events that the log would show if one scrolled through it, as "Copy all" gives them."""
    import json

    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#copy-shown")
    expect(page.locator("#toast")).to_contain_text("copied")
    lines: str = page.evaluate("navigator.clipboard.readText()")
    return [json.loads(line) for line in lines.splitlines()]

"""The hub's own docs pages in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from ..hubs import HubProcess


def test_docs_come_from_the_hub_alone(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    """No CDN: not one request goes anywhere else."""
    hub = hub_factory().start()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{hub.url}/docs")
    expect(page.locator(".opblock-summary-path").first).to_be_visible()
    paths = [text.replace("\u200b", "") for text in page.locator(".opblock-summary-path").all_text_contents()]
    assert "/api/stream" in paths
    for path in ("/docs/errors#bad_event", "/docs/events#transcript"):
        page.goto(f"{hub.url}{path}")
        expect(page.locator(":target")).to_be_visible()
    assert [url for url in asked if not url.startswith((hub.url, "data:"))] == []

"""The hub's own docs pages in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from ..hubs import ROOT, HubProcess, until


def test_docs_come_from_the_hub_alone(page: Page, hub: HubProcess) -> None:
    """No CDN: not one request goes anywhere else."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{hub.url}/docs")
    paths = page.locator(".opblock-summary-path")
    until(
        lambda: "/api/stream" in [text.replace("\u200b", "") for text in paths.all_text_contents()],
        "the operations of the hub",
    )
    expect(paths.first).to_be_visible()
    for path in ("/docs/errors#bad_event", "/docs/events#transcript"):
        page.goto(f"{hub.url}{path}")
        expect(page.locator(":target")).to_be_visible()
    assert [url for url in asked if not url.startswith((hub.url, "data:"))] == []


def test_the_modules_serve_a_console_of_ones_own(
    page: Page, hub: HubProcess, hub_factory: Callable[..., HubProcess]
) -> None:
    """The sample in docs/page.md, as it stands there, in a page of another origin."""
    other, hub = hub, hub_factory().start()
    docs = (ROOT / "docs" / "page.md").read_text()
    sample = docs.split("```js\n")[1].split("```")[0].replace("http://localhost:5000", hub.url)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{other.url}/openapi.json")
    page.evaluate(
        "(code) => document.head.append(Object.assign(document.createElement('script'), { type: 'module', textContent: code }))",
        sample,
    )
    hub.wait_count(1)
    hub.publish({"type": "transcript", "role": "user", "text": "Hello"})
    until(lambda: page.evaluate("1") and any("Hello" in text for text in said), "the event on the console")
    page.close()

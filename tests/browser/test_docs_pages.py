"""The documentation that the hub serves, in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from ..hubs import ROOT, HubProcess, until


def test_docs_come_from_the_hub_alone(page: Page, hub: HubProcess) -> None:
    """No CDN: every request goes to the hub."""
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(f"{hub.url}/docs")
    paths = page.locator(".opblock-summary-path")
    until(
        lambda: "/api/stream" in [text.replace("\u200b", "") for text in paths.all_text_contents()],
        "the hub's operations",
    )
    expect(paths.first).to_be_visible()
    for path in ("/docs/errors#bad_event", "/docs/events#transcript"):
        page.goto(f"{hub.url}{path}")
        expect(page.locator(":target")).to_be_visible()
    assert [url for url in requested if not url.startswith((hub.url, "data:"))] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_guide_leads_from_page_to_page(page: Page, hub: HubProcess, scheme: Literal["light", "dark"]) -> None:
    """Links, pictures and tables work, in both colour schemes, and nothing is wider than a phone."""
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{hub.url}/docs/guide/")
    page.get_by_role("link", name="Protocol", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Protocol")
    expect(page.locator("pre").first).to_be_visible()
    luminance = page.evaluate("getComputedStyle(document.querySelector('h1')).color.match(/[0-9]+/)[0]")
    assert (int(luminance) < 128) == (scheme == "light")
    for path in ("", "readme", "protocol", "operations", "performance"):
        page.goto(f"{hub.url}/docs/guide/{path}")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, f"{path}: {width}"
        pictures = page.locator("img")
        for index in range(pictures.count()):
            assert pictures.nth(index).evaluate("(image) => image.complete && image.naturalWidth > 0"), path
    page.goto(f"{hub.url}/docs/guide/protocol#the-gap")
    expect(page.locator(":target")).to_be_in_viewport()
    assert [url for url in requested if not url.startswith(hub.url)] == []


def test_modules_work_in_a_page_of_your_own(
    page: Page, hub: HubProcess, hub_factory: Callable[..., HubProcess]
) -> None:
    """The sample in docs/page.md, unchanged, in a page of another origin."""
    other, hub = hub, hub_factory().start()
    docs = (ROOT / "docs" / "page.md").read_text()
    sample = docs.split("```js\n")[1].split("```")[0].replace("http://localhost:5000", hub.url)
    logged: list[str] = []
    page.on("console", lambda message: logged.append(message.text))
    page.goto(f"{other.url}/openapi.json")
    page.evaluate(
        "(code) => document.head.append(Object.assign(document.createElement('script'), { type: 'module', textContent: code }))",
        sample,
    )
    hub.wait_count(1)
    hub.publish({"type": "transcript", "role": "user", "text": "Hello"})
    until(lambda: page.evaluate("1") and any("Hello" in text for text in logged), "the event on the console")
    page.close()


def test_the_page_links_to_the_guide(page: Page, hub: HubProcess) -> None:
    page.goto(f"{hub.url}/")
    page.click("#help")
    expect(page).to_have_url(f"{hub.url}/docs/guide/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.goto(f"{hub.url}/docs/guide/talking")  # where the Talk dialog leads to
    expect(page.get_by_role("heading", level=1)).to_have_text("Talking to an agent")

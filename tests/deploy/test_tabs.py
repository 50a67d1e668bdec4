"""Many tabs of a browser at once: over HTTP/2 each has its own stream, over HTTP/1.1 only six have (D13)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from ..browser.conftest import chromium as chromium
from ..hubs import PATIENCE, HubProcess, until
from .conftest import Before

TABS = 20
NOT_SHARED = """
delete window.SharedWorker;
Object.defineProperty(navigator, "locks", { value: undefined });
"""
"""Without these, tabs of the hub's page do not share one stream, as pages of other authors do not."""
WATCH = """() => {
window.seen = [];
window.source = new EventSource("/api/stream?room=tabs");
window.source.onmessage = ({ data }) => {
  const event = JSON.parse(data);
  if (event.type === "n") window.seen.push(event.n);
};
}"""


def _seen(tabs: list[Page], numbers: list[int]) -> None:
    for tab in tabs:
        until(lambda tab=tab: len(tab.evaluate("window.seen")) >= len(numbers), "the events in a tab")
        assert tab.evaluate("window.seen") == numbers


def test_twenty_tabs_are_live_over_http_2(
    hub_factory: Callable[..., HubProcess], before: Before, chromium: Callable[[], Browser], tmp_path: Path
) -> None:
    """And stay so over a restart of the hub, though EventSource gives up after any response that is not 200."""
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db", HUB_PROXIES="127.0.0.1").start()
    proxy = before(hub.port)
    with chromium().new_context(ignore_https_errors=True) as context:
        tabs = [context.new_page() for _ in range(TABS)]
        for tab in tabs:
            tab.set_default_timeout(1000 * PATIENCE)
            tab.goto(f"{proxy.url}/docs/errors")
            assert tab.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol") == "h2"
            tab.evaluate(WATCH)
        hub.wait_count(TABS)
        hub.publish([{"type": "n", "n": number, "room": "tabs"} for number in range(5)])
        _seen(tabs, [*range(5)])
        assert hub.terminate() == 0
        hub.start()
        hub.publish([{"type": "n", "n": number, "room": "tabs"} for number in range(5, 10)])
        _seen(tabs, [*range(10)])
        for tab in tabs:
            tab.close()
        hub.wait_count(0)


@pytest.mark.slow
@pytest.mark.parametrize("before", ["nginx"], indirect=True)
def test_twenty_tabs_of_the_hubs_page(
    hub_factory: Callable[..., HubProcess], before: Before, chromium: Callable[[], Browser]
) -> None:
    hub = hub_factory(HUB_PROXIES="127.0.0.1").start()
    proxy = before(hub.port)
    with chromium().new_context(ignore_https_errors=True) as context:
        context.add_init_script(NOT_SHARED)
        tabs = [context.new_page() for _ in range(TABS)]
        for tab in tabs:
            tab.goto(f"{proxy.url}/", timeout=1000 * PATIENCE)
        for tab in tabs:
            expect(tab.locator("#connection")).to_have_attribute("data-state", "live", timeout=1000 * PATIENCE)
        hub.wait_count(TABS)


def test_over_http_1_a_seventh_stream_waits(hub: HubProcess, chromium: Callable[[], Browser]) -> None:
    """Why a proxy with HTTP/2 belongs in front of the hub."""
    with ExitStack() as stack:
        context = stack.enter_context(chromium().new_context())
        tabs = [context.new_page() for _ in range(7)]
        for tab in tabs:
            tab.goto(f"{hub.url}/docs/errors")
        for tab in tabs:
            tab.evaluate(WATCH)
        hub.wait_count(6)
        hub.publish({"type": "n", "n": 0, "room": "tabs"})
        until(lambda: sum(tab.evaluate("window.seen.length") for tab in tabs) == 6, "an event in six tabs")
        assert hub.count() == 6

"""The page's connection: restarts, gaps, many tabs, other hubs, servers that are not hubs (H18 H21 H25 D13 X15)."""

from __future__ import annotations

import http.server
import json
import os
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from ..hubs import ROOT, HubProcess, free_port, until
from ..valkeys import ValkeyServer
from ..wire.pausable_proxy import PausableProxy
from .conftest import count, live, shown

Hubs = Callable[..., HubProcess]
Tabs = Callable[[], Page]
DISK = (ROOT / "static" / "stream-test.html").as_uri()

NO_WORKER = "delete window.SharedWorker;"
NOTHING_SHARED = """
delete window.SharedWorker;
Object.defineProperty(navigator, "locks", { value: undefined });
"""
FORBIDDEN = """
const refuse = { get() { throw new DOMException("denied", "SecurityError"); } };
for (const name of ["localStorage", "sessionStorage", "indexedDB"]) Object.defineProperty(window, name, refuse);
window.SharedWorker = function () { throw new DOMException("denied", "SecurityError"); };
window.BroadcastChannel = function () { throw new DOMException("denied", "SecurityError"); };
"""


def numbers(page: Page) -> list[int]:
    return [event["n"] for event in shown(page) if "n" in event]


def state(page: Page, name: str) -> None:
    expect(page.locator("#connection")).to_have_attribute("data-state", name)


@pytest.mark.parametrize("way", ["shared", "elected", "own"])
def test_killed_and_restarted_in_mid_stream(
    context: BrowserContext, page: Page, hub_factory: Hubs, tmp_path: Path, way: str
) -> None:
    """H18 H25: the page reconnects without losing or repeating an event, however it gets the stream."""
    context.add_init_script({"shared": "", "elected": NO_WORKER, "own": NOTHING_SHARED}[way])
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db").start()
    page.goto(f"{hub.url}/stream-test.html")
    live(page)
    posted = 0
    for _ in range(2):  # and once more after recovering
        publisher_ends = posted + 60
        while posted < publisher_ends:
            hub.publish({"type": "n", "n": posted})
            posted += 1
        hub.kill()
        state(page, "waiting")
        expect(page.locator("#connection")).to_contain_text("reconnecting in ")
        hub.start()
        hub.publish({"type": "n", "n": posted})
        posted += 1
        live(page)
    hub.stop()  # an orderly shutdown
    state(page, "waiting")
    hub.start()
    hub.publish({"type": "n", "n": posted})
    posted += 1
    count(page, f"{posted} events")
    assert numbers(page) == list(range(posted))
    page.click("#where summary")
    how = {"own": "a stream for this tab alone"}.get(way, "one stream for all tabs of this browser")
    expect(page.locator("#hub-facts")).to_contain_text(how)


def test_a_gap_is_shown_as_a_gap(page: Page, hub_factory: Hubs) -> None:
    hub = hub_factory().start()  # stores its events in memory only
    page.goto(f"{hub.url}/")
    live(page)
    hub.publish({"type": "transcript", "text": "before"})
    count(page, "1 event")
    hub.kill()
    hub.start()
    hub.publish({"type": "transcript", "text": "after"})
    expect(page.locator("#conversation .gap .text")).to_contain_text(
        "Events are missing here: the hub's history was reset"
    )
    expect(page.locator("#conversation .said .text")).to_have_text(["before", "after"])
    expect(page.locator("#log .row.gap:visible")).to_have_count(1)


@pytest.mark.parametrize("way", ["shared", "elected"])
def test_the_seventh_tab_works_and_closing_tabs_closes_the_stream(
    context: BrowserContext, new_page: Tabs, hub_factory: Hubs, way: str
) -> None:
    """D13: browsers open six HTTP/1.1 connections to a server, so all tabs share one stream."""
    context.add_init_script("" if way == "shared" else NO_WORKER)
    hub = hub_factory().start()
    tabs = []
    for n in range(8):
        hub.publish({"type": "n", "n": n})
        tabs.append(new_page())
        tabs[-1].goto(f"{hub.url}/")
        live(tabs[-1])
    for n in range(8, 12):
        hub.publish({"type": "n", "n": n})
    for tab in tabs:
        tab.bring_to_front()
        count(tab, "12 events")
        assert numbers(tab) == list(range(12))
    hub.wait_count(1)
    # closing a tab that may hold the stream for the others: they miss nothing
    for n, tab in enumerate(tabs[:-1]):
        tab.close()
        hub.publish({"type": "n", "n": 12 + n})
    last = tabs[-1]
    count(last, "19 events")
    assert numbers(last) == list(range(19))
    hub.wait_count(1)
    last.close()
    hub.wait_count(0)


def test_without_sharing_each_tab_has_its_own_stream(
    context: BrowserContext, new_page: Tabs, hub_factory: Hubs
) -> None:
    context.add_init_script(NOTHING_SHARED)
    hub = hub_factory().start()
    tabs = [new_page() for _ in range(3)]
    for tab in tabs:
        tab.goto(f"{hub.url}/")
        live(tab)
    hub.wait_count(3)
    for tab in tabs:
        tab.close()
    hub.wait_count(0)


def test_the_page_works_without_storage(context: BrowserContext, page: Page, hub_factory: Hubs) -> None:
    context.add_init_script(FORBIDDEN)
    hub = hub_factory().start()
    page.goto(f"{hub.url}/")
    live(page)
    hub.publish({"type": "transcript", "text": "Hello"})
    expect(page.locator("#conversation .text")).to_have_text("Hello")
    page.click("#theme")
    expect(page).to_have_url(re.compile("theme=dark"))


def test_opened_from_disk(page: Page, hub_factory: Hubs) -> None:
    """H21 X15: the page as a file, with its modules from the hub."""
    hub = hub_factory().start()
    page.goto(DISK + "#hub=" + urllib.parse.quote(hub.url))
    live(page)
    hub.publish({"type": "transcript", "text": "from disk", "room": "r"})
    expect(page.locator("#conversation .text")).to_have_text("from disk")
    hub.wait_count(1)
    page.click("#post")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#poster output")).to_contain_text("1 subscriber notified")
    page.keyboard.press("Escape")
    page.fill("#filter-text", "disk")
    count(page, "1 of 2 events")
    page.reload()
    live(page)
    count(page, "1 of 2 events")


def test_from_disk_without_a_hub_it_says_so_and_keeps_trying(page: Page, hub_factory: Hubs) -> None:
    hub = hub_factory()
    page.goto(DISK + "?hub=" + urllib.parse.quote(hub.url))
    expect(page.locator("#reason")).to_contain_text(f"No hub answers at {hub.url}: start it")
    expect(page.locator("#hub-address")).to_have_value(hub.url)
    hub.start()
    live(page)
    other = hub_factory().start()
    page.click("#where summary")
    page.fill("#hub-address", other.url)
    page.click("#hub-form button")
    expect(page.locator("#docs")).to_have_attribute("href", f"{other.url}/docs")
    live(page)
    other.wait_count(1)


@contextmanager
def something_else(status: int, kind: str, body: bytes) -> Iterator[str]:
    """A server that is not a hub."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


PROBLEM = {"status": 503, "code": "too_many_subscribers", "detail": "2 streams are open, as many as there may be", "advice": "Come back later.", "retry": True}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "kind", "body", "says"),
    [
        (200, "text/html", b"<h1>It works</h1>", "is not a hub: it responds with 200 and text/html"),
        (404, "text/plain", b"no", "is not a hub: it responds with 404 and text/plain"),
        (200, "application/json", b'{"hello":1}', "is not a hub: it responds with a different /api/config"),
        (200, "application/json", b"{", "is not a hub: it responds with 200 and application/json"),
        (503, "application/problem+json", json.dumps(PROBLEM).encode(), "The hub refused: 2 streams are open"),
    ],
)
def test_an_address_that_is_not_a_hub(
    page: Page, hub: HubProcess, status: int, kind: str, body: bytes, says: str
) -> None:
    with something_else(status, kind, body) as url:
        page.goto(f"{hub.url}/?hub={urllib.parse.quote(url)}")
        state(page, "waiting")
        expect(page.locator("#reason")).to_contain_text(says)
        expect(page.locator("#try-now")).to_be_visible()


def test_an_address_where_nothing_listens(page: Page, hub: HubProcess) -> None:
    page.goto(f"{hub.url}/?hub=http://127.0.0.1:{free_port()}")
    state(page, "waiting")
    expect(page.locator("#reason")).to_contain_text("No hub answers at http://127.0.0.1")
    expect(page.locator("#reason")).to_contain_text("HUB_CORS_ORIGINS")


def test_the_page_waits_for_a_hub_that_is_full(page: Page, hub_factory: Hubs) -> None:
    """An EventSource gives up after a 503. The page keeps trying, and shows the hub's reason."""
    hub = hub_factory(HUB_MAX_SUBSCRIBERS="1").start()
    with hub.stream() as other:
        other.next()
        page.goto(f"{hub.url}/")
        state(page, "waiting")
        expect(page.locator("#reason")).to_contain_text("The hub refused:")
        expect(page.locator("#reason")).to_contain_text("HUB_MAX_SUBSCRIBERS")
    live(page)
    until(lambda: hub.count() == 1, "the page")


def test_the_hub_says_when_to_reconnect(page: Page, hub_factory: Hubs) -> None:
    """The delay that a shutdown gives to each subscriber is in the event, too."""
    hub = hub_factory().start()
    with hub.stream() as other:
        other.next()
        hub.stop()
        closing = other.until("stream_closing")
    assert 0 < closing["retry"] == other.decoder.retry


def test_try_now_does_not_wait(page: Page, hub_factory: Hubs, tmp_path: Path) -> None:
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db").start()
    page.goto(f"{hub.url}/")
    live(page)
    hub.kill()
    state(page, "waiting")
    hub.start()
    page.click("#where summary")
    if page.locator("#try-now").is_visible():  # it may have reconnected already
        page.evaluate("document.getElementById('try-now').click()")
    live(page)
    expect(page.locator("#try-now")).to_be_hidden()


def test_a_browser_clock_that_is_an_hour_off_is_shown(page: Page, hub_factory: Hubs) -> None:
    hub = hub_factory().start()
    page.add_init_script("const now = Date.now; Date.now = () => now() + 3_600_000;")
    page.add_init_script("delete window.SharedWorker;")
    page.goto(f"{hub.url}/")
    live(page)
    hub.publish({"type": "x"})
    count(page, "1 event")
    expect(page.locator("#log .row:visible .at.off")).to_have_count(0)
    page.click("#where summary")
    expect(page.locator("#hub-facts")).to_contain_text("this browser's clock is 60 min ahead of the hub's")


def test_events_that_the_page_was_too_slow_for_are_fetched(
    context: BrowserContext, page: Page, hub_factory: Hubs
) -> None:
    """The ring overtakes a slow connection, and the page fills the gap from the history, in order."""
    hub = hub_factory(HUB_RING="20").start()
    fetched: list[str] = []
    context.on("request", lambda request: "after=" in request.url and fetched.append(request.url))
    context.add_init_script(NOTHING_SHARED)  # so that the requests are the page's own
    with PausableProxy(hub.port, "/api/stream") as wire:
        page.goto(f"{hub.url}/?hub={wire.url}")
        live(page)
        hub.wait_count(1)
        wire.flows.clear()
        posted = 0
        while hub.get("/api/subscribers")["subscribers"][0]["lag"] < 21 and posted < 2000:
            hub.publish({"type": "n", "n": posted, "text": "x" * 50_000})
            posted += 1
        wire.flows.set()
        count(page, f"{posted} events")
        assert fetched
        assert numbers(page) == list(range(posted))
        page.close()


def test_a_bad_address_is_ignored_and_a_pasted_one_is_understood(page: Page, hub: HubProcess) -> None:
    page.goto(f"{hub.url}/?hub=http://%25%25")
    live(page)
    page.goto(f"{hub.url}/?hub={urllib.parse.quote(hub.url + '/api/stream')}")
    live(page)
    page.goto(f"{hub.url}/?hub=127.0.0.1:{hub.port}/stream-test.html")
    live(page)


def test_a_hub_that_cannot_store_says_so(page: Page, tmp_path: Path) -> None:
    """H20: the server of its history is stopped, and goes on."""
    server = ValkeyServer().start()
    hub = HubProcess(tmp_path, HUB_HISTORY=server.url)
    try:
        hub.start()
        page.goto(f"{hub.url}/stream-test.html")
        live(page)
        server.pause()
        expect(page.locator("#connection")).to_contain_text("live, but not storing")
        state(page, "waiting")
        page.locator("#where > summary").click()
        expect(page.locator("#reason")).to_contain_text("cannot write its history")
        if pictures := os.environ.get("PICTURES"):
            page.screenshot(path=f"{pictures}/degraded.png")
        server.resume()
        expect(page.locator("#connection")).to_have_text("live")
        state(page, "live")
        hub.publish({"type": "n", "n": 7})
        until(lambda: numbers(page) == [7], "the event")
    finally:
        server.resume()
        hub.stop()
        server.close()

"""examples/nextjs_proxy: both routes and the page, from `next start` and from `next dev` (H28)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from event_hub.sse import Decoder

from ..hubs import PATIENCE, HubProcess, free_port, until
from ..toolchain import tool
from .packages import EXAMPLES, environment
from .programs import BUILD, Program, built, running, unavailable

pytestmark = pytest.mark.timeout(2 * BUILD)
NEXT = "node_modules/next/dist/bin/next"
ROUTES = ["agent-proxy", "agent-stream"]
ACCEPT = {"Accept": "text/event-stream", "Accept-Encoding": "gzip, deflate, br"}  # as a browser sends


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with built("nextjs_proxy", NEXT) as path:
        yield path


class Site:
    """A Next server and its hub."""

    def __init__(self, port: int, hub: HubProcess, program: Program) -> None:
        self.url, self.hub, self.program = f"http://127.0.0.1:{port}", hub, program

    def get(self, route: str, query: str = "", **headers: str) -> requests.Response:
        url = f"{self.url}/api/{route}{query}"
        compiling = 3 * PATIENCE  # `next dev` compiles before its first answer
        return requests.get(url, headers={**ACCEPT, **headers}, stream=True, timeout=compiling)


@pytest.fixture
def start(hub_factory: Callable[..., HubProcess], tmp_path: Path, folder: Path) -> Iterator[Callable[..., Site]]:
    """Starts Next servers, each with its own hub that is not started yet."""
    stack: list[Any] = []

    def make(mode: str = "start") -> Site:
        hub, port = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db"), free_port()
        command = [tool("node"), NEXT, mode, "-H", "127.0.0.1", "-p", str(port)]
        env = environment(HUB_URL=f"{hub.url}/", HUB_KEY="s3cret")
        stack.append(running(command, tmp_path / "next", cwd=folder, env=env))
        site = Site(port, hub, stack[-1].__enter__())
        site.program.wait_answer(site.url)
        return site

    yield make
    for program in stack:
        program.__exit__(None, None, None)


def events(response: requests.Response) -> Iterator[dict[str, Any]]:
    """Each event as soon as it arrives, with its id as `_id`."""
    decoder = Decoder()
    for piece in response.iter_content(None):
        for message in decoder.feed(piece):
            yield {**json.loads(message.data), "_id": message.id}


@pytest.mark.parametrize("mode", ["start", "dev"])
def test_the_stream_through_next(mode: str, start: Callable[..., Site]) -> None:
    """H28: events arrive without delay and with the hub's ids, filters and resuming work, the proxy disconnects when the
    browser does, and errors are passed on."""
    site = start(mode)
    hub = site.hub.start()
    for route in ROUTES:
        with site.get(route) as response:
            assert response.status_code == 200
            assert response.headers["Content-Type"].startswith("text/event-stream")
            assert "no-transform" in response.headers["Cache-Control"]
            assert "Content-Encoding" not in response.headers
            assert "s3cret" not in str(response.headers)
            stream = events(response)
            assert next(stream)["type"] == "stream_opened"
            hub.wait_count(1)
            for n in range(5):  # each event arrives before the next one is posted
                posted = hub.publish({"type": "n", "n": n, "room": "demo", "text": "Grüße 👋" * 3000 * (n % 2)})
                event = next(stream)
                assert (event["n"], event["_id"]) == (n, posted["id"])
        hub.wait_count(0)

        hub.publish([{"type": "n", "n": 5, "room": "demo"}, {"type": "n", "n": 6, "room": "other"}])
        with site.get(route, "?room=demo&type=n", **{"Last-Event-ID": event["_id"]}) as response:
            stream = events(response)
            assert next(stream)["resumed"] is True
            assert next(stream)["n"] == 5
            hub.publish([{"type": "n", "n": 7, "room": "other"}, {"type": "n", "n": 8, "room": "demo"}])
            assert next(stream)["n"] == 8
        hub.wait_count(0)

        # More than the sockets' buffers hold: the rest waits until the client reads, and none of it is lost.
        hub.publish([{"type": "big", "n": n, "room": route, "text": "x" * 60_000} for n in range(120)])
        opened = hub.metrics()["hub_subscribers_opened_total"]
        with site.get(route, f"?room={route}&since=all") as response:
            until(lambda opened=opened: hub.metrics()["hub_subscribers_opened_total"] > opened, "the stream")  # type: ignore[misc]
            stream = events(response)
            assert next(stream)["replayed"] == 120
            assert [next(stream)["n"] for _ in range(120)] == list(range(120))
        hub.wait_count(0)

        with site.get(route, "?since=yesterday") as response:
            assert response.status_code == 400
            assert response.json()["code"] == "bad_cursor"
        assert "Warning" not in site.program.errors()
        assert requests.post(f"{site.url}/api/{route}", timeout=PATIENCE).status_code == 405


@pytest.mark.parametrize("route", ROUTES)
def test_a_missing_hub_gives_a_502(route: str, start: Callable[..., Site]) -> None:
    """The answer is a 502 without the hub's address; a 503 is passed on; the key and the last id are sent to the hub."""
    site = start()
    with site.get(route) as response:
        assert response.status_code == 502
        assert response.json() == {"detail": "The hub does not answer. Is it running, and is HUB_URL right?"}
    assert site.hub.url in site.program.text() + site.program.errors()
    with unavailable(site.hub.port) as asked, site.get(route, "?room=a&room=b", **{"Last-Event-ID": "x-1"}) as response:
        assert response.status_code == 503
        assert response.json() == {"detail": "The hub is being deployed."}
    assert asked[0]["path"] == "/api/stream?room=a&room=b"
    assert asked[0]["authorization"] == "Bearer s3cret"
    assert asked[0]["last-event-id"] == "x-1"


def test_the_proxied_stream_ends_when_the_hub_is_killed(start: Callable[..., Site]) -> None:
    """The stream through the proxy ends or fails, but does not hang."""
    site = start()
    site.hub.start()
    for route in ROUTES:
        with site.get(route) as response:
            stream = events(response)
            next(stream)
            site.hub.kill()
            with pytest.raises((StopIteration, requests.RequestException)):
                next(stream)
        site.hub.start()


def test_the_page_shows_events_and_reconnects(page: Page, start: Callable[..., Site]) -> None:
    """The page shows events, and reconnects by itself after a 502."""
    site = start()
    hub = site.hub.start()
    seen: list[tuple[str, int]] = []
    page.on("response", lambda response: seen.append((response.url, response.status)))
    page.goto(site.url)
    expect(page.locator("#state")).to_have_text("connected")
    hub.wait_count(1)
    hub.publish([{"type": "n", "n": n, "text": "<b>text</b>"} for n in range(50)])
    expect(page.locator("li")).to_have_count(50)
    hub.kill()
    expect(page.locator("#state")).to_have_text("disconnected")
    until(lambda: page.wait_for_timeout(50) or 502 in [status for _, status in seen], "the page to get a 502")
    hub.start()
    hub.publish([{"type": "n", "n": n, "text": "<b>text</b>"} for n in range(50, 60)])
    expect(page.locator("li")).to_have_count(60)
    expect(page.locator("#state")).to_have_text("connected")
    assert [json.loads(text)["n"] for text in page.locator("li").all_text_contents()] == list(range(60))
    assert {url.split("/api/")[0].split("/_next/")[0].rstrip("/") for url, _ in seen} == {
        site.url
    }  # the hub's address is not revealed
    page.close()
    hub.wait_count(0)


def test_both_examples_have_the_same_hook() -> None:
    hooks = [EXAMPLES / "react/src/useAgentStream.js", EXAMPLES / "nextjs_proxy/lib/useAgentStream.js"]
    assert hooks[0].read_bytes() == hooks[1].read_bytes()

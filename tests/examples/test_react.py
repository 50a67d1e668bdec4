"""examples/react in Chromium, from the dev server (where StrictMode mounts twice) and as built (H27)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from ..hubs import HubProcess, free_port, until
from ..toolchain import tool
from .packages import environment
from .programs import BUILD, built, running, unavailable

pytestmark = pytest.mark.timeout(2 * BUILD)
VITE = "node_modules/vite/bin/vite.js"
IMG = "<img src=x onerror=\"document.title='XSS'\">"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with built("react", VITE) as path:
        yield path


@pytest.fixture
def serve(folder: Path, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Start Vite's server for "dev" or for "preview"; returns its address."""
    with ExitStack() as stack:

        def start(mode: str) -> str:
            url = f"http://127.0.0.1:{(port := free_port())}/"
            command = [tool("node"), VITE, mode, "--host", "127.0.0.1", "--port", str(port), "--strictPort"]
            vite = stack.enter_context(running(command, tmp_path / mode, cwd=folder, env=environment()))
            vite.wait_answer(url)
            return url

        yield start


@pytest.fixture
def quiet(page: Page) -> Iterator[Page]:
    """A page on which React has nothing to complain of, such as two events of one key."""
    complaints: list[str] = []
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    yield page
    assert [text for text in complaints if "net::ERR" not in text and "Failed to load" not in text] == []


def state(page: Page, text: str) -> None:
    expect(page.locator("#state")).to_have_text(text)


def shown(page: Page) -> list[dict[str, Any]]:
    return [json.loads(text) for text in page.locator("li").all_text_contents()]


def shows(page: Page, numbers: list[int]) -> None:
    expect(page.locator("li")).to_have_count(len(numbers))
    assert [event["n"] for event in shown(page)] == numbers


@pytest.mark.parametrize("mode", ["dev", "preview"])
def test_events_once_in_order_and_unmounting(
    mode: str, serve: Callable[[str], str], quiet: Page, hub_factory: Callable[..., HubProcess]
) -> None:
    """H27: {events, isConnected}; every event has an id; unmounting closes the stream and isConnected is false."""
    page, hub = quiet, hub_factory().start()
    page.goto(f"{serve(mode)}?hub={hub.url}")
    state(page, "connected")
    hub.wait_count(1)  # one, although StrictMode mounts twice

    # A burst: all of it, in order, in few renders.
    page.evaluate("""() => {
        window.renders = 0;
        new MutationObserver(() => window.renders++).observe(document.querySelector("ol"), { childList: true });
    }""")
    hub.publish([{"type": "n", "n": n, "room": "demo"} for n in range(200)])
    shows(page, list(range(200)))
    assert page.evaluate("window.renders") < 100  # a few where nobody else is busy; without batches at least 200
    for n in range(200, 220):
        hub.publish({"type": "n", "n": n, "room": "demo", "id": "my own", "html": IMG})
    shows(page, list(range(220)))
    assert page.title() == "Agent events in React"

    # Mounted again, it goes on where it was.
    page.click("#show")
    hub.wait_count(0)
    state(page, "disconnected")
    hub.publish({"type": "n", "n": 220, "room": "demo"})
    page.click("#show")
    state(page, "connected")
    shows(page, list(range(221)))
    hub.wait_count(1)
    page.close()
    hub.wait_count(0)


def test_a_restart_and_another_room(
    serve: Callable[[str], str], quiet: Page, hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    """H27: back by itself, with what it has missed; the list has a limit."""
    page, hub = quiet, hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db").start()
    page.goto(f"{serve('preview')}?hub={hub.url}")
    state(page, "connected")
    hub.publish([{"type": "n", "n": n, "room": "demo"} for n in range(3)])
    shows(page, [0, 1, 2])

    # Killed, and 503s after which a browser gives up.
    hub.kill()
    state(page, "disconnected")
    with unavailable(hub.port) as asked:
        until(lambda: asked, "the page to come back after a 503")
    hub.start()
    hub.publish({"type": "n", "n": 3, "room": "demo"})
    shows(page, [0, 1, 2, 3])
    state(page, "connected")
    expect(page.locator("#gap")).to_have_count(0)

    # Another room: another stream, from now on, and nothing of before.
    page.fill("input", "other")
    page.keyboard.press("Enter")
    expect(page.locator("li")).to_have_count(0)
    state(page, "connected")
    hub.wait_count(1)
    hub.publish([{"type": "n", "n": 500, "room": "demo"}, {"type": "n", "n": 501, "room": "other"}])
    shows(page, [501])

    # No more than the limit.
    hub.publish([{"type": "n", "n": n, "room": "other"} for n in range(1500)])
    expect(page.locator("li").last).to_contain_text('"n":1499')
    shows(page, list(range(500, 1500)))


def test_a_lost_history_is_said(
    serve: Callable[[str], str], quiet: Page, hub_factory: Callable[..., HubProcess]
) -> None:
    """The list begins anew with what the hub has, and `gap` says why."""
    page, hub = quiet, hub_factory().start()
    page.goto(f"{serve('preview')}?hub={hub.url}")
    state(page, "connected")
    hub.publish([{"type": "n", "n": n} for n in range(3)])
    shows(page, [0, 1, 2])
    hub.stop()
    state(page, "disconnected")
    hub.start()
    hub.publish({"type": "n", "n": 3})
    expect(page.locator("#gap")).to_contain_text("unknown_epoch")
    shows(page, [3])

"""examples/react in Chromium, from the dev server (where StrictMode mounts twice) and from the build (H27)."""

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
    """Starts Vite's server in the mode "dev" or "preview"; returns its URL."""
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
    """A page that fails the test if React logs an error, such as a duplicate key."""
    complaints: list[str] = []
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    yield page
    assert [text for text in complaints if "net::ERR" not in text and "Failed to load" not in text] == []


def expect_state(page: Page, text: str) -> None:
    expect(page.locator("#state")).to_have_text(text)


def shown(page: Page) -> list[dict[str, Any]]:
    return [json.loads(text) for text in page.locator("li").all_text_contents()]


def expect_numbers(page: Page, numbers: list[int]) -> None:
    expect(page.locator("li")).to_have_count(len(numbers))
    assert [event["n"] for event in shown(page)] == numbers


@pytest.mark.parametrize("mode", ["dev", "preview"])
def test_events_arrive_once_in_order_and_unmounting_disconnects(
    mode: str, serve: Callable[[str], str], quiet: Page, hub_factory: Callable[..., HubProcess]
) -> None:
    """H27: the hook returns events with ids and isConnected; unmounting closes the stream and sets isConnected to false."""
    page, hub = quiet, hub_factory().start()
    page.goto(f"{serve(mode)}?hub={hub.url}")
    expect_state(page, "connected")
    hub.wait_count(1)  # only one, although StrictMode mounts twice

    # A burst arrives complete and in order, in few renders.
    page.evaluate("""() => {
        window.renders = 0;
        new MutationObserver(() => window.renders++).observe(document.querySelector("ol"), { childList: true });
    }""")
    hub.publish([{"type": "n", "n": n, "room": "demo"} for n in range(200)])
    expect_numbers(page, list(range(200)))
    assert page.evaluate("window.renders") < 100  # a few on an idle machine; without batching at least 200
    for n in range(200, 220):
        hub.publish({"type": "n", "n": n, "room": "demo", "id": "my own", "html": IMG})
    expect_numbers(page, list(range(220)))
    assert page.title() == "Agent events in React"

    # Mounted again, it resumes.
    page.click("#show")
    hub.wait_count(0)
    expect_state(page, "disconnected")
    hub.publish({"type": "n", "n": 220, "room": "demo"})
    page.click("#show")
    expect_state(page, "connected")
    expect_numbers(page, list(range(221)))
    hub.wait_count(1)
    page.close()
    hub.wait_count(0)


def test_a_restart_and_another_room(
    serve: Callable[[str], str], quiet: Page, hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    """H27: after a restart it resumes by itself without missing events; another room starts a new list, which has a limit."""
    page, hub = quiet, hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db").start()
    page.goto(f"{serve('preview')}?hub={hub.url}")
    expect_state(page, "connected")
    hub.publish([{"type": "n", "n": n, "room": "demo"} for n in range(3)])
    expect_numbers(page, [0, 1, 2])

    # The hub is killed, followed by 503s, after which EventSource gives up.
    hub.kill()
    expect_state(page, "disconnected")
    with unavailable(hub.port) as asked:
        until(lambda: asked, "the page to reconnect after a 503")
    hub.start()
    hub.publish({"type": "n", "n": 3, "room": "demo"})
    expect_numbers(page, [0, 1, 2, 3])
    expect_state(page, "connected")
    expect(page.locator("#gap")).to_have_count(0)

    # Another room starts a new stream with live events only, and an empty list.
    page.fill("input", "other")
    page.keyboard.press("Enter")
    expect(page.locator("li")).to_have_count(0)
    expect_state(page, "connected")
    hub.wait_count(1)
    hub.publish([{"type": "n", "n": 500, "room": "demo"}, {"type": "n", "n": 501, "room": "other"}])
    expect_numbers(page, [501])

    # The list has at most 1,000 events.
    hub.publish([{"type": "n", "n": n, "room": "other"} for n in range(1500)])
    expect(page.locator("li").last).to_contain_text('"n":1499')
    expect_numbers(page, list(range(500, 1500)))


def test_a_lost_history_is_reported(
    serve: Callable[[str], str], quiet: Page, hub_factory: Callable[..., HubProcess]
) -> None:
    """The list starts over with the events that the hub has, and `gap` gives the reason."""
    page, hub = quiet, hub_factory().start()
    page.goto(f"{serve('preview')}?hub={hub.url}")
    expect_state(page, "connected")
    hub.publish([{"type": "n", "n": n} for n in range(3)])
    expect_numbers(page, [0, 1, 2])
    hub.stop()
    expect_state(page, "disconnected")
    hub.start()
    hub.publish({"type": "n", "n": 3})
    expect(page.locator("#gap")).to_contain_text("unknown_epoch")
    expect_numbers(page, [3])

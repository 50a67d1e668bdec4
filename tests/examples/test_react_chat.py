"""`useStreamingAgent` and `ChatComponent` in Chromium, built with Vite and the packages of examples/react (W24, W25)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ..gateway.conftest import gateway
from ..gateway.gateways import GatewayProcess
from ..hubs import free_port, until
from ..toolchain import tool
from .packages import EXAMPLES, copied, environment
from .programs import BUILD, running

__all__ = ["gateway"]

pytestmark = pytest.mark.timeout(2 * BUILD)
SOURCES = EXAMPLES / "voice_agents" / "websocket_text_streaming" / "react"
VITE = "node_modules/vite/bin/vite.js"
APP = """
import { Activity, useState } from "react";
import { ChatComponent } from "./ChatComponent.jsx";

const url = new URLSearchParams(location.search).get("url");

export function App() {
  const [mounted, setMounted] = useState(true);
  return <><button id="mount" onClick={() => setMounted(!mounted)}>mount</button>{mounted && <ChatComponent url={url} />}</>;
}
"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of Vite's development server, in which StrictMode mounts twice."""
    with copied("react") as folder, ExitStack() as stack:
        for file in SOURCES.iterdir():
            shutil.copy(file, folder / "src")
        (folder / "src" / "App.jsx").write_text(APP)
        url = f"http://127.0.0.1:{(port := free_port())}/"
        command = [tool("node"), VITE, "dev", "--host", "127.0.0.1", "--port", str(port), "--strictPort"]
        vite = stack.enter_context(running(command, tmp_path / "vite", cwd=folder, env=environment()))
        vite.wait_answer(url)
        yield url


def test_the_answer_grows_with_a_cursor_and_unmounting_closes_the_socket(
    served: str, page: Page, gateway: GatewayProcess
) -> None:
    page.goto(f"{served}?url={gateway.ws('/')}")
    answer, cursor = page.locator("p[aria-live]"), page.locator(".cursor")
    until(lambda: gateway.connections() == 1, "one connection, although StrictMode mounts twice")
    page.get_by_label("Message").fill("Tell me a story")
    page.get_by_role("button", name="Send").click()
    expect(cursor).to_have_text("|")
    expect(answer).to_contain_text("Once upon a time")
    expect(cursor).to_have_count(0)
    expect(answer).to_contain_text("exactly once.")
    page.get_by_label("Message").fill("Hello!")
    page.get_by_role("button", name="Send").click()
    expect(answer).to_have_text("Hello. How can I help you?")
    page.get_by_label("Message").fill(" ")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("empty")
    page.click("#mount")
    until(lambda: gateway.connections() == 0, "the socket to be closed")

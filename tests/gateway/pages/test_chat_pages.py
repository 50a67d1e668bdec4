"""The two chat pages in Chromium: against the real gateway, and against a peer that sends hostile frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from ...hubs import ROOT, free_port
from ..gateways import GatewayProcess

PAGES = ROOT / "static" / "gateway"
EXAMPLES = ROOT / "examples" / "voice_agents" / "websocket_text_streaming"
IMG = "<img src=x onerror=\"document.title='XSS'\">"


def ask(page: Page, words: str) -> None:
    page.fill("#message", words)
    page.keyboard.press("Enter")


def answers(page: Page) -> Any:
    return page.locator("#messages > li:not(.user) .bubble")


def connected(page: Page) -> None:
    expect(page.locator("#connection")).to_have_text("connected")


@pytest.mark.parametrize("opened", ["served", "from disk"])
def test_the_text_chat(page: Page, gateway: GatewayProcess, opened: str) -> None:
    """W01 W20 W21 W22: it connects by itself, the answer grows with a cursor, and the tool call is shown."""
    if opened == "served":
        page.goto(f"{gateway.url}/websocket_client.html")
    else:
        page.goto(f"{(EXAMPLES / 'websocket_client.html').as_uri()}?gateway={gateway.ws('')}")
    connected(page)
    ask(page, "Tell me a story")
    expect(page.locator(".cursor")).to_be_visible()
    lengths = [len(answers(page).inner_text())]
    while page.locator(".cursor").count():
        lengths.append(len(answers(page).last.inner_text()))
    assert len(set(lengths)) > 3
    expect(answers(page)).to_contain_text("exactly once.")
    expect(page.locator("#announce")).to_contain_text("exactly once.")
    ask(page, "What is the weather in San Francisco?")
    expect(page.locator(".tool")).to_have_text('lookup_weather({"location": "San Francisco"}) → sunny, 68°F')
    expect(answers(page).last).to_have_text("The weather in San Francisco is sunny, 68°F.")
    expect(page.locator("#stop")).to_be_hidden()


def test_a_reply_is_stopped_with_escape(page: Page, gateway: GatewayProcess) -> None:
    page.goto(f"{gateway.url}/websocket_client.html")
    connected(page)
    ask(page, "Tell me a story")
    expect(answers(page)).to_contain_text("Once upon")
    page.keyboard.press("Escape")
    expect(page.locator("#messages .note")).to_have_text("stopped")
    ask(page, "Hello")
    expect(answers(page).last).to_have_text("Hello. How can I help you?")


@pytest.mark.parametrize("opened", ["served", "from disk"])
def test_the_llm_chat(page: Page, gateway: GatewayProcess, opened: str) -> None:
    """L14 L15 L16: suggestions are sent on a click; the page keeps the conversation."""
    if opened == "served":
        page.goto(f"{gateway.url}/chat_client.html")
    else:
        page.goto(f"{(EXAMPLES / 'chat_client.html').as_uri()}?gateway=localhost:{gateway.port}")
    connected(page)
    page.get_by_role("button", name="Tell me a story").click()
    expect(page.locator(".cursor")).to_be_visible()
    expect(answers(page)).to_contain_text("exactly once.")
    ask(page, "Hello")
    expect(answers(page)).to_have_count(2)
    expect(answers(page).last).to_contain_text("Hello")
    page.get_by_role("button", name="New chat").click()
    expect(page.locator("#messages > li")).to_have_count(0)
    expect(page.locator("#suggestions")).to_be_visible()


def test_a_gateway_that_is_not_there_is_named_and_awaited(page: Page, tmp_path: Path) -> None:
    """L15: opened from disk before the gateway is started; it works as soon as there is one."""
    port = free_port()
    page.goto(f"{(EXAMPLES / 'websocket_client.html').as_uri()}?gateway=localhost:{port}")
    expect(page.locator("#missing")).to_contain_text(f"No gateway answers at http://localhost:{port}: start it")
    with GatewayProcess(tmp_path, GATEWAY_PORT=str(port)) as late:
        late.ready()
        connected(page)
        ask(page, "Hello")
        expect(answers(page)).to_have_text("Hello. How can I help you?")
        late.stop()
        expect(page.locator("#connection")).to_have_attribute("data-state", "reconnecting")


HOSTILE: list[Any] = [
    {"type": "delta", "delta": IMG, "accumulated": IMG, "content": IMG},
    {"type": "complete", "text": IMG, "content": IMG},
    {"type": "result", "events": [{"type": "function_call", "name": IMG, "arguments": IMG}]},
    {"type": "result", "events": [{"type": IMG, "output": None}, {}]},
    {"type": "error", "message": IMG, "code": IMG},
    {"type": "tool_call", "name": IMG, "arguments": IMG, "id": IMG},
    {"type": IMG},
    "not JSON " + IMG,
    "null",
    "[]",
]


@pytest.mark.parametrize("name", ["websocket_client.html", "chat_client.html"])
def test_text_is_never_parsed_as_html(page: Page, gateway: GatewayProcess, name: str) -> None:
    """D12: every field of every frame, and what the user writes."""

    def attack(route: WebSocketRoute) -> None:
        route.send(json.dumps({"type": "ready", "message": IMG}))

        def answer(_: object) -> None:
            for frame in HOSTILE:
                route.send(frame if isinstance(frame, str) else json.dumps(frame))

        route.on_message(answer)

    page.route_web_socket("**/*", attack)
    page.goto(f"{gateway.url}/{name}")
    connected(page)
    ask(page, IMG)
    expect(page.locator("#messages .user .bubble")).to_have_text(IMG)
    expect(page.locator("#messages .note.bad").first).to_have_text(IMG)
    assert page.locator("#messages img").count() == 0
    assert "XSS" not in page.title()


def test_a_long_answer_stays_smooth(page: Page, gateway: GatewayProcess) -> None:
    """10,000 words, one of them very long, and a script that runs from right to left."""

    def attack(route: WebSocketRoute) -> None:
        def answer(_: object) -> None:
            for n in range(200):
                route.send(json.dumps({"type": "delta", "delta": f" word{n}" * 50, "accumulated": ""}))
            route.send(json.dumps({"type": "delta", "delta": " " + "x" * 5000 + " مرحبا بالعالم", "accumulated": ""}))

        route.on_message(answer)

    page.route_web_socket("**/*", attack)
    page.set_viewport_size({"width": 390, "height": 700})
    page.goto(f"{gateway.url}/websocket_client.html")
    connected(page)
    ask(page, "Tell me everything")
    expect(answers(page)).to_contain_text("مرحبا بالعالم")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    scroll = page.locator("#scroll")
    assert scroll.evaluate("box => box.scrollHeight - box.scrollTop - box.clientHeight < 30"), "it follows the end"


def test_the_examples_have_the_same_pages() -> None:
    for name in ("websocket_client.html", "chat_client.html"):
        assert (EXAMPLES / name).read_text() == (PAGES / name).read_text(), f"{name}: run `make docs`"

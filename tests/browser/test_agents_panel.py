"""The agents panel: starts, shows and stops agents, and reports crashes and missing keys (H17 H32)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ..hubs import PATIENCE, HubProcess, free_port, until
from ..wire.agents import TINY, agent, nothing_left, program, reaches, started, stop
from .conftest import live
from .test_text import CONTRAST

IMG = "<img src=x onerror=\"document.title='XSS'\">"


@pytest.fixture
def launching(hub_factory: Callable[..., HubProcess]) -> Iterator[Callable[..., HubProcess]]:
    """Starts hubs whose agents are programs of the tests. None of these may be left running."""
    with nothing_left() as hubs:

        def make(*words: str, **environ: str) -> HubProcess:
            own = {"HUB_AGENT": program(*words)} if words else {}
            hubs.append(hub_factory(**own, **environ).start())
            return hubs[-1]

        yield make


def printing(text: str, code: int) -> str:
    """A value for HUB_AGENT: a program that prints `text` and exits with `code`."""
    return f"python -S -E -c {shlex.quote(f'import sys; print({text!r}); sys.exit({code})')}"


def opened(page: Page, hub: HubProcess) -> Page:
    """The page, live, with the sheet open."""
    page.goto(f"{hub.url}/")
    live(page)
    page.click("#agents")
    expect(page.locator("#agents-sheet")).to_be_visible()
    return page


def is_in(page: Page, state: str) -> None:
    patience = 3 * PATIENCE  # importing LiveKit takes long
    expect(page.locator(".entry .head b").first).to_have_text(state, timeout=1000 * patience)


def test_the_gateway_has_links_to_its_pages(page: Page, launching: Callable[..., HubProcess]) -> None:
    """Started from the page: its address is a link, and so are its pages. It takes no room and no instructions."""
    port = free_port()
    opened(page, launching(GATEWAY_PORT=str(port)))
    page.select_option("#agent-mode", "gateway")
    expect(page.locator("#agent-room")).to_be_disabled()
    page.click("#agent-start")
    is_in(page, "ready")
    assert "always runs" not in page.locator(".entry .facts").inner_text()
    links = page.locator(".entry .links a")
    expect(links).to_have_text([f"http://localhost:{port}", "Voice", "Text chat", "LLM chat"])
    assert links.nth(2).get_attribute("href") == f"http://localhost:{port}/websocket_client.html"
    assert (links.first.get_attribute("rel"), links.first.get_attribute("target")) == ("noopener", "_blank")
    with page.context.expect_page() as tab:
        links.first.click()
    assert tab.value.evaluate("window.opener") is None
    tab.value.close()
    note = page.locator("#conversation .note a")
    expect(note).to_have_attribute("href", f"http://localhost:{port}")
    expect(page.locator("#conversation .note", has=page.locator("a"))).to_contain_text("The gateway listens on")
    page.get_by_role("button", name="Stop ag_").click()
    is_in(page, "stopped")
    expect(page.locator(".entry .links")).to_be_hidden()


def test_a_gateway_started_by_hand_is_a_link_in_the_conversation(
    page: Page, hub_factory: Callable[..., HubProcess]
) -> None:
    """Whoever started it, its `agent_ready` has its address. A script as an address is text."""
    hub = hub_factory().start()
    hub.publish([{"type": "agent_ready", "message": "Bad", "address": "javascript:document.title='XSS'"}])
    hub.publish([{"type": "agent_ready", "message": "It is at http://h:1, or so.", "address": "http://h:1"}])
    hub.publish([{"type": "agent_ready", "address": "https://gateway.example"}])
    page.goto(f"{hub.url}/")
    live(page)
    links = page.locator("#conversation .note a")
    expect(links).to_have_text(["http://h:1", "https://gateway.example"])
    assert (links.first.get_attribute("rel"), links.first.get_attribute("target")) == ("noopener", "_blank")
    expect(page.locator("#conversation .note", has_text="or so")).to_contain_text("It is at http://h:1, or so.")


def test_the_empty_page_starts_the_gateway(page: Page, launching: Callable[..., HubProcess]) -> None:
    hub = launching("serves", GATEWAY_PORT=str(free_port()))
    page.goto(f"{hub.url}/")
    live(page)
    page.click("#empty >> text=Start the gateway")
    expect(page.locator("#toast")).to_contain_text("The gateway is starting")
    assert agent(hub)["mode"] == "gateway"


def test_a_scripted_agent_from_start_to_stop(page: Page, launching: Callable[..., HubProcess]) -> None:
    """The project's own agent: started from the page, with its conversation and its log, and stopped."""
    hub = launching()
    opened(page, hub)
    expect(page.locator("#agents")).to_have_text("Agents")
    expect(page.locator("#agents-none")).to_be_visible()
    page.select_option("#agent-mode", "scripted")
    page.click("#agent-start")
    expect(page.locator("#agents")).to_have_text(re.compile("^Agent: (starting|ready)$"))
    is_in(page, "ready")
    expect(page.locator("#agents")).to_have_text("Agent: ready")
    agent_id = agent(hub)["agent_id"]
    expect(page.locator("#announce")).to_have_text(f"Agent {agent_id} is ready")
    expect(page.locator(".entry .facts")).to_contain_text(f"{agent_id} · pid {agent(hub)['pid']} · since ")
    expect(page.locator("#conversation .said.agent .text").first).not_to_be_empty()
    page.click(".entry >> text=Log")
    expect(page.locator(".agent-log pre")).not_to_be_empty()
    page.get_by_role("button", name="Stop ag_").click()
    is_in(page, "stopped")
    expect(page.locator("#agents")).to_have_text("Agents")
    expect(page.get_by_role("button", name="Stop ag_")).to_be_hidden()
    assert agent(hub)["status"] == "stopped"


def test_the_list_is_requested_only_when_something_happens(page: Page, launching: Callable[..., HubProcess]) -> None:
    hub = launching("ready")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/api/agent/status" in request.url else None)
    page.goto(f"{hub.url}/")
    live(page)
    expect(page.locator("#agents")).to_have_text("Agents")
    facts = started(hub)  # not from the page
    expect(page.locator("#agents")).to_have_text("Agent: ready")

    def rests() -> bool:  # one request may follow what has just happened
        asked.clear()
        page.wait_for_timeout(2500)  # more than two intervals
        return asked == []

    until(rests, "the requests to stop")
    stop(hub, facts["agent_id"])
    expect(page.locator("#agents")).to_have_text("Agents")
    started(hub, mode="room", room="one")
    started(hub, mode="room", room="two")
    expect(page.locator("#agents")).to_have_text("2 agents")


def test_a_second_start_points_to_the_running_agent(page: Page, launching: Callable[..., HubProcess]) -> None:
    hub = launching("ready")
    opened(page, hub)
    page.click("#agent-start")
    is_in(page, "ready")
    page.click("#agent-start")
    refused = page.locator("#agent-refused")
    expect(refused).to_contain_text("(mode worker) is ready; stop it first")
    expect(page.locator(".entry[data-meant]")).to_have_count(1)
    page.select_option("#agent-mode", "room")
    page.click("#agent-start")  # refused by the browser: the room is required
    expect(page.locator(".entry")).to_have_count(1)
    page.fill("#agent-room", "kitchen")
    page.click("#agent-start")
    expect(page.locator(".entry")).to_have_count(2)
    expect(page.locator(".entry .room").first).to_have_text("kitchen")
    expect(refused).to_be_hidden()
    expect(page.locator(".entry[data-meant]")).to_have_count(0)


def test_the_agent_gets_its_instructions(page: Page, launching: Callable[..., HubProcess]) -> None:
    hub = launching("echo")
    opened(page, hub)
    page.click("#agents-sheet summary")
    page.fill("#agent-instructions", "You take orders.")
    page.fill("#agent-room", "kitchen")
    page.click("#agent-start")
    expect(page.locator("#log .row", has_text="echo").first).to_contain_text("You take orders.")


def test_a_crash_is_announced_and_shows_its_last_log_lines(page: Page, launching: Callable[..., HubProcess]) -> None:
    """Closed, the sheet leaves it to a message and a red dot; open, it shows the last lines. The conversation has a note."""
    hub = launching("exits", "2")
    page.goto(f"{hub.url}/")
    live(page)
    agent_id = started(hub)["agent_id"]
    expect(page.locator("#toast")).to_contain_text(f"Agent {agent_id} crashed: It exited with code 2")
    expect(page.locator("#agents")).to_have_text("Agent: crashed")
    expect(page.locator("#agents .dot")).to_have_class("dot crashed")
    expect(page.locator("#conversation .text", has_text="wrong settings")).to_contain_text("It exited with code 2")
    page.click("#agents")
    expect(page.locator(".entry .bad").first).to_contain_text("the model is not there")
    expect(page.locator(".entry > pre")).to_have_text("loading the model\nthe model is not there")


def test_a_crash_that_is_followed_by_a_restart(
    page: Page, launching: Callable[..., HubProcess], tmp_path: Path
) -> None:
    hub = launching("crashes_once", str(tmp_path / "flag"))
    page.goto(f"{hub.url}/")
    live(page)
    started(hub)
    expect(page.locator("#toast")).to_contain_text("crashed and is restarting")
    expect(page.locator("#agents")).to_have_text("Agent: ready")
    page.click("#agents")
    expect(page.locator(".entry .facts")).to_contain_text("restarted 1 time")


def test_missing_keys_are_named(page: Page, launching: Callable[..., HubProcess]) -> None:
    """In the hub's own words, in the sheet and below the empty page's button, where they stay."""
    hub = launching(LIVEKIT_URL="ws://127.0.0.1:1", AGENT_STT="deepgram")
    page.clock.install()
    opened(page, hub)
    page.click("#agent-start")
    names = "LIVEKIT_API_KEY and LIVEKIT_API_SECRET and DEEPGRAM_API_KEY and OPENAI_API_KEY are not set"
    expect(page.locator("#agent-refused")).to_contain_text(names)
    page.keyboard.press("Escape")
    page.click("#start")
    expect(page.locator("#empty [role=alert]")).to_contain_text(names)
    page.clock.fast_forward(4500)  # longer than a message is shown
    page.wait_for_timeout(100)
    expect(page.locator("#empty [role=alert]")).to_contain_text(names)


def test_a_page_from_disk_is_told_why_it_may_not_control_agents(
    page: Page, launching: Callable[..., HubProcess]
) -> None:
    """Its origin is `null`. It sees the agents, and the hub's refusal if it tries to control them."""
    from ..hubs import ROOT

    hub = launching("ready")
    started(hub)
    reaches(hub, "ready")
    page.goto(f"{(ROOT / 'static' / 'stream-test.html').as_uri()}#hub={hub.url}")
    live(page)
    expect(page.locator("#agents")).to_have_text("Agent: ready")
    page.click("#agents")
    sentence = "page opened from a file may not control agents or get tokens here"
    page.click("#agent-start")
    expect(page.locator("#agent-refused")).to_contain_text(sentence)
    page.get_by_role("button", name="Stop ag_").click()
    expect(page.locator(".entry [role=alert]")).to_contain_text(sentence)
    page.click(".entry >> text=Log")
    expect(page.locator(".agent-log .word")).to_contain_text(sentence)


def test_without_the_feature_there_is_no_panel(page: Page, launching: Callable[..., HubProcess]) -> None:
    hub = launching("ready")
    config = {**hub.get("/api/config"), "features": []}
    page.route("**/api/config", lambda route: route.fulfill(json=config))
    page.add_init_script("delete window.SharedWorker;")  # Playwright cannot answer a worker's requests
    page.goto(f"{hub.url}/")
    live(page)
    expect(page.locator("#talk")).to_be_visible()
    expect(page.locator("#agents")).to_be_hidden()


def test_a_hub_that_stops_and_starts_again(page: Page, launching: Callable[..., HubProcess]) -> None:
    hub = launching("ready")
    opened(page, hub)
    page.click("#agent-start")
    is_in(page, "ready")
    page.keyboard.press("Escape")
    hub.stop()
    expect(page.locator("#connection")).to_have_attribute("data-state", "waiting")
    page.click("#agents")
    expect(page.locator("#agents-away")).to_contain_text("No hub answers at")
    hub.start()
    live(page)
    expect(page.locator("#agents-away")).to_be_hidden()
    is_in(page, "stopped")


def test_a_hub_that_is_killed_while_the_sheet_is_open(page: Page, launching: Callable[..., HubProcess]) -> None:
    """The page does not request the list, and yet says that it may be out of date."""
    hub = launching("ready")
    opened(page, hub)
    page.click("#agent-start")
    is_in(page, "ready")
    hub.kill()
    expect(page.locator("#agents-away")).to_contain_text("The list below may be out of date.")
    hub.start()
    live(page)
    expect(page.locator("#agents-away")).to_be_hidden()
    is_in(page, "ready")  # the hub has found it again


def test_html_in_a_log_is_text(page: Page, launching: Callable[..., HubProcess]) -> None:
    hub = launching(HUB_AGENT=printing(IMG, 2))
    opened(page, hub)
    page.fill("#agent-room", IMG)
    page.click("#agent-start")
    is_in(page, "crashed")
    expect(page.locator(".entry > pre")).to_have_text(IMG)
    page.click(".entry >> text=Log")
    expect(page.locator(".agent-log pre")).to_have_text(IMG)
    assert page.locator("img").count() == 0
    assert page.title() == "LiveKit Event Hub"


def test_a_log_is_updated_and_copied(page: Page, launching: Callable[..., HubProcess]) -> None:
    hub = launching("floods")
    opened(page, hub)
    page.click("#agent-start")
    is_in(page, "ready")
    page.click(".entry >> text=Log")
    pre = page.locator(".agent-log pre")
    expect(pre).to_contain_text("line ")
    first = pre.inner_text()
    expect(pre).not_to_have_text(first)
    assert len(pre.inner_text().splitlines()) <= 200
    page.get_by_role("button", name="Stop ag_").click()
    expect(pre).to_contain_text("the last line")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click(".agent-log >> text=Copy")
    expect(page.locator("#toast")).to_have_text("Log copied")
    assert page.evaluate("navigator.clipboard.readText()").endswith("the last line")


HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_log_is_updated_again_when_the_page_is_visible(page: Page, launching: Callable[..., HubProcess]) -> None:
    hub = launching("floods")
    opened(page, hub)
    page.click("#agent-start")
    is_in(page, "ready")
    page.click(".entry >> text=Log")
    pre = page.locator(".agent-log pre")
    expect(pre).to_contain_text("line ")
    page.evaluate(HIDE, True)
    page.wait_for_timeout(2500)  # a hidden page requests nothing
    before = pre.inner_text()
    page.evaluate(HIDE, False)
    expect(pre).not_to_have_text(before)
    page.get_by_role("button", name="Stop ag_").click()
    expect(pre).to_contain_text("the last line")


def test_two_clicks_start_one_agent(page: Page, launching: Callable[..., HubProcess]) -> None:
    """The second click on the empty page's button does nothing, and leaves the result of the first."""
    hub = launching("ready")
    page.goto(f"{hub.url}/")
    live(page)
    posts: list[str] = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    page.locator("#start").evaluate("(start) => { start.click(); start.click(); }")
    expect(page.locator("#agents")).to_have_text("Agent: ready")
    assert len(posts) == 1


def test_an_agent_that_was_seen_running_stays_listed_when_it_ends(
    page: Page, launching: Callable[..., HubProcess]
) -> None:
    """Even if three newer ones have ended. The focus is not lost."""
    hub = launching(HUB_AGENT=TINY)
    oldest = started(hub)["agent_id"]
    for n in range(5):
        stop(hub, started(hub, mode="room", room=f"room {n}")["agent_id"])
    opened(page, hub)
    expect(page.locator(".entry:visible")).to_have_count(4)
    page.focus(f"[aria-label='Stop {oldest}']")
    page.keyboard.press("Enter")
    expect(page.locator(".entry", has_text=oldest).locator(".head b")).to_have_text("stopped")
    expect(page.locator(".entry:visible", has_text=oldest)).to_have_count(1)
    expect(page.locator(f"[aria-label='Log of {oldest}']")).to_be_focused()
    page.focus("#agents-more")
    page.keyboard.press("Enter")
    expect(page.locator(".entry:visible")).to_have_count(6)
    expect(page.locator(".entry .head button:focus")).to_have_text("Log")


def test_of_many_ended_agents_the_newest_are_shown(page: Page, launching: Callable[..., HubProcess]) -> None:
    hub = launching(HUB_AGENT=TINY)
    for n in range(6):
        stop(hub, started(hub, mode="room", room=f"room {n}")["agent_id"])
    started(hub, mode="room", room="now")
    opened(page, hub)
    rooms = page.locator(".entry:visible .room")
    expect(rooms).to_have_text(["now", "room 5", "room 4", "room 3"])
    page.click("text=Show 3 older")
    expect(rooms).to_have_count(7)


def test_by_keyboard(page: Page, launching: Callable[..., HubProcess]) -> None:
    """Everything works without a mouse. Escape and a click outside close the sheet, and the focus returns."""
    hub = launching("ready")
    page.goto(f"{hub.url}/")
    live(page)
    page.focus("#agents")
    page.keyboard.press("Enter")
    sheet = page.locator("#agents-sheet")
    expect(sheet).to_be_visible()
    page.focus("#agent-start")
    page.keyboard.press("Enter")
    is_in(page, "ready")
    page.get_by_role("button", name="Stop ag_").focus()
    page.keyboard.press("Enter")
    is_in(page, "stopped")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    assert page.evaluate("document.activeElement.id") == "agents"
    page.keyboard.press("Enter")
    expect(sheet).to_be_visible()
    page.mouse.click(300, 700)
    expect(sheet).to_be_hidden()
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("#agents-sheet :is(button, input, select, textarea)")]
          .filter((e) => !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).map((e) => e.id)"""
    )
    assert unnamed == []


@pytest.mark.parametrize("width", [360, 800])
def test_it_fits(page: Page, launching: Callable[..., HubProcess], width: int) -> None:
    hub = launching(HUB_AGENT=printing("x" * 1000, 2))
    page.set_viewport_size({"width": width, "height": 700})
    opened(page, hub)
    page.fill("#agent-room", "y" * 200)
    page.click("#agent-start")
    is_in(page, "crashed")
    box = page.locator("#agents-sheet").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] + box["height"] <= 700
    assert page.evaluate("(e => e.scrollWidth - e.clientWidth)(document.getElementById('agents-sheet'))") <= 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for _ in ("dark", "light"):
        assert page.evaluate(CONTRAST) == []
        page.evaluate("document.getElementById('theme').click()")

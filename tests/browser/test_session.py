"""The session panel (H32): figures, turns and transcript as computed by the hub."""

from __future__ import annotations

import re
from collections.abc import Callable

import requests
from playwright.sync_api import Page, expect

from bench.conversations import conversation

from ..hubs import PATIENCE, HubProcess
from ..recordings.test_uploads import ATTACHED, EVENTS, complete
from ..recordings.uploads import LIVEKIT, send_all, session
from .conftest import live


def test_figures_turns_and_transcript(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    events = list(conversation("support-7", "AS_1", 3))
    hub.publish(events[:-1])
    page.goto(f"{hub.url}/")
    live(page)
    expect(page.locator("#session")).to_be_hidden()
    page.click("#session-toggle")
    expect(page.locator("#session h2")).to_have_text("support-7 · AS_1")
    document = hub.get("/api/sessions/AS_1")
    expect(page.locator("#session .turn")).to_have_count(3)
    expect(page.locator("#session .turn").first.locator("b")).to_have_text("1 s")
    expect(page.locator("#session tbody tr").first).to_have_text("end to end1 s1 s1 s3")
    shares = (
        page.locator("#session .turn")
        .first.locator(".part")
        .evaluate_all("parts => parts.map((part) => [part.className.split(' ')[1], parseFloat(part.style.width)])")
    )
    latency = document["turns"][2]["latency"]
    assert [name for name, _ in shares] == [*[part["name"] for part in latency["parts"]], "unaccounted"]
    assert abs(sum(share for _, share in shares) - 100) < 0.1
    with page.context.expect_page() as opened:
        page.click("#session .links a:has-text('txt') >> nth=0")
    expect(opened.value.locator("body")).to_contain_text("agent: It is going to be windy")
    opened.value.close()
    whole = page.locator("#session .links p", has_text="Transcript of the room").locator("a")
    expect(whole).to_have_text(["txt", "md", "srt", "vtt", "json"])
    assert whole.nth(1).get_attribute("href") == f"{hub.url}/api/rooms/support-7/transcript.md"
    assert requests.get(whole.nth(1).get_attribute("href") or "", timeout=PATIENCE).status_code == 200
    hub.publish([{"type": "session_ended", "room": "support-7", "session": "AS_1", "reason": "user_initiated"}])
    expect(page.locator("#session dd").first).to_have_text("ended, user_initiated")
    expect(page).to_have_url(re.compile("panel=session"))
    page.reload()
    expect(page.locator("#session .turn")).to_have_count(3)
    page.locator("#session").press("Escape")
    expect(page.locator("#session")).to_be_hidden()
    expect(page).not_to_have_url(re.compile("panel"))


def test_html_is_text_and_problems_are_shown(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    evil = "<img src=x onerror=document.title='pwned'>"
    hub.publish([{"type": "transcript", "text": evil, "room": evil, "session": f"{evil}/../%", "participant": evil}])
    hub.publish([{"type": "transcript", "text": "other", "room": "other"}])
    page.goto(f"{hub.url}/?panel=session")
    live(page)
    expect(page.locator("#session")).to_be_hidden()
    page.locator("#rail button", has_text="onerror").click()
    expect(page.locator("#session .words")).to_have_text(evil)
    links = page.locator("#session .links a", has_text="vtt")
    expect(links).to_have_count(2)
    for link in links.all():
        assert "onerror" in requests.get(link.get_attribute("href") or "", timeout=PATIENCE).text
    page.route("**/api/sessions/**", lambda route: route.abort())
    page.locator("#rail button", has_text="other").click()
    expect(page.locator("#session .bad")).to_contain_text("No hub answers")
    page.unroute("**/api/sessions/**")
    hub.publish([{"type": "transcript", "text": "more", "room": "other"}])
    expect(page.locator("#session .words")).to_have_text("other more")
    expect(page.locator("#session .bad")).to_have_text("")
    page.locator("#rail button", has_text="All rooms").click()
    expect(page.locator("#session")).to_be_hidden()
    assert page.title() != "pwned"


def test_the_recording_plays_from_a_turn(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    """Issue 18: a real call, heard in the page."""
    hub = hub_factory(**LIVEKIT).start()
    hub.publish(EVENTS)
    send_all(hub)
    session(hub, ATTACHED, complete)
    page.goto(f"{hub.url}/?panel=session")
    live(page)
    audio = page.locator("#session audio")
    expect(audio).to_be_visible()
    expect(page.locator("#conversation")).to_contain_text("23.6 s, in the session's panel")
    page.locator("#session .turn", has_text="what is the weather in paris").get_by_role("button").click()
    page.wait_for_function(
        "() => { const a = document.querySelector('#session audio'); return !a.paused && a.currentTime > 4; }"
    )
    assert audio.evaluate("a => a.currentTime") < 10
    expect(page.locator("#session .links a", has_text="spans")).to_have_attribute(
        "href", f"{hub.url}/api/sessions/{ATTACHED}/trace"
    )


def test_an_erased_recording_says_so(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    """The events still tell of it, so the player is there. Another session is not blamed for it."""
    hub = hub_factory(**LIVEKIT).start()
    hub.publish(EVENTS)
    send_all(hub)
    session(hub, ATTACHED, complete)
    hub.publish([{"type": "transcript", "text": "other", "room": "other"}])
    page.goto(f"{hub.url}/?panel=session")
    live(page)
    page.locator("#rail button", has_text="call-1").click()
    audio = page.locator("#session audio")
    expect(audio).to_be_visible()
    for path in (hub.folder / "recordings" / "audio").glob("*"):
        path.unlink()
    page.locator("#session .turn", has_text="what is the weather in paris").get_by_role("button").click()
    problem = page.get_by_role("alert").filter(has_text="cannot be played")
    expect(problem).to_contain_text("was erased")
    expect(problem).to_be_visible()
    page.locator("#rail button", has_text="other").click()
    expect(problem).to_have_count(0)

"""One session: a real call with sound, on one time axis."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pytest
import requests
from playwright.sync_api import Page, expect

from ..conftest import outliving
from ..hubs import PATIENCE, HubProcess, until
from ..recordings.uploads import CALL, LIVEKIT, send_all, session
from .accessibility import findings_everywhere
from .calls import call

SESSION = "AS_e4b47010bb45"
ITEMS = ".turns > li"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    folder = tmp_path_factory.mktemp("hub")
    with outliving() as keep, HubProcess(folder, **LIVEKIT) as hub:
        keep()
        events = (CALL / "events.ndjson").read_bytes()
        headers = {"Content-Type": "application/x-ndjson"}
        requests.post(f"{hub.url}/api/agent/data", data=events, headers=headers, timeout=PATIENCE)
        send_all(hub)
        session(hub, SESSION, lambda found: found["recording"] is not None and found["trace"]["complete"])
        yield hub


@pytest.fixture
def shown(page: Page, recorded: HubProcess) -> Callable[[str], Page]:
    def open_at(query: str = "") -> Page:
        page.goto(f"{recorded.url}/sessions/{SESSION}{query}")
        expect(page.locator(ITEMS)).to_have_count(4)
        return page

    return open_at


def seconds(page: Page) -> float:
    return float(page.evaluate("document.querySelector('.session-view audio').currentTime"))


def test_a_shared_link_shows_the_turn_and_the_moment(shown: Callable[[str], Page]) -> None:
    page = shown("?turn=3&t=8.3")
    expect(page.locator(f"{ITEMS}.chosen")).to_contain_text("tell me a long story")
    expect(page.locator(".clock")).to_have_text("0:08")
    expect(page.locator(".detail h3")).to_have_text("Turn 3")


def test_a_click_on_what_was_said_plays_it(shown: Callable[[str], Page]) -> None:
    page = shown("")
    page.locator(f"{ITEMS} >> nth=1").locator(".agent.heard").click()
    expect(page.locator(".play")).to_have_text("❚❚ Pause")
    expect(page.locator(f"{ITEMS}.now.agent")).to_contain_text("sunny and eighteen degrees")
    assert 6.0 <= seconds(page) <= 11.5
    page.keyboard.press(" ")
    expect(page.locator(".play")).to_have_text("▶ Play")
    expect(page).to_have_url(re.compile(r"turn=2"))


def test_the_turn_has_its_wait_its_tool_and_its_log(shown: Callable[[str], Page]) -> None:
    page = shown("?turn=2")
    table = page.locator(".parts")
    expect(table.locator("tr", has_text="end of turn")).to_contain_text("420 ms")
    expect(table.locator(".sum")).to_contain_text("768 ms")
    expect(page.locator(".call")).to_contain_text("Paris")
    page.locator(".more", has_text="span").locator("summary").click()
    expect(page.locator(".spans")).to_contain_text("function_tool")
    page.locator(".more", has_text="log").locator("summary").click()
    expect(page.locator(".log-line").first).to_be_visible()


def test_the_axis_has_the_words_and_the_parts_and_zooms(shown: Callable[[str], Page]) -> None:
    page = shown("?turn=2")
    expect(page.locator(".axis .speech")).to_have_count(7)
    expect(page.locator(".axis .total")).to_have_text(["768 ms", "986 ms", "665 ms"])
    canvas = page.locator(".axis canvas")
    pixels = (
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 == 3 && v).length"
    )
    until(lambda: page.evaluate(pixels, canvas.element_handle()) > 5000, "a waveform")
    page.get_by_role("button", name="Zoom to the turn").click()
    expect(page.locator(".axis .part.end_of_turn_delay", has_text="420 ms")).to_be_visible()
    page.get_by_role("button", name="Whole").click()
    expect(page.locator(".axis .speech")).to_have_count(7)
    page.locator(".axis .speech.agent").nth(2).click()
    expect(page.locator(".detail h3")).to_have_text("Turn 3")


def test_the_keyboard_moves_from_turn_to_turn(shown: Callable[[str], Page]) -> None:
    page = shown("")
    for number in ("1", "2"):
        page.keyboard.press("j")
        expect(page.locator(f"{ITEMS}.chosen .number")).to_have_text(number)
    page.keyboard.press("k")
    expect(page.locator(f"{ITEMS}.chosen .number")).to_have_text("1")
    expect(page.locator(f"{ITEMS} .number:not([tabindex='-1'])")).to_have_count(1)
    page.keyboard.press("ArrowRight")
    until(lambda: 4.9 <= seconds(page) <= 5.1, "5 s")


def test_notes_and_tags_go_through_the_log(shown: Callable[[str], Page], recorded: HubProcess) -> None:
    page = shown("?turn=3")
    page.get_by_label("Note").fill("too long <b>story</b>")
    page.get_by_label("Tag").fill("verbose")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".notes .note")).to_contain_text("too long <b>story</b>")
    expect(page.locator(".facts .tag")).to_have_text("verbose")
    page.get_by_role("button", name="Bad").click()
    expect(page.locator(".notes .note")).to_have_count(2)
    found = requests.get(f"{recorded.url}/api/sessions?tag=verbose", timeout=PATIENCE).json()["sessions"]
    assert [session["id"] for session in found] == [SESSION]


def test_a_live_session_without_sound_grows(page: Page, recorded: HubProcess) -> None:
    now = time.time()
    events = [*call("AS_live", now - 30, [1.0, 2.0], room="live")]
    recorded.publish(events[:-1])
    page.goto(f"{recorded.url}/sessions/AS_live?room=live")
    expect(page.locator(ITEMS)).to_have_count(2)
    expect(page.locator(".player")).to_contain_text("No recording")
    expect(page.locator(".play")).to_be_disabled()
    said = {"type": "transcript", "role": "user", "text": "one more", "room": "live", "session": "AS_live"}
    recorded.publish([{**said, "timestamp": now, "utterance": "u9"}])
    expect(page.locator(ITEMS)).to_have_count(3)
    expect(page.locator(".axis")).to_contain_text("question 1")
    recorded.publish([events[-1]])
    expect(page.locator(".session-head .state")).to_contain_text("ended")


def test_a_wrong_id_says_so(page: Page, recorded: HubProcess) -> None:
    page.goto(f"{recorded.url}/sessions/nowhere")
    expect(page.locator(".session-view .nothing")).to_contain_text("No such session")
    page.get_by_role("link", name="All sessions").click()
    expect(page).to_have_url(f"{recorded.url}/sessions")


def test_no_findings_of_accessibility(shown: Callable[[str], Page]) -> None:
    page = shown("?turn=2")
    expect(page.locator(".call")).to_be_visible()
    assert findings_everywhere(page) == []

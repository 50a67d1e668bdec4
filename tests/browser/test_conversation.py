"""The conversation on the page (H21–H24 H33 H36)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tools import two_rooms

from ..hubs import HubProcess, until
from .chromium import wait_true
from .conftest import count, live

Watched = tuple[Page, HubProcess]


def user(text: str, **more: object) -> dict[str, object]:
    return {"type": "transcript", "text": text, "participant": "caller", "role": "user", **more}


def texts(page: Page) -> list[str]:
    return page.locator("#conversation .text").all_inner_texts()


def test_interims_are_replaced_by_their_final(watched: Watched) -> None:
    """H22: text with participant."""
    page, hub = watched
    hub.publish(user("What is", final=False, utterance="u1"))
    expect(page.locator("#conversation .interim .text")).to_have_text("What is")
    hub.publish(user("What is the weather?", final=True, utterance="u1"))
    expect(page.locator("#conversation .said .text")).to_have_text(["What is the weather?"])
    expect(page.locator("#conversation .who")).to_have_text(["caller"])
    expect(page.locator("#conversation .interim")).to_have_count(0)


def test_the_agents_text_grows_and_unheard_words_are_struck_through(watched: Watched) -> None:
    page, hub = watched
    for offset, delta in ((0, "It will be"), (10, " sunny"), (16, " until the evening.")):
        hub.publish({"type": "agent_text_delta", "delta": delta, "offset": offset, "utterance": "a1"})
        expect(page.locator("#conversation .generating .text")).to_contain_text(delta.strip())
    expect(page.locator("#conversation .spoken")).to_have_text("It will be sunny until the evening.")
    hub.publish(
        [
            {"type": "agent_speech_started", "utterance": "a1"},
            {"type": "agent_text_complete", "text": "It will be sunny until the evening.", "utterance": "a1"},
            {"type": "agent_speech_finished", "utterance": "a1", "interrupted": True, "position": 0.8},
            {
                "type": "transcript",
                "role": "agent",
                "utterance": "a1",
                "text": "It will be sunny",
                "interrupted": True,
            },
        ]
    )
    expect(page.locator("#conversation .cutoff .spoken")).to_have_text("It will be sunny")
    expect(page.locator("#conversation .cutoff s.rest")).to_have_text("until the evening.")
    expect(page.locator("#conversation .mark")).to_have_text("cut off after 800 ms")
    line = page.locator("#conversation s.rest").evaluate("e => getComputedStyle(e).textDecorationLine")
    assert line == "line-through"


def test_speaking_is_shown_while_it_lasts(watched: Watched) -> None:
    """H23 H36."""
    page, hub = watched
    expect(page.locator("#speaking")).to_be_hidden()
    hub.publish({"type": "agent_speech_started"})
    expect(page.locator("#speaking")).to_be_visible()
    expect(page.locator("#agent-state")).to_have_text("agent speaking")
    hub.publish({"type": "agent_speech_finished"})
    expect(page.locator("#speaking")).to_be_hidden()
    hub.publish({"type": "user_speech_started"})
    expect(page.locator("#user-state")).to_have_text("user speaking")
    hub.publish([{"type": "user_speech_finished"}, {"type": "agent_state_changed", "new_state": "thinking"}])
    expect(page.locator("#user-state")).to_have_text("user –")
    expect(page.locator("#agent-state")).to_have_text("agent thinking")


def test_tools_with_arguments_and_result(watched: Watched) -> None:
    page, hub = watched
    hub.publish({"type": "tool_call_started", "call_id": "1", "name": "lookup_weather", "arguments": {"place": "Oslo"}})
    expect(page.locator("#conversation .running .text")).to_contain_text('lookup_weather({"place":"Oslo"})')
    hub.publish({"type": "tool_call_finished", "call_id": "1", "output": "sunny", "duration": 0.2})
    expect(page.locator("#conversation .tool .text")).to_have_text('lookup_weather({"place":"Oslo"}) → sunny')
    expect(page.locator("#conversation .took")).to_have_text("200 ms")
    hub.publish({"type": "tool_call_finished", "call_id": "2", "name": "f", "output": "no", "is_error": True})
    expect(page.locator("#conversation .failed .text")).to_have_text("f() → failed: no")


def test_latencies_errors_and_notes(watched: Watched) -> None:
    page, hub = watched
    hub.publish({"type": "transcript", "role": "agent", "text": "Hello", "utterance": "a1"})
    hub.publish({"type": "turn_metrics", "utterance": "a1", "e2e_latency": 0.92, "llm_node_ttft": 0.3})
    expect(page.locator("#conversation .took")).to_have_text("920 ms")
    assert "llm_node_ttft 300 ms" in (page.locator("#conversation .took").get_attribute("title") or "")
    hub.publish({"type": "agent_error", "message": "no answer", "source": "tts", "recoverable": True})
    expect(page.locator("#conversation .error")).to_contain_text("Error in tts")
    expect(page.locator("#conversation .error .text")).to_have_text("no answer · the session continues")
    hub.publish({"type": "agent_handoff", "old_agent": "A", "new_agent": "B"})
    expect(page.locator("#conversation .note .text")).to_have_text("A → B")


def test_other_types_are_in_the_log(watched: Watched) -> None:
    """H24."""
    page, hub = watched
    hub.publish({"type": "my_own", "deep": {"a": [1]}})
    row = page.locator("#log .row:visible")
    expect(row.locator(".type")).to_have_text("my_own")
    expect(row.locator(".sum")).to_have_text('{"deep":{"a":[1]}}')
    expect(page.locator("#conversation li")).to_have_count(0)
    expect(page.locator("#empty")).to_contain_text("No conversation yet")


def test_two_rooms_separately_and_together(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    hub.publish(two_rooms.events(time.time()))
    page.goto(f"{hub.url}/")
    live(page)
    expect(page.locator("#rail button .name")).to_have_text(["All rooms", "front-desk", "support-7"])
    expect(page.locator("#rail button", has_text="support-7")).to_contain_text("user speaking")
    expect(page.locator("#conversation")).to_contain_text("move my booking")
    expect(page.locator("#conversation")).to_contain_text("umbrella")
    page.locator("#rail button", has_text="support-7").click()
    expect(page.locator("#conversation")).not_to_contain_text("move my booking")
    expect(page.locator("#conversation")).to_contain_text("umbrella")
    expect(page.locator("#count")).to_contain_text(" of ")
    expect(page).to_have_url(re.compile("room=support-7"))
    page.reload()
    live(page)
    expect(page.locator("#rail button[aria-current=true] .name")).to_have_text("support-7")
    expect(page.locator("#conversation")).not_to_contain_text("move my booking")
    page.locator("#rail button", has_text="All rooms").click()
    expect(page.locator("#conversation")).to_contain_text("move my booking")


def test_captions_are_a_live_region_that_goes_full_screen(watched: Watched) -> None:
    """H33: screen readers read each line once, when it is complete."""
    page, hub = watched
    lines = page.locator("#caption-lines")
    expect(lines).to_have_attribute("aria-live", "polite")
    hub.publish(user("What is", final=False, utterance="u"))
    expect(lines.locator("p")).to_have_attribute("aria-hidden", "true")
    page.evaluate(
        """() => {
          window.announced = [];
          new MutationObserver((records) => records.forEach((r) => r.addedNodes.forEach(
            (n) => n.ariaHidden !== "true" && window.announced.push(n.textContent)
          ))).observe(document.getElementById("caption-lines"), { childList: true });
        }"""
    )
    hub.publish(user("What is the", final=False, utterance="u"))
    hub.publish(user("What is the weather?", final=True, utterance="u"))
    expect(lines.locator("p")).to_have_text("callerWhat is the weather?")
    expect(lines.locator("p")).not_to_have_attribute("aria-hidden", "true")
    hub.publish({"type": "agent_text_delta", "delta": "It is sunny", "utterance": "a", "offset": 0})
    expect(lines).to_contain_text("It is sunny")
    hub.publish({"type": "transcript", "role": "agent", "utterance": "a", "text": "It is sunny."})
    expect(lines).to_contain_text("It is sunny.")
    assert len(page.evaluate("window.announced")) == 2
    page.click("#captions-full")
    wait_true(page, "document.fullscreenElement?.id === 'captions'")
    expect(lines).to_be_visible()
    size = lines.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
    assert size > 24
    page.click("#captions-leave")
    wait_true(page, "document.fullscreenElement === null")
    page.click("#captions-toggle")
    expect(lines).to_be_hidden()
    expect(page).to_have_url(re.compile("captions=off"))


def test_it_follows_new_lines_unless_the_reader_has_scrolled_up(watched: Watched) -> None:
    page, hub = watched
    hub.publish([user(f"Line {n}", utterance=f"u{n}") for n in range(100)])
    expect(page.locator("#conversation .said")).to_have_count(100)
    box = page.locator("#conversation-scroll")
    at_end = "e => e.scrollHeight - e.scrollTop - e.clientHeight < 2"
    assert box.evaluate(at_end)
    box.evaluate("e => { e.scrollTop = 200; }")
    expect(page.locator("#newest")).to_be_visible()
    hub.publish(user("One more", utterance="more"))
    expect(page.locator("#conversation .said")).to_have_count(101)
    assert box.evaluate("e => e.scrollTop") == 200
    page.click("#newest")
    assert box.evaluate(at_end)
    hub.publish(user("The last", utterance="last"))
    expect(page.locator("#conversation .said")).to_have_count(102)
    wait_true(
        page,
        "(() => { const e = document.getElementById('conversation-scroll'); return e.scrollHeight - e.scrollTop - e.clientHeight < 2; })()",
    )


def test_settings_do_not_move_the_conversation(watched: Watched) -> None:
    """Nor do screen readers read old lines again."""
    page, hub = watched
    hub.publish([user(f"Line {n}", utterance=f"u{n}") for n in range(100)])
    expect(page.locator("#conversation .said")).to_have_count(100)
    box = page.locator("#conversation-scroll")
    box.evaluate("e => { e.scrollTop = 200; }")
    page.evaluate(
        """() => {
          window.announced = 0;
          new MutationObserver((records) => records.forEach((r) => (window.announced += r.addedNodes.length)))
            .observe(document.getElementById("caption-lines"), { childList: true });
        }"""
    )
    page.click("#theme")
    page.fill("#filter-text", "Line 7")
    count(page, "11 of 100 events")
    page.check("#filter-heartbeats")
    assert box.evaluate("e => e.scrollTop") == 200
    hub.publish({"type": "turn_metrics", "utterance": "u90", "end_of_turn_delay": 0.3})
    expect(page.locator("#conversation .took", has_text="300 ms")).to_have_count(1)
    assert page.evaluate("window.announced") == 0


def test_a_heading_belongs_to_the_room_below_it(watched: Watched) -> None:
    page, hub = watched
    hub.publish(user("from a", room="a", session="1"))
    hub.publish(user("hm", room="b", session="2", final=False))
    expect(page.locator("#conversation .where")).to_have_text(["a · 1", "b · 2"])
    hub.publish([user("", room="b", session="2"), user("from b", room="b", session="2")])
    expect(page.locator("#conversation .said .text")).to_have_text(["from a", "from b"])
    expect(page.locator("#conversation .where")).to_have_text(["a · 1", "b · 2"])


def test_nothing_moves_while_text_streams(watched: Watched) -> None:
    """Chromium's layout shift stays near 0 although each word is drawn separately.

    Captions are off, because their older lines move up as the newest grows.
    """
    page, hub = watched
    page.click("#captions-toggle")
    expect(page.locator("#caption-lines")).to_be_hidden()
    hub.publish([user(f"Line {n}", utterance=f"u{n}") for n in range(3)])
    expect(page.locator("#conversation .said")).to_have_count(3)
    page.evaluate(
        """() => {
          window.shift = 0;
          new PerformanceObserver((list) => list.getEntries().forEach((e) => (window.shift += e.value)))
            .observe({ type: "layout-shift" });
        }"""
    )
    text = ""
    for n in range(30):
        word = f"word{n} "
        hub.publish({"type": "agent_text_delta", "delta": word, "offset": len(text), "utterance": "a"})
        text += word
        expect(page.locator("#conversation .generating .text")).to_contain_text(word.strip())
    hub.publish({"type": "agent_speech_started", "utterance": "a"})
    expect(page.locator("#conversation .bars")).to_be_visible()
    hub.publish({"type": "transcript", "role": "agent", "utterance": "a", "text": text})
    hub.publish({"type": "turn_metrics", "utterance": "a", "e2e_latency": 0.5})
    expect(page.locator("#conversation .took").last).to_have_text("500 ms")
    shift = page.evaluate("window.shift")  # the cursor after the text counts a little
    print("layout shift:", shift)
    assert shift < 0.01


def test_a_new_page_shows_the_history(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    """The conversation is complete. The log has the newest 500 events, and older ones on request."""
    hub = hub_factory().start()
    hub.publish({"type": "tool_call_started", "call_id": "1", "name": "early"})
    hub.publish([{"type": "n", "n": n} for n in range(1500)])
    hub.publish({"type": "tool_call_finished", "call_id": "1", "output": "late"})
    page.goto(f"{hub.url}/")
    live(page)
    count(page, "502 events")
    expect(page.locator("#conversation .tool .text")).to_have_text("early() → late")
    page.click("#older")
    count(page, "1,502 events")
    expect(page.locator("#older")).to_be_hidden()
    expect(page.locator("#conversation .tool .text")).to_have_text("early() → late")
    hub.publish({"type": "n", "n": 1500})
    count(page, "1,503 events")


def test_the_empty_page_explains_how_to_begin(watched: Watched) -> None:
    """Its curl command works as printed, and the example is played through the hub."""
    import subprocess

    page, hub = watched
    command = page.locator("#sample").inner_text()
    assert f"curl {hub.url}/api/agent/data" in command
    page.click("#example")
    expect(page.locator("#rail button", has_text="example")).to_be_visible()
    expect(page.locator("#conversation .agent .text").first).to_contain_text("weather desk")
    expect(page.locator("#empty")).to_be_hidden()
    page.click("#post")
    expect(page.locator("#poster button", has_text="Play an example conversation")).to_be_visible()
    page.keyboard.press("Escape")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=True)
    assert '"status":"ok"' in done.stdout
    expect(page.locator("#conversation .user .text", has_text=re.compile("^Hello$"))).to_have_count(1)
    page.close()


def test_the_empty_page_offers_to_start_an_agent_if_the_hub_can(
    page: Page, hub_factory: Callable[..., HubProcess]
) -> None:
    """The page relies on the features in `/api/config`, and shows the hub's response to the click."""
    import json

    hub = hub_factory().start()
    config = {**hub.get("/api/config"), "features": ["agent", "attach"]}
    page.route("**/api/config", lambda route: route.fulfill(json=json.loads(json.dumps(config))))
    page.add_init_script("delete window.SharedWorker;")  # Playwright cannot answer a worker's requests
    page.goto(f"{hub.url}/")
    live(page)
    expect(page.locator("#python-sample")).to_contain_text("attach(session)")
    with page.expect_request("**/api/agent/start") as asked:
        page.click("#start >> text=Start an agent")
    assert asked.value.method == "POST"
    expect(page.locator("#toast")).not_to_be_empty()


def test_an_utterance_stands_where_it_began(watched: Watched) -> None:
    """A final transcript that arrives after the reply still precedes it, also on a page that is opened later."""
    page, hub = watched
    common = {"room": "r", "session": "s"}
    now = time.time()
    reply = {"type": "transcript", "role": "agent", "participant": "agent", "utterance": "a1", "text": "Sunny."}
    hub.publish(
        [
            {"type": "user_speech_started", "participant": "caller", "timestamp": now, **common},
            {"type": "user_speech_finished", "participant": "caller", "timestamp": now + 1, **common},
            {"type": "agent_speech_started", "utterance": "a1", "timestamp": now + 2, **common},
            {**reply, "timestamp": now + 3, **common},
        ]
    )
    expect(page.locator("#conversation .said .text")).to_have_text(["Sunny."])
    hub.publish({**user("How is the weather?"), "timestamp": now + 4, **common})
    expect(page.locator("#conversation .said .text")).to_have_text(["How is the weather?", "Sunny."])
    expect(page.locator("#conversation .where")).to_have_text(["r · s"])
    page.reload()
    live(page)
    expect(page.locator("#conversation .said .text")).to_have_text(["How is the weather?", "Sunny."])


def test_text_that_was_never_said_is_struck_through_and_in_no_caption(watched: Watched) -> None:
    page, hub = watched
    hub.publish({"type": "agent_text_delta", "delta": "Never heard", "offset": 0, "utterance": "a1"})
    expect(page.locator("#conversation .generating .text")).to_contain_text("Never heard")
    hub.publish({"type": "agent_text_unsaid", "utterance": "a1", "generated": "Never heard"})
    expect(page.locator("#conversation .cutoff s.rest")).to_have_text("Never heard")
    expect(page.locator("#conversation .mark")).to_have_text("not said")
    expect(page.locator("#caption-lines p")).to_have_count(0)


def test_captions_grow_at_the_pace_of_the_voice(watched: Watched) -> None:
    """The LLM's text is ahead: the caption shows the words that can have been heard."""
    page, hub = watched
    text = "word " * 60
    line = page.locator("#caption-lines p span")
    hub.publish({"type": "agent_speech_started", "utterance": "a1"})
    hub.publish({"type": "agent_text_delta", "delta": text, "offset": 0, "utterance": "a1"})
    expect(page.locator("#conversation .spoken")).to_have_text(text.strip())
    expect(line).to_contain_text("word")
    early = len(line.inner_text())
    assert early < len(text) / 2
    until(lambda: len(line.inner_text()) > early, "the caption to grow")
    hub.publish({"type": "transcript", "role": "agent", "utterance": "a1", "text": text.strip()})
    expect(line).to_have_text(text.strip())

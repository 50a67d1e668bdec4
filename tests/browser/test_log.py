"""The log: filters, details, 50,000 events, and the cost of a busy stream (H24)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import CDPSession, Page, expect

from ..hubs import HubProcess, until
from .conftest import count, live, shown

Watched = tuple[Page, HubProcess]
LONG = 120.0
"""Maximum seconds for 50,000 events on a busy machine."""


def test_filters_by_type_room_and_text_are_in_the_address(watched: Watched) -> None:
    page, hub = watched
    hub.publish(
        [
            {"type": "agent_error", "room": "a", "message": "No answer"},
            {"type": "agent_ready", "room": "b"},
            {"type": "transcript", "room": "a", "text": "an answer"},
            {"type": "other", "room": "b", "note": "ANSWER"},
        ]
    )
    count(page, "4 events")
    page.fill("#filter-text", "answer")
    count(page, "3 of 4 events")
    page.fill("#filter-type", "agent_*, other")
    count(page, "2 of 4 events")
    page.fill("#filter-room", "b")
    count(page, "1 of 4 events")
    assert [event["type"] for event in shown(page)] == ["other"]
    address = page.url
    assert "text=answer" in address
    page.reload()
    live(page)
    count(page, "1 of 4 events")
    expect(page.locator("#filter-type")).to_have_value("agent_*, other")
    page.fill("#filter-text", "")
    page.fill("#filter-type", "")
    count(page, "2 of 4 events")
    assert page.locator("#filter-type").evaluate("e => e.list.options.length") == 4


def test_one_event_in_full_as_json_and_as_curl(watched: Watched) -> None:
    """Numbers are kept as written, even if JavaScript would round them."""
    import subprocess

    page, hub = watched
    data = '{"type":"exact","big":12345678901234567890123,"float":1.10,"text":"it\'s","event_id":"e1","timestamp":1.5}'
    headers = {"Content-Type": "application/json"}
    import requests

    answer = requests.post(f"{hub.url}/api/agent/data", data=data, headers=headers, timeout=30)
    assert answer.status_code == 200
    kept = requests.get(f"{hub.url}/api/events", timeout=30).text
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#log .row", has_text="exact").click()
    expect(page.locator("#detail pre")).to_contain_text('"big": 12345678901234567890123')
    expect(page.locator("#detail code")).to_have_text(answer.json()["id"])
    page.click("#detail >> text=Copy JSON")
    expect(page.locator("#toast")).to_have_text("Event copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert f'"event":{copied}' in kept
    page.click("#detail >> text=Copy as curl")
    expect(page.locator("#toast")).to_have_text("Command copied")
    command = page.evaluate("navigator.clipboard.readText()")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=True)
    assert json.loads(done.stdout)["duplicate"] is False
    count(page, "2 events")
    assert [e["big"] for e in shown(page)] == [12345678901234567890123] * 2
    page.reload()  # now from the history
    live(page)
    count(page, "2 events")
    assert [e["big"] for e in shown(page)] == [12345678901234567890123] * 2


def test_by_keyboard(watched: Watched) -> None:
    page, hub = watched
    hub.publish([{"type": "n", "n": n} for n in range(200)])
    count(page, "200 events")
    page.focus("#log")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#detail pre")).to_contain_text('"n": 199')
    page.keyboard.press("Home")
    expect(page.locator("#detail pre")).to_contain_text('"n": 0')
    page.keyboard.press("ArrowDown")
    expect(page.locator("#detail pre")).to_contain_text('"n": 1')
    row = page.locator("#log .row[aria-selected=true]")
    expect(row).to_be_in_viewport()
    assert page.locator("#log").get_attribute("aria-activedescendant") == row.get_attribute("id")
    page.keyboard.press("End")
    expect(page.locator("#log .row[aria-selected=true] .sum")).to_have_text('{"n":199}')
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    # everything can be reached with Tab and has a name
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert reached >= {"pause", "clear", "post", "theme", "docs", "filter-text", "filter-type", "filter-room", "log"}
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea, a, [role=listbox], [role=region], [role=tab]")].filter((e) => e.checkVisibility())
          .filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length || e.title))
          .map((e) => e.outerHTML)"""
    )
    assert nameless == []


def test_pause_holds_events_and_clear_empties_the_page(watched: Watched) -> None:
    page, hub = watched
    hub.publish([{"type": "n", "n": n} for n in range(3)])
    count(page, "3 events")
    page.click("#pause")
    hub.publish([{"type": "n", "n": n} for n in range(3, 8)])
    expect(page.locator("#connection")).to_contain_text("paused · 5 events held")
    count(page, "3 events")
    page.click("#pause")
    count(page, "8 events")
    assert [event["n"] for event in shown(page)] == list(range(8))
    page.click("#pause")
    hub.publish({"type": "n", "n": 8})
    expect(page.locator("#connection")).to_contain_text("paused · 1 event held")
    page.click("#clear")
    count(page, "no events yet")
    expect(page.locator("#connection")).not_to_contain_text("held")
    expect(page.locator("#empty")).to_contain_text("The page was cleared")
    page.click("#pause")
    hub.publish({"type": "n", "n": 9})
    count(page, "1 event")


@pytest.mark.timeout(300)
def test_older_events_are_loaded_without_a_hole(watched: Watched) -> None:
    """Even after the page has dropped some. The visible lines stay in place."""
    page, hub = watched
    hub.publish([{"type": "n", "n": n} for n in range(3000)])
    page.reload()
    live(page)
    count(page, "500 events")
    box = page.locator("#log")
    box.evaluate("e => { e.scrollTop = 0; }")
    expect(page.locator("#log-newest")).to_be_visible()
    seen = page.locator("#log .row:visible .sum").first.inner_text()
    page.click("#older")
    count(page, "1,500 events")
    expect(page.locator("#log .row:visible", has_text=seen)).to_be_in_viewport()
    page.click("#log-newest")
    for start in range(3000, 53_000, 5000):
        hub.publish([{"type": "n", "n": n} for n in range(start, start + 5000)])
    until(lambda: shown_last(page) == 52_999, "the last event", LONG)
    page.click("#older")
    expect(page.locator("#older")).to_be_enabled()
    kept = [event["n"] for event in shown(page)]
    assert kept == list(range(kept[0], 53_000))


def test_a_history_that_fails_is_reported_and_requested_again(
    page: Page, hub_factory: Callable[..., HubProcess]
) -> None:
    hub = hub_factory().start()
    hub.publish([{"type": "n", "n": n} for n in range(5)])
    problem = {"status": 503, "code": "history_unavailable", "detail": "the disk is full", "retry": True}
    failing = [True]
    page.route(
        "**/api/events?*",
        lambda route: (
            route.fulfill(status=503, content_type="application/problem+json", body=json.dumps(problem))
            if failing
            else route.continue_()
        ),
    )
    page.goto(f"{hub.url}/")
    expect(page.locator("#empty")).to_contain_text("The history could not be loaded")
    expect(page.locator("#empty")).to_contain_text("the disk is full")
    hub.publish({"type": "n", "n": 5})
    count(page, "1 event")  # live events do not wait for it
    failing.clear()
    count(page, "6 events")
    assert [event["n"] for event in shown(page)] == list(range(6))


def test_posting_an_event_from_the_page(watched: Watched) -> None:
    page, hub = watched
    hub.wait_count(1)
    page.click("#post")
    expect(page.locator("#poster select option")).not_to_have_count(0)
    page.locator("#poster >> text=Post >> nth=-1").click()
    expect(page.locator("#poster output")).to_contain_text("1 subscriber notified")
    count(page, "1 event")
    page.select_option("#poster select", "tool_call_started")
    body = json.loads(page.input_value("#poster textarea"))
    assert body["name"] == "lookup_weather"
    page.fill("#poster textarea", '{"type":"transcript","text":7}')
    page.keyboard.press("Control+Enter")
    expect(page.locator("#poster output.bad")).to_contain_text("text: input should be a valid string")
    page.fill("#poster textarea", "{")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#poster output.bad")).to_contain_text("This is not JSON")
    page.keyboard.press("Escape")
    expect(page.locator("#poster")).to_be_hidden()


def test_heartbeats_are_hidden_by_default(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    """X11."""
    hub = hub_factory(HUB_HEARTBEAT="1s").start()
    page.goto(f"{hub.url}/")
    live(page)
    hub.publish({"type": "one"})
    count(page, "1 event")
    page.check("#filter-heartbeats")
    expect(page.locator("#log .row:visible", has_text="heartbeat").first).to_be_visible()
    assert page.locator("#conversation li").count() == 0
    page.uncheck("#filter-heartbeats")
    count(page, "1 event")


def test_a_publishers_clock_that_is_an_hour_off_is_marked(watched: Watched) -> None:
    page, hub = watched
    hub.publish({"type": "right"})
    hub.publish({"type": "off", "timestamp": time.time() - 3600})
    count(page, "2 events")
    off = page.locator("#log .row:visible .at.off")
    expect(off).to_have_count(1)
    assert "60 min behind the hub's" in (off.get_attribute("title") or "")


@pytest.mark.timeout(400)
def test_50000_events_are_kept_and_scroll_smoothly(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    page.goto(f"{hub.url}/")
    live(page)
    for start in range(0, 60_000, 5000):
        hub.publish([{"type": f"type_{n % 7}", "room": f"room-{n % 5}", "n": n} for n in range(start, start + 5000)])
    expect(page.locator("#count")).to_contain_text("older ones dropped from this page", timeout=1000 * LONG)
    until(lambda: shown_last(page) == 59_999, "the last event", LONG)
    assert page.locator("#log .row").count() < 100  # only visible lines exist
    kept = int(page.locator("#count").inner_text().split(" ")[0].replace(",", ""))
    assert 49_000 <= kept <= 50_000
    for _ in range(10):  # on a busy machine some attempts fail; a slow page fails all of them
        frames = page.evaluate(MEASURE_SCROLLING)
        print("frames while scrolling through 50,000 events, ms:", frames)
        if frames["median"] < 50:
            break
    assert frames["median"] < 50
    page.fill("#filter-text", '"n":59')
    expect(page.locator("#count")).to_contain_text("1,000 of ")
    # memory is bounded: a second batch takes no more than the first
    before = heap(page)
    for start in range(60_000, 120_000, 5000):
        hub.publish([{"type": f"type_{n % 7}", "room": f"room-{n % 5}", "n": n} for n in range(start, start + 5000)])
    page.fill("#filter-text", "")
    until(lambda: shown_last(page) == 119_999, "the last event of the second batch", LONG)
    print("heap, MB:", before / 1e6, heap(page) / 1e6)
    assert heap(page) < before * 1.5 + 10e6


def shown_last(page: Page) -> int:
    return int(
        page.evaluate(
            """() => {
              const rows = [...document.querySelectorAll("#log .row")].filter((r) => r.event);
              return Math.max(-1, ...rows.map((r) => JSON.parse(r.event.data).n ?? -1));
            }"""
        )
    )


def heap(page: Page) -> float:
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used: float = session.send("Runtime.getHeapUsage")["usedSize"]
    session.detach()
    return used


MEASURE_SCROLLING = """async () => {
  const box = document.getElementById("log");
  const frame = () => new Promise(requestAnimationFrame);
  const times = [];
  let last = performance.now();
  for (let n = 0; n < 120; n += 1) {
    box.scrollTop = (n * 9173 * 22) % (box.scrollHeight - box.clientHeight);
    await frame();
    const now = performance.now();
    times.push(now - last);
    last = now;
  }
  box.scrollTop = box.scrollHeight;
  times.sort((a, b) => a - b);
  return { median: times[60], p95: times[114], longest: times[119] };
}"""

MEASURE_FRAMES = """() => {
  window.frames_ = [];
  let last = performance.now();
  const each = (now) => {
    window.frames_.push(now - last);
    last = now;
    window.measuring && requestAnimationFrame(each);
  };
  window.measuring = true;
  requestAnimationFrame(each);
}"""


def delta(n: int) -> dict[str, object]:
    """A delta of one of many texts of sixty words each, in changing rooms."""
    place = {"utterance": f"a{n // 60}", "offset": n % 60 * 6, "room": f"r{n // 600 % 3}"}
    return {"type": "agent_text_delta", "delta": f"w{n:04} ", **place}


def main_thread(session: CDPSession) -> float:
    """CPU seconds of the page's main thread, which do not depend on other load."""
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_200_events_a_second(watched: Watched) -> None:
    """For twenty seconds, on top of 8,000 events, a frame takes less than 25 ms, half of its budget.

    Measured in CPU time, because on a busy machine frames are late for other reasons.
    """
    page, hub = watched
    for start in range(0, 8000, 1000):
        hub.publish([delta(n) for n in range(start, start + 1000)])
    count(page, "8,000 events")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.evaluate(MEASURE_FRAMES)
    stop = threading.Event()

    def talk() -> None:
        began = time.monotonic()
        for n in range(0, 4000, 10):
            if stop.wait(max(0.0, began + n / 200 - time.monotonic())):
                return
            hub.publish([delta(8000 + n + i) for i in range(10)])

    began, before = time.monotonic(), main_thread(session)
    publisher = threading.Thread(target=talk)
    publisher.start()
    try:
        publisher.join(LONG)
        assert not publisher.is_alive()
        count(page, "12,000 events")
    finally:
        stop.set()
        publisher.join()
    took, busy = time.monotonic() - began, main_thread(session) - before
    frames = sorted(page.evaluate("() => { window.measuring = false; return window.frames_; }"))
    print(
        f"{len(frames)} frames in {took:.1f} s: median {frames[len(frames) // 2]:.1f} ms, "
        f"99 % {frames[len(frames) * 99 // 100]:.1f} ms; {busy:.1f} s of processor time"
    )
    assert busy / len(frames) < 0.025
    assert [e["delta"] for e in shown(page)] == [f"w{n:04} " for n in range(12_000)]

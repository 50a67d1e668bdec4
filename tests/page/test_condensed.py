"""A condensed past gives the page the same conversations as all of it (D04, H34)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from event_hub.sessions import Condenser, Session

from ..toolchain import tool
from ..unit.streams import Event, streams, told, whole

HERE = Path(__file__).parent
Seen = Callable[[list[Event], list[Event]], tuple[Any, Any]]


@pytest.fixture(scope="module")
def page() -> Iterator[Seen]:
    """The page's state, in one Node for all examples."""
    command = [tool("node"), "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", str(HERE / "condensed.mjs")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdin
        assert node.stdout
        stdin, stdout = node.stdin, node.stdout

        def seen(all: list[Event], condensed: list[Event]) -> tuple[Any, Any]:
            stdin.write(json.dumps({"all": all, "condensed": condensed}) + "\n")
            stdin.flush()
            one, other = json.loads(stdout.readline())
            return one, other

        yield seen
        stdin.close()
        assert node.wait(30) == 0


def condensed(events: list[Event]) -> list[Event]:
    condenser = Condenser()
    for offset in range(len(events), 0, -1):
        condenser.take(offset, events[offset - 1])
    return [event for _, event in condenser.events()]


@given(events=streams(), data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_page_shows_the_same(page: Seen, events: list[Event], data: Any) -> None:
    """Whatever the events, and wherever the past ends and the page begins."""
    end = data.draw(st.integers(0, len(events)))
    past = condensed(events[:end])
    assert len(past) <= end
    whole, short = page(events, [*past, *events[end:]])
    assert short == whole


@given(events=streams())
@settings(max_examples=150)
def test_the_page_and_the_hub_know_the_same_sessions(page: Seen, events: list[Event]) -> None:
    """Which session an event belongs to, and what goes on in it, both find out by the same rules."""
    seen, _ = page(events, [])
    sessions = told(events)
    assert len(seen["sessions"]) == len(sessions)
    for one in seen["sessions"]:
        (session,) = sessions.find(one["name"] or (f"room:{one['room']}" if one["room"] else "none"), one["room"])
        assert (session.room, session.session) == (one["room"], one["name"])
        state = session.summary()["state"]
        ended = session.summary()["status"] == "ended"
        assert one["ended"] == ended
        assert (one["agentState"], one["userState"], one["agentSpeaking"], one["userSpeaking"]) == (
            state["agent"],
            state["user"],
            state["agent_speaking"],
            state["user_speaking"],
        )


def lines(items: list[dict[str, Any]], session: Session) -> list[tuple[Any, ...]]:
    """The page's conversation of a session: who, the words that were heard, the others, and whether it goes on."""
    found = []
    for item in items:
        if item["kind"] != "said" or item["where"] != [session.room, session.session]:
            continue
        shown = item["shown"] or {"spoken": item["text"], "rest": ""}
        if item["shown"]:
            final = item.get("said") is not None and not item.get("interim")
        else:
            final = not item["interim"]
        found.append(line(item.get("role"), shown["spoken"], shown["rest"], None if item["unsaid"] else final))
    return [one for one in found if one[1] or one[2]]


def line(role: str | None, spoken: str, rest: str, final: bool | None) -> tuple[Any, ...]:
    """`final` is None for what was never said. Of a text that is being said, the hub has all that was written."""
    return role, spoken, "" if spoken or final else rest, final


def late_text(generated: str) -> list[Event]:
    """A reply that was never said, and a piece of its text that came late."""
    agent = {"role": "agent", "utterance": "a1", "room": "r1", "session": "s2", "timestamp": 1700000000.0}
    return [
        {"type": "agent_text_unsaid", "generated": generated, **agent},
        {"type": "agent_text_delta", "delta": "It is", "offset": 3, **agent},
    ]


@given(events=streams())
@example(events=late_text(""))
@example(events=late_text("So it is"))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_page_and_the_hub_tell_the_same_conversation(page: Seen, events: list[Event]) -> None:
    """The same utterances in the same order, with the same words heard, and the same unsaid."""
    seen, _ = page(events, [])
    for session in told(events).newest():
        conversation = [
            line(item.get("role"), item.get("text", ""), item.get("generated", ""), item.get("final"))
            for item in whole(events, session).document()["conversation"]
            if item["kind"] in ("said", "unsaid")
        ]
        assert lines(seen["items"], session) == [one for one in conversation if one[1] or one[2]]


def test_most_of_a_real_conversation_is_not_needed(page: Seen) -> None:
    """Texts that grow by pieces, and interims: a hundred events become ten."""
    events: list[Event] = []
    for turn in range(10):
        common = {"room": "r", "session": "s", "timestamp": 1000.0 + turn}
        words = "What is the weather in Oslo today ?".split()
        interims = [" ".join(words[: n + 1]) for n in range(len(words))]
        user = {"type": "transcript", "role": "user", "utterance": f"u{turn}", **common}
        events += [{**user, "text": text, "final": False} for text in interims]
        events.append({**user, "text": interims[-1], "final": True})
        agent = {"role": "agent", "utterance": f"a{turn}", **common}
        events += [{"type": "agent_text_delta", "delta": "word ", "offset": 5 * n, **agent} for n in range(20)]
        if turn < 9:
            events.append({"type": "agent_text_complete", "text": "word " * 20, **agent})
    past = condensed(events)
    assert len(past) < len(events) / 7
    assert past[-1]["delta"] == "word " * 20
    whole, short = page(events, past)
    assert short == whole

"""`event-hub sessions`: the list, a single session, and unsafe names."""

from __future__ import annotations

import json
from collections.abc import Callable

from ..hubs import HubProcess
from .commands import Terminal, run

STARTED = 1_760_000_000.0  # 2025-10-09 08:53:20 UTC


def conversation(room: str, session: str, at: float = STARTED) -> list[dict[str, object]]:
    """A greeting, a question with a tool call and LiveKit's metrics, an interrupted reply."""
    events: list[tuple[float, dict[str, object]]] = [
        (0, {"type": "session_started", "agent": "Clerk", "mode": "room"}),
        (1, {"type": "agent_speech_started", "utterance": "a1"}),
        (3, {"type": "agent_speech_finished", "utterance": "a1", "interrupted": False}),
        (3, {"type": "transcript", "role": "agent", "text": "Hello!", "utterance": "a1"}),
        (5, {"type": "user_speech_started", "participant": "ada"}),
        (7, {"type": "user_speech_finished", "participant": "ada"}),
        (
            7.2,
            {"type": "transcript", "role": "user", "participant": "ada", "text": "And the weather?", "utterance": "u1"},
        ),
        (7.3, {"type": "tool_call_started", "call_id": "c1", "name": "weather", "arguments": {}}),
        (
            7.6,
            {
                "type": "tool_call_finished",
                "call_id": "c1",
                "name": "weather",
                "output": "no",
                "is_error": True,
                "duration": 0.3,
            },
        ),
        (8.5, {"type": "agent_speech_started", "utterance": "a2"}),
        (10, {"type": "agent_speech_finished", "utterance": "a2", "interrupted": True}),
        (10, {"type": "transcript", "role": "agent", "text": "It is", "utterance": "a2", "interrupted": True}),
        (
            10,
            {
                "type": "turn_metrics",
                "role": "agent",
                "utterance": "a2",
                "e2e_latency": 1.5,
                "llm_node_ttft": 0.35,
                "playback_latency": 0.0001,
            },
        ),
        (12, {"type": "agent_state_changed", "old_state": "speaking", "new_state": "listening"}),
    ]
    return [{**event, "timestamp": at + after, "room": room, "session": session} for after, event in events]


def test_the_list(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    empty = run("sessions", hub=hub.url)
    assert (empty.returncode, empty.stdout, empty.stderr) == (0, "", "no sessions yet\n")
    hub.publish(conversation("shop", "AS_1"))
    hub.publish(
        [
            *conversation("desk", "AS_2", STARTED + 60),
            {"type": "session_ended", "session": "AS_2", "room": "desk", "timestamp": STARTED + 75},
        ]
    )
    done = run("sessions", hub=hub.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "status     started              duration  turns  response  room  session",
        "ended      2025-10-09 08:54:20      0:15      2     1.5 s  desk  AS_2",
        "listening  2025-10-09 08:53:20      0:12      2     1.5 s  shop  AS_1",
    ]
    assert len(run("sessions", "--status", "live", hub=hub.url).stdout.splitlines()) == 2
    assert "AS_2" not in run("sessions", "--room", "s*", hub=hub.url).stdout
    newest = run("sessions", "-n", "1", hub=hub.url)
    assert "AS_1" not in newest.stdout
    assert newest.stderr == "only the newest 1 are shown; --most N shows more\n"
    assert run("sessions", "--since", "1s", "--room", "elsewhere", hub=hub.url).stderr == "no matching sessions\n"
    listed = [json.loads(line) for line in run("sessions", "--json", hub=hub.url).stdout.splitlines()]
    assert listed == hub.get("/api/sessions")["sessions"]


def test_a_single_session(hub: HubProcess) -> None:
    hub.publish(conversation("one", "AS_one"))
    done = run("sessions", "AS_one", hub=hub.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "AS_one: room one, agent Clerk, live, agent listening",
        "2025-10-09 08:53:20  0:12",
        "2 turns · 14 events · 1 tool call · 1 tool error · 1 interruption",
        "response: median 1.5 s, p95 1.5 s, max 1.5 s (1 measured)",
        "",
        "  1  08:53:21",
        "     agent  Hello!",
        "",
        "  2  08:53:27  1.5 s = tools 300 ms + LLM 350 ms + unaccounted 850 ms",
        "     user   And the weather?",
        "     tool   weather, failed, 300 ms",
        "     agent  It is — cut off",
    ]
    parsed = json.loads(run("sessions", "AS_one", "--json", hub=hub.url).stdout)
    assert parsed["turns"] == hub.get("/api/sessions/AS_one")["turns"]


def test_unknown_and_ambiguous_sessions(hub: HubProcess) -> None:
    unknown = run("sessions", "missing", hub=hub.url)
    assert unknown.returncode == 1
    assert "unknown_session" in unknown.stderr and "missing" in unknown.stderr
    for room in ("left", "right"):
        hub.publish(conversation(room, "twice"))
    twice = run("sessions", "twice", hub=hub.url)
    assert twice.returncode == 1
    assert "ambiguous_session" in twice.stderr
    assert run("sessions", "twice", "--room", "left", hub=hub.url).stdout.startswith("twice: room left,")
    for options in (("--status", "live"), ("--since", "5m"), ("--room", "a", "--room", "b")):
        assert run("sessions", "twice", *options, hub=hub.url).returncode == 2
    assert run("sessions", "--since", "yesterday", hub=hub.url).returncode == 1
    assert run("sessions", hub="http://127.0.0.1:9").returncode == 3


def test_control_characters_in_names_and_text_do_not_reach_the_terminal(hub: HubProcess) -> None:
    evil = "\x1b[2J\x9b\u202e/é"
    events = conversation(f"room {evil}", f"evil {evil}")
    for event in events:
        for field in ("text", "agent", "name", "participant", "new_state"):
            if field in event:
                event[field] = f"{event[field]} {evil}"
    hub.publish(events)
    for arguments in (["--room", "room *"], [f"evil {evil}"], [f"evil {evil}", "--json"]):
        with Terminal("sessions", *arguments, hub=hub.url, columns=400) as terminal:
            assert terminal.wait() == 0
        shown = terminal.text.replace("\r\n", "\n")
        assert "evil" in shown
        assert not any(c != "\n" and (ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c == "\u202e") for c in shown), shown

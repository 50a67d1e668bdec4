"""HUB_REDACT on a real hub: the secrets are nowhere, neither on a stream nor on the disk (issue 15)."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import requests

from event_hub.client import Publisher

from ..hubs import HubProcess, until

RULES = "email,phone:DE|US,card,iban,account,dtmf,ticket=/T-[0-9]{4}/"
CARD, MAIL, PHONE, IBAN = "4111 1111 1111 1111", "john.doe@example.com", "+49 30 1234567", "DE89 3704 0044 0532 0130 00"
SECRETS = [CARD, CARD.replace(" ", ""), MAIL, "john.doe", PHONE, "1234567", IBAN, "0532 0130", "1111 1111", "T-4711"]
SPOKEN = f"Card {CARD}, mail {MAIL}, call {PHONE} or pay to {IBAN}, ticket T-4711. "
REDACTED = "Card [card], mail [email], call [phone] or pay to [iban], ticket [ticket]. "


def _conversation(session: str, cut: int) -> list[dict[str, Any]]:
    """A turn of each side, streamed in pieces of `cut` characters, with a tool call. Every event has an id."""
    common = {"room": "redact", "session": session}
    pieces = [SPOKEN[start : start + cut] for start in range(0, len(SPOKEN), cut)]
    events: list[dict[str, Any]] = [
        {"type": "session_started", **common},
        *(
            {"type": "transcript", "role": "user", "utterance": "u1", "final": False, "text": SPOKEN[:size], **common}
            for size in range(5, len(SPOKEN), 7)
        ),
        {"type": "transcript", "role": "user", "utterance": "u1", "final": True, "text": SPOKEN, **common},
        {"type": "tool_call_started", "call_id": "c1", "name": "pay", "arguments": json.dumps({"card": int(CARD.replace(" ", ""))}), **common},
        {"type": "tool_call_finished", "call_id": "c1", "output": {"to": MAIL, "more": [int(CARD.replace(" ", ""))]}, **common},
    ]  # fmt: skip
    offset = 0
    for piece in pieces:
        events.append(
            {"type": "agent_text_delta", "role": "agent", "utterance": "a1", "delta": piece, "offset": offset, **common}
        )
        offset += len(piece)
    events += [
        {"type": "agent_text_complete", "role": "agent", "utterance": "a1", "text": SPOKEN, **common},
        {"type": "transcript", "role": "agent", "utterance": "a1", "text": SPOKEN, **common},
        {"type": "agent_error", "message": f"cannot reach {MAIL}", **common},
        {"type": "custom", "note": SPOKEN, **common},
        {"type": "session_ended", **common},
    ]
    return [{"event_id": f"{session}-{number}", **event} for number, event in enumerate(events)]


def _stored(hub: HubProcess) -> list[dict[str, Any]]:
    return [stored["event"] for stored in hub.get("/api/events?limit=1000")["events"]]


def _lacks_secrets(text: str) -> None:
    assert [secret for secret in SECRETS if secret in text] == []


@pytest.mark.parametrize("cut", [1, 3, 11])
def test_secrets_are_nowhere(hub_factory: Any, tmp_path: Path, cut: int) -> None:
    lines = tmp_path / "forwarded.jsonl"
    hub: HubProcess = hub_factory(
        HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db",
        HUB_REDACT=RULES,
        HUB_FORWARD=f"file://{lines}",
        HUB_FORWARD_STATE=str(tmp_path / "state"),
    ).start()
    assert {"redact:card", "redact:dtmf", "redact:ticket"} <= set(hub.get("/api/config")["features"])
    events = _conversation("s1", cut)
    with hub.stream() as stream:
        stream.next()
        for event in events[:20]:
            assert hub.publish(event)["duplicate"] is False
        hub.publish(events[20:])
        again = hub.publish(events)  # a publisher that did not get the answer sends the batch again
        assert again["duplicates"] == len(events)
        hub.publish({"type": "end"})
        seen = [stream.next() for _ in events]
    assert [event["event_id"] for event in seen] == [event["event_id"] for event in events]
    deltas = [event for event in seen if event["type"] == "agent_text_delta"]
    text = "".join(event["delta"] for event in deltas)
    assert REDACTED.startswith(text)
    assert REDACTED.removeprefix(text).strip() in ("", "[ticket].", ".")
    for before, event in itertools.pairwise(deltas):
        assert event["offset"] == before["offset"] + len(before["delta"])
    finals = [
        event["text"]
        for event in seen
        if event["type"] in ("transcript", "agent_text_complete") and event.get("final") is not False
    ]
    assert finals == [REDACTED] * 3  # fmt: skip
    for event in seen:
        _lacks_secrets(json.dumps({name: value for name, value in event.items() if name != "timestamp"}))
    for path in ("/api/events?limit=1000", "/api/sessions", "/api/sessions/s1", "/api/sessions/s1/transcript.txt"):
        answer = requests.get(f"{hub.url}{path}", timeout=30)
        assert answer.status_code == 200
        _lacks_secrets(answer.text)
    assert "[card]" in requests.get(f"{hub.url}/api/sessions/s1/transcript.txt", timeout=30).text
    until(lambda: lines.exists() and "session_ended" in lines.read_text(), "the events to be forwarded")
    hub.stop()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "hub.db" for path in files)
    for path in files:
        _lacks_secrets(path.read_bytes().decode("latin-1"))


def test_what_is_held_back_is_lost_with_kill_9_but_the_whole_text_has_it(hub_factory: Any, tmp_path: Path) -> None:
    hub: HubProcess = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db", HUB_REDACT="card").start()
    delta = {"type": "agent_text_delta", "utterance": "a1", "session": "s"}
    hub.publish({**delta, "delta": "your card 4111 1111 ", "offset": 0, "event_id": "1"})
    hub.kill()
    hub.start()
    hub.publish({**delta, "delta": "your card 4111 1111 ", "offset": 0, "event_id": "1"})  # its answer was lost
    hub.publish({**delta, "delta": "1111 1111 is ", "offset": 20, "event_id": "2"})
    hub.publish({"type": "agent_text_complete", "utterance": "a1", "session": "s", "text": f"your card {CARD} is fine"})
    events = _stored(hub)
    assert [event.get("delta", event.get("text")) for event in events] == [
        "your card ",
        "[card] is ",
        "your card [card] is fine",
    ]
    hub.stop()


def test_a_refused_batch_shifts_nothing(hub_factory: Any) -> None:
    hub: HubProcess = hub_factory(HUB_REDACT="card").start()
    delta = {"type": "agent_text_delta", "utterance": "a1", "session": "s"}
    first = {**delta, "delta": "no 4111 1111 ", "offset": 0, "event_id": "1"}
    assert hub.post([first, {"type": "transcript"}]).status_code == 422
    hub.publish(first)
    hub.publish({**delta, "delta": "1111 1111 x ", "offset": 13, "event_id": "2"})
    assert [event["delta"] for event in _stored(hub)] == ["no ", "[card] x "]
    hub.stop()


@pytest.mark.parametrize("environment", [False, True])
def test_publishers_redact_before_an_event_leaves_their_process(
    hub_factory: Any, monkeypatch: pytest.MonkeyPatch, environment: bool
) -> None:
    hub: HubProcess = hub_factory().start()
    if environment:
        monkeypatch.setenv("AGENT_REDACT", RULES)
    with Publisher(hub.url, redact=None if environment else RULES) as publisher:
        for event in _conversation("s2", 2):
            publisher.publish(event)
        assert publisher.flush(30)
    events = _stored(hub)
    _lacks_secrets(json.dumps([{**event, "timestamp": None} for event in events]))
    assert "".join(event["delta"] for event in events if event["type"] == "agent_text_delta") == REDACTED
    hub.stop()
    with pytest.raises(ValueError, match="emial is not known"):
        Publisher(hub.url, redact="emial")


@pytest.mark.parametrize(
    ("value", "sentence"), [("emial", "emial is not known"), ("x=/(secret/", "the pattern x is not")]
)
def test_a_wrong_value_refuses_to_start(hub_factory: Any, value: str, sentence: str) -> None:
    hub: HubProcess = hub_factory(HUB_REDACT=value).launch()
    assert hub.process is not None
    assert hub.process.wait(60) == 2
    assert f"HUB_REDACT: {sentence}" in hub.output()
    assert "Traceback" not in hub.output()

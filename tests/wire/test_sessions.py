"""Sessions, rooms and condensed history over HTTP: `/api/sessions…`, `/api/rooms`, `/api/events?past=` (D04, H32, H34)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest
import requests

from bench.conversations import conversation
from event_hub.sessions import Session, Sessions, replay_into

from ..cli.commands import run
from ..hubs import PATIENCE, HubProcess, until


@pytest.fixture(params=["memory:", "sqlite"])
def hub(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HubProcess]:
    history = "memory:" if request.param == "memory:" else f"sqlite:///{tmp_path}/hub.db"
    with HubProcess(tmp_path, HUB_HISTORY=history) as hub:
        yield hub


def said(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "transcript", "role": "user", "text": text, "timestamp": 1000.0, **fields}


def computed(events: list[dict[str, Any]], id: str) -> dict[str, Any]:
    """The session document that `event_hub.sessions` computes from these events."""
    sessions = Sessions()
    for offset, event in enumerate(events, 1):
        sessions.take(event, offset)
    (session,) = sessions.find(id)
    whole = Session(session.room, session.session, whole=True)
    for offset, event in enumerate(events, 1):
        replay_into(session, event, offset, whole)
    document: dict[str, Any] = json.loads(json.dumps(whole.document()))
    return document


def history(hub: HubProcess) -> list[dict[str, Any]]:
    answer = requests.get(f"{hub.url}/api/events", headers={"Accept": "application/x-ndjson"}, timeout=PATIENCE)
    return [json.loads(line) for line in answer.text.splitlines()]


def refusal(hub: HubProcess, path: str) -> tuple[int, dict[str, Any]]:
    answer = requests.get(f"{hub.url}{path}", timeout=PATIENCE)
    problem: dict[str, Any] = answer.json()
    return answer.status_code, problem


def test_a_session_document_is_computed_from_its_events(hub: HubProcess) -> None:
    hub.publish(list(conversation("support-7", "AS_1", 12)))
    hub.publish({"type": "custom", "room": "support-7"})
    document = hub.get("/api/sessions/AS_1")
    events = history(hub)
    expected = computed(events, "AS_1")
    assert {name: document[name] for name in expected} == expected
    assert document["counts"]["turns"] == len(document["turns"]) == 12
    assert document["counts"]["events"] == len(events)
    assert document["latency"]["e2e_latency"] == {
        "count": 12,
        "min": 1.0,
        "median": 1.0,
        "p95": 1.0,
        "max": 1.0,
        "mean": 1.0,
    }
    (listed,) = hub.get("/api/sessions")["sessions"]
    assert listed == {name: document[name] for name in listed}
    (room,) = hub.get("/api/rooms")["rooms"]
    assert (room["room"], room["sessions"], room["live"]) == ("support-7", 1, 1)
    assert (room["counts"], room["latency"]) == (document["counts"], document["latency"])


def test_answers_match_the_openapi_description(hub: HubProcess) -> None:
    hub.publish([*conversation("r", "s", 2), said("hi"), said("ho", room="q")])
    description = hub.get("/openapi.json")
    for path, operation in (
        ("/api/sessions", "/api/sessions"),
        ("/api/rooms", "/api/rooms"),
        ("/api/sessions/s", "/api/sessions/{id}"),
        ("/api/sessions/none", "/api/sessions/{id}"),
        ("/api/sessions/s/transcript.json", "/api/sessions/{id}/transcript.{form}"),
        ("/api/events?past=100", "/api/events"),
    ):
        content = description["paths"][operation]["get"]["responses"]["200"]["content"]
        schema = {**content["application/json"]["schema"], "components": description["components"]}
        jsonschema.Draft202012Validator(schema).validate(hub.get(path))


def test_a_late_joiner_misses_no_event(hub: HubProcess) -> None:
    """The document and the stream after its cursor are the whole session, even while events are published (D04, H34)."""
    events = list(conversation("r", "s", 10))

    def publish() -> None:
        with requests.Session() as session:
            for event in events:
                session.post(f"{hub.url}/api/agent/data", json=event, timeout=PATIENCE)

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        for _ in range(10):
            until(lambda: hub.get("/api/sessions")["sessions"], "the session")
            document = hub.get("/api/sessions/s")
            count = document["counts"]["events"]
            assert {name: document[name] for name in ("turns", "conversation", "counts", "state")} == {
                name: value
                for name, value in computed(events[:count], "s").items()
                if name in ("turns", "conversation", "counts", "state")
            }
            with hub.stream(document["stream"].removeprefix("/api/stream")) as stream:
                assert stream.next()["resumed"] is True
                if count < len(events):
                    following = stream.next()
                    assert {key: value for key, value in following.items() if key != "_id"} == events[count]
    finally:
        publisher.join(3 * PATIENCE)  # five hundred POSTs
    assert not publisher.is_alive()
    assert hub.get("/api/sessions/s")["counts"]["events"] == len(events)


def test_a_posted_event_is_in_the_next_answer(hub: HubProcess) -> None:
    for number in range(1, 30):
        hub.publish(said(f"word {number}", room="r"))
        document = hub.get("/api/sessions/room:r")
        assert document["counts"]["events"] == number
        assert document["conversation"][-1]["text"] == f"word {number}"
        assert hub.get("/api/events?past=10&limit=1")["events"][-1]["event"]["text"] == f"word {number}"


def test_sessions_are_addressed_by_name(hub: HubProcess) -> None:
    """Any name works; events without a session are found by room or as `none`; an ambiguous name is refused."""
    names = ["a/b", "ä ö", "100%", "x/transcript.txt/y", "?#&=", "room:z", "a//b", "a\nb", "a.b"]
    hub.publish([said("hi", session=name, room="r") for name in names])
    for name in names:
        assert hub.get(f"/api/sessions/{quote(name, safe='')}")["session"] == name
        assert (
            "hi" in requests.get(f"{hub.url}/api/sessions/{quote(name, safe='')}/transcript.txt", timeout=PATIENCE).text
        )
    hub.publish([said("no room"), said("room only", room="z")])
    assert hub.get("/api/sessions/none")["conversation"][0]["text"] == "no room"
    status, problem = refusal(hub, "/api/sessions/room:z")
    assert (status, problem["code"], problem["rooms"]) == (409, "ambiguous_session", ["z", "r"])
    assert hub.get("/api/sessions/room:z?room=z")["conversation"][0]["text"] == "room only"
    status, problem = refusal(hub, "/api/sessions/absent")
    assert (status, problem["code"]) == (404, "unknown_session")
    assert "absent" in problem["detail"]
    status, problem = refusal(hub, "/api/sessions/a.b/transcript.pdf")
    assert (status, problem["code"]) == (404, "not_found")
    assert "json, txt, md, srt, vtt" in problem["detail"]


def test_the_session_list_is_filtered_and_paginated(hub: HubProcess) -> None:
    for number in range(25):
        hub.publish([said("hi", room=f"r{number % 3}", session=f"s{number}")])
    hub.publish([{"type": "session_ended", "room": "r1", "session": "s1", "timestamp": 1010.0}])

    def names(query: str) -> list[str]:
        return [session["session"] for session in hub.get(f"/api/sessions?{query}")["sessions"]]

    assert names("limit=3") == ["s1", "s24", "s23"]
    assert names("status=ended") == ["s1"]
    assert "s1" not in names("status=live&limit=100")
    assert names("room=r0&limit=2") == ["s24", "s21"]
    assert names("session=s2*&room=r2") == ["s23", "s20", "s2"]
    assert len(names("since=1h")) == 25
    last = hub.get("/api/sessions?session=s20")["sessions"][0]["last"]
    assert names(f"since={last}") == ["s1", "s24", "s23", "s22", "s21"]
    seen, before = [], ""
    while True:
        page = hub.get(f"/api/sessions?limit=7&before={before}")
        seen += [session["session"] for session in page["sessions"]]
        if not page["more"]:
            break
        before = page["sessions"][-1]["last"]
    assert seen == ["s1", *[f"s{number}" for number in range(24, -1, -1) if number != 1]]
    rooms = hub.get("/api/rooms?limit=2")
    assert [(room["room"], room["sessions"]) for room in rooms["rooms"]] == [("r1", 8), ("r0", 9)]
    assert rooms["more"] is True
    assert hub.get("/api/rooms?room=r2")["more"] is False


def test_transcripts_in_all_formats(hub: HubProcess) -> None:
    hub.publish(list(conversation("r", "s", 2)))

    def get(form: str) -> tuple[str, str]:
        answer = requests.get(f"{hub.url}/api/sessions/s/transcript.{form}", timeout=PATIENCE)
        assert answer.status_code == 200
        answer.encoding = "utf-8"
        return answer.headers["Content-Type"].split(";")[0], answer.text

    kind, text = get("txt")
    assert kind == "text/plain"
    assert [line.split("] ")[1][:14] for line in text.splitlines()] == ["caller: Could ", "agent: It is g"] * 2
    kind, text = get("vtt")
    assert kind == "text/vtt"
    assert text.startswith("WEBVTT\n\n00:00:01.100 --> 00:00:0")
    assert text.count("<v caller>") == 2
    assert get("srt")[1].startswith("1\n00:00:01,100 --> ")
    kind, text = get("md")
    assert kind == "text/markdown"
    assert text.startswith("# r · s\n\n2023-11-14 22:13:20 UTC · ")
    assert text.count("**agent:** It is going to be windy") == 2
    transcript = json.loads(get("json")[1])
    assert [(entry["role"], entry["utterance"]) for entry in transcript["transcript"]] == [
        ("user", "s.u0"), ("agent", "s.a0"), ("user", "s.u1"), ("agent", "s.a1"),
    ]  # fmt: skip


def test_a_room_with_several_sessions_has_one_transcript(hub: HubProcess) -> None:
    """One session for each participant: what they said is in one order, under the names that the reader gives."""
    for number, (name, words) in enumerate((("ada", "One."), ("bo", "Two."), ("ada", "Three."))):
        hub.publish(
            said(words, room="r/1", session=f"of-{name}", speaker_id=name[0].upper(), timestamp=1000.0 + number)
        )
    hub.publish(said("elsewhere", room="other", session="s", timestamp=1001.0))
    path = f"{hub.url}/api/rooms/r%2F1/transcript"

    def get(form: str, **params: str) -> str:
        answer = requests.get(f"{path}.{form}", params=params, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        answer.encoding = "utf-8"
        return answer.text

    names = {"speakers": "A:Ada,B:Bo Li"}
    assert [line.split("] ")[1] for line in get("txt").splitlines()] == ["A: One.", "B: Two.", "A: Three."]
    named = [line.split("] ")[1] for line in get("txt", **names).splitlines()]
    assert named == ["Ada: One.", "Bo Li: Two.", "Ada: Three."]
    assert [line for line in get("vtt", **names).splitlines() if "<v" in line] == [
        "<v Ada>One.</v>", "<v Bo Li>Two.</v>", "<v Ada>Three.</v>",
    ]  # fmt: skip
    text = get("md", **names)
    assert text.startswith("# r/1 · 2 sessions\n")
    assert text.index("**Ada:** One.") < text.index("**Bo Li:** Two.") < text.index("**Ada:** Three.")
    document = json.loads(get("json", **names))
    description = hub.get("/openapi.json")
    schema = {**description["components"]["schemas"]["RoomTranscript"], "components": description["components"]}
    jsonschema.Draft202012Validator(schema).validate(document)
    assert document["sessions"] == ["of-ada", "of-bo"]
    assert [(one["speaker"], one["session"]) for one in document["transcript"]] == [
        ("Ada", "of-ada"), ("Bo Li", "of-bo"), ("Ada", "of-ada"),
    ]  # fmt: skip
    one = requests.get(f"{hub.url}/api/sessions/of-bo/transcript.txt", params=names, timeout=PATIENCE).text
    assert one.endswith("Bo Li: Two.\n")
    assert refusal(hub, "/api/rooms/r%2F1/transcript.txt?speakers=Ada")[1]["field"] == "speakers"
    assert refusal(hub, "/api/rooms/unknown/transcript.txt")[0] == 404
    assert refusal(hub, "/api/rooms/r%2F1/transcript.pdf")[0] == 404


def test_a_page_with_condensed_history(hub: HubProcess) -> None:
    """The newest events are complete, older ones lack those that were superseded, and no event falls in between (D04)."""
    events = [*conversation("r", "s", 60), *conversation("other", "t", 10)]
    hub.publish(events)
    page = hub.get("/api/events?limit=300&past=3000")
    newest = [item["event"] for item in page["events"]]
    assert 300 <= len(newest) < 800
    assert newest == events[-len(newest) :]
    assert page["more"] is True
    assert page["past_more"] is False
    past = [item["event"] for item in page["past"]]
    finals = [event["text"] for event in events if event["type"] == "transcript" and event["final"]]
    assert [event["text"] for event in [*past, *newest] if event["type"] == "transcript" and event["final"]] == finals
    assert len(past) < (len(events) - len(newest)) / 3
    offsets = [int(item["id"].split("-")[1]) for item in [*page["past"], *page["events"]]]
    assert offsets == sorted(set(offsets))
    assert page["before"] == page["events"][0]["id"]
    older = hub.get("/api/events", params={"before": page["before"], "limit": 1})
    assert older["events"][0]["event"] == events[-len(newest) - 1]
    short = hub.get("/api/events?limit=300&past=50")
    assert len(short["past"]) == 50
    assert short["past_more"] is True
    assert short["past"] == page["past"][-50:]
    one_session = hub.get("/api/events?limit=1&past=3000&session=s&room=r")
    assert {item["event"]["session"] for item in [*one_session["past"], *one_session["events"]]} == {"s"}
    with hub.stream(f"?last_event_id={page['after']}") as stream:
        assert stream.next()["resumed"] is True
        hub.publish(said("next", room="r"))
        assert stream.next()["text"] == "next"


def test_no_event_is_missing_between_condensed_history_and_a_page_of_large_events(hub: HubProcess) -> None:
    """A page reaches back to a multiple of 500, however many reads of the history that takes (D04)."""
    large = [{"type": "large", "n": n, "text": "x" * 60_000, "room": "r"} for n in range(599)]
    for at in range(0, len(large), 100):
        hub.publish(large[at : at + 100])
    page = hub.get("/api/events?limit=100&past=1000")
    assert [item["event"]["n"] for item in page["events"]] == list(range(599))
    assert (page["past"], page["more"]) == ([], False)


def test_the_stream_of_a_session_includes_events_that_name_only_its_room(hub: HubProcess) -> None:
    """LiveKit's webhooks name only the room; a publisher may name only the session. The stream has both."""
    hub.publish([said("hi", room="r", session="s"), said("ho", session="only")])
    document = hub.get("/api/sessions/s")
    assert document["stream"] == f"/api/stream?room=r&last_event_id={document['cursor']}"
    with hub.stream(document["stream"].removeprefix("/api/stream")) as stream:
        stream.next()
        hub.publish({"type": "livekit_room_finished", "room": "r"})
        assert stream.next()["type"] == "livekit_room_finished"
    assert hub.get("/api/sessions/s")["status"] == "ended"
    assert "?session=only&" in hub.get("/api/sessions/only")["stream"]
    hub.publish([said("no session", room="r", session=None), said("no room", room=None, session="s")])
    document = hub.get("/api/sessions/s")
    assert [item["text"] for item in document["conversation"] if item["kind"] == "said"] == [
        "hi", "no session", "no room",
    ]  # fmt: skip
    assert document["stream"] == f"/api/stream?last_event_id={document['cursor']}"


def test_captions_equal_those_of_an_export(hub: HubProcess, tmp_path: Path) -> None:
    """Byte for byte, even if a webhook announced the room earlier and the text contains markup."""
    hub.publish({"type": "livekit_room_started", "room": "r", "timestamp": 1_699_999_990.0})
    hub.publish(list(conversation("r", "s", 3)))
    hub.publish(said("a --> b\n\n1\n00:00:01,000 --> <i>\u202e\0", room="r", session="s", timestamp=1_700_000_100.0))
    for form in ("txt", "srt", "vtt"):
        file = tmp_path / f"s.{form}"
        done = run("export", "--session", "s", "-o", str(file), hub=hub.url)
        assert done.returncode == 0, done.stderr
        answer = requests.get(f"{hub.url}/api/sessions/s/transcript.{form}", timeout=PATIENCE)
        assert answer.content == file.read_bytes()


def test_concurrent_reads_lose_no_events(hub: HubProcess) -> None:
    """With 100 requests from 25 threads during publishing, every answer is complete and the stream has every event."""
    hub.publish(list(conversation("r", "s", 100)))
    with hub.stream() as stream:
        stream.next()
        answers: list[int] = []

        def ask() -> None:
            with requests.Session() as session:
                for path in ("/api/sessions/s", "/api/events?limit=500&past=3000", "/api/sessions", "/api/rooms"):
                    answers.append(session.get(f"{hub.url}{path}", timeout=PATIENCE).status_code)

        threads = [threading.Thread(target=ask) for _ in range(25)]
        for thread in threads:
            thread.start()
        for number in range(100):
            hub.publish({"type": "n", "n": number, "room": "r", "session": "s"})
        for thread in threads:
            thread.join(PATIENCE)
        assert answers == [200] * 100
        assert [stream.next()["n"] for _ in range(100)] == list(range(100))
    assert hub.get("/api/sessions/s")["counts"]["events"] == len(list(conversation("r", "s", 100))) + 100


def test_sessions_after_retention(tmp_path: Path) -> None:
    """A session whose beginning was deleted is marked partial; one that was deleted entirely is not listed."""
    with HubProcess(tmp_path, HUB_HISTORY="memory:", HUB_RETENTION="1d,300KB") as hub:
        hub.publish(list(conversation("r", "old", 1)))
        assert hub.get("/api/sessions/old")["partial"] is False
        hub.publish(list(conversation("r", "long", 12)))
        hub.publish(said("x", room="r", session="new"))

        def trimmed() -> bool:
            listed = {session["session"]: session for session in hub.get("/api/sessions")["sessions"]}
            return "old" not in listed and listed["long"]["partial"] is True

        until(trimmed, "retention to show")

        def recomputed() -> bool:
            expected = computed(history(hub), "long")  # retention may continue meanwhile
            document = hub.get("/api/sessions/long")
            return {name: document[name] for name in expected} == expected

        until(recomputed, "the document to be computed from the remaining events")


def test_the_session_of_a_killed_agent_has_ended(hub: HubProcess) -> None:
    """A killed process cannot report the end of its session, so the launcher does."""
    events = list(conversation("r", "s", 2))[:80]
    hub.publish([*events, {"type": "agent_ready", "room": "r", "session": "s", "agent_id": "ag_1"}])
    assert hub.get("/api/sessions/s")["status"] == "live"
    hub.publish(
        [{"type": "agent_process_exited", "agent": "ag_1", "code": -9, "reason": "crashed", "timestamp": 1.8e9}]
    )
    session = hub.get("/api/sessions/s")
    assert (session["status"], session["reason"], session["ended"]) == ("ended", "agent_process_exited", 1.8e9)
    assert hub.get("/api/sessions?status=ended")["sessions"][0]["session"] == "s"

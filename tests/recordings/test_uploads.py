"""The observability receiver, with the uploads of a real call: what is kept, joined and told."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from ..conftest import outliving
from ..hubs import HubProcess, until
from . import uploads
from .uploads import JOB, LIVEKIT, LOGS, RECORDINGS, REQUESTS, TRACES, post, send, send_all, session, token

Make = Callable[..., HubProcess]
EVENTS = [json.loads(line) for line in (uploads.CALL / "events.ndjson").read_text().splitlines()]
ATTACHED = "AS_e4b47010bb45"
"""The session that attach reported of the same call."""


@pytest.fixture
def hub(hub_factory: Make) -> HubProcess:
    return hub_factory(**LIVEKIT).start()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that has told the session of the call from its uploads."""
    with outliving() as keep:
        hub = HubProcess(tmp_path_factory.mktemp("told"), **LIVEKIT).start()
        keep()
        try:
            send_all(hub)
            session(hub, JOB, complete)
            yield hub
        finally:
            hub.stop()


def complete(document: dict[str, Any]) -> bool:
    return bool(document["recording"] and document["trace"] and document["trace"]["complete"])


def events_of(hub: HubProcess, session: str) -> list[dict[str, Any]]:
    answer = requests.get(f"{hub.url}/api/events", params={"session": session, "limit": 1000}, timeout=30).json()
    return [event.get("event", event) for event in answer["events"]]


def test_without_attach_the_session_is_told_from_its_uploads(told: HubProcess) -> None:
    """Issue 18: transcript, latencies and tool calls come from chat history and spans, with LiveKit's own figures."""
    document = session(told, JOB, complete)
    assert (document["told"], document["status"], document["reason"]) == (
        "afterwards",
        "ended",
        "participant_disconnected",
    )
    assert (document["room"], document["agent"], document["job"]) == ("call-1", "weather", JOB)
    texts = [(item["role"], item["text"]) for item in document["conversation"] if item["kind"] == "said"]
    assert texts[:3] == [
        ("agent", "Hello, how can I help you today?"),
        ("user", "what is the weather in paris"),
        ("agent", "Let me look."),
    ]
    assert document["counts"]["tool_calls"] == 1
    assert document["counts"]["user_transcripts"] == 3
    figures = document["latency"]["e2e_latency"]
    ours = [e["e2e_latency"] for e in EVENTS if e["type"] == "turn_metrics" and "e2e_latency" in e]
    assert figures["count"] == len(ours)
    assert (figures["min"], figures["max"]) == (pytest.approx(min(ours)), pytest.approx(max(ours)))
    assert document["recording"] == {
        "duration": 23.587,
        "channels": 2,
        "started": 1795649496.5809205,
        "url": f"/api/sessions/{JOB}/audio",
    }
    assert all(
        event["told"] == "afterwards" for event in events_of(told, JOB) if not event["type"].endswith("available")
    )


def test_with_attach_it_is_one_session_and_the_figures_agree(hub: HubProcess) -> None:
    """Issue 18: where both exist they agree; the session is the one that attach told, and is not told again."""
    assert requests.post(f"{hub.url}/api/agent/data", json=EVENTS, timeout=30).status_code == 200
    send_all(hub)
    document = session(hub, ATTACHED, complete)
    assert document["told"] is None
    assert requests.get(f"{hub.url}/api/sessions/{JOB}", timeout=30).status_code == 404
    trace = requests.get(f"{hub.url}{document['trace']['url']}", timeout=30).json()
    assert (trace["job"], trace["complete"], len(trace["spans"])) == (JOB, True, 86)
    spans = trace["spans"]
    by_start = {span["start"]: span for span in spans if span["name"] == "user_turn"}
    for event in EVENTS:
        if event["type"] == "turn_metrics" and event["role"] == "user":
            attributes = by_start[event["started_speaking_at"]]["attributes"]
            assert attributes["lk.end_of_turn_delay"] == event["end_of_turn_delay"]
            assert attributes["lk.transcription_delay"] == event["transcription_delay"]
    measured = sorted(s["attributes"]["lk.e2e_latency"] for s in spans if "lk.e2e_latency" in s.get("attributes", {}))
    assert measured == sorted(e["e2e_latency"] for e in EVENTS if "e2e_latency" in e)


def test_the_trace_has_figures_and_no_content(told: HubProcess) -> None:
    """Issue 18: attributes are kept by an allow-list; prompts, transcripts, paths and whole contexts are not."""
    text = requests.get(f"{told.url}/api/sessions/{JOB}/trace", timeout=30).text
    for content in ("sunny", "short spoken assistant", "/app", "lk.pii", "chat_ctx", "gen_ai.input", "tell me a long"):
        assert content not in text
    spans = {span["id"]: span for span in json.loads(text)["spans"]}
    names = {span["name"] for span in spans.values()}
    assert {"user_turn", "eou_wait", "llm_node", "tts_node", "function_tool", "agent_speaking"} <= names
    roots = [span["name"] for span in spans.values() if span.get("parent") not in spans]
    assert roots == ["job_entrypoint"]


def test_content_is_kept_if_the_operator_asks_for_it(hub_factory: Make) -> None:
    hub = hub_factory(**LIVEKIT, HUB_TRACE_CONTENT="1").start()
    send_all(hub)
    session(hub, JOB, complete)
    assert "sunny" in requests.get(f"{hub.url}/api/sessions/{JOB}/trace", timeout=30).text


def test_log_lines_are_filtered_by_level_and_paged(told: HubProcess) -> None:
    """Issue 18: the agent's own log lines, without paths, and without the records that carry the chat history."""
    url = f"{told.url}/api/sessions/{JOB}/logs"
    whole = requests.get(url, timeout=30).json()
    assert not whole["more"]
    assert {line["logger"] for line in whole["logs"]} == {"livekit.agents", "livekit", "httpx2"}
    warnings = requests.get(url, params={"level": "warning"}, timeout=30).json()["logs"]
    assert [line["level"] for line in warnings] == ["warning"]
    first = requests.get(url, params={"limit": 3}, timeout=30).json()
    rest = requests.get(url, params={"after": first["next"]}, timeout=30).json()
    assert first["more"]
    assert first["logs"] + rest["logs"] == whole["logs"]


def test_repeated_uploads_change_nothing(told: HubProcess) -> None:
    """Issue 18: exporters repeat byte for byte what was not answered."""
    before = session(told, JOB, complete)
    trace = requests.get(f"{told.url}/api/sessions/{JOB}/trace", timeout=30).json()
    logs = requests.get(f"{told.url}/api/sessions/{JOB}/logs", timeout=30).json()
    events = events_of(told, JOB)
    send_all(told)
    until(lambda: requests.get(f"{told.url}/api/health", timeout=30).json()["status"] == "ok", "health")
    assert requests.get(f"{told.url}/api/sessions/{JOB}/trace", timeout=30).json() == trace
    assert requests.get(f"{told.url}/api/sessions/{JOB}/logs", timeout=30).json() == logs
    assert events_of(told, JOB) == events
    assert session(told, JOB)["counts"] == before["counts"]


def test_a_job_that_was_killed_leaves_orphans_and_its_session_is_told(hub_factory: Make) -> None:
    """Issue 18: parents come last, so their children are kept without them. Without a chat history: times and figures."""
    hub = hub_factory(**LIVEKIT).start()
    send_all(hub, but=lambda r: r["n"] >= 9)
    data = hub.folder / "recordings" / "recordings.db"
    assert data.exists()
    import sqlite3

    db = sqlite3.connect(data)
    (count,) = db.execute("SELECT count(*) FROM spans").fetchone()
    db.close()
    assert count > 30


def test_kill_9_between_the_uploads_loses_nothing(hub_factory: Make) -> None:
    """Issue 18: what was answered is there after kill -9; the rest arrives with the next try."""
    hub = hub_factory(**LIVEKIT)
    hub.environ["HUB_HISTORY"] = f"sqlite:///{hub.folder}/h.db"
    hub.start()
    for request in REQUESTS:
        if request["n"] == 9:  # killed within the recording: the agent tries again
            headers = {"Authorization": f"Bearer {token()}", "Content-Type": request["headers"]["Content-Type"]}
            whole = uploads.body_of(request)

            def half(whole: bytes = whole) -> Any:
                yield whole[: len(whole) // 2]
                hub.kill()
                yield whole[len(whole) // 2 :]

            with pytest.raises(requests.RequestException):
                requests.post(hub.url + RECORDINGS, data=half(), headers=headers, timeout=30)
            hub.start()
        else:
            hub.kill()
            hub.start()
        assert send(hub, request).status_code == 200
    told = session(hub, JOB, complete)
    assert told["counts"]["user_transcripts"] == 3
    assert len(requests.get(f"{hub.url}/api/sessions/{JOB}/trace", timeout=30).json()["spans"]) == 86


@pytest.mark.parametrize(
    ("bearer", "what"),
    [
        (lambda: token(observability={"write": False}), "no observability.write"),
        (lambda: token(observability={}), "no observability.write"),
        (lambda: token("another-secret-with-more-than-32-characters"), "not signed"),
        (lambda: token(key="otherkey"), "not for this hub"),
        (lambda: token(exp=1), "expired"),
    ],
)
def test_wrong_tokens_are_refused(hub: HubProcess, bearer: Callable[[], str], what: str) -> None:
    """Issue 18: 401 for a token without observability.write, or of another key."""
    for number in (0, 9):
        answer = send(hub, REQUESTS[number], bearer())
        assert answer.status_code == 401
        assert what in answer.json()["detail"]


def test_a_hub_with_keys_takes_livekits_token_and_full_publish_keys_only(hub_factory: Make) -> None:
    hub = hub_factory(
        **LIVEKIT, HUB_CONTROL_KEYS="ops:ops-0123456789abcdef", HUB_PUBLISH_KEYS="ci:ci-0123456789abcdef@room-a"
    ).start()
    body = uploads.body_of(REQUESTS[1])
    assert post(hub, TRACES, body).status_code == 200
    assert post(hub, "/v1/traces", body, Authorization="Bearer ops-0123456789abcdef").status_code == 200
    assert post(hub, "/v1/traces", body, Authorization="Bearer ci-0123456789abcdef").status_code == 403
    assert post(hub, "/v1/traces", body, Authorization="").status_code == 401
    assert requests.get(f"{hub.url}/api/sessions/{JOB}/trace", timeout=30).status_code == 401


def test_switched_off_is_a_polite_no(hub_factory: Make) -> None:
    """Issue 18: the words at which LiveKit's exporters stop every upload of the session."""
    hub = hub_factory(**LIVEKIT, HUB_RECORDINGS="off").start()
    for number in (0, 1, 9, 12):
        answer = send(hub, REQUESTS[number])
        assert answer.status_code == 401
        assert "data recording is disabled" in answer.text
    assert hub.metrics()["hub_requests_refused_total{recording_disabled}"] == 4
    assert not (hub.folder / "recordings").exists()


def test_what_was_erased_is_not_taken_for_never_uploaded(hub_factory: Make) -> None:
    hub = hub_factory(**LIVEKIT)
    hub.environ["HUB_HISTORY"] = f"sqlite:///{hub.folder}/hub.db"
    hub.start()
    assert requests.post(f"{hub.url}/api/agent/data", json=EVENTS, timeout=30).status_code == 200
    audio = f"{hub.url}/api/sessions/{ATTACHED}/audio"
    assert "has uploaded nothing" in requests.get(audio, timeout=30).json()["detail"]
    send_all(hub)
    session(hub, ATTACHED, complete)
    hub.stop()
    shutil.rmtree(hub.folder / "recordings")
    hub.start()
    for path in ("", "/marks", "/peaks"):
        answer = requests.get(f"{audio}{path}", timeout=30)
        assert answer.status_code == 404
        assert "was erased" in answer.json()["detail"]


def test_any_exporter_of_opentelemetry_works(hub: HubProcess) -> None:
    """Issue 18: `/v1/traces` and `/v1/logs`, in protobuf and in JSON; the job is known by any span of the trace."""
    trace, job = "0af7651916cd43dd8448eb211c80319c", "AJ_own"

    def span(id: str, parent: str, name: str, **attributes: str) -> dict[str, Any]:
        return {
            "traceId": trace, "spanId": id, "parentSpanId": parent, "name": name, "kind": 1,
            "startTimeUnixNano": "1795649500000000000", "endTimeUnixNano": "1795649501500000000",
            "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()],
        }  # fmt: skip

    def request(*spans: dict[str, Any]) -> bytes:
        scope = {"scope": {"name": "mine"}, "spans": list(spans)}
        return json.dumps({"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [scope]}]}).encode()

    headers = {"Content-Type": "application/json", "Authorization": ""}
    child = request(span("b7ad6b7169203331", "00f067aa0ba902b7", "lookup"))
    root = request(span("00f067aa0ba902b7", "", "job_entrypoint", **{"lk.job_id": job}))
    assert post(hub, "/v1/traces", child, **headers).status_code == 200
    assert post(hub, "/v1/traces", root, **headers).json() == {}
    event = {"type": "session_started", "session": "mine", "job": job}
    assert requests.post(f"{hub.url}/api/agent/data", json=event, timeout=30).status_code == 200
    session(hub, "mine", lambda document: bool(document["trace"]))
    spans = requests.get(f"{hub.url}/api/sessions/mine/trace", timeout=30).json()["spans"]
    assert {(s["name"], s.get("parent")) for s in spans} == {("lookup", "00f067aa0ba902b7"), ("job_entrypoint", None)}
    log = {"timeUnixNano": "1795649500000000000", "severityNumber": 17, "body": {"stringValue": "it failed"},
           "attributes": [{"key": "job_id", "value": {"stringValue": job}}]}  # fmt: skip
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"scope": {"name": "app"}, "logRecords": [log]}]}]}).encode()
    assert post(hub, "/v1/logs", body, **headers).status_code == 200
    lines = requests.get(f"{hub.url}/api/sessions/mine/logs", timeout=30).json()["logs"]
    assert [(line["level"], line["message"]) for line in lines] == [("error", "it failed")]


def test_what_the_session_of_another_room_uploaded_is_not_seen(hub_factory: Make) -> None:
    hub = hub_factory(
        **LIVEKIT,
        HUB_CONTROL_KEYS="ops:ops-0123456789abcdef",
        HUB_SUBSCRIBE_KEYS="a:reader-a-0123456789@call-1,b:reader-b-0123456789@other",
    ).start()
    send_all(hub)
    url = f"{hub.url}/api/sessions/{JOB}/trace"

    def status(key: str) -> int:
        return requests.get(url, headers={"Authorization": f"Bearer {key}"}, timeout=30).status_code

    until(lambda: status("ops-0123456789abcdef") == 200, "the trace", 60)
    assert status("reader-a-0123456789") == 200
    assert status("reader-b-0123456789") == 404


def test_a_redacted_call_is_redacted_here(hub: HubProcess) -> None:
    """LiveKit leaves words and sound in clear when `redaction` is on: the receiver is to redact."""
    from livekit.protocol import metrics

    header = metrics.MetricsRecordingHeader(job_id="AJ_red", room_id="RM_1", redaction_enabled=True)
    header.session_summary = json.dumps({"room": "quiet", "job_id": "AJ_red"})
    chat = {"items": [{"id": "i1", "type": "message", "role": "user", "content": ["write to ada@example.org"],
                       "created_at": 1795649500.0}]}  # fmt: skip
    audio = (uploads.CALL / "recordings-09.multipart").read_bytes()
    audio = audio[audio.index(b"OggS") : audio.rindex(b"\r\n--")]
    body, kind = uploads.recording(header.SerializeToString(), chat=json.dumps(chat).encode(), audio=audio)
    assert post(hub, RECORDINGS, body, **{"Content-Type": kind}).status_code == 200
    told = session(hub, "AJ_red")
    assert "ada@example.org" not in json.dumps(told)
    assert "[email]" in json.dumps(told)
    assert told["recording"] is None
    assert not list((hub.folder / "recordings" / "audio").glob("*"))


def gzipped(body: bytes) -> dict[str, Any]:
    return {"body": gzip.compress(body), "Content-Encoding": "gzip"}


def test_forget_erases_what_was_uploaded(hub: HubProcess) -> None:
    send_all(hub)
    session(hub, JOB, complete)
    audio = hub.folder / "recordings" / "audio" / f"{JOB}.ogg"
    assert audio.exists()
    dry = requests.post(f"{hub.url}/api/forget", json={"session": JOB, "dry_run": True}, timeout=30).json()
    assert dry["recordings"] == 1
    assert audio.exists()
    assert requests.post(f"{hub.url}/api/forget", json={"session": JOB}, timeout=30).json()["recordings"] == 1
    assert not audio.exists()
    import sqlite3

    db = sqlite3.connect(hub.folder / "recordings" / "recordings.db")
    for table in ("jobs", "spans", "logs", "traces"):
        assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    db.close()
    assert LOGS  # the route exists

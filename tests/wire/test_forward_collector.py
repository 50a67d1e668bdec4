"""Sessions as OpenTelemetry's spans and histograms, sent to collectors (issue 18)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from event_hub.server.forward.targets import parse
from event_hub.server.settings import Settings, SettingsError

from ..hubs import HubProcess, until
from ..ports import free_port
from ..recordings.test_uploads import ATTACHED, EVENTS

Make = Callable[..., HubProcess]


class MisbehavingCollector:
    """Answers with `answers`, one after the other, then with 200, and keeps what it got. 0: it closes the connection instead.
    It answers once `open` is set. `key`: the only Authorization that it accepts."""

    def __init__(self, answers: list[int], port: int = 0) -> None:
        self.answers = list(answers)
        self.open = threading.Event()
        self.open.set()
        self.key: str | None = None
        self.traces: list[ExportTraceServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = collector.answers.pop(0) if collector.answers else 200
                if collector.key not in (None, self.headers["Authorization"]):
                    status = 401
                collector.headers.append(dict(self.headers))
                collector.open.wait(60)
                if not status:
                    self.close_connection = True
                    return
                if status == 200 and self.path == "/v1/traces":
                    collector.traces.append(ExportTraceServiceRequest.FromString(body))
                elif status == 200:
                    collector.metrics.append(ExportMetricsServiceRequest.FromString(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                if status in (401, 503):
                    self.send_header("Retry-After", "1" if status == 503 else "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"otlp+http://127.0.0.1:{self.server.server_port}"

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@contextmanager
def collecting(*answers: int, port: int = 0) -> Iterator[MisbehavingCollector]:
    collector = MisbehavingCollector(list(answers), port)
    thread = threading.Thread(target=collector.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.server.shutdown()
        collector.server.server_close()
        thread.join()


def attributes(message: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in message.attributes}


def test_a_session_is_a_trace_when_it_has_ended(hub_factory: Make) -> None:
    """Issue 18: turns as spans, latencies as histograms; no text of the conversation."""
    with collecting() as collector:
        hub = hub_factory(HUB_FORWARD=f"{collector.url}#header=Authorization:Bearer%20of-the-test").start()
        hub.publish(EVENTS[:-1])
        until(lambda: hub.get("/api/health")["forwards"][0]["lag"] == 0, "the hub has looked at all")
        assert collector.traces == []
        hub.publish(EVENTS[-1:])
        until(lambda: collector.metrics, "the session")
        assert {headers["Authorization"] for headers in collector.headers} == {"Bearer of-the-test"}
    spans = {span.name: span for span in collector.spans}
    root = spans["invoke_agent weather"]
    facts = attributes(root)
    assert (facts["gen_ai.conversation.id"], facts["livekit.room.name"]) == (ATTACHED, "call-1")
    assert (facts["gen_ai.usage.input_tokens"], facts["livekit.session.turns"]) == (240, 4)
    assert root.parent_span_id == b""
    document = hub.get(f"/api/sessions/{ATTACHED}")
    by_id = {span.span_id: span for span in collector.spans}
    assert len(by_id) == len(collector.spans)
    assert len({span.trace_id for span in collector.spans}) == 1
    for turn in document["turns"]:
        span = spans[f"turn {turn['number']}"]
        assert span.parent_span_id == root.span_id
        if "latency" in turn and "total" in turn["latency"]:
            assert attributes(span)["livekit.turn.e2e_latency"] == turn["latency"]["total"]
    tool = spans["execute_tool get_weather"]
    assert by_id[tool.parent_span_id].name == "turn 2" or by_id[tool.parent_span_id].name.startswith("turn")
    assert tool.end_time_unix_nano - tool.start_time_unix_nano == pytest.approx(0.307e9, rel=0.01)
    assert {"chat", "text_to_speech", "end_of_turn_delay", "user speech", "agent speech"} <= set(spans)
    for span in collector.spans:
        assert root.start_time_unix_nano - 1e9 <= span.start_time_unix_nano <= span.end_time_unix_nano
    everything = b"".join(request.SerializeToString() for request in collector.traces)
    for text in (b"sunny", b"paris", b"caller", b"Hello"):
        assert text not in everything
    (metric,) = collector.metrics[0].resource_metrics[0].scope_metrics[0].metrics
    points = {attributes(point)["livekit.figure"]: point for point in metric.histogram.data_points}
    totals = [turn["latency"]["total"] for turn in document["turns"] if "total" in turn.get("latency", {})]
    assert points["e2e_latency"].count == len(totals) == sum(points["e2e_latency"].bucket_counts)
    assert points["e2e_latency"].sum == pytest.approx(sum(totals))


def test_a_collector_that_fails_gets_it_again_with_the_same_ids(hub_factory: Make) -> None:
    """503 is retried, and so is what was sent before a kill -9 of the hub."""
    with collecting(503, 200, 503) as collector:
        hub = hub_factory(HUB_FORWARD=collector.url)
        hub.environ |= {"HUB_HISTORY": f"sqlite:///{hub.folder}/h.db", "HUB_FORWARD_STATE": str(hub.folder / "forward")}
        hub.start()
        hub.publish(EVENTS)
        until(lambda: len(collector.traces) == 1, "the spans")
        hub.kill()
        hub.start()
        until(lambda: collector.metrics, "the rest")
        until(lambda: hub.get("/api/health")["forwards"][0]["lag"] == 0, "all is forwarded")
        first, *again = [
            [span.span_id for scope in request.resource_spans for s in scope.scope_spans for span in s.spans]
            for request in collector.traces
        ]
        assert again
        assert all(ids == first for ids in again)


def test_a_refusal_is_not_retried(hub_factory: Make) -> None:
    """400 and the like would come again: the session is left out, the next one is sent."""
    with collecting(400, 400) as collector:
        hub = hub_factory(HUB_FORWARD=collector.url).start()
        hub.publish(EVENTS)
        until(lambda: hub.get("/api/health")["forwards"][0]["lag"] == 0, "all was looked at")
        assert collector.traces == []
        hub.publish([{**event, "session": "next", "event_id": None} for event in EVENTS])
        until(lambda: collector.metrics, "the next session")
        assert "answers 400 to /v1/traces" in hub.log.read_text()


def test_another_hub_receives_it(hub_factory: Make) -> None:
    """Its own receiver is one for any exporter."""
    receiver = hub_factory().start()
    sender = hub_factory(HUB_FORWARD=f"otlp+http://127.0.0.1:{receiver.port}").start()
    sender.publish(EVENTS)
    import sqlite3

    path = receiver.folder / "recordings" / "recordings.db"

    def count() -> int:
        if not path.exists():
            return 0
        db = sqlite3.connect(path)
        try:
            return int(db.execute("SELECT count(*) FROM spans").fetchone()[0])
        except sqlite3.OperationalError:  # its tables are being made
            return 0
        finally:
            db.close()

    until(lambda: count() > 10, "the spans")


def sessions_of(collector: MisbehavingCollector) -> list[str]:
    """The sessions that it has, by name, in order."""
    ids = [attributes(span).get("gen_ai.conversation.id") for span in collector.spans if not span.parent_span_id]
    return [id for id in ids if id is not None]


def of_session(name: str, *more: str, room: str = "call-1", process: str | None = None) -> list[dict[str, Any]]:
    about = {"session": name, "room": room}
    ready = [{"type": "agent_ready", "agent_id": process, **about}] if process else []
    return [{"type": "session_started", **about}, *ready, *({"type": kind, **about} for kind in more)]


def test_a_session_that_ended_with_its_process_or_its_room_is_sent(hub_factory: Make) -> None:
    """Once: the report that comes after all does not repeat it."""
    with collecting(200, 200, 503) as collector:
        hub = hub_factory(HUB_FORWARD=f"{collector.url}#room=call-*").start()
        for name, room in (("p1", "call-1"), ("p2", "call-2"), ("elsewhere", "other"), ("other process", "call-3")):
            hub.publish(of_session(name, room=room, process="ag_1" if name != "other process" else "ag_2"))
        hub.publish([{"type": "agent_process_exited", "agent": "ag_1", "code": -9, "reason": "killed"}])
        until(lambda: sorted(sessions_of(collector)) == ["p1", "p2"], "the sessions of the process")
        hub.publish([{"type": "session_ended", "session": "p1", "room": "call-1"}])
        hub.publish(of_session("orderly", "session_ended", room="call-4"))
        until(lambda: "orderly" in sessions_of(collector), "one that ended in order")
        hub.publish(of_session("r1", room="call-4"))
        hub.publish(
            [{"type": "livekit_room_finished", "room": "call-4"}, {"type": "livekit_room_finished", "room": "none"}]
        )
        until(lambda: hub.get("/api/health")["forwards"][0]["lag"] == 0, "all was looked at")
        assert sorted(sessions_of(collector)) == ["orderly", "p1", "p2", "r1"]
        assert hub.get("/api/health")["forwards"][0]["filter"]["room"] == ["call-*"]


def test_a_retry_repeats_no_session_that_was_accepted(hub_factory: Make) -> None:
    """One event can end many."""
    names = [f"s{number}" for number in range(4)]
    with collecting(200, 200, 200, 503, 200, 0) as collector:
        hub = hub_factory(HUB_FORWARD=collector.url).start()
        for name in names:
            metrics = {"type": "turn_metrics", "session": name, "room": "call-1", "role": "agent", "e2e_latency": 0.5}
            hub.publish([*of_session(name, process="ag_1"), {**metrics, "utterance": "a"}])
            said = {"type": "transcript", "role": "agent", "text": "Hi.", "utterance": "a"}
            hub.publish([{**said, "session": name, "room": "call-1"}, {**metrics, "utterance": "a"}])
        hub.publish([{"type": "agent_process_exited", "agent": "ag_1", "code": -9, "reason": "killed"}])
        until(lambda: hub.get("/api/health")["forwards"][0]["lag"] == 0, "all is forwarded")
        assert sorted(sessions_of(collector)) == names
        assert len(collector.metrics) == len(names)


def test_a_wrong_credential_stops_the_target_and_loses_nothing(hub_factory: Make) -> None:
    """The next hub, with the right one, sends what is missing."""
    with collecting() as collector:
        collector.key = "Bearer right"
        hub = hub_factory(HUB_FORWARD=f"{collector.url}#header=Authorization:Bearer%20wrong")
        hub.environ |= {"HUB_HISTORY": f"sqlite:///{hub.folder}/h.db", "HUB_FORWARD_STATE": str(hub.folder / "forward")}
        hub.start()
        hub.publish(EVENTS)
        until(lambda: hub.get("/api/health")["forwards"][0]["state"] == "stopped", "it to give up")
        assert "it answers 401" in hub.get("/api/health")["forwards"][0]["error"]
        assert "Bearer" not in hub.output()
        refused = len(collector.headers)
        hub.publish(of_session("next", "session_ended"))
        assert collector.traces == []
        hub.stop()
        assert len(collector.headers) == refused
        hub.environ["HUB_FORWARD"] = f"{collector.url}#header=Authorization:Bearer%20right"
        hub.start()
        until(lambda: sessions_of(collector) == [ATTACHED, "next"], "both sessions")


def test_a_slow_collector_delays_no_subscriber(hub_factory: Make) -> None:
    """While it keeps the hub waiting, events are published and read, and it gets the rest in order."""
    with collecting() as collector:
        hub = hub_factory(HUB_FORWARD=collector.url).start()
        collector.open.clear()
        hub.publish(of_session("first", "session_ended"))
        until(lambda: collector.headers, "the request that is not answered")
        with hub.stream() as stream:
            stream.until("stream_opened")
            hub.publish(of_session("second", "session_ended"))
            assert stream.until("session_ended")["session"] == "second"
        assert hub.get("/api/sessions/second")["status"] == "ended"
        assert len(collector.headers) == 1
        collector.open.set()
        until(lambda: sessions_of(collector) == ["first", "second"], "both sessions, in order")


def test_a_collector_that_is_closed_gets_it_when_it_is_back(hub_factory: Make) -> None:
    port = free_port()
    hub = hub_factory(HUB_FORWARD=f"otlp+http://127.0.0.1:{port}").start()
    hub.publish(of_session("s1", "session_ended"))
    until(lambda: hub.get("/api/health")["forwards"][0]["state"] == "retrying", "it to be refused")
    with collecting(0, port=port) as collector:  # back, but it hangs up at first
        until(lambda: sessions_of(collector) == ["s1"], "the session")
        until(lambda: hub.get("/api/health")["forwards"][0]["state"] == "ok", "the hub to notice")


def test_a_retry_repeats_no_histogram_of_another_session(hub_factory: Make) -> None:
    """Issue 18: histograms are deltas, so one that was accepted must not come again."""
    with collecting(200, 200, 503) as collector:
        hub = hub_factory(HUB_FORWARD=f"{collector.url}#since=all").start()
        hub.publish([{**event, "session": name, "event_id": None} for name in ("first", "second") for event in EVENTS])
        until(lambda: hub.get("/api/health")["forwards"][0]["lag"] == 0, "all is forwarded")
        assert (len(collector.traces), len(collector.metrics)) == (2, 2)


def test_a_hub_does_not_forward_to_itself() -> None:
    with pytest.raises(SettingsError, match="HUB_FORWARD: .* is this hub itself"):
        Settings.load({"PORT": "5000", "HUB_FORWARD": "otlp+http://127.0.0.1:5000"}, None)
    Settings.load({"PORT": "5000", "HUB_FORWARD": "otlp+http://127.0.0.1:4318"}, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("otlp+http://", "is not a target"), ("otlp://collector:4318", "is not a target"),
        ("otlp+http://c:4318#type=a", "option type applies only"), ("otlp+http://c:4318#header=x", "must be Name:value"),
        ("otlp+http://c:4318#header=A:b%0D%0AX:y", "must be Name:value"), ("otlp+http://c:4318#batch=3", "only to a webhook"),
        ("otlp+http://c:4318 http://c:4318", "is listed 2 times"),
    ],
)  # fmt: skip
def test_mistakes_are_told(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text)


def test_a_target_shows_no_secret() -> None:
    (target,) = parse(
        "otlp+https://user:pass@collector.example:4318/otlp#header=Authorization:Bearer%20sesame&room=a-*"
    )
    assert target.shown == "otlp+https://***@collector.example:4318/otlp"
    assert target.address == "https://user:pass@collector.example:4318/otlp"
    assert "sesame" not in repr(target)

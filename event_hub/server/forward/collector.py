"""An OpenTelemetry collector: each session that has ended, as spans and histograms, over OTLP/HTTP in protobuf.

https://opentelemetry.io/docs/specs/otlp/#otlphttp: 429, 502, 503 and 504 are retried, other errors are not. Histograms have
delta temporality: each session adds its own turns.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from ... import __version__
from ..cooperate import TimeSlice
from ..counters import LATENCY_BOUNDS
from ..real_thread import in_real_thread
from .checkpoint import FileState
from .internal_addresses import Internal
from .session_spans import latencies, spans, trace_id
from .sink import MOST_BYTES, Batch, DeliveryFailed, EndedBy
from .targets import ENDS, Target
from .webhook import TIMEOUT, CheckedSession, reason_of, retry_after, within

logger = logging.getLogger(__name__)

Document = Mapping[str, Any]
SCOPE = "livekit-event-hub"
LATENCY = "livekit.agent.turn.latency"
_RETRIED = frozenset({429, 502, 503, 504})
"""What OTLP asks to retry."""
_DENIED = frozenset({401, 403})
_DENIALS = 8
"""Refusals of the credential in a row until the target stops, which takes about a minute: it may be a hiccup."""
_SESSIONS = 1
"""Sessions in one batch: a retry repeats the whole batch, and a repeated delta histogram would be counted twice."""
_MOST_ANSWER = 64 << 10
"""Maximum bytes of an answer that are read."""
_LAST_SECOND = ((1 << 63) - 1) // 10**9
_SPANS = 500
"""Spans in one request."""
_INTERNAL, _DELTA, _ERROR = 1, 1, 2
_decode: Callable[[bytes], dict[str, Any]] = msgspec.json.Decoder().decode


class Collector:
    """Sends to one collector. A `Sink`."""

    def __init__(self, target: Target, internal: Internal, ended_by: EndedBy) -> None:
        self._url = target.address.rstrip("/")
        self._headers = dict(target.headers)
        self._wanted = target.sessions
        self._ended_by = ended_by
        self._session = CheckedSession(self._url, internal)
        self._shown = target.shown
        self._batch = ""
        self._sent: set[tuple[str, str]] = set()
        """Of the batch in progress, what the collector has accepted, so that a retry does not repeat it."""
        self._denials = 0

    def limits(self) -> tuple[int, int]:
        return _SESSIONS, MOST_BYTES

    def send(self, batch: Batch) -> FileState | None:
        in_real_thread(_load)
        if batch.id != self._batch:
            self._batch, self._sent = batch.id, set()
        for item in batch.items:
            event = _decode(item.data)
            if event.get("type") not in ENDS:
                continue  # the report of a gap
            for document in self._ended_by(event, item.cursor.offset):
                if self._wanted.matches("", document["room"], document["session"]):
                    self._send(document)
        return None

    def _send(self, document: Document) -> None:
        session = document["first"]
        for number, request in enumerate(trace_requests(document)):
            self._post_once((session, f"traces {number}"), "/v1/traces", request)
        if (metrics := metrics_request(document)) is not None:
            self._post_once((session, "metrics"), "/v1/metrics", metrics)

    def _post_once(self, what: tuple[str, str], path: str, body: bytes) -> None:
        if what not in self._sent:
            self._post(path, body)
            self._sent.add(what)

    def close(self) -> None:
        self._session.close()

    def _post(self, path: str, body: bytes) -> None:
        headers = {
            **self._headers,
            "Content-Type": "application/x-protobuf",
            "User-Agent": f"livekit-event-hub/{__version__}",
        }
        try:
            with within(TIMEOUT):
                response = self._session.post(
                    self._url + path,
                    data=body,
                    headers=headers,
                    timeout=TIMEOUT,
                    allow_redirects=False,
                    stream=True,
                    proxies=dict(self._session.direct),
                )
                with response:
                    answer = response.raw.read(_MOST_ANSWER, decode_content=True)
        except Exception as error:  # anything that requests, urllib3, ssl or the system can raise
            raise DeliveryFailed(reason_of(error)) from error
        status = response.status_code
        if status in _DENIED:
            self._denials += 1
            text = f"it answers {status}: the header in HUB_FORWARD is missing or wrong"
            if self._denials < _DENIALS:
                raise DeliveryFailed(text, wait=retry_after(response.headers.get("Retry-After", "")))
            raise DeliveryFailed(f"{text}; nothing is sent until the hub restarts, and then what is missing", gone=True)
        self._denials = 0
        if status in _RETRIED:
            raise DeliveryFailed(f"it answers {status}", wait=retry_after(response.headers.get("Retry-After", "")))
        if not 200 <= status < 300:
            logger.error("forwarding to %s: it answers %d to %s, so a session is left out", self._shown, status, path)
        elif rejected := _rejected(path, answer):
            logger.error("forwarding to %s: it rejected %d of what was sent to %s", self._shown, rejected, path)


def _load() -> None:
    """Import what the requests are made of: it takes a twentieth of a second, and not that of the event loop."""
    import opentelemetry.proto.collector.metrics.v1.metrics_service_pb2
    import opentelemetry.proto.collector.trace.v1.trace_service_pb2  # noqa: F401


def _rejected(path: str, answer: bytes) -> int:
    """How many spans or data points an answer with `partial_success` rejects. Its message is left out: it may quote text."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        if path == "/v1/traces":
            return int(ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans)
        return int(ExportMetricsServiceResponse.FromString(answer).partial_success.rejected_data_points)
    except DecodeError:  # a proxy's page, or JSON
        return 0


def trace_requests(document: Document) -> Iterator[bytes]:
    """ExportTraceServiceRequests with the spans of a session."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    trace, slice = trace_id(document), TimeSlice()
    waiting = []
    for span in spans(document):
        waiting.append(span)
        slice.pause_if_due()
    for begin in range(0, len(waiting), _SPANS):
        request = ExportTraceServiceRequest()
        of_resource = request.resource_spans.add()
        _attributes(of_resource.resource.attributes, _resource(document))
        of_scope = of_resource.scope_spans.add()
        of_scope.scope.name, of_scope.scope.version = SCOPE, __version__
        for span in waiting[begin : begin + _SPANS]:
            made = of_scope.spans.add(
                trace_id=trace,
                span_id=span.id,
                parent_span_id=span.parent or b"",
                name=span.name,
                kind=_INTERNAL,
                start_time_unix_nano=_nanoseconds(span.start),
                end_time_unix_nano=_nanoseconds(span.end),
            )
            _attributes(made.attributes, span.attributes)
            if span.error:
                made.status.code = _ERROR  # type: ignore[assignment]  # an enum
            slice.pause_if_due()
        yield request.SerializeToString()


def metrics_request(document: Document) -> bytes | None:
    """An ExportMetricsServiceRequest with the latencies of a session; None if there are none."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    found: dict[str, list[float]] = defaultdict(list)
    slice = TimeSlice()
    for figure, seconds in latencies(document):
        found[figure].append(seconds)
        slice.pause_if_due()
    if not found:
        return None
    request = ExportMetricsServiceRequest()
    of_resource = request.resource_metrics.add()
    _attributes(of_resource.resource.attributes, _resource(document))
    of_scope = of_resource.scope_metrics.add()
    of_scope.scope.name, of_scope.scope.version = SCOPE, __version__
    metric = of_scope.metrics.add(name=LATENCY, unit="s", description="Latencies of turns, as LiveKit measures them.")
    metric.histogram.aggregation_temporality = _DELTA  # type: ignore[assignment]
    start = document["started"] or document["updated"] or 0.0
    end = max(start, document["ended"] or document["updated"] or start)
    for figure, values in sorted(found.items()):
        point = metric.histogram.data_points.add(
            start_time_unix_nano=_nanoseconds(start),
            time_unix_nano=_nanoseconds(end),
            count=len(values),
            sum=sum(values),
        )
        point.min, point.max = min(values), max(values)
        point.explicit_bounds.extend(LATENCY_BOUNDS)
        counts = [0] * (len(LATENCY_BOUNDS) + 1)
        for value in values:
            counts[bisect_left(LATENCY_BOUNDS, value)] += 1
        point.bucket_counts.extend(counts)
        facts = {"livekit.figure": figure}
        if document["agent"]:
            facts["gen_ai.agent.name"] = document["agent"]
        _attributes(point.attributes, facts)
    body: bytes = request.SerializeToString()
    return body


def _resource(document: Document) -> dict[str, Any]:
    return {"service.name": document["agent"] or "livekit-agent", "telemetry.sdk.name": SCOPE}


def _attributes(pairs: Any, attributes: Mapping[str, Any]) -> None:
    for name, value in attributes.items():
        pair = pairs.add(key=name)
        if isinstance(value, bool):
            pair.value.bool_value = value
        elif isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
            pair.value.int_value = value
        elif isinstance(value, float):
            pair.value.double_value = value
        else:
            pair.value.string_value = str(value)


def _nanoseconds(seconds: float) -> int:
    return int(min(max(seconds, 0.0), _LAST_SECOND) * 1e9)

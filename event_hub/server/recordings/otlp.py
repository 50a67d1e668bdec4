"""OTLP requests, decoded: spans, log records, metrics.

https://opentelemetry.io/docs/specs/otlp/ (OTLP/HTTP 1.x), in protobuf as LiveKit's exporters send it, or in JSON as those of
browsers and Node do. The packages that decode it are loaded with the first request.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..cooperate import TimeSlice
from ..errors import RequestError
from .spans import Span, SpanEvent, kept

PROTOBUF, JSON = "application/x-protobuf", "application/json"
_PIECE = 256 << 10
_MOST = 100_000
"""Spans or log records of one request: LiveKit's exporters send 512."""
_DEEPEST = 16
"""Nesting of an attribute's value."""
_LATEST = 2**62
"""Nanoseconds: times after the year 2116 are not."""
_UNSPECIFIED = 9
"""The level of a record that has none: that of information."""
_IDS = frozenset({"traceId", "spanId", "parentSpanId"})


class LogRecord(NamedTuple):
    """One log record. `level`: OpenTelemetry's severity number, 1 to 24."""

    at: float
    level: int
    scope: str
    body: Any
    attributes: dict[str, Any]
    trace: str | None


class JobIds(NamedTuple):
    """How a span or a record names its job; None: it does not."""

    job: str | None
    room_sid: str | None
    agent_name: str | None


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its Content-Encoding, at most `limit` bytes; raises `RequestError`."""
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise RequestError("unsupported_encoding", f"Content-Encoding is {encoding[:32]}; this route takes gzip")
    pieces, size = [], 0
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
    time_slice = TimeSlice()
    rest = body
    try:
        while not inflater.eof:
            piece = inflater.decompress(rest, _PIECE)
            rest = inflater.unconsumed_tail
            if not piece and not rest:
                raise RequestError("bad_body", "the compressed body is cut off")
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise RequestError("body_too_large", f"the body unpacks to more than {limit} bytes", limit=limit)
            time_slice.pause_if_due()
    except zlib.error as error:
        raise RequestError("bad_body", f"the body is not {encoding}: {error}") from None
    return b"".join(pieces)


def media_type(content_type: str) -> str:
    """`PROTOBUF` or `JSON`; raises `RequestError` for others."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (PROTOBUF, JSON):
        raise RequestError(
            "unsupported_media_type",
            f"the content type is {kind[:64] or 'missing'}; OTLP is {PROTOBUF} or {JSON}",
            advice="Use an OTLP/HTTP exporter, with protobuf or JSON.",
        )
    return kind


def spans(body: bytes, kind: str, *, content: bool) -> Iterator[tuple[Span, JobIds]]:
    """The spans of an ExportTraceServiceRequest; raises `RequestError`. `content`: keep all attributes."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = _parse(ExportTraceServiceRequest, body, kind)
    count = 0
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            scope = scope_spans.scope.name[:64]
            for span in scope_spans.spans:
                count = _count(count, "spans")
                if len(span.trace_id) != 16 or len(span.span_id) != 8:
                    raise RequestError("bad_body", "a span has no valid trace_id or span_id")
                attributes = _attributes(span.attributes)
                yield (
                    Span(
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.name[:128],
                        _seconds(span.start_time_unix_nano),
                        _seconds(span.end_time_unix_nano),
                        span.parent_span_id.hex() or None,
                        scope or None,
                        span.status.code == 2,
                        kept(attributes.items(), content),
                        [
                            SpanEvent(
                                event.name[:128],
                                _seconds(event.time_unix_nano),
                                kept(_attributes(event.attributes).items(), content),
                            )
                            for event in span.events[:64]
                        ],
                    ),
                    _ids(attributes, resource),
                )


def logs(body: bytes, kind: str) -> Iterator[tuple[LogRecord, JobIds]]:
    """The records of an ExportLogsServiceRequest; raises `RequestError`."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = _parse(ExportLogsServiceRequest, body, kind)
    count = 0
    for resource_logs in request.resource_logs:
        resource = _attributes(resource_logs.resource.attributes)
        for scope_logs in resource_logs.scope_logs:
            scope = scope_logs.scope.name[:128]
            for record in scope_logs.log_records:
                count = _count(count, "records")
                attributes = _attributes(record.attributes)
                at = _seconds(record.time_unix_nano or record.observed_time_unix_nano)
                yield (
                    LogRecord(
                        at,
                        min(24, record.severity_number) if record.severity_number > 0 else _UNSPECIFIED,
                        scope,
                        _value(record.body),
                        attributes,
                        record.trace_id.hex() if len(record.trace_id) == 16 else None,
                    ),
                    _ids(attributes, resource),
                )


def check_metrics(body: bytes, kind: str) -> None:
    """Raise `RequestError` unless `body` is an ExportMetricsServiceRequest. The hub has the same figures from turns and
    spans, exactly, so nothing of it is kept."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    _parse(ExportMetricsServiceRequest, body, kind)


def _count(count: int, what: str) -> int:
    if count >= _MOST:
        raise RequestError("body_too_large", f"the request has more than {_MOST} {what}", limit=_MOST)
    return count + 1


def _parse(message: Any, body: bytes, kind: str) -> Any:
    from google.protobuf.message import DecodeError

    try:
        if kind == PROTOBUF:
            return message.FromString(body)
        return _parse_json(message, body)
    except (DecodeError, RecursionError) as error:
        raise RequestError("bad_body", f"the body is not OTLP in protobuf: {error}") from None


def _parse_json(message: Any, body: bytes) -> Any:
    """OTLP's JSON is protobuf's, but for its ids, which are in hexadecimal."""
    import msgspec
    from google.protobuf.json_format import ParseDict, ParseError

    try:
        value = msgspec.json.decode(body)
        return ParseDict(_with_ids(value, 0), message(), ignore_unknown_fields=True)
    except (ValueError, RecursionError, ParseError, AttributeError, TypeError) as error:
        raise RequestError("bad_json", f"the body is not OTLP in JSON: {error}") from None


def _with_ids(value: Any, depth: int) -> Any:
    if depth > 4 * _DEEPEST:
        raise ValueError("it is nested too deeply")
    if isinstance(value, dict):
        return {
            name: base64.b64encode(bytes.fromhex(item)).decode()
            if name in _IDS and isinstance(item, str)
            else _with_ids(item, depth + 1)
            for name, item in value.items()
        }
    return [_with_ids(item, depth + 1) for item in value] if isinstance(value, list) else value


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any, depth: int = 0) -> Any:
    """An AnyValue as a plain one; None for what is too deep."""
    kind = value.WhichOneof("value")
    if kind is None or depth > _DEEPEST:
        return None
    if kind == "array_value":
        return [_value(item, depth + 1) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value, depth + 1) for pair in value.kvlist_value.values}
    if kind == "bytes_value":
        return value.bytes_value.hex()
    return getattr(value, kind)


def _ids(attributes: dict[str, Any], resource: dict[str, Any]) -> JobIds:
    """The attributes of the span itself come first: a process has one resource, that of its first job."""

    def first(*names: str) -> str | None:
        for source in (attributes, resource):
            for name in names:
                found = source.get(name)
                if isinstance(found, str) and 0 < len(found) <= 128:
                    return found
        return None

    return JobIds(first("job_id", "lk.job_id"), first("room_id", "lk.room_sid"), first("lk.agent_name"))


def _seconds(nanoseconds: int) -> float:
    return nanoseconds / 1e9 if nanoseconds < _LATEST else _LATEST / 1e9

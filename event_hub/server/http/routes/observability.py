"""`/observability/…` and `/v1/…`: what agents upload with LIVEKIT_OBSERVABILITY_URL, and any other OTLP/HTTP exporter.

An upload is answered once it is stored. LiveKit's exporters lose what is answered with 4xx or 500, and retry after 429 and
503; its recordings are retried only if the answer is a google.rpc.Status with a RetryInfo.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response, request

from ...access.origins import Origins
from ...access.principal import principal_of
from ...errors import RETRY_AFTER, RequestError
from ...hub import EventHub
from ...recordings import otlp
from ...recordings.recordings import MOST_UNPACKED, POLITE_NO, Recordings
from .. import body
from ..hang_up import ThenClose

PATHS = {
    "traces": ("/observability/traces/otlp/v0", "/v1/traces"),
    "logs": ("/observability/logs/otlp/v0", "/v1/logs"),
    "metrics": ("/observability/metrics/otlp/v0", "/v1/metrics"),
}
"""LiveKit's paths, and OpenTelemetry's own."""
RECORDINGS = "/observability/recordings/v0"
_UNAVAILABLE = 14
"""The code UNAVAILABLE of google.rpc.Code."""


class UploadRoutes:
    """The routes. `origins` decides which pages may use them: any page can make a browser post a multipart body."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def otlp(self, hub: EventHub, signal: str) -> Response:
        """One OTLP request; `signal`: traces, logs or metrics."""
        return self._answer(hub, lambda: _otlp(hub, signal), recording=False)

    def recording(self, hub: EventHub) -> Response:
        """One recording, with its report and chat history."""
        return self._answer(hub, lambda: _recording(hub), recording=True)

    def _answer(self, hub: EventHub, take: Callable[[], Response], *, recording: bool) -> Response:
        def from_a_page_that_may() -> Response:
            self._origins.publish(request.environ, principal_of(request.environ))
            return take()

        return _answering(hub, from_a_page_that_may, recording=recording)


def _otlp(hub: EventHub, signal: str) -> Response:
    recordings = _authorised(hub)
    settings = hub.settings
    kind = otlp.media_type(request.headers.get("Content-Type", ""))
    raw = b"".join(body.pieces(request.environ, settings.max_body, settings.body_timeout))
    unpacked = otlp.unpack(raw, request.headers.get("Content-Encoding", "").strip().lower(), MOST_UNPACKED)
    if signal == "traces":
        recordings.take_spans(unpacked, kind)
    elif signal == "logs":
        recordings.take_logs(unpacked, kind)
    else:
        otlp.check_metrics(unpacked, kind)
    return Response(b"{}" if kind == otlp.JSON else b"", 200, content_type=kind)


def _recording(hub: EventHub) -> Response:
    recordings = _authorised(hub)
    settings = hub.settings
    pieces = body.pieces(request.environ, settings.max_recording, settings.body_timeout)
    recordings.take_recording(request.headers.get("Content-Type", ""), pieces)
    return Response(b"", 200)


def _authorised(hub: EventHub) -> Recordings:
    hub.access.check_may_record(principal_of(request.environ), request.headers.get("Authorization", ""))
    if not hub.recordings.enabled:
        raise RequestError("recording_disabled", POLITE_NO)
    if hub.draining:
        raise RequestError("draining", "this hub is shutting down")
    return hub.recordings


def _answering(hub: EventHub, take: Callable[[], Response], *, recording: bool) -> Response:
    """The response, also to a refused request: its connection is closed, because its body may not have been read."""
    try:
        return take()
    except RequestError as error:
        hub.counters.refused[error.kind.code] += 1
        headers: list[tuple[str, str]] = error.headers()
        answer = error.body()
        if recording and error.kind.retry:
            answer = _retry_info(error)
            headers = [("Content-Type", "application/x-protobuf"), *headers[1:]]
        headers.append(("Content-Length", str(len(answer))))
        return Response(ThenClose(answer, request.environ), error.status, headers)


def _retry_info(error: RequestError) -> bytes:
    """A google.rpc.Status that tells LiveKit's agent when to try again."""
    from google.protobuf.any_pb2 import Any as AnyMessage
    from google.protobuf.duration_pb2 import Duration
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    seconds: Any = error.more.get("retry_after", RETRY_AFTER)
    details = AnyMessage()
    details.Pack(RetryInfo(retry_delay=Duration(seconds=int(seconds))))
    status: bytes = Status(code=_UNAVAILABLE, message=error.detail, details=[details]).SerializeToString()
    return status

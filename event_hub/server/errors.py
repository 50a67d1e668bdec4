"""The catalogue of errors: code, HTTP status, whether a retry can succeed, and one sentence of advice.

Error responses are `application/problem+json` (RFC 9457). `code` is stable, `detail` is for humans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Kind:
    """One entry of the catalogue. `retry`: the same request may succeed later."""

    code: str
    status: int
    title: str
    advice: str
    retry: bool = False


_KINDS = (
    Kind("bad_json", 400, "Invalid JSON", "Send one JSON object in UTF-8. Events can also be an array of objects, or NDJSON with one object per line."),
    Kind("bad_body", 400, "Incomplete body", "Send the whole body, with the correct Content-Length or valid chunks."),
    Kind("bad_cursor", 400, "Invalid cursor", "Use the id of an event, a duration such as 5m, epoch seconds, or all."),
    Kind("bad_filter", 400, "Invalid filter", "Use fewer or shorter rooms, types and sessions, or a pattern such as room=support-*."),
    Kind("bad_parameter", 400, "Invalid parameter", "Correct the parameter in `field`."),
    Kind("bad_request", 400, "Invalid request", "Send a valid HTTP request, in UTF-8."),
    Kind("bad_recording", 422, "Invalid recording", "Upload OGG Opus with one or two channels, as LiveKit's agents record it."),
    Kind("bad_signature", 401, "Invalid signature", "Use the same LIVEKIT_API_KEY and LIVEKIT_API_SECRET for the LiveKit server and this hub."),
    Kind("unauthorized", 401, "Credential required", "Send a key: -H 'Authorization: Bearer KEY', or ?access_token=KEY for EventSource; on the page, sign in."),
    Kind("recording_disabled", 401, "Recording disabled", "Nothing is to be uploaded: the operator has switched it off."),
    Kind("bad_credential", 401, "Invalid credential", "Use a key of this hub, or a token that is signed with its LIVEKIT_API_KEY and LIVEKIT_API_SECRET."),
    Kind("credential_expired", 401, "Credential expired", "Get a new token or link, or sign in again."),
    Kind("forbidden", 403, "Permission denied", "Ask the operator for a key with the required permission."),
    Kind("forbidden_origin", 403, "Origin not allowed", "Open the page from the hub or from this machine, or list its origin in HUB_CORS_ORIGINS (`*` is not enough)."),
    Kind("forbidden_address", 403, "Address not allowed", "Set HUB_CONTROL_KEYS on the hub to require keys, or HUB_AUTH=open if everyone who can reach its port may do everything."),
    Kind("not_found", 404, "Not found", "See /docs for the existing paths."),
    Kind("unknown_agent", 404, "Unknown agent", "See /api/agent/status for the existing agents."),
    Kind("no_recording", 404, "No recording", "See `recording` and `trace` of /api/sessions/<id>: it has them once they were uploaded."),
    Kind("unknown_session", 404, "Unknown session", "See /api/sessions for the existing sessions. In a URL, names must be percent-encoded."),
    Kind("method_not_allowed", 405, "Method not allowed", "See /docs for the methods of this path."),
    Kind("body_timeout", 408, "Body timed out", "Send the whole body without pauses.", retry=True),
    Kind("ambiguous_session", 409, "Ambiguous session", "Several rooms have a session of this name. Choose one of `rooms` with ?room=."),
    Kind("agent_running", 409, "Agent already running", "Use the agent in `agent`, or stop it first."),
    Kind("body_too_large", 413, "Body too large", "Send less, for example smaller batches of events, or raise HUB_MAX_BODY on the hub."),
    Kind("event_too_large", 413, "Event too large", "Shorten the event, or raise HUB_MAX_EVENT on the hub."),
    Kind("too_many_events", 413, "Too many events", "Send smaller batches."),
    Kind("unsupported_media_type", 415, "Unsupported content type", "Send JSON with -H 'Content-Type: application/json'. Events can also be application/x-ndjson."),
    Kind("unsupported_encoding", 415, "Unsupported content encoding", "Send the body uncompressed, without Content-Encoding."),
    Kind("bad_event", 422, "Invalid event", "Correct the field in `field`. See /docs/events for all types and their fields."),
    Kind("access_not_configured", 422, "Access not configured", "Set HUB_CONTROL_KEYS on the hub, and use one of those keys."),
    Kind("bad_field", 422, "Invalid field", "Correct the field in `field`. See /docs for all fields."),
    Kind("agent_not_configured", 422, "Agent not configured", "Set the variables in `detail`, in the environment or in .env, and restart the hub."),
    Kind("hub_only_type", 422, "Reserved event type", "Only the hub publishes this type. Use another type."),
    Kind("rate_limited", 429, "Too many requests", "Retry after the time in Retry-After, and send events in batches.", retry=True),
    Kind("too_many_failures", 429, "Too many wrong credentials", "Correct the key or token, and retry after the time in Retry-After.", retry=True),
    Kind("too_many_streams", 429, "Too many streams of one client", "Close a stream first, or raise HUB_CREDENTIAL_SUBSCRIBERS or HUB_ADDRESS_SUBSCRIBERS on the hub.", retry=True),
    Kind("too_many_filters", 429, "Too many patterns", "Close other streams with patterns, use exact names instead, or raise HUB_MAX_GLOBS on the hub.", retry=True),
    Kind("too_many_agents", 429, "Too many agents", "Stop an agent first. A single worker can serve any number of rooms.", retry=True),
    Kind("internal", 500, "Internal error", "Check the hub's log, and report the bug."),
    Kind("too_many_subscribers", 503, "Too many subscribers", "Retry later, or raise HUB_MAX_SUBSCRIBERS (and ulimit -n).", retry=True),
    Kind("agent_unavailable", 503, "Agent cannot be started", "The operator must fix HUB_AGENT or HUB_AGENT_STATE as `detail` says."),
    Kind("livekit_not_configured", 503, "LiveKit not configured", "Set the variables in `missing`, in the environment or in .env, and restart the hub."),
    Kind("history_unavailable", 503, "History unavailable", "Retry later. The operator must fix the problem in `detail`.", retry=True),
    Kind("recording_in_progress", 503, "Recording is being decoded", "Retry after the time in Retry-After.", retry=True),
    Kind("recordings_unavailable", 503, "Recordings cannot be kept", "Retry later. The operator must fix the problem in `detail`.", retry=True),
    Kind("draining", 503, "Hub is shutting down", "Retry in a moment, when the next hub is up.", retry=True),
)  # fmt: skip

CATALOGUE: dict[str, Kind] = {kind.code: kind for kind in _KINDS}

RETRY_AFTER = 2
"""Seconds in the Retry-After header of errors with `retry`, unless `more` has another `retry_after`."""


class RequestError(Exception):
    """A refused request. `code` is from the catalogue; `more` is added to the response (`field`, `index`, …)."""

    def __init__(self, code: str, detail: str, **more: Any) -> None:
        detail = detail.encode("utf-8", "replace").decode()  # settings and headers may contain invalid UTF-8
        super().__init__(f"{code}: {detail}")
        self.kind = CATALOGUE[code]
        self.detail = detail
        self.more = more

    @property
    def status(self) -> int:
        return self.kind.status

    def body(self) -> bytes:
        """The problem details as JSON."""
        kind = self.kind
        return msgspec.json.encode(
            {
                "type": f"/docs/errors#{kind.code}",
                "title": kind.title,
                "status": kind.status,
                "code": kind.code,
                "detail": self.detail,
                "advice": kind.advice,
                "retry": kind.retry,
                **self.more,
            }
        )

    def headers(self) -> list[tuple[str, str]]:
        headers = [("Content-Type", "application/problem+json"), ("Cache-Control", "no-store")]
        if self.kind.retry:
            headers.append(("Retry-After", str(self.more.get("retry_after", RETRY_AFTER))))
        if self.status == 401:
            headers.append(("WWW-Authenticate", "Bearer"))
        return headers

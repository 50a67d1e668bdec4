"""The catalogue of errors: code, HTTP status, whether to try again, and one sentence that says what to do.

Answers are `application/problem+json` (RFC 9457); `code` is stable, `detail` is for people.
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
    Kind("bad_json", 400, "Not JSON", "Send one JSON object in UTF-8; events also as an array of them, or one a line (NDJSON)."),
    Kind("bad_body", 400, "The body is broken", "Send all of the body, with a true Content-Length or well-formed chunks."),
    Kind("bad_cursor", 400, "Not a place in the stream", "Use the id of an event, a duration such as 5m, epoch seconds or all."),
    Kind("bad_filter", 400, "Not a filter", "Name fewer or shorter rooms, types and sessions, or use a glob such as room=support-*."),
    Kind("bad_parameter", 400, "A parameter is wrong", "Correct the parameter that `field` names."),
    Kind("bad_request", 400, "Not understood", "Send a well-formed HTTP request."),
    Kind("bad_signature", 401, "The signature does not fit", "Let LiveKit sign its webhooks with this hub's LIVEKIT_API_KEY and LIVEKIT_API_SECRET."),
    Kind("forbidden_origin", 403, "Not from this page", "Open the page from the hub itself or from this machine, or name its origin in HUB_CORS_ORIGINS (`*` is not enough)."),
    Kind("not_found", 404, "Nothing here", "Look at /docs for what there is."),
    Kind("unknown_agent", 404, "No such agent", "Look at /api/agent/status for those that there are."),
    Kind("unknown_session", 404, "No such session", "Look at /api/sessions for those that there are; a name is percent-encoded in an address."),
    Kind("method_not_allowed", 405, "Not with this method", "Look at /docs for how this address is used."),
    Kind("body_timeout", 408, "The body did not arrive", "Send the whole body without pauses.", retry=True),
    Kind("ambiguous_session", 409, "Several sessions of this name", "Say which with ?room=, one of `rooms`."),
    Kind("agent_running", 409, "It is running already", "Use the one that `agent` describes, or stop it first."),
    Kind("body_too_large", 413, "The body is too large", "Send less; of events, smaller batches (HUB_MAX_BODY)."),
    Kind("event_too_large", 413, "An event is too large", "Shorten it, or raise HUB_MAX_EVENT on the hub."),
    Kind("too_many_events", 413, "Too many events at once", "Split it into smaller batches."),
    Kind("unsupported_media_type", 415, "Not a content type that is taken", "Send it with -H 'Content-Type: application/json' (events also as application/x-ndjson)."),
    Kind("unsupported_encoding", 415, "Compressed bodies are not taken", "Send it without Content-Encoding."),
    Kind("bad_event", 422, "An event has a wrong shape", "Correct the field that `field` names; /docs/events has every type."),
    Kind("bad_field", 422, "A field is wrong", "Correct the field that `field` names; /docs has every one."),
    Kind("agent_not_configured", 422, "The agent's settings are not complete", "Set what `detail` names, in the environment or in .env, and restart the hub."),
    Kind("hub_only_type", 422, "A type of the hub's own", "Give your event another type."),
    Kind("too_many_filters", 429, "Too many different globs are watched", "Watch exact names, or come back later (HUB_MAX_GLOBS).", retry=True),
    Kind("too_many_agents", 429, "Enough agents are running", "Stop one first; one worker takes any number of rooms.", retry=True),
    Kind("internal", 500, "The hub has failed", "Look at the hub's log, and tell us what you find there."),
    Kind("too_many_subscribers", 503, "The hub is full", "Come back later, or raise HUB_MAX_SUBSCRIBERS (and ulimit -n).", retry=True),
    Kind("agent_unavailable", 503, "The agent cannot be started", "`detail` says what the operator has to mend: HUB_AGENT or HUB_AGENT_STATE."),
    Kind("livekit_not_configured", 503, "No LiveKit server is configured", "Set what `missing` names, in the environment or in .env, and restart the hub."),
    Kind("history_unavailable", 503, "The history cannot be used", "Try again; `detail` says what the operator has to mend.", retry=True),
    Kind("draining", 503, "The hub is shutting down", "Try again in a moment, when the next one is up.", retry=True),
)  # fmt: skip

CATALOGUE: dict[str, Kind] = {kind.code: kind for kind in _KINDS}

RETRY_AFTER = 2
"""Seconds that an answer with `retry` asks to wait."""


class HubError(Exception):
    """A request is refused. `code` is of the catalogue; `more` goes into the answer (`field`, `index`, …)."""

    def __init__(self, code: str, detail: str, **more: Any) -> None:
        detail = detail.encode("utf-8", "replace").decode()  # a setting or a header may be no UTF-8
        super().__init__(f"{code}: {detail}")
        self.kind = CATALOGUE[code]
        self.detail = detail
        self.more = more

    @property
    def status(self) -> int:
        return self.kind.status

    def body(self) -> bytes:
        """The problem as JSON."""
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
            headers.append(("Retry-After", str(RETRY_AFTER)))
        if self.status == 401:
            headers.append(("WWW-Authenticate", "Bearer"))
        return headers

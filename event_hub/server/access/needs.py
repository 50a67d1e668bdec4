"""The table of routes: what each needs of the principal that asks."""

from __future__ import annotations

from enum import StrEnum

from ..errors import RequestError
from .principal import Principal


class Need(StrEnum):
    """What a route needs."""

    NOTHING = "nothing"
    """Anyone may ask: pages, docs, health, and webhooks, which carry a signature of their own."""
    PUBLISH = "publish"
    """The right to publish, to at least some rooms; which ones, the route checks for each event."""
    SUBSCRIBE = "subscribe"
    """The right to see at least some rooms; the answer is limited to those."""
    CONTROL = "control"
    """The right to control the hub: agents, tokens, and what concerns all rooms at once."""


ROUTES: dict[tuple[str, str], Need] = {
    ("POST", "/api/agent/data"): Need.PUBLISH,
    ("GET", "/api/stream"): Need.SUBSCRIBE,
    ("GET", "/api/events"): Need.SUBSCRIBE,
    ("GET", "/api/sessions"): Need.SUBSCRIBE,
    ("GET", "/api/sessions/<name:id>"): Need.SUBSCRIBE,
    ("GET", "/api/sessions/<name:id>/transcript.<form>"): Need.SUBSCRIBE,
    ("GET", "/api/sessions/<name:id>/audio"): Need.SUBSCRIBE,
    ("GET", "/api/sessions/<name:id>/audio.wav"): Need.SUBSCRIBE,
    ("GET", "/api/sessions/<name:id>/audio/peaks"): Need.SUBSCRIBE,
    ("GET", "/api/sessions/<name:id>/audio/marks"): Need.SUBSCRIBE,
    ("GET", "/api/sessions/<name:id>/trace"): Need.SUBSCRIBE,
    ("GET", "/api/sessions/<name:id>/logs"): Need.SUBSCRIBE,
    ("GET", "/api/rooms/<name:room>/transcript.<form>"): Need.SUBSCRIBE,
    ("GET", "/api/rooms"): Need.SUBSCRIBE,
    ("GET", "/api/alerts"): Need.SUBSCRIBE,
    ("GET", "/api/series"): Need.SUBSCRIBE,
    ("GET", "/api/errors"): Need.SUBSCRIBE,
    ("GET", "/api/agent/status"): Need.SUBSCRIBE,
    ("POST", "/api/agent/start"): Need.CONTROL,
    ("POST", "/api/agent/stop"): Need.CONTROL,
    ("GET", "/api/agent/logs"): Need.CONTROL,
    ("POST", "/api/token"): Need.CONTROL,
    ("GET", "/api/subscribers"): Need.CONTROL,
    ("GET", "/metrics"): Need.CONTROL,
    ("POST", "/api/share"): Need.CONTROL,
    ("POST", "/api/forget"): Need.CONTROL,
    ("POST", "/api/sign-in"): Need.NOTHING,
    ("POST", "/api/sign-out"): Need.NOTHING,
    ("POST", "/api/livekit/webhook"): Need.NOTHING,
    # Uploads carry a token of LiveKit's own, which the routes check.
    ("POST", "/observability/traces/otlp/v0"): Need.NOTHING,
    ("POST", "/observability/logs/otlp/v0"): Need.NOTHING,
    ("POST", "/observability/metrics/otlp/v0"): Need.NOTHING,
    ("POST", "/observability/recordings/v0"): Need.NOTHING,
    ("POST", "/v1/traces"): Need.NOTHING,
    ("POST", "/v1/logs"): Need.NOTHING,
    ("POST", "/v1/metrics"): Need.NOTHING,
    ("GET", "/api/health"): Need.NOTHING,
    ("GET", "/api/health/live"): Need.NOTHING,
    ("GET", "/api/config"): Need.NOTHING,
    ("GET", "/"): Need.NOTHING,
    ("GET", "/stream-test.html"): Need.NOTHING,
    ("GET", "/sessions"): Need.NOTHING,
    ("GET", "/sessions/<path:id>"): Need.NOTHING,
    ("GET", "/compare"): Need.NOTHING,
    ("GET", "/trends"): Need.NOTHING,
    ("GET", "/errors"): Need.NOTHING,
    ("GET", "/events"): Need.NOTHING,
    ("GET", "/agents"): Need.NOTHING,
    ("GET", "/talk"): Need.NOTHING,
    ("GET", "/start.js"): Need.NOTHING,
    ("GET", "/favicon.ico"): Need.NOTHING,
    ("GET", "/static/<path:filename>"): Need.NOTHING,
    ("GET", "/openapi.json"): Need.NOTHING,
    ("GET", "/docs/"): Need.NOTHING,
    ("GET", "/docs/<path:path>"): Need.NOTHING,
    ("GET", "/docs/errors"): Need.NOTHING,
    ("GET", "/docs/events"): Need.NOTHING,
    ("GET", "/docs/guide/"): Need.NOTHING,
    ("GET", "/docs/guide/<path:name>"): Need.NOTHING,
}
"""(method, rule) → need. HEAD is as GET; OPTIONS needs nothing. Every route of the application has a row: a test walks the
URL map."""


def need_of(method: str, rule: str) -> Need:
    """What a request to `rule` needs; raises KeyError for a route without a row."""
    if method == "OPTIONS":
        return Need.NOTHING
    return ROUTES["GET" if method == "HEAD" else method, rule]


def allows(principal: Principal, need: Need) -> bool:
    """Whether `principal` may do what `need` says."""
    grant = principal.grant
    match need:
        case Need.NOTHING:
            return True
        case Need.PUBLISH:
            return grant.publish is None or bool(grant.publish)
        case Need.SUBSCRIBE:
            return grant.subscribe is None or bool(grant.subscribe)
        case Need.CONTROL:
            return grant.control


def authorise(principal: Principal, need: Need) -> None:
    """Raise `RequestError` unless `principal` may do what `need` says: 401 without a valid credential, otherwise 403."""
    if allows(principal, need):
        return
    if principal.kind == "anonymous":
        refusal = principal.refusal
        if refusal is None:
            raise RequestError("unauthorized", f"this hub requires a credential to {need}")
        raise RequestError(refusal.kind.code, refusal.detail, **refusal.more)
    raise RequestError("forbidden", f"{principal.label} may not {need} here")

"""Access in the description of the API, for `openapi`: security schemes, and what each route needs."""

from __future__ import annotations

import re
from typing import Any

from ..access.limits import FREE
from ..access.needs import Need, need_of
from .json_schema import COUNT, FLAG, TEXT, array, or_null, record

_ROOMS = or_null(array(TEXT))
_ACCESS: dict[str, Any] = {
    "auth": {"enum": ["open", "required"], "description": "whether this hub requires a credential"},
    "kind": {"enum": ["local", "anonymous", "key", "livekit", "share", "agent"]},
    "label": {**TEXT, "description": "the name of the key or participant"},
    "publish": {**_ROOMS, "description": "rooms that it may publish to, `*` matches any text; null: all"},
    "subscribe": {**_ROOMS, "description": "rooms whose events it may see; null: all events"},
    "session": {**or_null(TEXT), "description": "the one session that it may see, if it is limited to one"},
    "control": {**FLAG, "description": "whether it may control agents and read metrics, subscribers and logs"},
    "expires_at": {**or_null({"type": "number"}), "description": "epoch seconds"},
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "Access": {**record(**_ACCESS), "description": "what the caller may do"},
    "Erased": record(
        events={**COUNT, "description": "events in the history"},
        bytes={**COUNT, "description": "their size"},
        sessions={**COUNT, "description": "sessions that they were of"},
        lines={**COUNT, "description": "lines in files of forwarding targets"},
        files=COUNT,
        recordings={**COUNT, "description": "jobs whose recording, trace and logs were erased"},
        receivers={**array(TEXT), "description": "webhook receivers, which may have got the events"},
        agent_logs={
            **or_null(TEXT),
            "description": "folder of the agents' logs, which are not erased; null: there are none",
        },
        dry_run={**FLAG, "description": "whether they were only counted"},
    ),
    "Share": record(
        token={**TEXT, "description": "read-only credential"},
        url={**TEXT, "description": "path of the page that shows what is shared"},
        expires_at={"type": "number", "description": "epoch seconds"},
    ),
}
SCHEMES: dict[str, dict[str, Any]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "a key of this hub, a LiveKit access token, or the token of a shared link",
    },
    "query": {"type": "apiKey", "in": "query", "name": "access_token", "description": "the same, for EventSource"},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "hub_sign_in_5000",
        "description": "from /api/sign-in",
    },
}
_ERRORS = (
    "bad_request", "unauthorized", "bad_credential", "credential_expired", "forbidden", "rate_limited", "too_many_failures",
)  # fmt: skip


def security(method: str, path: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The `security` and `x-needs` of an operation, and the errors that they bring. `path`: as OpenAPI writes it."""
    need = need_of(method.upper(), _rule(path))
    if need is Need.NOTHING:
        counted = path.startswith("/api/") and path not in FREE
        return {"security": []}, ("rate_limited",) if counted else ()
    return {"security": [{name: []} for name in SCHEMES], "x-needs": str(need)}, _ERRORS


def _rule(path: str) -> str:
    """The rule of the route at `path`: ids and names are the hub's own converter."""
    return re.sub(r"\{(id|room)\}", r"<name:\1>", path).replace("{form}", "<form>")

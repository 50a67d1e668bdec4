"""For operators and tools: health, subscribers, configuration, metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Response, current_app, request

from .... import __version__
from ....events import HUB_ONLY, KNOWN
from ...access.principal import Principal, principal_of
from ...agents.modes import mode_of
from ...hub import MAX_BATCH, EventHub
from ..queries import SubscribersQuery, parse
from ..responses import json_response

_LIVEKIT_CLIENT = "vendor/livekit-client.esm.mjs"
"""The library with which the page joins a call; tools/livekit_client.py downloads it."""


def health(hub: EventHub) -> Response:
    """200 if the hub accepts events, otherwise 503, with the same facts."""
    facts = hub.health()
    principal = principal_of(request.environ)
    if not principal.sees_all and not principal.grant.control:
        facts = {"status": facts["status"]}  # numbers tell what happens in rooms that the principal may not see
    return json_response({"version": __version__, **facts}, 200 if facts["status"] == "ok" else 503)


def live() -> Response:
    """200 while this process answers requests, whatever the state of its history: a restart does not repair a full disk."""
    return json_response({"version": __version__, "status": "alive"})


def subscribers(hub: EventHub) -> Response:
    """The open streams."""
    query = parse(SubscribersQuery, request.args)
    count, listed = hub.all_subscribers(query.limit)
    return json_response({"count": count, "subscribers": listed})


def config(hub: EventHub) -> Response:
    """Features, limits and event types, for pages and publishers; contains no secrets. A stranger to a hub that requires
    credentials learns only how to sign in."""
    settings = hub.settings
    principal = principal_of(request.environ)
    access = {"auth": "required" if hub.access.required else "open", **principal.facts()}
    if principal.kind == "anonymous":
        return json_response({"version": __version__, "access": access})
    return json_response(
        {
            "version": __version__,
            "access": access,
            "epoch": hub.history.epochs.current,
            "features": [
                "agent",
                "attach",
                *([] if settings.livekit_missing else ["token", "webhook"]),
                *([f"redact:{name}" for name in hub.redacting.names] if hub.redacting else []),
                *(["talk"] if (Path(current_app.static_folder or "") / _LIVEKIT_CLIENT).exists() else []),
            ],
            "livekit_missing": settings.livekit_missing,
            "agent_name": settings.agent_name,
            "gateway": gateway(hub.agents.address_of("gateway"), principal),
            "history": hub.history.kind,
            "retention": {"age": settings.effective_retention.age, "size": settings.effective_retention.size},
            "heartbeat": settings.heartbeat,
            "stall": settings.stall,
            "slow": list(settings.slow),
            "ring": settings.ring,
            "limits": {
                "event": settings.max_event,
                "body": settings.max_body,
                "batch": MAX_BATCH,
                "subscribers": hub.streams.max_subscribers,
            },
            "cors_origins": settings.cors_origins or (),
            "types": [
                {"type": name, "when": model.when, "hub_only": name in HUB_ONLY, "example": model.example}
                for name, model in {**KNOWN, **HUB_ONLY}.items()
            ],
        }
    )


def gateway(address: str | None, principal: Principal) -> dict[str, Any] | None:
    """The addresses of the gateway and its pages, for principals with control. They reveal the operator's network, and
    subscribers do not need them. On an open hub everyone has control."""
    if address is None or not principal.grant.control:
        return None
    return {"address": address, "pages": mode_of("gateway").page_links(address)}


def answer_peers(hub: EventHub) -> None:
    """What the other worker processes of a hub ask of this one."""
    if hub.peers is None:
        return

    def page() -> str:
        from ... import metrics

        return metrics.page(hub).decode()

    hub.peers.calls.methods["metrics"] = page


def prometheus(hub: EventHub) -> Response:
    """The metrics in Prometheus' format."""
    from ... import metrics  # 10 ms, for those who scrape

    return Response(metrics.all_pages(hub), content_type=metrics.CONTENT_TYPE, headers={"Cache-Control": "no-store"})

"""For operators and tools: health, subscribers, configuration, metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from flask import Response, current_app, request

from ... import __version__
from ...events import HUB_ONLY, KNOWN
from .. import metrics
from ..hub import MAX_BATCH, Hub
from ..queries import SubscribersQuery, parse

_LIVEKIT_CLIENT = "vendor/livekit-client.esm.mjs"
"""What the page needs to talk; tools/livekit_client.py fetches it."""


def _json(value: Any, status: int = 200) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(value) + b"\n", status, headers, mimetype="application/json")


def health(hub: Hub) -> Response:
    """200 while the hub takes events, else 503, with the same facts."""
    facts = hub.health()
    return _json({"version": __version__, **facts}, 200 if facts["status"] == "ok" else 503)


def subscribers(hub: Hub) -> Response:
    """Who is watching."""
    query = parse(SubscribersQuery, request.args)
    everybody = hub.broadcast.subscribers()
    listed = [hub.broadcast.facts(subscriber) for subscriber in everybody[: query.limit]]
    return _json({"count": len(everybody), "subscribers": listed})


def config(hub: Hub) -> Response:
    """What a page or a publisher needs to know; nothing secret."""
    settings = hub.settings
    return _json(
        {
            "version": __version__,
            "epoch": hub.history.epochs.current,
            "features": [
                "agent",
                "attach",
                *([] if settings.livekit_missing else ["token", "webhook"]),
                *(["talk"] if (Path(current_app.static_folder or "") / _LIVEKIT_CLIENT).exists() else []),
            ],
            "livekit_missing": settings.livekit_missing,
            "agent_name": settings.agent_name,
            "history": hub.history.kind,
            "retention": {"age": settings.kept.age, "size": settings.kept.size},
            "heartbeat": settings.heartbeat,
            "stall": settings.stall,
            "ring": settings.ring,
            "limits": {
                "event": settings.max_event,
                "body": settings.max_body,
                "batch": MAX_BATCH,
                "subscribers": hub.max_subscribers,
            },
            "cors_origins": settings.cors_origins,
            "types": [
                {"type": name, "when": model.when, "hub_only": name in HUB_ONLY, "example": model.example}
                for name, model in {**KNOWN, **HUB_ONLY}.items()
            ],
        }
    )


def prometheus(hub: Hub) -> Response:
    """Everything that the hub counts, as Prometheus reads it."""
    return Response(
        metrics.page(hub.registry), content_type=metrics.CONTENT_TYPE, headers={"Cache-Control": "no-store"}
    )

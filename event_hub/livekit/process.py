"""The process's publisher, and what the process reports to the launcher that started it."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

from ..client import Publisher

logger = logging.getLogger("event_hub.livekit")

_lock = threading.Lock()
_publisher: Publisher | None = None


def publisher() -> Publisher:
    """The publisher that all sessions of this process share, for HUB_URL and HUB_KEY. Raises ValueError if either is
    invalid."""
    global _publisher
    with _lock:
        if _publisher is None:
            _publisher = Publisher()
        return _publisher


def agent_id() -> str | None:
    """The id that the launcher gave this agent, if a hub started it."""
    return os.environ.get("HUB_AGENT_ID") or None


def report_ready(message: str, *, address: str | None = None) -> None:
    """Report that the agent now takes calls: the launcher shows it as ready.

    `address`: of a service that listens on a port, its URL, which the launcher shows.
    """
    _report({"type": "agent_ready", "message": message, **({"address": address} if address else {})})


def report_failed(message: str, source: str | None = None) -> None:
    """Report that the agent cannot continue, in one sentence that says what to do. `source`: the part that failed."""
    _report({"type": "agent_error", "message": message, "source": source or "agent", "recoverable": False})


def _report(event: dict[str, Any]) -> None:
    if agent := agent_id():
        event["agent_id"] = agent
    if room := os.environ.get("HUB_AGENT_ROOM"):
        event["room"] = room
    try:
        publisher().publish(event)
    except ValueError as error:  # an invalid HUB_URL, or an invalid message
        logger.error("Cannot report to the hub: %s", error)


class _Registered(logging.Handler):
    """LiveKit's worker logs that it is registered, so the user's program need not report it."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == "registered worker":
            url = _without_password(str(getattr(record, "url", "")))
            report_ready(f"The worker is registered with LiveKit{f' at {url}' if url else ''} and takes calls.")


def _without_password(url: str) -> str:
    scheme, found, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{found}{host.rpartition('@')[2]}{slash}{path}"


def watch_worker() -> None:
    """If a hub started this program, report to it as soon as LiveKit's worker is registered."""
    worker = logging.getLogger("livekit.agents")
    if agent_id() and not any(isinstance(handler, _Registered) for handler in worker.handlers):
        worker.addHandler(_Registered(logging.INFO))

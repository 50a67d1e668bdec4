"""What a process has one of: its publisher, and what it tells the launcher that started it."""

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
    """The publisher that all sessions of this process share: to HUB_URL, with HUB_KEY. Raises ValueError where those
    cannot be an address and a key."""
    global _publisher
    with _lock:
        if _publisher is None:
            _publisher = Publisher()
        return _publisher


def agent_id() -> str | None:
    """The id that the launcher gave this agent, where a hub has started it."""
    return os.environ.get("HUB_AGENT_ID") or None


def report_ready(message: str) -> None:
    """Tell the hub that the agent takes calls from now on: the launcher's READY."""
    _report({"type": "agent_ready", "message": message})


def report_failed(message: str, source: str | None = None) -> None:
    """Tell the hub that the agent cannot go on, in one sentence that says what to do. `source`: which part of it."""
    _report({"type": "agent_error", "message": message, "source": source or "agent", "recoverable": False})


def _report(event: dict[str, Any]) -> None:
    if agent := agent_id():
        event["agent_id"] = agent
    if room := os.environ.get("HUB_AGENT_ROOM"):
        event["room"] = room
    try:
        publisher().publish(event)
    except ValueError as error:  # a wrong HUB_URL, or what the caller wrote
        logger.error("The hub cannot be told: %s", error)


class _Registered(logging.Handler):
    """LiveKit's worker says in its log that it is registered; a program of the user's own need not say it again."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == "registered worker":
            url = _without_password(str(getattr(record, "url", "")))
            report_ready(f"The worker is registered with LiveKit{f' at {url}' if url else ''} and takes calls.")


def _without_password(url: str) -> str:
    scheme, found, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{found}{host.rpartition('@')[2]}{slash}{path}"


def watch_worker() -> None:
    """Where a hub has started this program: tell it as soon as LiveKit's worker is registered."""
    worker = logging.getLogger("livekit.agents")
    if agent_id() and not any(isinstance(one, _Registered) for one in worker.handlers):
        worker.addHandler(_Registered(logging.INFO))

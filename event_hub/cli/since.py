"""The `--since` option of commands that read the history and end."""

from __future__ import annotations

import re

from ..client import Hub, subscribe
from .exits import UNREACHABLE, CommandFailed

_ID = re.compile(r"[0-9a-z]{1,16}-\d{1,18}", re.ASCII)


def resolve_since(hub: Hub, since: str, key: str | None) -> str:
    """The event id after which to read the history; empty for all of it. `since`: an id, `5m`, epoch seconds, `all`.

    Only the hub can convert a time into an id: a stream opened at that time starts with its cursor.
    """
    if since in ("", "all"):
        return ""
    if _ID.fullmatch(since):
        return since
    # No event has this type, so the stream sends its first event and no replay.
    with subscribe(hub.url, since=since, key=key, type=("stream_opened",), notices=True, reconnect=False) as opened:
        for received in opened:
            if received.event.get("type") == "stream_opened":
                return str(received.event["cursor"])
    raise CommandFailed("the hub closed the stream that resolves --since: try again", UNREACHABLE)

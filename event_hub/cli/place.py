"""Places in the history: `--since` of commands that read it and end, and events with their ids."""

from __future__ import annotations

import re

import msgspec

from ..client import Hub, Received, subscribe
from .ending import UNREACHABLE, Failed

_ID = re.compile(r"[0-9a-z]{1,16}-\d{1,18}", re.ASCII)


def after(hub: Hub, since: str, key: str | None) -> str:
    """The id after which the history is to be read; empty for all of it. `since`: an id, `5m`, epoch seconds, `all`.

    What a time means is the hub's to say: a stream that begins there names its place first.
    """
    if since in ("", "all"):
        return ""
    if _ID.fullmatch(since):
        return since
    # The type is one that no event has: only the stream's own first event is wanted, not a replay.
    with subscribe(hub.url, since=since, key=key, type=("stream_opened",), notices=True, reconnect=False) as opened:
        for received in opened:
            if received.event.get("type") == "stream_opened":
                return str(received.event["cursor"])
    raise Failed("the hub has ended the stream that was to tell where to begin: try again", UNREACHABLE)


def with_id(received: Received) -> str:
    """An event with its id, as one line of JSON: the event as the hub sent it."""
    return f'{{"id":{msgspec.json.encode(received.id).decode()},"event":{received.raw}}}'

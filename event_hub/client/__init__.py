"""Publish to a hub and subscribe to one, over HTTP.

`Publisher` is for programs that must not wait (agents), `Hub` for scripts that want to know what became of each POST
and to read the history, `subscribe` for whoever watches. All of them take the hub's address from `HUB_URL` and the key
from `HUB_KEY` where none is given.
"""

from ..events import InvalidEvent
from .errors import HubError, NotAHub, Refused, Unreachable
from .hub import Hub
from .publisher import Publisher, Stats
from .records import Posted, Received
from .subscription import Subscription, subscribe

__all__ = [
    "Hub",
    "HubError",
    "InvalidEvent",
    "NotAHub",
    "Posted",
    "Publisher",
    "Received",
    "Refused",
    "Stats",
    "Subscription",
    "Unreachable",
    "subscribe",
]

"""Publish to a hub and subscribe to it over HTTP.

`Publisher` is for programs that must never wait (agents). `Hub` is for scripts that need the result of each POST or read
the history. `subscribe` is for programs that watch. Without arguments, all three take the hub's address from `HUB_URL`
and its key from `HUB_KEY`.
"""

from ..events import InvalidEvent
from .credentials import Credential
from .errors import AccessDenied, AccessEnded, CredentialUnavailable, HubError, NotAHub, Refused, Unreachable
from .hub import Hub
from .publisher import Publisher, Stats
from .results import Posted, Received, Share
from .subscription import Subscription, subscribe

__all__ = [
    "AccessDenied",
    "AccessEnded",
    "Credential",
    "CredentialUnavailable",
    "Hub",
    "HubError",
    "InvalidEvent",
    "NotAHub",
    "Posted",
    "Publisher",
    "Received",
    "Refused",
    "Share",
    "Stats",
    "Subscription",
    "Unreachable",
    "subscribe",
]

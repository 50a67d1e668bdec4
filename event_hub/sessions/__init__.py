"""Turns a stream of events into sessions: their states, turns, latencies and conversations.

Pure: the same events in the same order give the same result, to the byte.
"""

from .captions import Spoken
from .condense import Condenser
from .index import Sessions, belongs, replay_into
from .latency import Samples
from .session import Session
from .shelf import Shelf
from .usage import Unassigned

__all__ = ["Condenser", "Samples", "Session", "Sessions", "Shelf", "Spoken", "Unassigned", "belongs", "replay_into"]

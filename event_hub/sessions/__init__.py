"""What a stream adds up to: sessions with their states, turns, latencies and conversation, out of events alone.

Pure: the same events in the same order give the same, to the byte. Imports the vocabulary and nothing else of ours.
"""

from .condense import Condenser
from .index import Sessions, belongs, retell
from .latency import Samples
from .session import Session
from .transcripts import Spoken

__all__ = ["Condenser", "Samples", "Session", "Sessions", "Spoken", "belongs", "retell"]

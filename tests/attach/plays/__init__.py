"""Small agents of many kinds, and conversations with them, for the comparison with LiveKit's own records."""

from . import realtime, text, voice
from .stage import PLAYS, Stage

__all__ = ["PLAYS", "Stage", "realtime", "text", "voice"]

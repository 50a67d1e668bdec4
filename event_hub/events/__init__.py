"""The vocabulary: the envelope and one model per known event type.

The one source: the hub validates with it, publishers construct from it, and JSON Schema, docs and the page's table
are generated from it. Imports nothing of ours.
"""

from .catalogue import HUB_ONLY, KNOWN, WEBHOOK_PREFIX, InvalidEvent, check
from .conversation import (
    AgentFalseInterruption,
    AgentSpeechFinished,
    AgentSpeechStarted,
    AgentTextComplete,
    AgentTextDelta,
    Transcript,
    UserSpeechFinished,
    UserSpeechStarted,
)
from .envelope import Event
from .session import (
    AgentError,
    AgentHandoff,
    AgentProcessExited,
    AgentProcessStarted,
    AgentReady,
    AgentStateChanged,
    EventsDropped,
    LiveKitWebhook,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
    ToolCallStarted,
    TurnMetrics,
    UsageUpdated,
    UserStateChanged,
)
from .stream import Heartbeat, StreamClosing, StreamGap, StreamOpened

__all__ = [
    "HUB_ONLY",
    "KNOWN",
    "WEBHOOK_PREFIX",
    "AgentError",
    "AgentFalseInterruption",
    "AgentHandoff",
    "AgentProcessExited",
    "AgentProcessStarted",
    "AgentReady",
    "AgentSpeechFinished",
    "AgentSpeechStarted",
    "AgentStateChanged",
    "AgentTextComplete",
    "AgentTextDelta",
    "Event",
    "EventsDropped",
    "Heartbeat",
    "InvalidEvent",
    "LiveKitWebhook",
    "SessionEnded",
    "SessionStarted",
    "StreamClosing",
    "StreamGap",
    "StreamOpened",
    "ToolCallFinished",
    "ToolCallStarted",
    "Transcript",
    "TurnMetrics",
    "UsageUpdated",
    "UserSpeechFinished",
    "UserSpeechStarted",
    "UserStateChanged",
    "check",
]

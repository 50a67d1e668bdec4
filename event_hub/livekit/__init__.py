"""Report what a LiveKit agent hears, says and does to a hub, with one line.

>>> from event_hub.livekit import attach            # doctest: +SKIP
>>> attach(session)                                 # doctest: +SKIP
"""

from ..events import build
from .attachment import Attachment, attach
from .process import publisher, report_failed, report_ready, watch_worker
from .raw_text import tap_llm
from .stream_events import StreamEvent, TextCompleteEvent, TextDeltaEvent
from .streaming_text_output import StreamingTextOutput
from .text_turn import TextStream
from .websocket_llm import WebSocketLLM, WebSocketLLMStream

__all__ = [
    "Attachment",
    "StreamEvent",
    "StreamingTextOutput",
    "TextCompleteEvent",
    "TextDeltaEvent",
    "TextStream",
    "WebSocketLLM",
    "WebSocketLLMStream",
    "attach",
    "publisher",
    "report_failed",
    "report_ready",
    "tap_llm",
]

build()  # a voice loop cannot wait for validators
watch_worker()

"""Which endpoint a frame is meant for: a client at the wrong address is told the right one. Pure."""

from __future__ import annotations

from collections.abc import Mapping

CHAT, LLM, ECHO, RECORD, TRANSCRIBE, REPLIES = (
    "/chat",
    "/llm",
    "/ws",
    "/ws/audio-stream",
    "/ws/transcribe-stream",
    "/ws/llm-stream",
)
COMMANDS = ("START_RECORDING", "STOP_RECORDING")
"""Text frames of the recording endpoint that are not JSON."""


def intended_path(frame: object) -> str | None:
    """The path of the endpoint that `frame` (decoded JSON, or the text of a frame that is not JSON) belongs to.

    None if it belongs to no protocol, or to several.
    """
    if isinstance(frame, str):
        return RECORD if frame.strip() in COMMANDS else None
    if not isinstance(frame, Mapping):
        return None
    kind = frame.get("type")
    if kind in COMMANDS:
        return RECORD
    if kind == "chat" or (kind is None and "messages" in frame):
        return LLM
    if kind == "sync" or (kind is None and "text" in frame):
        return REPLIES
    if kind is None and "message" in frame:
        return CHAT
    if kind == "end":
        return TRANSCRIBE
    return None

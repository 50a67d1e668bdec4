"""What audio is, by its first bytes, and what its file is called. Pure."""

from __future__ import annotations

import re
import struct
import uuid
from typing import Literal

Container = Literal["webm", "ogg", "mp4", "wav"]
MAGIC = 12
"""Bytes that decide."""
WAV_HEADER = 44

_STEM = r"streamed_audio_(?P<session>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})_\d{1,12}"
_FINISHED = re.compile(_STEM + r"\.(wav|webm|ogg|mp4|bin)")
_UNFINISHED = re.compile(_STEM + r"\.(wav|raw)\.part")
_UNSENT = re.compile(_STEM + r"\.unsent")
PCM_PART, RAW_PART, CONVERTED = ".wav.part", ".raw.part", ".wav.new"
"""How the names of unfinished files end: a WAV file whose header does not know its length yet, a container as it was
received, and the WAV file that is being made of it."""
UNSENT, ENCODED = ".unsent", ".ogg.new"
"""How the names of these end: the note that the hub has yet to get a recording, and what it gets."""


def container_of(data: bytes) -> Container | None:
    """The container format that begins like this; None for bare samples."""
    if data.startswith(b"\x1aE\xdf\xa3"):
        return "webm"
    if data.startswith(b"OggS"):
        return "ogg"
    if data[4:8] == b"ftyp":
        return "mp4"
    if data.startswith((b"RIFF", b"RF64")) and data[8:12] == b"WAVE":
        return "wav"
    return None


def new_name(now: float) -> tuple[str, str]:
    """A new session's id, and the stem of its file. `now`: Unix time in seconds."""
    session = str(uuid.uuid4())
    return session, f"streamed_audio_{session}_{int(now)}"


def is_recording(name: str) -> bool:
    """Whether this is the name of a finished recording, and nothing else (V37)."""
    return _FINISHED.fullmatch(name) is not None


def is_unfinished(name: str) -> bool:
    """Whether this is the name of a recording that is in progress, or was when its gateway was killed."""
    return _UNFINISHED.fullmatch(name) is not None


def is_note(name: str) -> bool:
    """Whether this is the name of a note that the hub has yet to get a recording."""
    return _UNSENT.fullmatch(name) is not None


def session_of(name: str) -> str:
    """The session's id in the name of a recording, finished or not, or of its note. Raises ValueError."""
    match = _FINISHED.fullmatch(name) or _UNFINISHED.fullmatch(name) or _UNSENT.fullmatch(name)
    if match is None:
        raise ValueError(name)
    return match["session"]


def wav_lengths(size: int) -> tuple[tuple[int, bytes], tuple[int, bytes]]:
    """What a 44-byte WAV header says in a file of `size` bytes: (place, bytes) twice."""
    return (4, struct.pack("<I", size - 8)), (40, struct.pack("<I", size - WAV_HEADER))

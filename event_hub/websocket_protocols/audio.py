"""`/ws/audio-stream` (recording) and `/ws/transcribe-stream` (transcription). Audio itself is sent in binary frames.

Source: the voice WebSockets of days 16 and 17 (V25–V37), whose commands and file names stay as they are.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Frame

# -- recording: the client sends ---------------------------------------------------------------------------------------


class StartRecording(Frame):
    """Begins a recording. The bare text `START_RECORDING` does the same, with the defaults."""

    type: Literal["START_RECORDING"] = "START_RECORDING"
    format: Literal["pcm", "webm"] | None = Field(
        None, description="of the binary frames; without it, the first bytes decide"
    )
    sample_rate: int = Field(16000, ge=8000, le=192000, description="of PCM, in Hz; WebM says its own")


class StopRecording(Frame):
    """Ends the recording and saves the file. The bare text `STOP_RECORDING` does the same."""

    type: Literal["STOP_RECORDING"] = "STOP_RECORDING"


# -- recording: the gateway sends --------------------------------------------------------------------------------------


class RecordingStarted(Frame):
    """Binary frames are recorded from now on."""

    type: Literal["recording_started"] = "recording_started"
    session_id: str = Field(description="of this recording; part of the file's name")


class RecordingSaved(Frame):
    """The file is complete."""

    type: Literal["recording_saved"] = "recording_saved"
    session_id: str = Field(description="of this recording")
    file: str = Field(description="the file's name in GATEWAY_UPLOADS")
    url: str = Field(description="where the gateway serves it")
    format: str = Field(description="what the file contains, as its name says: wav, or webm, ogg, mp4, bin")
    bytes: int = Field(description="size of the file")
    duration: float | None = Field(None, description="in seconds; absent if the audio could not be decoded")
    message: str | None = Field(None, description="why the file is not a WAV file, or what it lacks")


class RecordingEmpty(Frame):
    """No audio was received, so there is no file."""

    type: Literal["recording_empty"] = "recording_empty"
    message: str


# -- transcription: the client sends -----------------------------------------------------------------------------------


class EndOfAudio(Frame):
    """Finishes the utterance. The gateway answers with the remaining transcripts, then `end`; audio may follow."""

    type: Literal["end"] = "end"


# -- transcription: the gateway sends ----------------------------------------------------------------------------------


class TranscriptionReady(Frame):
    """Sent first: the audio that is expected."""

    type: Literal["ready"] = "ready"
    sample_rate: int = Field(description="in Hz; samples are 16-bit little-endian")
    channels: int
    session_id: str = Field(description="the session on the hub: the query's `session_id`, or a new one")


class SpeechStarted(Frame):
    """The user begins to speak."""

    type: Literal["speech_started"] = "speech_started"


class SpeechEnded(Frame):
    """The user stopped speaking."""

    type: Literal["speech_ended"] = "speech_ended"


class Partial(Frame):
    """An interim transcript: the whole utterance so far. Replaces the one before it."""

    type: Literal["partial"] = "partial"
    text: str
    utterance: str = Field(description="ties interims to their final")


class Final(Frame):
    """The final transcript of an utterance. Replaces its interims."""

    type: Literal["final"] = "final"
    text: str
    utterance: str
    language: str | None = Field(None, description="BCP 47, where the STT reports it")


class Reconnecting(Frame):
    """The STT failed and is connected again. Keep sending: audio is buffered meanwhile."""

    type: Literal["reconnecting"] = "reconnecting"
    message: str
    attempt: int = Field(description="1 for the first")


class TranscriptionEnded(Frame):
    """Everything up to the client's `end` is transcribed."""

    type: Literal["end"] = "end"


RECORDING_COMMANDS: dict[str, type[Frame]] = {"START_RECORDING": StartRecording, "STOP_RECORDING": StopRecording}
"""What a client of `/ws/audio-stream` sends as text."""
TRANSCRIPTION_COMMANDS: dict[str, type[Frame]] = {"end": EndOfAudio}
"""What a client of `/ws/transcribe-stream` sends as text."""

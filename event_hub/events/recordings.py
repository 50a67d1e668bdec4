"""What the hub tells of a session's recording and trace, once they have been uploaded."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from .envelope import Epoch, Event, Name, Seconds, Text


class RecordingAvailable(Event):
    when: ClassVar[str] = "the recording of a session was uploaded"
    example: ClassVar[dict[str, Any]] = {
        "type": "recording_available",
        "session": "s1",
        "duration": 23.6,
        "channels": 2,
        "started": 1795649496.58,
        "url": "/api/sessions/s1/audio",
    }
    type: Literal["recording_available"]
    duration: Seconds
    channels: int = Field(description="2: the user is channel 0, the agent channel 1")
    started: Epoch | None = Field(None, description="when the first sample was taken")
    url: Text = Field(description="where the hub serves it: OGG Opus, with Range")
    job: Name | None = Field(None, description="LiveKit's job")


class TraceAvailable(Event):
    when: ClassVar[str] = "spans of a session were uploaded; once more when its job has ended"
    example: ClassVar[dict[str, Any]] = {
        "type": "trace_available",
        "session": "s1",
        "complete": True,
        "url": "/api/sessions/s1/trace",
    }
    type: Literal["trace_available"]
    complete: bool = Field(description="the job has ended: nothing more is expected")
    url: Text = Field(description="where the hub serves the spans")
    job: Name | None = Field(None, description="LiveKit's job")

"""The envelope: the fields that every event shares."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

TYPE_PATTERN = r"^[A-Za-z0-9_.:-]{1,64}$"

Name = Annotated[str, Field(min_length=1, max_length=256)]
"""A room, session or participant: long enough for any SID or slug, short enough to filter by."""

Text = str
Seconds = Annotated[float, Field(ge=0, description="a duration in seconds", json_schema_extra={"unit": "s"})]
MILLISECONDS = 1e11
"""A point in time from here on is not in epoch seconds, but most likely in milliseconds (`Date.now()`)."""
Epoch = Annotated[float, Field(ge=0, lt=MILLISECONDS, json_schema_extra={"unit": "s"})]
"""A point in time, in epoch seconds."""

SpeechId = Annotated[
    Text | None, Field(description="LiveKit's SpeechHandle: `metrics_collected` of the same `speech_id` is about it")
]


class Event(BaseModel):
    """One published fact. Fields that are not listed here pass through unchanged.

    Strict: a number in a text field (or text in a number field) is refused, never converted, because subscribers
    receive exactly what was posted.
    """

    # A validator takes 0.5 to 5 ms to build, and a hub that starts has no use for those of all types: see `catalogue.build`.
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, defer_build=True)

    when: ClassVar[str] = ""
    example: ClassVar[dict[str, Any]] = {}

    type: Annotated[str, Field(pattern=TYPE_PATTERN, description="the kind of event")]
    timestamp: Epoch | None = Field(None, description="epoch seconds; the hub adds it if it is missing")
    event_id: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None,
        description="the publisher's id for this event, globally unique (a UUID); an event posted twice is broadcast once",
    )
    room: Name | None = Field(None, description="LiveKit's room")
    session: Name | None = Field(None, description="one AgentSession")
    participant: Name | None = Field(
        None, description="the LiveKit identity of the participant that the event is about"
    )
    role: Literal["user", "agent"] | None = Field(None, description="which side of the conversation")
    utterance: Name | None = Field(
        None,
        description="groups the events of one stretch of speech: interims and their final transcript, or an agent's "
        "deltas, speech pair and final transcript",
    )

"""The envelope: what every event has in common, whatever its type."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

TYPE_PATTERN = r"^[A-Za-z0-9_.:-]{1,64}$"

Name = Annotated[str, Field(min_length=1, max_length=256)]
"""A room, a session, a participant: long enough for any SID or slug, short enough to be filtered by."""

Text = str
Seconds = Annotated[float, Field(ge=0, description="a duration in seconds", json_schema_extra={"unit": "s"})]


class Event(BaseModel):
    """One published fact. Fields that are not listed here pass through unchanged.

    Strict: a number in a text field, or text in a number's, is refused instead of being converted, because what a
    subscriber receives is what was posted, not what it was converted to.
    """

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    when: ClassVar[str] = ""
    example: ClassVar[dict[str, Any]] = {}

    type: Annotated[str, Field(pattern=TYPE_PATTERN, description="the kind of event")]
    timestamp: float | None = Field(
        None,
        ge=0,
        description="epoch seconds; the hub fills it in where it is missing",
        json_schema_extra={"unit": "s"},
    )
    event_id: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None,
        description="the publisher's own id, unique among all publishers (a UUID): posted twice, it is broadcast once",
    )
    room: Name | None = Field(None, description="LiveKit's room")
    session: Name | None = Field(None, description="one AgentSession")
    participant: Name | None = Field(None, description="who it is about, as LiveKit names them")
    role: Literal["user", "agent"] | None = Field(None, description="which side of the conversation")
    utterance: Name | None = Field(
        None,
        description="ties together what belongs to one stretch of speech: interims and their final, or an agent's "
        "deltas, speech pair and final transcript",
    )

"""The query parameters of sessions, rooms and transcripts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from ..filters import Filter
from ..settings import seconds
from .queries import Query, filter_of, patterns


class RoomsQuery(Query):
    room: list[str] = patterns("sessions of this room", examples=["support-*"])
    session: list[str] = patterns("sessions with this name")
    status: Literal["live", "ended"] | None = Field(None, description="only live, or only ended sessions")
    since: str = Field(
        "", description="only sessions with an event since a duration (`5m`), epoch seconds, or an event's id"
    )
    limit: int = Field(50, ge=1, le=1000, description="maximum number to list, the newest first")

    def filter(self) -> Filter:
        """Raises `RequestError`."""
        return filter_of(self.room, [], self.session)


def _duration(text: str) -> str:
    if text:
        seconds(text)
    return text


_Duration = Annotated[str, AfterValidator(_duration)]
_Has = Literal["error", "tool_error", "interruption", "recording", "note"]


def _split(value: Any) -> Any:
    """`has=error,note` as well as `has=error&has=note`."""
    return [part for text in value for part in str(text).split(",") if part] if isinstance(value, list) else value


class SessionsQuery(RoomsQuery):
    q: str = Field(
        "",
        max_length=256,
        description="only sessions in which these words were said, or whose room, session or agent has this in its name; each lists its `matches`",
    )
    agent: list[str] = patterns("sessions of this agent")
    version: list[str] = patterns("sessions of this version of the agent")
    tag: list[str] = Field(
        default_factory=list, description="only sessions with this tag; repeatable: with all of them"
    )
    has: Annotated[list[_Has], BeforeValidator(_split)] = Field(
        default_factory=list,
        description="only sessions with at least one error, interruption, …; repeatable, or separated by commas: all of them must occur",
    )
    slow: _Duration = Field(
        "", description="only sessions in which the user waited this long for an answer", examples=["2s"]
    )
    status: Literal["live", "silent", "ended"] | None = Field(  # type: ignore[assignment]
        None, description="only live, only ended sessions, or only live ones without an event for five minutes"
    )
    sort: Literal["updated", "started", "duration", "turns", "slowest", "errors"] = Field(
        "updated", description="the largest value first"
    )
    until: float | None = Field(None, ge=0, le=1e12, description="only sessions that started before, in epoch seconds")
    before: str = Field(
        "",
        description="the `next` of the page before, or the `last` of a session: only sessions whose newest event is before it",
    )


class SessionQuery(Query):
    room: str | None = Field(None, description="the session's room, if several rooms have a session of this name")


def _names(text: str) -> str:
    for pair in filter(None, text.split(",")):
        id, colon, name = pair.rpartition(":")
        if not (colon and id.strip() and name.strip()):
            raise ValueError(f"{pair[:40]} is not ID:NAME, as in S1:Ada,S2:Bo")
    return text


class SpeakersQuery(Query):
    speakers: Annotated[str, AfterValidator(_names)] = Field(
        "",
        description="what to call speakers in the transcript: pairs of a `speaker_id`, or a participant, and a name",
        examples=["S1:Ada,S2:Bo"],
    )

    def names(self) -> dict[str, str]:
        """The names, by `speaker_id` or participant."""
        pairs = (pair.rpartition(":") for pair in self.speakers.split(",") if pair)
        return {id.strip(): name.strip() for id, _, name in pairs}


class TranscriptQuery(SessionQuery, SpeakersQuery):
    """One session's transcript."""


class SeriesQuery(Query):
    """`/api/series`."""

    room: list[str] = patterns("sessions of this room")
    agent: list[str] = Field(default_factory=list, description="only sessions of this agent; repeatable")
    version: list[str] = Field(
        default_factory=list, description="only sessions of this version of the agent; repeatable"
    )
    since: str = Field("7d", description="a duration (`7d`), epoch seconds, or `all`")
    until: float | None = Field(None, ge=0, le=1e12, description="epoch seconds; default: now")
    by: Literal["agent", "version", "room"] = Field("agent", description="what makes a group")
    step: int | None = Field(
        None,
        ge=1,
        description="seconds between two points; larger if there were too many; default: at most 400 points",
    )


class ProblemsQuery(Query):
    """`/api/errors`."""

    room: list[str] = patterns("sessions of this room")
    agent: list[str] = patterns("sessions of this agent")
    version: list[str] = patterns("sessions of this version of the agent")
    since: str = Field("7d", description="a duration (`7d`), epoch seconds, or `all`")
    limit: int = Field(100, ge=1, le=1000, description="maximum number of groups, and of tools, to list")

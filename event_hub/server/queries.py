"""The parameters and bodies of each route: one model each, with which requests are checked and the API description is made."""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError
from werkzeug.datastructures import MultiDict

from .errors import HubError
from .filters import BadFilter, Filter
from .settings import seconds

_Model = TypeVar("_Model", bound=BaseModel)


_LONGEST_WAIT = 60.0
"""Seconds: proxies cut a request off that takes longer."""


class _Query(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


def _filter(rooms: list[str], types: list[str], sessions: list[str]) -> Filter:
    try:
        return Filter.of(rooms, types, sessions)
    except BadFilter as error:
        raise HubError("bad_filter", str(error)) from None


class FilterQuery(_Query):
    room: list[str] = Field(
        default_factory=list,
        description="only events of this room; repeatable; `*` stands for anything",
        examples=["support-*"],
    )
    type: list[str] = Field(
        default_factory=list, description="only events of this type; repeatable; `*` stands for anything"
    )
    session: list[str] = Field(
        default_factory=list, description="only events of this session; repeatable; `*` stands for anything"
    )

    def filter(self) -> Filter:
        """Raises `HubError`."""
        return _filter(self.room, self.type, self.session)


class StreamQuery(FilterQuery):
    last_event_id: str = Field(
        "", description="the id that was seen last, for clients that cannot send `Last-Event-ID`"
    )
    since: str = Field("", description="replay first: an event's id, a duration (`5m`), epoch seconds, or `all`")
    replay: int | None = Field(None, ge=0, le=1_000_000, description="replay the newest so many events first")


class EventsQuery(FilterQuery):
    after: str = Field("", description="an event's id: the events after it, oldest first")
    before: str = Field("", description="an event's id: the newest events before it; with `after`, where to stop")
    limit: int = Field(100, ge=1, le=1000, description="events on a page (an NDJSON export has no pages)")
    past: int = Field(
        0,
        ge=0,
        le=10_000,
        description="with the newest page: of what came before it so many events at the most, without those that later "
        "ones have replaced (interims, pieces of texts)",
    )


class RoomsQuery(_Query):
    room: list[str] = Field(
        default_factory=list,
        description="only sessions of this room; repeatable; `*` stands for anything",
        examples=["support-*"],
    )
    session: list[str] = Field(
        default_factory=list, description="only sessions of this name; repeatable; `*` stands for anything"
    )
    status: Literal["live", "ended"] | None = Field(None, description="only those that go on, or that have ended")
    since: str = Field(
        "", description="only those with an event since: a duration (`5m`), epoch seconds, an event's id"
    )
    limit: int = Field(50, ge=1, le=1000, description="how many in one answer, the newest first")

    def filter(self) -> Filter:
        """Raises `HubError`."""
        return _filter(self.room, [], self.session)


class SessionsQuery(RoomsQuery):
    before: str = Field("", description="the `last` of a session: those whose newest event is before it")


class SessionQuery(_Query):
    room: str | None = Field(None, description="which one, where several rooms have a session of this name")


class SubscribersQuery(_Query):
    limit: int = Field(1000, ge=1, le=100_000, description="subscribers to list; `count` has them all")


def _wait(text: str) -> str:
    if seconds(text) > _LONGEST_WAIT:
        raise ValueError("is more than a minute")
    return text


class StopQuery(_Query):
    wait: Annotated[str, AfterValidator(_wait)] = Field(
        "0s", description="answer when they are gone, after so long at the latest; at most a minute", examples=["15s"]
    )


class LogsQuery(_Query):
    agent_id: str | None = Field(None, description="whose log; without it the newest agent's")
    lines: int = Field(200, ge=1, le=2000, description="so many of the newest lines")


class NoQuery(_Query):
    """Takes none."""


# -- bodies ----------------------------------------------------------------------------------------------------------

_INSTRUCTIONS = 32 << 10
"""Bytes: they go through the environment, where Linux allows 128 KiB for one value."""
_METADATA = 16 << 10
"""Bytes of metadata and of attributes, each: a token is a part of an address."""


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Those that turn the direction of text included: with them one name looks like another."""


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("has control characters")
    return text


def _own_attributes(attributes: dict[str, str]) -> dict[str, str]:
    for name in attributes:
        if name.strip().lower().startswith("lk."):
            raise ValueError(f"{name[:64]} is LiveKit's own: names that begin with `lk.` are not a client's to set")
    return attributes


def _instructions(text: str) -> str:
    if "\0" in text:
        raise ValueError("has a character of code 0")
    if len(text.encode()) > _INSTRUCTIONS:
        raise ValueError(f"takes {len(text.encode())} bytes, the limit is {_INSTRUCTIONS}")
    return text


def _small(value: Any) -> Any:
    size = (
        len(value.encode())
        if isinstance(value, str)
        else sum(len(k.encode()) + len(v.encode()) for k, v in value.items())
    )
    if size > _METADATA:
        raise ValueError(f"takes {size} bytes, the limit is {_METADATA}")
    return value


_Name = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_printable)]
_Seconds = Annotated[int, Field(ge=0, le=0xFFFFFFFF)]


class _Body(BaseModel):
    """Strict: text is text, and what is unknown is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, given: Any) -> Any:
        if isinstance(given, dict):
            for name in cls.model_fields:
                if (camel := to_camel(name)) != name and name in given and camel in given:
                    raise PydanticCustomError("both", "is given twice, as {camel}, too", {"name": name, "camel": camel})
        return given


class StartBody(_Body):
    mode: Literal["worker", "room", "scripted"] | None = Field(
        None,
        description="`worker` takes the rooms that LiveKit sends it, `room` joins one room, `scripted` plays a "
        "conversation and needs neither key nor network; without it, what the settings allow",
    )
    room: _Name | None = Field(None, description="LiveKit's room")
    instructions: Annotated[str, AfterValidator(_instructions)] | None = Field(
        None, description="what the agent is told to be, instead of its own; at most 32 KiB"
    )


class StopBody(_Body):
    agent_id: _Name | None = Field(None, description="which one; without it all")


def _either(name: str, default: Any, about: str) -> Any:
    """A field that is also known by its name in camelCase; both spellings are LiveKit's own clients'."""
    return Field(default, description=about, validation_alias=AliasChoices(name, to_camel(name)))


class AgentDispatch(_Body):
    agent_name: Annotated[str, Field(max_length=256)] = _either(
        "agent_name", "", "the name that a worker registers under"
    )
    metadata: Annotated[str, AfterValidator(_small)] = Field("", description="for the agent's job")
    restart_policy: str | int | None = _either("restart_policy", None, "LiveKit's own")
    deployment: str | None = Field(None, description="LiveKit's own")
    attributes: Annotated[dict[str, str], AfterValidator(_small)] | None = Field(None, description="for the agent")


class RoomConfig(_Body):
    """LiveKit's `RoomConfiguration`, without `egress`: who may join a room may not have it recorded at your cost."""

    name: str | None = Field(None, max_length=256, description="a configuration that LiveKit's server knows")
    empty_timeout: _Seconds | None = _either(
        "empty_timeout", None, "seconds that it stays open while nobody has joined"
    )
    departure_timeout: _Seconds | None = _either(
        "departure_timeout", None, "seconds that it stays open when all have left"
    )
    max_participants: _Seconds | None = _either("max_participants", None, "how many may be in it")
    metadata: Annotated[str, AfterValidator(_small)] | None = Field(None, description="the room's")
    min_playout_delay: _Seconds | None = _either("min_playout_delay", None, "milliseconds")
    max_playout_delay: _Seconds | None = _either("max_playout_delay", None, "milliseconds")
    sync_streams: bool | None = _either("sync_streams", None, "keep sound and picture together")
    agents: Annotated[list[AgentDispatch], Field(max_length=8)] | None = Field(None, description="agents to dispatch")
    tags: Annotated[dict[str, str], AfterValidator(_small)] | None = Field(None, description="the room's")

    def as_protobuf_json(self) -> dict[str, Any]:
        """As it stands in a token: camelCase, and only what was given."""
        config: dict[str, Any] = _camel(self.model_dump(exclude_none=True, exclude_unset=True))
        return config


class TokenBody(_Body):
    room_name: _Name | None = _either("room_name", None, "the room to join; without it a new one")
    participant_name: _Name | None = _either("participant_name", None, "the name to show")
    participant_identity: _Name | None = _either("participant_identity", None, "who joins; without it a new guest")
    participant_metadata: Annotated[str, AfterValidator(_small)] = _either("participant_metadata", "", "passed on")
    participant_attributes: Annotated[dict[str, str], AfterValidator(_small), AfterValidator(_own_attributes)] = (
        _either("participant_attributes", {}, "passed on")
    )
    room_config: RoomConfig | None = _either("room_config", None, "how the room is made, and which agents come")


_FREE = frozenset({"tags", "attributes"})
"""Whose keys are the user's own."""


def _camel(value: Any) -> Any:
    if isinstance(value, dict):
        return {to_camel(name): part if name in _FREE else _camel(part) for name, part in value.items()}
    return [_camel(part) for part in value] if isinstance(value, list) else value


def check(model: type[_Model], value: Any) -> _Model:
    """The body of a request as `model`; None, for a body that is empty, is `{}`. Raises `HubError` that names the field."""
    if value is not None and not isinstance(value, dict):
        raise HubError("bad_field", "the body must be a JSON object", field="")
    try:
        return model.model_validate(value or {})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # In a path there is a step for each alternative of a union, which no reader knows of.
        place = [str(part) for part in first["loc"]]
        if first["type"] == "both":
            place.append(first["ctx"]["name"])
        field = ".".join(place)
        text = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            here = _fields(model, place[:-1])
            close = difflib.get_close_matches(place[-1], here, 1)
            known = f"do you mean {close[0]}?" if close else f"known are {', '.join(here)}"
            text = f"is not known here; {known}"
        raise HubError("bad_field", f"{field[:200]}: {text[:1].lower()}{text[1:]}", field=field[:200]) from None


def _fields(model: type[BaseModel], place: list[str]) -> list[str]:
    """The fields of the object at `place` within `model`."""
    inner: dict[str, type[BaseModel]] = {"room_config": RoomConfig, "roomConfig": RoomConfig, "agents": AgentDispatch}
    for step in place:
        model = inner.get(step, model)
    return list(model.model_fields)


def parse(model: type[_Model], arguments: MultiDict[str, str], body: type[BaseModel] | None = None) -> _Model:
    """The query of a request as `model`; raises `HubError` that names the parameter. `body`: that of the request, whose
    fields do not belong here; with one, nothing unknown passes: who names one agent must not stop them all."""
    _misspelled(model, arguments, body)
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        given = arguments.getlist(name)
        if given:
            values[name] = given if field.annotation == list[str] else given[-1]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        reason = first["msg"].removeprefix("Value error, ")
        text = f"{name}: {reason[:1].lower()}{reason[1:]}"
        raise HubError("bad_parameter", text, field=name) from None


_ELSEWHERE = {
    name: path
    for path, model in (("/api/stream", StreamQuery), ("/api/events", EventsQuery))
    for name in model.model_fields
}


def _misspelled(model: type[BaseModel], arguments: MultiDict[str, str], body: type[BaseModel] | None) -> None:
    """A filter with a slip of the pen would filter nothing: what is close to a parameter, or one of another address, is
    refused. What is like none of ours (a cache buster, a tracker) passes."""
    known = ", ".join(model.model_fields)
    here = f"here there {'is' if len(model.model_fields) == 1 else 'are'} {known or 'none'}"
    for name in arguments:
        if name in model.model_fields:
            continue
        why = None
        if near := difflib.get_close_matches(name.lower(), list(model.model_fields), 1, 0.75):
            why = f"is no parameter; do you mean {near[0]}?"
        elif body and name in body.model_fields:
            why = f'belongs in the body, as JSON: {{"{name}": …}}; {here}'
        elif name in _ELSEWHERE:
            why = f"is a parameter of {_ELSEWHERE[name]}; {here}"
        elif body:
            why = f"is no parameter; {here}, and in the body {', '.join(body.model_fields)}"
        if why:
            raise HubError("bad_parameter", f"{name[:64]} {why}", field=name[:64])

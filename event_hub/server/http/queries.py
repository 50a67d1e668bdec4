"""The models of each route's parameters and body: they validate requests and generate the API description."""

import difflib
import re
from typing import Annotated, Any, Literal, TypeVar, get_origin

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

from ..errors import RequestError
from ..filters import BadFilter, Filter
from ..settings import seconds

_Model = TypeVar("_Model", bound=BaseModel)


_LONGEST_WAIT = 60.0
"""Seconds: proxies abort longer requests."""


class Query(BaseModel):
    """The parameters of a route."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)  # built on the first request


def filter_of(rooms: list[str], types: list[str], sessions: list[str]) -> Filter:
    """Raises `RequestError`."""
    try:
        return Filter.of(rooms, types, sessions)
    except BadFilter as error:
        raise RequestError("bad_filter", str(error)) from None


def patterns(matches: str, **more: Any) -> Any:
    """A field for patterns of names."""
    return Field(default_factory=list, description=f"only {matches}; repeatable; `*` matches any text", **more)


class FilterQuery(Query):
    room: list[str] = patterns("events of this room", examples=["support-*"])
    type: list[str] = patterns("events of this type")
    session: list[str] = patterns("events of this session")

    def filter(self) -> Filter:
        """Raises `RequestError`."""
        return filter_of(self.room, self.type, self.session)


class StreamQuery(FilterQuery):
    last_event_id: str = Field(
        "", description="id of the last event received, for clients that cannot send `Last-Event-ID`"
    )
    since: str = Field("", description="replay events since an event's id, a duration (`5m`), epoch seconds, or `all`")
    replay: int | None = Field(None, ge=0, le=1_000_000, description="number of newest events to replay first")


class EventsQuery(FilterQuery):
    after: str = Field("", description="id of an event: list the events after it, oldest first")
    before: str = Field("", description="id of an event: list the newest events before it; with `after`, stop there")
    text: str = Field(
        "",
        max_length=256,
        description="only events with this text in one of their values, in any case. A page can be short, with `more`: continue with its `before` or `after`",
    )
    limit: int = Field(100, ge=1, le=1000, description="events per page (an NDJSON export has no pages)")
    past: int = Field(
        0,
        ge=0,
        le=10_000,
        description="with the newest page: maximum number of events from before it, without those that later events "
        "replace (interims, text chunks)",
    )


class SubscribersQuery(Query):
    limit: int = Field(1000, ge=1, le=100_000, description="maximum number to list; `count` includes all")


def _wait(text: str) -> str:
    if seconds(text) > _LONGEST_WAIT:
        raise ValueError("is longer than a minute")
    return text


class StopQuery(Query):
    wait: Annotated[str, AfterValidator(_wait)] = Field(
        "0s", description="maximum time to wait until the agents have ended; at most a minute", examples=["15s"]
    )


class LogsQuery(Query):
    agent_id: str | None = Field(None, description="the agent; default: the newest one")
    lines: int = Field(200, ge=1, le=2000, description="number of newest lines")


class NoQuery(Query):
    """No parameters."""


# -- bodies ----------------------------------------------------------------------------------------------------------

_INSTRUCTIONS = 32 << 10
"""Bytes: instructions are passed in an environment variable, which Linux limits to 128 KiB."""
_METADATA = 16 << 10
"""Bytes of metadata and of attributes, each: a token is part of a URL."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Includes characters that change the direction of text: with them, one name can look like another."""


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("contains control characters")
    return text


def _own_attributes(attributes: dict[str, str]) -> dict[str, str]:
    for name in attributes:
        if name.strip().lower().startswith("lk."):
            raise ValueError(f"{name[:64]} is reserved: only LiveKit sets names that start with `lk.`")
    return attributes


def _instructions(text: str) -> str:
    if "\0" in text:
        raise ValueError("contains a null character")
    if len(text.encode()) > _INSTRUCTIONS:
        raise ValueError(f"has {len(text.encode())} bytes, the limit is {_INSTRUCTIONS}")
    return text


def _within_limit(value: Any) -> Any:
    size = (
        len(value.encode())
        if isinstance(value, str)
        else sum(len(k.encode()) + len(v.encode()) for k, v in value.items())
    )
    if size > _METADATA:
        raise ValueError(f"has {size} bytes, the limit is {_METADATA}")
    return value


Name = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_printable)]
_Seconds = Annotated[int, Field(ge=0, le=0xFFFFFFFF)]


class Body(BaseModel):
    """Strict: types are not converted, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, given: Any) -> Any:
        """Refuse a field that is present in both spellings. For an optional field, null means absent."""
        if isinstance(given, dict):
            for name in cls.model_fields:
                if (camel := to_camel(name)) != name and name in given and camel in given:
                    raise PydanticCustomError(
                        "both", "is present twice, also as {camel}", {"name": name, "camel": camel}
                    )
            optional = {
                spelling
                for name, field in cls.model_fields.items()
                if not field.is_required()
                for spelling in (name, to_camel(name))
            }
            return {name: value for name, value in given.items() if value is not None or name not in optional}
        return given


class StartBody(Body):
    mode: Literal["worker", "room", "scripted", "gateway"] | None = Field(
        None,
        description="`worker` serves the rooms that LiveKit dispatches to it, `room` joins one room, `scripted` plays a "
        "scripted conversation without keys or network, `gateway` serves WebSockets without a room; default: what the "
        "settings allow (never `gateway`)",
    )
    room: Name | None = Field(None, description="name of a LiveKit room")
    instructions: Annotated[str, AfterValidator(_instructions)] | None = Field(
        None, description="the agent's instructions, which replace its own; at most 32 KiB"
    )
    restart: Literal["on-failure", "always"] | None = Field(
        None,
        description="`always`: restart it whenever it ends, also when the next hub starts, until it is stopped over HTTP; "
        "`on-failure` (default): only after a crash",
    )


class StopBody(Body):
    agent_id: Name | None = Field(None, description="the agent; default: all agents")


def _either(name: str, default: Any, about: str) -> Any:
    """A field that can also be spelled in camelCase: LiveKit's clients use both spellings."""
    return Field(default, description=about, validation_alias=AliasChoices(name, to_camel(name)))


class AgentDispatch(Body):
    agent_name: Annotated[str, Field(max_length=256)] = _either(
        "agent_name", "", "the name under which a worker registers"
    )
    metadata: Annotated[str, AfterValidator(_within_limit)] = Field("", description="metadata for the agent's job")
    restart_policy: str | int | None = _either("restart_policy", None, "passed to LiveKit")
    deployment: str | None = Field(None, description="passed to LiveKit")
    attributes: Annotated[dict[str, str], AfterValidator(_within_limit)] | None = Field(
        None, description="attributes for the agent"
    )


class RoomConfig(Body):
    """LiveKit's `RoomConfiguration` without `egress`: joining a room must not include recording it at your cost."""

    name: str | None = Field(None, max_length=256, description="name of a configuration on the LiveKit server")
    empty_timeout: _Seconds | None = _either(
        "empty_timeout", None, "seconds that the room stays open before the first participant joins"
    )
    departure_timeout: _Seconds | None = _either(
        "departure_timeout", None, "seconds that the room stays open after the last participant leaves"
    )
    max_participants: _Seconds | None = _either("max_participants", None, "maximum number of participants")
    metadata: Annotated[str, AfterValidator(_within_limit)] | None = Field(None, description="metadata of the room")
    min_playout_delay: _Seconds | None = _either("min_playout_delay", None, "minimum playout delay in milliseconds")
    max_playout_delay: _Seconds | None = _either("max_playout_delay", None, "maximum playout delay in milliseconds")
    sync_streams: bool | None = _either("sync_streams", None, "synchronize audio and video")
    agents: Annotated[list[AgentDispatch], Field(max_length=8)] | None = Field(None, description="agents to dispatch")
    tags: Annotated[dict[str, str], AfterValidator(_within_limit)] | None = Field(None, description="tags of the room")

    def as_protobuf_json(self) -> dict[str, Any]:
        """As in a token: in camelCase, and only fields that are set."""
        config: dict[str, Any] = _camel(self.model_dump(exclude_none=True, exclude_unset=True))
        return config


class TokenBody(Body):
    room_name: Name | None = _either("room_name", None, "the room to join; default: a new room")
    participant_name: Name | None = _either("participant_name", None, "the participant's display name")
    participant_identity: Name | None = _either(
        "participant_identity", None, "the participant's identity; default: a new guest"
    )
    participant_metadata: Annotated[str, AfterValidator(_within_limit)] = _either(
        "participant_metadata", "", "metadata of the participant"
    )
    participant_attributes: Annotated[
        dict[str, str], AfterValidator(_within_limit), AfterValidator(_own_attributes)
    ] = _either("participant_attributes", {}, "attributes of the participant")
    room_config: RoomConfig | None = _either(
        "room_config", None, "how to create the room, and which agents to dispatch"
    )


_FREE = frozenset({"tags", "attributes"})
"""Fields whose keys the user chooses."""


def _camel(value: Any) -> Any:
    if isinstance(value, dict):
        return {to_camel(name): part if name in _FREE else _camel(part) for name, part in value.items()}
    return [_camel(part) for part in value] if isinstance(value, list) else value


def check(model: type[_Model], value: Any) -> _Model:
    """Validate a request's body; None, an empty body, counts as `{}`. Raises `RequestError`, which names the field."""
    if value is not None and not isinstance(value, dict):
        raise RequestError("bad_field", "the body must be a JSON object", field="")
    try:
        return model.model_validate(value or {})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # pydantic adds a step for each alternative of a union, which means nothing to the reader.
        path = [str(part) for part in first["loc"]]
        if first["type"] == "both":
            path.append(first["ctx"]["name"])
        field = ".".join(path)
        text = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            names = _fields(model, path[:-1])
            close = difflib.get_close_matches(path[-1], names, 1)
            hint = f"do you mean {close[0]}?" if close else f"the fields are {', '.join(names)}"
            text = f"is unknown; {hint}"
        raise RequestError("bad_field", f"{field[:200]}: {text[:1].lower()}{text[1:]}", field=field[:200]) from None


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    """The fields of the object at `path` within `model`."""
    nested: dict[str, type[BaseModel]] = {"room_config": RoomConfig, "roomConfig": RoomConfig, "agents": AgentDispatch}
    for step in path:
        model = nested.get(step, model)
    return list(model.model_fields)


def parse(model: type[_Model], arguments: MultiDict[str, str], body: type[BaseModel] | None = None) -> _Model:
    """Validate a request's query; raises `RequestError`, which names the parameter.

    `body`: the model of the request's body, whose fields are refused in the query. With it, every unknown parameter is
    refused: a misplaced or misspelled `agent_id` must not stop all agents.
    """
    _check_names(model, arguments, body)
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        given = arguments.getlist(name)
        if given:
            values[name] = given if get_origin(field.annotation) is list else given[-1]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        reason = first["msg"].removeprefix("Value error, ")
        text = f"{name}: {reason[:1].lower()}{reason[1:]}"
        raise RequestError("bad_parameter", text, field=name) from None


_ELSEWHERE = {
    name: path
    for path, model in (("/api/stream", StreamQuery), ("/api/events", EventsQuery))
    for name in model.model_fields
}


def _check_names(model: type[BaseModel], arguments: MultiDict[str, str], body: type[BaseModel] | None) -> None:
    """Refuse names that resemble a parameter or belong to another path: a misspelled filter would match everything.
    Other names (a cache buster, a tracker) are ignored."""
    names = ", ".join(model.model_fields)
    parameters = f"the parameters of this path: {names}" if names else "this path has no parameters"
    for name in arguments:
        if name in model.model_fields:
            continue
        reason = None
        if near := difflib.get_close_matches(name.lower(), list(model.model_fields), 1, 0.75):
            reason = f"is not a parameter; do you mean {near[0]}?"
        elif body and name in body.model_fields:
            reason = f'belongs in the body, as JSON: {{"{name}": …}}; {parameters}'
        elif name in _ELSEWHERE:
            reason = f"is a parameter of {_ELSEWHERE[name]}; {parameters}"
        elif body:
            reason = f"is not a parameter; {parameters}; in the body: {', '.join(body.model_fields)}"
        if reason:
            raise RequestError("bad_parameter", f"{name[:64]} {reason}", field=name[:64])

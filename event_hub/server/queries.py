"""The parameters of each route: one model each, with which requests are checked and the API description is made."""

from __future__ import annotations

import difflib
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from werkzeug.datastructures import MultiDict

from .errors import HubError
from .filters import BadFilter, Filter

_Model = TypeVar("_Model", bound=BaseModel)


class _Query(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


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
        try:
            return Filter.of(self.room, self.type, self.session)
        except BadFilter as error:
            raise HubError("bad_filter", str(error)) from None


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


class SubscribersQuery(_Query):
    limit: int = Field(1000, ge=1, le=100_000, description="subscribers to list; `count` has them all")


def parse(model: type[_Model], arguments: MultiDict[str, str]) -> _Model:
    """The query of a request as `model`; raises `HubError` that names the parameter."""
    _misspelled(model, arguments)
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
        text = f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]}"
        raise HubError("bad_parameter", text, field=name) from None


_ELSEWHERE = {
    name: path
    for path, model in (("/api/stream", StreamQuery), ("/api/events", EventsQuery))
    for name in model.model_fields
}


def _misspelled(model: type[BaseModel], arguments: MultiDict[str, str]) -> None:
    """A filter with a slip of the pen would filter nothing: what is close to a parameter, or one of another address, is
    refused. What is like none of ours (a cache buster, a tracker) passes."""
    for name in arguments:
        if name in model.model_fields:
            continue
        near = difflib.get_close_matches(name.lower(), list(model.model_fields), 1, 0.75)
        if near:
            raise HubError("bad_parameter", f"{name} is no parameter; do you mean {near[0]}?", field=name)
        if name in _ELSEWHERE:
            here = ", ".join(model.model_fields)
            raise HubError(
                "bad_parameter", f"{name} is a parameter of {_ELSEWHERE[name]}; here there are {here}", field=name
            )

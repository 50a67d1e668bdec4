"""The known event types, those that only the hub may send, and the validation of an event against them."""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, core_schema

from . import alerts as a
from . import annotations as n
from . import conversation as c
from . import lifecycle as s
from . import recordings as r
from . import stream as h
from .envelope import MILLISECONDS, Event
from .structs import list_of_structs

_POSTED: tuple[type[Event], ...] = (
    s.AgentReady,
    s.SessionStarted,
    s.SessionEnded,
    c.Transcript,
    c.UserTurnCompleted,
    c.UserTranscriptionTimeout,
    c.AgentTextDelta,
    c.AgentTextComplete,
    c.AgentTextUnsaid,
    c.AgentSpeechStarted,
    c.AgentSpeechFinished,
    c.UserSpeechStarted,
    c.UserSpeechFinished,
    s.AgentStateChanged,
    s.UserStateChanged,
    s.ToolCallStarted,
    s.ToolCallUpdated,
    s.ToolCallFinished,
    s.TurnMetrics,
    s.MetricsCollected,
    s.UsageUpdated,
    s.AgentHandoff,
    s.AgentConfigUpdate,
    c.AgentFalseInterruption,
    c.OverlappingSpeech,
    c.SpeechCreated,
    c.SipDtmfReceived,
    s.AgentError,
    s.AgentProcessStarted,
    s.AgentProcessExited,
    s.EventsDropped,
    r.RecordingAvailable,
    r.TraceAvailable,
    a.AlertRaised,
    a.AlertCleared,
    n.Annotation,
)
_FROM_THE_HUB: tuple[type[Event], ...] = (
    h.Heartbeat, h.StreamOpened, h.StreamGap, h.StreamClosing, h.EventErased, h.EventsErased,
)  # fmt: skip

WEBHOOK_PREFIX = "livekit_"


def _name(model: type[Event]) -> str:
    return str(model.model_fields["type"].annotation.__args__[0])  # type: ignore[union-attr]  # Literal["…"]


KNOWN: dict[str, type[Event]] = {_name(model): model for model in _POSTED}
"""The known types that may be posted, with their models. All `livekit_…` types share `LiveKitWebhook`."""

HUB_ONLY: dict[str, type[Event]] = {_name(model): model for model in _FROM_THE_HUB}
"""Types that only the hub may send."""


class InvalidEvent(ValueError):
    """An event has the wrong shape: `field` is a dotted path, `reason` says what is wrong there."""

    def __init__(self, field: str, reason: str, *, hub_only: bool = False) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason
        self.hub_only = hub_only


_validators: dict[str, SchemaValidator] = {}
"""The validators of types that have been seen, all unknown ones as "" and webhooks as `WEBHOOK_PREFIX`."""

_structs: dict[str, Any] = {}
"""The types of lists of such events, for `msgspec.convert`; None where only the validator can check them."""


def _validator(name: str) -> SchemaValidator:
    """The validator of a type, built at its first event. Threads that are first together may each build one; the model's own
    attributes, which others may be using, are not touched."""
    if name not in KNOWN:
        name = WEBHOOK_PREFIX if name.startswith(WEBHOOK_PREFIX) else ""
    if name not in _validators:
        models: dict[str, type[Event]] = {**KNOWN, WEBHOOK_PREFIX: s.LiveKitWebhook, "": Event}
        adapter = TypeAdapter(models[name])
        adapter.rebuild()
        schema: Any = adapter.core_schema
        if schema["type"] != "model" or schema["schema"]["type"] != "model-fields":  # it has validators of its own
            assert isinstance(adapter.validator, SchemaValidator)
            _validators[name] = adapter.validator
        else:
            if name in KNOWN:
                _structs[name] = list_of_structs(name, schema["schema"]["fields"])
            _validators[name] = _of_dictionaries(schema)
    return _validators[name]


def _of_dictionaries(schema: Any) -> SchemaValidator:
    """A model's fields as those of a dictionary: the same checks and errors, without making an instance, which would take
    twice as long."""
    fields = {}
    for name, field in schema["schema"]["fields"].items():
        inner = field["schema"]
        optional = inner["type"] == "default"
        fields[name] = core_schema.typed_dict_field(inner["schema"] if optional else inner, required=not optional)
    config: Any = {**schema["config"], "extra_fields_behavior": "ignore"}
    return SchemaValidator(core_schema.typed_dict_schema(fields, config=config))


def build() -> None:
    """Build all validators now (about 20 ms), where the first event of a type must not take longer than the others."""
    for name in (*KNOWN, WEBHOOK_PREFIX, ""):
        _validator(name)


def check(event: Any) -> None:
    """Validate a decoded event. Raises `InvalidEvent` naming the first invalid field.

    The event is not changed: the hub broadcasts exactly what was posted. An unknown type is only checked against the
    envelope.
    """
    if type(event) is not dict:
        raise InvalidEvent("", f"an event is a JSON object, not {_json_name(event)}")
    name = event.get("type")
    validator = _validators.get(name) if type(name) is str else None
    if validator is None:
        if type(name) is not str:
            raise InvalidEvent("type", "is missing" if "type" not in event else f"must be text, not {_json_name(name)}")
        if name in HUB_ONLY:
            raise InvalidEvent("type", f"{name} is only ever sent by the hub itself", hub_only=True)
        validator = _validator(name)
    try:
        validator.validate_python(event)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        known = [str(part) for part in first["loc"] if isinstance(part, int) or part in event] or ["type"]
        field = str(first["loc"][0]) if first["loc"] and first["type"] == "missing" else ".".join(known)
        raise InvalidEvent(field, _sentence(first["type"], first["msg"], field, event)) from None


def all_valid(events: list[dict[str, Any]]) -> bool:
    """Whether `check` accepts all of `events`, in half the time."""
    by_type: dict[Any, list[dict[str, Any]]] = {}
    for event in events:
        name = event.get("type")
        if type(name) is not str:
            return False
        if name in by_type:
            by_type[name].append(event)
        else:
            by_type[name] = [event]
    return all(_valid(name, of_type) for name, of_type in by_type.items())


def _valid(name: str, events: list[dict[str, Any]]) -> bool:
    """Whether `check` accepts all of `events`, which are all of one type."""
    if name in HUB_ONLY:
        return False
    validator = _validator(name)
    structs = _structs.get(name)
    if structs is not None:
        try:
            msgspec.convert(events, structs)
        except (msgspec.ValidationError, RecursionError):
            pass
        else:
            return True
    return all(map(validator.isinstance_python, events))


def _sentence(kind: str, message: str, field: str, event: dict[str, Any]) -> str:
    if kind == "missing":
        return "is missing"
    if kind == "less_than":  # only points in time have an upper limit
        value = event[field]
        for unit, divisor in _UNITS:
            if value < divisor * MILLISECONDS:
                return f"must be in epoch seconds, but {value} looks like {unit}: divide it by {divisor:,}"
        return "must be in epoch seconds"
    if field == "type":
        return "must be 1 to 64 characters of a-z A-Z 0-9 _ . : -"
    return message[:1].lower() + message[1:]


_UNITS = (("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9))


def _json_name(value: Any) -> str:
    names = {type(None): "null", bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return names.get(type(value), "an object")

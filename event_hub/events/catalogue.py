"""Which types are known, which are the hub's own, and the check of one event against them."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import SchemaValidator

from . import conversation as c
from . import session as s
from . import stream as h
from .envelope import Event

_POSTED: tuple[type[Event], ...] = (
    s.AgentReady,
    s.SessionStarted,
    s.SessionEnded,
    c.Transcript,
    c.AgentTextDelta,
    c.AgentTextComplete,
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
    s.UsageUpdated,
    s.AgentHandoff,
    c.AgentFalseInterruption,
    s.AgentError,
    s.AgentProcessStarted,
    s.AgentProcessExited,
    s.EventsDropped,
)
_FROM_THE_HUB: tuple[type[Event], ...] = (h.Heartbeat, h.StreamOpened, h.StreamGap, h.StreamClosing)

WEBHOOK_PREFIX = "livekit_"


def _name(model: type[Event]) -> str:
    return str(model.model_fields["type"].annotation.__args__[0])  # type: ignore[union-attr]  # Literal["…"]


KNOWN: dict[str, type[Event]] = {_name(model): model for model in _POSTED}
"""Known types that may be posted, and their models. `livekit_…` types beside them share `LiveKitWebhook`."""

HUB_ONLY: dict[str, type[Event]] = {_name(model): model for model in _FROM_THE_HUB}
"""Types that only ever come from the hub."""


class InvalidEvent(ValueError):
    """An event has a wrong shape. `field` names where (dotted path), `reason` says what is wrong there."""

    def __init__(self, field: str, reason: str, *, hub_only: bool = False) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason
        self.hub_only = hub_only


def _validator(model: type[Event]) -> SchemaValidator:
    validator = model.__pydantic_validator__
    assert isinstance(validator, SchemaValidator)
    return validator


_validators = {name: _validator(model) for name, model in KNOWN.items()}
_unknown = _validator(Event)
_webhook = _validator(s.LiveKitWebhook)


def check(event: Any) -> None:
    """Check one decoded event; raises `InvalidEvent` that names the first wrong field.

    Nothing is converted or added: what is broadcast is what was posted. A type that is not known is checked against
    the envelope alone.
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
        validator = _webhook if name.startswith(WEBHOOK_PREFIX) else _unknown
    try:
        validator.validate_python(event)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        known = [str(part) for part in first["loc"] if isinstance(part, int) or part in event] or ["type"]
        field = str(first["loc"][0]) if first["loc"] and first["type"] == "missing" else ".".join(known)
        raise InvalidEvent(field, _sentence(first["type"], first["msg"], field)) from None


def _sentence(kind: str, message: str, field: str) -> str:
    if kind == "missing":
        return "is missing"
    if field == "type":
        return "must be 1 to 64 characters of a-z A-Z 0-9 _ . : -"
    return message[:1].lower() + message[1:]


def _json_name(value: Any) -> str:
    names = {type(None): "null", bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return names.get(type(value), "an object")

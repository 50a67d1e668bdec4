"""Redaction of events: which of their fields can contain what people said, and which identify something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import msgspec

from ..events import KNOWN
from ..events.envelope import Event as _Envelope
from .setting import Rules
from .spans import Pause, no_pause
from .stream import StreamRedactor, Undo
from .text import START, TextRedactor

Event = dict[str, Any]

_ENVELOPE = frozenset(_Envelope.model_fields)
_TEXT = frozenset(
    {
        "text",
        "delta",
        "generated",
        "message",
        "error",
        "arguments",
        "output",
        "instructions",
        "participant_info",
        "track",
    }
)
"""The fields of known types that can contain what was said. All other fields of known types are names, states and times;
fields that a type does not know are redacted too."""
_LIVEKIT_IDS = frozenset(
    {"sid", "identity", "roomName", "roomId", "trackSid", "participantIdentity", "egressId", "ingressId", "jobId"}
)
_LIVEKIT_ROOM = _LIVEKIT_IDS | {"name"}
"""Ids within LiveKit's webhooks; a room's name is one, a participant's is not."""
_SOURCES = (None, "transcription", "llm")
_WORD = re.compile(r"[^\W\d_]+[.,;:!?'’…]*\Z")
_MOST_NESTED = 3
"""Levels of JSON within text within JSON that are looked into."""


class _Key(NamedTuple):
    """Names a text that is streamed."""

    type: str
    room: str | None
    session: str | None
    utterance: str | None
    source: str | None


class EventRedactor:
    """Applies `rules` to one event after another. The events given are not changed.

    The pieces of a streamed text (fields named `delta`) are redacted as one: what could be the start of a match moves to the
    next piece. An event stays one event, with its id; a piece that is sent again has no text.

    `pause` is called again and again while an event is redacted: an event of 64 KiB can take half a second. If other events
    may be redacted in these pauses, `lock` is what guards the streamed texts; it is not held for texts that come whole.
    """

    def __init__(
        self, rules: Rules, *, pause: Pause = no_pause, lock: AbstractContextManager[Any] = nullcontext()
    ) -> None:
        self._lock = lock
        self._text = TextRedactor(rules.detectors, pause)
        self._streams = StreamRedactor(self._text)
        self._dtmf = rules.dtmf

    def redact(self, event: Event, undo: Undo | None = None) -> Event:
        """The redacted event: `event` itself if nothing is to be replaced. Raises RecursionError if it is nested too deeply.

        `undo` collects what `undo` must reverse if the event cannot be stored.
        """
        kind = event.get("type")
        known = KNOWN.get(kind).model_fields if isinstance(kind, str) and kind in KNOWN else ()  # type: ignore[union-attr]
        changes: Event = {}
        for name, value in event.items():
            if name in _ENVELOPE or (name in known and name not in _TEXT):
                continue
            if name == "id" or name.endswith("_id"):
                continue
            if name == "delta" and isinstance(value, str):
                self._piece(event, value, undo or Undo(), changes)
            elif name == "text" and isinstance(value, str) and event.get("final") is False:
                changes[name] = self._interim(value)
            else:
                exempt = frozenset[str]()
                if isinstance(kind, str) and kind.startswith("livekit_"):
                    exempt = _LIVEKIT_ROOM if name == "room_info" else _LIVEKIT_IDS
                changes[name] = self._value(value, exempt)
        if kind == "sip_dtmf_received" and self._dtmf:
            changes["digit"] = "[dtmf]"
            changes["code"] = None
        if _ends_text(event):
            with self._lock:
                for key in self._keys(event):
                    self._streams.end(key, undo or Undo())
        if all(event[name] is value or event[name] == value for name, value in changes.items()):
            return event
        return {name: changes.get(name, value) for name, value in event.items()}

    def release(self, event: Event) -> list[Event]:
        """Deltas with what is held back of the texts that `event` ends, to be published before it: so the deltas of a text,
        joined, are all of it. For publishers; a hub adds no events to those that are posted."""
        deltas = []
        for key in self._keys(event) if _ends_text(event) else self._of_session(event):
            rest = self._streams.end(key, Undo())
            if rest is not None:
                delta = {**key._asdict(), "role": "agent", "delta": rest.text, "offset": rest.offset}
                deltas.append({name: value for name, value in delta.items() if value is not None})
        return deltas

    def undo(self, undo: Undo) -> None:
        """Reverse what `redact` has recorded in `undo`."""
        with self._lock:
            self._streams.undo(undo)

    def _piece(self, event: Event, text: str, undo: Undo, changes: Event) -> None:
        key = _key(event, event.get("source"))
        with self._lock:
            piece = self._streams.feed(key, text, event.get("offset"), event.get("event_id"), undo)
        if piece is None:
            changes["delta"] = ""
            return
        changes["delta"] = piece.text
        if "offset" in event:
            changes["offset"] = piece.offset

    def _interim(self, text: str) -> str:
        """An interim transcript, without an end that could be half of a secret. The next one has it."""
        shown, held = self._text.feed(START, text)
        return shown + held.text if _WORD.match(held.text) else shown

    def _value(self, value: Any, exempt: frozenset[str], nested: int = 0) -> Any:
        """`value` redacted; the same object if nothing was replaced."""
        if isinstance(value, str):
            return self._string(value, nested)
        if isinstance(value, dict):
            return self._object(value, exempt, nested)
        if isinstance(value, list):
            items = [self._value(item, exempt, nested) for item in value]
            return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        if not 1e6 < abs(value) < 1e40 or value != value // 1:
            return value
        digits = str(abs(int(value)))
        redacted = self._text.redact(digits)
        return value if redacted == digits else redacted

    def _object(self, value: dict[Any, Any], exempt: frozenset[str], nested: int) -> dict[Any, Any]:
        changed = False
        result: dict[Any, Any] = {}
        for name, item in value.items():
            new = item if name in exempt else self._value(item, exempt, nested)
            label = redacted = self._text.redact(name) if isinstance(name, str) else name
            if redacted != name:
                number = 2
                while label in result or label in value:
                    label, number = f"{redacted} {number}", number + 1
            changed = changed or new is not item or label != name
            result[label] = new
        return result if changed else value

    def _string(self, text: str, nested: int) -> str:
        if nested < _MOST_NESTED and text[:64].lstrip()[:1] in ("{", "["):
            try:
                value = msgspec.json.decode(text)
                redacted = self._value(value, frozenset(), nested + 1)
                return text if redacted is value else msgspec.json.encode(redacted).decode()
            except (ValueError, RecursionError):
                pass  # not JSON, cut off, or nested too deeply: text like any other
        redacted_text = self._text.redact(text)
        return text if redacted_text == text else redacted_text

    def _keys(self, event: Event) -> Iterator[_Key]:
        for source in _SOURCES:
            yield _key({**event, "type": "agent_text_delta"}, source)

    def _of_session(self, event: Event) -> list[_Key]:
        if event.get("type") != "session_ended":
            return []
        place = (event.get("room"), event.get("session"))
        return [key for key in self._streams.keys() if (key.room, key.session) == place]  # noqa: SIM118


def _key(event: Event, source: Any) -> _Key:
    def name(field: str) -> str | None:
        value = event.get(field)
        return value if isinstance(value, str) else None

    return _Key(
        str(event.get("type")),
        name("room"),
        name("session"),
        name("utterance"),
        source if isinstance(source, str) else None,
    )


def _ends_text(event: Event) -> bool:
    """Whether the streamed text of the event's utterance is complete."""
    kind = event.get("type")
    if kind == "transcript":
        return event.get("role") == "agent" and event.get("final") is not False
    return kind in ("agent_text_complete", "agent_text_unsaid")

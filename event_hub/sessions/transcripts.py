"""A session's conversation to be read elsewhere: Markdown, plain entries, and what captions are made of. Pure."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from .values import Event, name, text

_FIELDS = ("ended", "role", "participant", "text", "interrupted", "typed", "utterance")
_SPOKEN = frozenset({"transcript", "user_speech_started", "agent_speech_started", "session_started"})
_NEEDED = ("type", "timestamp", "participant", "role", "utterance", "text", "final")
KEPT = 20_000
"""Of what captions need of one session so many events are kept, and so many characters: the newest."""
_SIZE = 4_000_000
_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~])")
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def entries(document: dict[str, Any]) -> list[dict[str, Any]]:
    """What was said, in order: of each utterance its final text, who said it and when."""
    return [
        {**{field: item[field] for field in _FIELDS if field in item}, **_begun(item)}
        for item in document["conversation"]
        if item["kind"] == "said" and item["final"] and item["text"]
    ]


class Spoken:
    """Of a session's events what captions need: finals, what began them, and when the session began.

    named: the session has a name. Then what was told of its room alone, such as by webhooks, is not its beginning: so the
    captions are those of `event-hub export --session`.
    """

    def __init__(self, named: bool = False) -> None:
        self._named = named
        self._kept: deque[dict[str, Any]] = deque()
        self._begun: dict[tuple[str, str | None], None] = {}
        self._first: float | None = None
        self._size = 0

    def take(self, event: Event) -> None:
        """One event of the session, in the order of their arrival."""
        at, needed = event.get("timestamp"), event["type"] in _SPOKEN
        if isinstance(at, int | float) and (needed or not self._named or name(event, "session") is not None):
            self._first = at if self._first is None else min(self._first, at)
        if not needed:
            return
        if event["type"] == "transcript":
            utterance = name(event, "utterance")
            key = ("u", utterance) if utterance else ("p", name(event, "participant") or name(event, "role"))
            if event.get("final") is not False:
                self._begun.pop(key, None)
            elif key in self._begun:
                return
            else:
                self._begun[key] = None
                if len(self._begun) > KEPT:
                    del self._begun[next(iter(self._begun))]
        self._kept.append({field: event.get(field) for field in _NEEDED})
        self._size += len(text(event, "text"))
        while len(self._kept) > KEPT or self._size > _SIZE:
            self._size -= len(text(self._kept.popleft(), "text"))

    def events(self) -> list[dict[str, Any]]:
        """What `event_hub.events.captions.cues` takes."""
        return [{"timestamp": self._first}, *self._kept]


def _begun(item: dict[str, Any]) -> dict[str, Any]:
    """When it was begun to be said: of a reply, when it was heard, where that is known."""
    at = item.get("heard", item.get("at"))
    return {} if at is None else {"at": at}


def markdown(document: dict[str, Any]) -> Iterator[str]:
    """The conversation to read, line by line, with tool calls and what went wrong: a paragraph each, with the time since
    the beginning. Of `document`, a `Session.document()`, the conversation may be any iterable."""
    title = " · ".join(_flat(part) for part in (document["room"], document["session"]) if part) or "No room"
    begin = document["started"]
    facts = [_moment(begin), _lasted(document["duration"]), f"{document['counts']['turns']} turns", document["status"]]
    yield f"# {title}\n\n"
    yield f"{' · '.join(fact for fact in facts if fact)}\n"
    for item in document["conversation"]:
        if words := _words(item):
            yield f"\n`{_clock(_begun(item).get('at'), begin)}` {words}\n"


def _words(item: dict[str, Any]) -> str:
    if item["kind"] == "tool":
        given = item.get("arguments")
        call = f"{_plain(item.get('name') or '')}({_plain(_json(given)) if given is not None else ''})"
        output = _json(item["output"]) if item.get("output") is not None else item.get("status", "")
        return f"*tool* {call} → {'failed: ' if item.get('is_error') else ''}{_plain(output)}"
    if item["kind"] == "said":
        if not item["text"]:
            return ""
        who = item.get("participant") or item.get("role") or "somebody"
        mark = " *(cut off)*" if item.get("interrupted") else "" if item["final"] else " *(not final)*"
        return f"**{_flat(who)}:** {_plain(item['text'])}{mark}"
    event = item["event"]
    if event["type"] == "agent_error":
        return f"*error* {_plain(str(event.get('message', '')))}"
    if event["type"] == "agent_handoff":
        return f"*handoff* {_flat(event.get('old_agent') or '…')} → {_flat(event.get('new_agent') or '…')}"
    if event["type"] == "events_dropped":
        return f"*missing* the publisher had to drop {event.get('count')} events here"
    return ""


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is, without control characters; on one line, as a list or a heading begins a line."""
    return _MARKS.sub(r"\\\1", " ".join(_CONTROL.sub("", text).split()))


def _flat(text: Any) -> str:
    return _plain(str(text))


def _clock(at: float | None, begin: float | None) -> str:
    if at is None or begin is None:
        return "--:--:--"
    seconds = max(0, int(at - begin))
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _moment(at: float | None) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at is not None else ""
    except (OverflowError, ValueError, OSError):
        return ""


def _lasted(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"

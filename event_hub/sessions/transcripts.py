"""A session's conversation to be read elsewhere: Markdown, plain entries, and what captions are made of. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from .values import Event, name

_FIELDS = ("ended", "role", "participant", "text", "interrupted", "typed", "utterance")
_SPOKEN = frozenset({"transcript", "user_speech_started", "agent_speech_started", "session_started"})
_NEEDED = ("type", "timestamp", "participant", "role", "utterance", "text", "final")
_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~])")
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def entries(document: dict[str, Any]) -> list[dict[str, Any]]:
    """What was said, in order: of each utterance its final text, who said it and when."""
    return [
        {**{field: item[field] for field in _FIELDS if field in item}, **_begun(item)}
        for item in document["conversation"]
        if item["kind"] == "said" and item["final"] and item["text"]
    ]


def spoken(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Of a session's events what captions need: finals, what began them, and when the session began."""
    kept: list[dict[str, Any]] = []
    begun: set[tuple[str, str | None]] = set()
    first: float | None = None
    for event in events:
        at = event.get("timestamp")
        if isinstance(at, int | float):
            first = at if first is None else min(first, at)
        if event["type"] not in _SPOKEN:
            continue
        if event["type"] == "transcript":
            utterance = name(event, "utterance")
            key = ("u", utterance) if utterance else ("p", name(event, "participant") or name(event, "role"))
            if event.get("final") is False:
                if key in begun:
                    continue
                begun.add(key)
            else:
                begun.discard(key)
        kept.append({field: event.get(field) for field in _NEEDED})
    return [{"timestamp": first}, *kept]


def _begun(item: dict[str, Any]) -> dict[str, Any]:
    """When it was begun to be said: of a reply, when it was heard, where that is known."""
    at = item.get("heard", item.get("at"))
    return {} if at is None else {"at": at}


def markdown(document: dict[str, Any]) -> str:
    """The conversation to read, with tool calls and what went wrong: a paragraph each, with the time since the beginning."""
    title = " · ".join(_flat(part) for part in (document["room"], document["session"]) if part) or "No room"
    begin = document["started"]
    facts = [_moment(begin), _lasted(document["duration"]), f"{document['counts']['turns']} turns", document["status"]]
    lines = [f"# {title}", "", " · ".join(fact for fact in facts if fact), ""]
    for item in document["conversation"]:
        if words := _words(item):
            lines += [f"`{_clock(_begun(item).get('at'), begin)}` {words}", ""]
    return "\n".join(lines)


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

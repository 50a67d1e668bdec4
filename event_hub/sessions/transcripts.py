"""A session's conversation to be read elsewhere: as Markdown, and as plain entries. Pure."""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from .fields import CONTROL, speaker

_FIELDS = ("ended", "role", "participant", "speaker_id", "text", "interrupted", "typed", "utterance")
_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~])")


def entries(document: Mapping[str, Any], names: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """What was said, in order: the final text of each utterance, who said it and when.

    names: what to call a `speaker_id`, or a participant; the name becomes the entry's `speaker`.
    """
    return [
        {
            **{field: item[field] for field in _FIELDS if field in item},
            **({"speaker": speaker(item, names)} if names or "speaker_id" in item else {}),
            **_begun(item),
            **({"session": item["session"]} if item.get("session") is not None else {}),
        }
        for item in document["conversation"]
        if item["kind"] == "said" and item["final"] and item["text"] and not item.get("unconfirmed")
    ]


def together(documents: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The conversations of several sessions, such as those of one room, merged. Each item names its `session`."""

    def items(document: Mapping[str, Any]) -> Iterator[tuple[float, dict[str, Any]]]:
        newest = 0.0
        for item in document["conversation"]:
            newest = max(newest, item.get("at", newest))  # the order within a session is kept
            yield newest, {**item, "session": document["session"]}

    merged = heapq.merge(*map(items, documents), key=lambda timed: timed[0])
    return (item for _, item in merged)


def _begun(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"at": item["at"]} if item.get("at") is not None else {}


def markdown(document: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Iterator[str]:
    """The conversation as text, with tool calls and errors: a paragraph each, with the time since the beginning.

    document: a `Session.document()`; its conversation may be any iterable. names: as for `entries`.
    """
    title = " · ".join(_flat(part) for part in (document["room"], document["session"]) if part) or "No room"
    begin = document["started"]
    turns = document["counts"]["turns"]
    counted = f"{turns} turn{'' if turns == 1 else 's'}"
    facts = [_moment(begin), _lasted(document["duration"]), counted, document["status"]]
    yield f"# {title}\n\n"
    yield f"{' · '.join(fact for fact in facts if fact)}\n"
    for item in document["conversation"]:
        if words := _words(item, names):
            yield f"\n`{_clock(item.get('at'), begin)}` {words}\n"


def _words(item: Mapping[str, Any], names: Mapping[str, str] | None) -> str:
    if item["kind"] == "tool":
        given = item.get("arguments")
        call = f"{_plain(item.get('name') or '')}({_plain(_json(given)) if given is not None else ''})"
        output = _json(item["output"]) if item.get("output") is not None else item.get("status", "")
        return f"*tool* {call} → {'failed: ' if item.get('is_error') else ''}{_plain(output)}"
    if item["kind"] == "said":
        if not item["text"]:
            return ""
        open = not item["final"] or item.get("unconfirmed")
        mark = " *(cut off)*" if item.get("interrupted") else " *(not final)*" if open else ""
        return f"**{_flat(speaker(item, names))}:** {_plain(item['text'])}{mark}"
    if item["kind"] != "event":
        return ""  # `unsaid`: the agent wrote it, and it was never heard
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
    """Text that Markdown leaves unchanged: on one line, as a list or a heading begins a line; no control characters."""
    return _MARKS.sub(r"\\\1", " ".join(CONTROL.sub("", text).split()))


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

"""The conversation of a session as a list: who said what, tool calls, what else happened; also what is going on right
now. Pure: events in, plain values out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .shelf import Shelf, weight
from .turns import TEXT
from .values import Event, name, seconds, stamp, text

LIMIT = 10_000
"""Items of one session that are kept: the newest."""
REMEMBERED = 16
"""Utterances and tool calls whose items late events can still find."""

_Item = dict[str, Any]


class Items:
    """The items of one session, out of its events in the order of their arrival.

    An item stands where it began, and grows in place: an interim becomes its final, a reply gains text and is heard.
    """

    def __init__(self) -> None:
        self._all: Shelf[_Item] = Shelf(LIMIT, weight)
        self._reset()

    def _reset(self) -> None:
        self._open: dict[str, _Item] = {}
        self._replies: dict[str, _Item] = {}
        self._reply: _Item | None = None
        self._calls: dict[str, _Item] = {}
        self._speaking: str | None = None

    @property
    def forgotten(self) -> int:
        """Items that are no longer kept."""
        return self._all.forgotten

    def documents(self) -> Iterator[_Item]:
        """All that are kept, oldest first. What is still going on says so: `final: false` of an interim,
        `generating` and `speaking` of a reply, `status: "running"` of a tool."""
        for item in self._all:
            if "kind" in item:
                yield {key: value for key, value in item.items() if value is not None and not key.startswith("_")}

    def take(self, event: Event) -> None:
        """One event of the session."""
        kind: str = event["type"]
        handler = _HANDLERS.get(kind)
        if handler is not None:
            handler(self, event)
        elif kind in _NOTED or kind.startswith("livekit_"):
            self._add({"kind": "event", "at": stamp(event), "event": dict(event)})
        else:
            return
        # A text may be there twice, as what was generated and as what was said.
        self._all.grew(len(text(event, "delta")) if kind == "agent_text_delta" else 2 * weight(event))
        if kind in ("session_started", "session_ended", "livekit_room_finished"):
            self.settle()
            self._reset()

    def settle(self) -> None:
        """Nothing is going on any more, as far as anybody knows."""
        for item in [self._reply, *self._replies.values()]:
            if item:
                item["generating"] = item["speaking"] = None
        for item in self._calls.values():
            item["status"] = "unknown"
        self._calls.clear()

    def _add(self, item: _Item) -> _Item:
        self._all.add(item)
        return item

    def _drop(self, item: _Item) -> None:
        item.clear()
        if self._reply is item:
            self._reply = None
        for found in (self._open, self._replies):
            for key in [key for key, one in found.items() if one is item]:
                del found[key]

    # -- the user ------------------------------------------------------------------------------------------------------

    def transcript(self, event: Event) -> None:
        utterance = name(event, "utterance")
        if event.get("role") == "agent" or utterance in self._replies:
            self.agent_said(event)
            return
        words, final = text(event, "text"), event.get("final") is not False
        key = f"u {utterance}" if utterance else f"p {name(event, 'participant') or event.get('role') or ''}"
        item = self._open.pop(key, None)
        if not words:
            if item is not None and final:
                self._drop(item)  # what sounded like speech was none
            elif item is not None:
                self._open[key] = item
            return
        if item is None:
            item = self._add({"kind": "said", "at": stamp(event), "role": event.get("role"), "utterance": utterance})
        item.update(
            participant=name(event, "participant") or item.get("participant"),
            text=words,
            final=final,
            typed=event.get("typed") is True or None,
            ended=stamp(event) if final else None,
        )
        if not final:
            _remember(self._open, key, item)

    def user_started(self, _: Event) -> None:
        for key in [key for key in self._open if key.startswith("p ")]:
            del self._open[key]

    # -- the agent -----------------------------------------------------------------------------------------------------

    def _of(self, event: Event, fits: Callable[[_Item], bool]) -> _Item:
        utterance = name(event, "utterance")
        if utterance is not None:
            item = self._replies.get(utterance)
        else:
            item = self._reply if self._reply and fits(self._reply) else None
        if item is None:
            item = self._add(
                {
                    "kind": "said",
                    "at": stamp(event),
                    "role": "agent",
                    "utterance": utterance,
                    "text": "",
                    "final": False,
                }
            )
            if self._speaking == (utterance or ""):
                item["speaking"] = True
            if utterance is not None:
                _remember(self._replies, utterance, item)
            self._reply = item
        item["participant"] = name(event, "participant") or item.get("participant")
        return item

    def delta(self, event: Event) -> None:
        given = event.get("offset")
        offset = given if type(given) is int and given >= 0 else None
        item = self._of(event, lambda one: not one["final"] and bool(one.get("generating")) and offset != 0)
        if item["final"]:
            return  # it comes late: what was really said is known
        item["generating"] = True if not item.get("interrupted") else None
        if len(item.get("generated") or "") >= TEXT:
            item["truncated"] = True
        else:
            _put(item, text(event, "delta"), offset)
        item["text"] = item["generated"]

    def complete(self, event: Event) -> None:
        words = text(event, "text")
        item = self._of(event, lambda one: not one["final"] and bool(one.get("generating")))
        item["generated"] = words[:TEXT]
        item["truncated"] = len(words) > TEXT or None
        item["generating"] = item["lost"] = None
        item["_length"] = len(words)
        if not item["final"]:
            item["text"] = item["generated"]

    def agent_started(self, event: Event) -> None:
        self._speaking = name(event, "utterance") or ""
        item = self._replies.get(self._speaking) if self._speaking else self._reply
        if item is not None and not item["final"]:
            item["speaking"] = True
            item["heard"] = stamp(event)

    def agent_finished(self, event: Event) -> None:
        self._speaking = None
        utterance = name(event, "utterance")
        item = self._replies.get(utterance) if utterance else self._reply
        if item is None:
            return
        item["speaking"] = None
        if event.get("interrupted") is True:
            item["interrupted"], item["generating"] = True, None
        item["position"] = seconds(event.get("position"))

    def agent_said(self, event: Event) -> None:
        words = text(event, "text")
        item = self._of(event, lambda one: not one["final"])
        item["text"] = words
        item["final"] = event.get("final") is not False
        if not item["final"]:
            return
        item["generating"], item["ended"] = None, stamp(event)
        if event.get("interrupted") is True:
            item["interrupted"] = True
        if (item.get("generated") or "").strip() == words.strip():
            item["generated"] = None  # all of it was said
        if not words and not item.get("generated"):
            self._drop(item)

    def false_interruption(self, event: Event) -> None:
        item = self._replies.get(name(event, "utterance") or "", self._reply)
        if event.get("resumed") is True and item:
            item["interrupted"] = None
        self._add({"kind": "event", "at": stamp(event), "event": dict(event)})

    # -- tools ---------------------------------------------------------------------------------------------------------

    def tool_started(self, event: Event) -> None:
        item = self._add(
            {
                "kind": "tool",
                "at": stamp(event),
                "call_id": name(event, "call_id"),
                "name": name(event, "name"),
                "arguments": event.get("arguments"),
                "status": "running",
            }
        )
        _remember(self._calls, item["call_id"] or "", item)

    def tool_updated(self, event: Event) -> None:
        item = self._calls.get(name(event, "call_id") or "")
        if item is not None:
            item["message"] = text(event, "message")

    def tool_finished(self, event: Event) -> None:
        call = name(event, "call_id")
        item = self._calls.pop(call or "", None)
        if item is None:
            item = self._add({"kind": "tool", "at": stamp(event), "call_id": call, "name": name(event, "name")})
        failed = event.get("is_error") is True
        item.update(
            status=name(event, "status") or ("error" if failed else "done"),
            is_error=failed,
            output=event.get("output"),
            duration=seconds(event.get("duration")),
        )


def _put(item: _Item, delta: str, offset: int | None) -> None:
    """Add a delta that begins after `offset` characters: after, over or beyond what there is."""
    known, length = item.get("generated") or "", item.get("_length", 0)
    offset = length if offset is None else offset
    if not known and offset > 0:
        known = "…"  # it began before anybody looked
        item["lost"] = offset
    elif offset > length:
        known += "…"  # a delta is missing here
        item["lost"] = (item.get("lost") or 0) + offset - length
    elif offset < length and not item.get("lost"):
        known = known[:offset]
    end = offset + len(delta)
    if offset < length and item.get("lost"):
        delta, end = delta[length - offset :], max(end, length)
    item["generated"] = known + delta
    item["_length"] = end


def _remember(items: dict[str, _Item], key: str, item: _Item) -> None:
    items[key] = item
    if len(items) > REMEMBERED:
        del items[next(iter(items))]


_NOTED = frozenset(
    {"session_started", "session_ended", "agent_ready", "agent_handoff", "agent_error", "events_dropped"}
)
_HANDLERS: dict[str, Callable[[Items, Event], None]] = {
    "transcript": Items.transcript,
    "user_speech_started": Items.user_started,
    "agent_text_delta": Items.delta,
    "agent_text_complete": Items.complete,
    "agent_speech_started": Items.agent_started,
    "agent_speech_finished": Items.agent_finished,
    "agent_false_interruption": Items.false_interruption,
    "tool_call_started": Items.tool_started,
    "tool_call_updated": Items.tool_updated,
    "tool_call_finished": Items.tool_finished,
}

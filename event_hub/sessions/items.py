"""The conversation of a session as a list: who said what, tool calls, other events; and what is still going on. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .bounded_list import BoundedList, weight
from .fields import Event, name, seconds, stamp, text
from .turns import TEXT
from .utterance import REMEMBERED, AgentUtterance, Resolution, Settled, UserUtterance, remember
from .utterances import Utterances

LIMIT = 10_000
"""Items that are kept of one session: the newest."""
MOVED = 50
"""How many newer items an utterance can be placed before, if its first event comes late."""

_Item = dict[str, Any]


class Items:
    """The items of one session, from its events in the order of their arrival.

    An item is placed where it began, and grows there: an interim becomes its final, a reply gains text and is heard. Fields
    that begin with `_` are not part of the document.
    """

    def __init__(self, utterances: Utterances) -> None:
        self._utterances = utterances
        self._all: BoundedList[_Item] = BoundedList(LIMIT, weight)
        self.reset()

    def reset(self) -> None:
        """The session begins or ends: what follows is about other utterances and tool calls."""
        self._said: dict[int, _Item] = {}
        self._calls: dict[str, _Item] = {}
        self._ended_calls: dict[str, _Item] = {}
        """Calls that a correction may still change."""
        self._speaking = 0

    @property
    def forgotten(self) -> int:
        """How many items were dropped."""
        return self._all.forgotten

    def documents(self) -> Iterator[_Item]:
        """The items that are kept, oldest first. What is still going on is marked: an interim with `final: false`, a reply
        with `generating` or `speaking`, a tool with `status: "running"`."""
        for item in self._all:
            if item and not item.get("_absorbed"):
                document = {key: value for key, value in item.items() if value is not None and key[0] != "_"}
                if "_reply" not in item or _as_heard(document, item["_reply"]):
                    yield document

    def take(self, event: Event, resolved: Resolution | None) -> None:
        """Take one event of the session, with its resolution: what it means for which utterance."""
        kind: str = event["type"]
        if resolved is not None:
            if resolved.settled:
                self.settle_utterances(resolved.settled)
            if isinstance(resolved.utterance, UserUtterance):
                self._user_said(event, resolved, resolved.utterance)
            elif isinstance(resolved.utterance, AgentUtterance):
                _AGENT[kind](self, event, resolved.utterance)
        elif kind in _OTHERS:
            _OTHERS[kind](self, event)
        elif kind in _NOTED or kind.startswith("livekit_"):
            self._note(event)
        else:
            return
        # A text may be kept twice, as what was generated and as what was said.
        self._all.grew(len(text(event, "delta")) if kind == "agent_text_delta" else 2 * weight(event))

    def settle_utterances(self, settled: list[Settled] | tuple[Settled, ...]) -> None:
        """Note that these utterances ended without an event of their own."""
        for utterance, fate in settled:
            item = self._said.get(utterance.number)
            if item is None:
                continue
            if fate == "absorbed":
                item["_absorbed"] = True
            elif fate == "unconfirmed":
                item["final"], item["unconfirmed"] = True, True
            else:
                item["generating"] = item["speaking"] = None

    def settle(self) -> None:
        """The session is over: nothing is still going on."""
        self._speaking = 0
        for item in self._said.values():
            if item.get("_reply"):
                item["generating"] = item["speaking"] = None
        for item in self._calls.values():
            item["status"] = "unknown"
        self._calls.clear()

    def _note(self, event: Event) -> None:
        self._all.add({"kind": "event", "at": stamp(event), "event": dict(event)})

    def _stand(self, item: _Item, newest: int = 0) -> None:
        """Place the item where it began: before newer ones that began later. `newest`: how many of them to leave alone."""
        place, at = newest, item["at"]
        for other in self._all.newest(MOVED) if at is not None else ():
            if other and not other.get("_absorbed") and (other["at"] is None or other["at"] <= at):
                break
            place += 1
        self._all.add(item, place)

    def _stand_again(self, item: _Item, at: float | None) -> None:
        """Place the item again: it began at a different time than it seemed."""
        if at is None or item["at"] == at:
            return
        item["at"] = at
        for place, other in enumerate(self._all.newest(MOVED)):
            if other is item:
                self._all.take_out(place)
                self._stand(item)
                return

    def _add_said(self, utterance: UserUtterance | AgentUtterance, event: Event, item: _Item) -> _Item:
        if utterance.began is None or utterance.began == stamp(event):
            self._all.add(item)
        else:
            self._stand(item)
        self._said[utterance.number] = item
        if len(self._said) > 2 * REMEMBERED:
            del self._said[next(iter(self._said))]
        return item

    # -- the user ------------------------------------------------------------------------------------------------------

    def _user_said(self, event: Event, resolved: Resolution, utterance: UserUtterance) -> None:
        item = self._said.get(utterance.number)
        if resolved.drops:
            if item is not None:
                item.clear()
                del self._said[utterance.number]
            return
        if item is None:
            at = stamp(event) if utterance.began is None else utterance.began
            item = {"kind": "said", "at": at, "role": event.get("role"), "utterance": utterance.name}
            self._add_said(utterance, event, item)
        else:
            self._stand_again(item, utterance.began)
        final = event.get("final") is not False
        item.update(
            participant=name(event, "participant") or item.get("participant"),
            speaker_id=name(event, "speaker_id") or item.get("speaker_id"),
            text=text(event, "text"),
            final=final,
            unconfirmed=None,
            typed=event.get("typed") is True or None,
            ended=stamp(event) if final else None,
            _absorbed=None,
        )

    # -- the agent -----------------------------------------------------------------------------------------------------

    def _item(self, event: Event, utterance: AgentUtterance) -> _Item:
        item = self._said.get(utterance.number)
        if item is None:
            item = {
                "kind": "said",
                "at": stamp(event) if utterance.began is None else utterance.began,
                "role": "agent",
                "utterance": utterance.name,
                "text": "",
                "final": False,
                "_reply": utterance,
            }
            if utterance.started:
                item["heard"] = utterance.began
            if self._speaking == utterance.number:
                item["speaking"] = True
            self._add_said(utterance, event, item)
        item["participant"] = name(event, "participant") or item.get("participant")
        return item

    def _delta(self, event: Event, utterance: AgentUtterance) -> None:
        item = self._item(event, utterance)
        if item["final"] or item.get("_unsaid"):
            return  # it comes too late: what was really said is already known
        given = event.get("offset")
        item["generating"] = True if not item.get("interrupted") else None
        if len(item.get("generated") or "") >= TEXT:
            item["truncated"] = True
        else:
            _put(item, text(event, "delta"), given if type(given) is int and given >= 0 else None)
        if not item.get("_transcribed"):
            item["text"] = item["generated"]

    def _complete(self, event: Event, utterance: AgentUtterance) -> None:
        item, words = self._item(event, utterance), text(event, "text")
        item["generated"] = words[:TEXT]
        item["truncated"] = len(words) > TEXT or None
        item["generating"] = item["lost"] = None
        item["_length"] = len(words)
        if not item["final"] and not item.get("_transcribed"):
            item["text"] = item["generated"]

    def _started(self, event: Event, utterance: AgentUtterance) -> None:
        self._speaking = utterance.number
        item = self._said.get(utterance.number)
        if item is None or item["final"]:
            return
        item["speaking"] = True
        item["heard"] = stamp(event)
        self._stand_again(item, utterance.began)

    def _finished(self, event: Event, utterance: AgentUtterance) -> None:
        self._speaking = 0
        item = self._said.get(utterance.number)
        if item is None:
            return
        item["speaking"] = None
        if event.get("interrupted") is True:
            item["interrupted"], item["generating"] = True, None
        item["position"] = seconds(event.get("position"))

    def _agent_said(self, event: Event, utterance: AgentUtterance) -> None:
        item, words = self._item(event, utterance), text(event, "text")
        item["text"] = words
        item["final"] = event.get("final") is not False
        item["_transcribed"] = True
        if not item["final"]:
            return
        item["generating"], item["ended"] = None, stamp(event)
        if event.get("interrupted") is True:
            item["interrupted"] = True
        if not words and not item.get("generated"):
            item.clear()
            del self._said[utterance.number]
        elif (item.get("generated") or "").strip() == words.strip():
            item["generated"] = None  # all of it was said

    def _unsaid(self, event: Event, utterance: AgentUtterance) -> None:
        written = text(event, "generated")[:TEXT]
        if not written and utterance.number not in self._said:
            return  # nothing to show yet; text of it may come late
        item = self._item(event, utterance)
        item["generated"] = written or item.get("generated")
        item["_unsaid"] = True
        item["generating"] = item["speaking"] = None

    def _false_interruption(self, event: Event, utterance: AgentUtterance) -> None:
        item = self._said.get(utterance.number)
        if event.get("resumed") is True and item:
            item["interrupted"] = None
        self._note(event)

    def _finished_unknown(self, _: Event) -> None:
        self._speaking = 0

    # -- tools ---------------------------------------------------------------------------------------------------------

    def _tool_started(self, event: Event) -> None:
        item: _Item = {
            "kind": "tool",
            "at": stamp(event),
            "call_id": name(event, "call_id"),
            "name": name(event, "name"),
            "arguments": event.get("arguments"),
            "status": "running",
        }
        self._all.add(item)
        remember(self._calls, item["call_id"] or "", item)

    def _tool_updated(self, event: Event) -> None:
        item = self._calls.get(name(event, "call_id") or "")
        if item is not None:
            item["message"] = text(event, "message")

    def _tool_finished(self, event: Event) -> None:
        call = name(event, "call_id")
        item = self._calls.pop(call or "", None)
        if item is None and event.get("correction") is True:
            item = self._ended_calls.get(call or "")
        if item is None:
            item = {"kind": "tool", "at": stamp(event), "call_id": call, "name": name(event, "name")}
            self._all.add(item)
        failed = event.get("is_error") is True
        item.update(
            status=name(event, "status") or ("error" if failed else "done"),
            is_error=failed,
            output=event.get("output"),
            duration=seconds(event.get("duration")),
        )
        _remember(self._ended_calls, call or "", item)


def _remember(items: dict[str, _Item], call: str, item: _Item) -> None:
    items[call] = item
    if len(items) > REMEMBERED:
        del items[next(iter(items))]


def _as_heard(document: _Item, reply: AgentUtterance) -> bool:
    """Keep in `text` only what was heard of a reply; returns whether anything is left to show."""
    if reply.heard:
        return True
    written = document.get("generated") or document["text"]
    if reply.unsaid:
        document["kind"] = "unsaid"
        for field in ("text", "final", "ended", "speaking", "generating", "heard"):
            document.pop(field, None)
    else:
        document["text"] = ""
    if written:
        document["generated"] = written
    return bool(written) or not reply.unsaid


def _put(item: _Item, delta: str, offset: int | None) -> None:
    """Add a delta that begins after `offset` characters: after, over or beyond the text so far."""
    known, length = item.get("generated") or "", item.get("_length", 0)
    offset = length if offset is None else offset
    if not known and offset > 0:
        known = "…"  # its beginning is not in this history
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


_NOTED = frozenset(
    {
        "session_started",
        "session_ended",
        "agent_ready",
        "agent_handoff",
        "agent_error",
        "events_dropped",
        "recording_available",
    }
)
_AGENT: dict[str, Callable[[Items, Event, AgentUtterance], None]] = {
    "transcript": Items._agent_said,
    "agent_text_delta": Items._delta,
    "agent_text_complete": Items._complete,
    "agent_text_unsaid": Items._unsaid,
    "agent_speech_started": Items._started,
    "agent_speech_finished": Items._finished,
    "agent_false_interruption": Items._false_interruption,
}
_OTHERS: dict[str, Callable[[Items, Event], None]] = {
    "agent_speech_finished": Items._finished_unknown,
    "agent_false_interruption": Items._note,
    "tool_call_started": Items._tool_started,
    "tool_call_updated": Items._tool_updated,
    "tool_call_finished": Items._tool_finished,
}

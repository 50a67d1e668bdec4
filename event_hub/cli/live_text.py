"""Utterances that are still growing: interims, and the agent's text as it streams, until they are complete. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..sessions.utterances import Utterances

MOST = 50
"""Growing utterances; beyond that, the one that grew longest ago is given up."""
MOST_TEXT = 100_000
"""Characters of one of them."""
_SESSIONS = 200
"""Sessions whose utterances are known; more are rarely live at once."""

Place = tuple[str, str]
Key = tuple[Place, int, bool]


@dataclass(slots=True)
class LiveUtterance:
    """A growing utterance: the event that it began with, its text so far, and when it last grew."""

    event: Mapping[str, Any]
    interim: bool
    text: str = ""
    at: int = 0
    touched: float = 0.0
    unsaid: bool = False

    def add(self, delta: str, offset: Any) -> None:
        """The next piece of the text; `offset`: how many characters come before it, so that a lost piece shows."""
        if type(offset) is not int or offset < 0:
            offset = self.at
        if offset > self.at:
            self.text += "…"
        elif offset < self.at:
            self.text = self.text[: max(0, len(self.text) - (self.at - offset))]
        self.text = (self.text + delta)[:MOST_TEXT]
        self.at = offset + len(delta)

    def whole(self) -> dict[str, Any]:
        """All of it as one event, for the line that stays."""
        if self.interim:
            return dict(self.event)
        if self.unsaid:
            return {**self.event, "type": "agent_text_unsaid", "generated": self.text}
        return {**self.event, "type": "agent_text_delta", "delta": self.text}


@dataclass(slots=True)
class LiveText:
    """The growing utterances; the one that grew last is at the end."""

    open: dict[Key, LiveUtterance] = field(default_factory=dict)
    sessions: OrderedDict[Place, Utterances] = field(default_factory=OrderedDict)

    def take(self, event: Mapping[str, Any], now: float) -> tuple[bool, list[LiveUtterance]]:
        """Take an event. Returns whether it only began or continued an utterance, and the utterances that it gives up:
        they stay as they are. An utterance that this event completes is forgotten, because the event has all of it."""
        kind, place = event.get("type"), (str(event.get("room")), str(event.get("session")))
        if not isinstance(kind, str):
            return False, []
        utterances = self._session(place)
        if kind in ("session_started", "session_ended"):
            return False, self._end(place, utterances) if kind == "session_ended" else self._restart(utterances)
        resolved = utterances.take(event)
        if resolved is None:
            return kind == "transcript" and event.get("final") is False, []
        number = resolved.utterance.number
        given_up = [
            live
            for utterance, fate in resolved.settled
            if (live := self._pop(place, utterance.number)) and fate == "unconfirmed"
        ]
        if kind == "agent_text_delta" and isinstance(event.get("delta"), str):
            live = self._touch((place, number, False), event, False, now)
            live.add(event["delta"], event.get("offset"))
            return True, given_up + self._too_many()
        if kind == "transcript" and event.get("final") is False:
            self._touch((place, number, True), event, True, now).event = event
            return True, given_up + self._too_many()
        if kind == "transcript":
            self.open.pop((place, number, True), None)
            streamed = self.open.pop((place, number, False), None)
            return False, given_up + ([streamed] if streamed else [])
        if kind == "agent_text_complete":
            self.open.pop((place, number, False), None)
        return False, given_up

    def stale(self, now: float, age: float) -> list[LiveUtterance]:
        """Those that have not grown for `age` seconds; they are given up."""
        return self._drop([key for key, live in self.open.items() if now - live.touched > age])

    def all(self) -> list[LiveUtterance]:
        """All of them; none grows any more."""
        return self._drop(list(self.open))

    @property
    def newest(self) -> LiveUtterance | None:
        """The one that grew last."""
        return self.open[next(reversed(self.open))] if self.open else None

    def _session(self, place: Place) -> Utterances:
        utterances = self.sessions.get(place)
        if utterances is None:
            utterances = self.sessions[place] = Utterances()
        self.sessions.move_to_end(place)
        if len(self.sessions) > _SESSIONS:
            self.sessions.popitem(last=False)
        return utterances

    def _end(self, place: Place, utterances: Utterances) -> list[LiveUtterance]:
        for utterance, fate in utterances.settle():
            live = self.open.get((place, utterance.number, False))
            if live is not None:
                live.unsaid = fate == "unsaid"
        del self.sessions[place]
        return self._drop([key for key in self.open if key[0] == place])

    def _restart(self, utterances: Utterances) -> list[LiveUtterance]:
        utterances.reset()
        return []

    def _touch(self, key: Key, event: Mapping[str, Any], interim: bool, now: float) -> LiveUtterance:
        live = self.open.pop(key, None) or LiveUtterance(event, interim)
        live.touched = now
        self.open[key] = live
        return live

    def _pop(self, place: Place, number: int) -> LiveUtterance | None:
        """Forget an utterance; returns its newest text."""
        interim = self.open.pop((place, number, True), None)
        return self.open.pop((place, number, False), None) or interim

    def _too_many(self) -> list[LiveUtterance]:
        return self._drop(list(self.open)[: max(0, len(self.open) - MOST)])

    def _drop(self, keys: list[Key]) -> list[LiveUtterance]:
        return [self.open.pop(key) for key in keys]

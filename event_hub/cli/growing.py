"""What is still being said: interims and the agent's text as it streams, until they are whole. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST = 50
"""Utterances that are under way at once; the oldest is given up for another."""
MOST_TEXT = 100_000
"""Characters of one of them."""

Key = tuple[Any, ...]


@dataclass(slots=True)
class Utterance:
    """One that is under way: the event that it began with, its text so far, and when it last grew."""

    event: Mapping[str, Any]
    interim: bool
    text: str = ""
    at: int = 0
    touched: float = 0.0

    def add(self, delta: str, offset: Any) -> None:
        """The next piece of the text; `offset`: how many characters came before it, so that a lost one shows."""
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
        return {**self.event, "type": "agent_text_delta", "delta": self.text}


@dataclass(slots=True)
class Growing:
    """The utterances under way, the one that grew last at the end."""

    open: dict[Key, Utterance] = field(default_factory=dict)

    def take(self, event: Mapping[str, Any], now: float) -> tuple[bool, list[Utterance]]:
        """Take an event. Returns whether it only grew (or began) an utterance, and which ones are given up by it:
        they stay as they are. One that this event completes is forgotten: the event itself says it all."""
        kind = event.get("type")
        if kind == "agent_text_delta" and isinstance(event.get("delta"), str):
            one = self._touch(_key("agent", event), event, False, now)
            one.add(event["delta"], event.get("offset"))
            return True, self._too_many()
        if kind == "transcript" and event.get("final") is False:
            one = self._touch(_key("heard", event), event, True, now)
            one.event = event
            return True, self._too_many()
        if kind == "transcript":
            self.open.pop(_key("heard", event), None)
            streamed = self.open.pop(_key("agent", event), None) if event.get("role") == "agent" else None
            return False, [streamed] if streamed else []
        if kind == "agent_text_complete":
            self.open.pop(_key("agent", event), None)
        if kind == "session_ended":
            return False, self._drop([key for key in self.open if key[1:3] == _place(event)])
        return False, []

    def stale(self, now: float, age: float) -> list[Utterance]:
        """Those that have not grown for `age` seconds; they are no longer under way."""
        return self._drop([key for key, one in self.open.items() if now - one.touched > age])

    def all(self) -> list[Utterance]:
        """All of them; none is under way any more."""
        return self._drop(list(self.open))

    @property
    def newest(self) -> Utterance | None:
        """The one that grew last."""
        return self.open[next(reversed(self.open))] if self.open else None

    def _touch(self, key: Key, event: Mapping[str, Any], interim: bool, now: float) -> Utterance:
        one = self.open.pop(key, None) or Utterance(event, interim)
        one.touched = now
        self.open[key] = one
        return one

    def _too_many(self) -> list[Utterance]:
        return self._drop(list(self.open)[: max(0, len(self.open) - MOST)])

    def _drop(self, keys: list[Key]) -> list[Utterance]:
        return [self.open.pop(key) for key in keys]


def _place(event: Mapping[str, Any]) -> Key:
    return str(event.get("room")), str(event.get("session"))


def _key(what: str, event: Mapping[str, Any]) -> Key:
    return what, *_place(event), str(event.get("utterance") or event.get("participant"))

"""Which rules are broken, by the events so far. Pure: times are given.

An alert is raised once, and again only after it was cleared. Whether it is raised is what the log says, which every process
reads: so nothing is lost with the process that evaluates, and another can go on.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

from .rules import Rule

RAISED, CLEARED = "alert_raised", "alert_cleared"
ENOUGH = 5
"""Turns without which a percentile says nothing."""
CLEAR = 0.8
"""The share of its limit at which a latency is good again: between the two, nothing changes."""
DAMPING = 60.0
"""Seconds after the end of an alert in which it is not raised again."""
_SAMPLES = 2_000
_KEYS = 1_000
"""Agents, and sessions, of which something is known: those heard of last."""
_LONGEST = 3_600.0
"""Seconds. A longer latency means that a clock was wrong."""
_ORDERLY = frozenset({"stopped", "killed", "finished"})

Key = tuple[str, str]
"""A rule and what it is broken by: an agent, or a session."""


class _Live:
    """A session that has not ended."""

    __slots__ = ("agent", "at", "room", "session")

    def __init__(self, agent: str | None, room: str | None, session: str) -> None:
        self.agent, self.room, self.session = agent, room, session
        self.at = 0.0


class Evaluation:
    """Takes events in their order, and says what to publish."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = {rule.text: rule for rule in rules}
        self._live: OrderedDict[str, _Live] = OrderedDict()
        self._agents: OrderedDict[str, str] = OrderedDict()
        """Sessions and the agents that run them."""
        self._samples: OrderedDict[Key, deque[tuple[float, float]]] = OrderedDict()
        self._last: OrderedDict[Key, tuple[float, dict[str, Any]]] = OrderedDict()
        """When an error, or a crash, was last seen, and what it was."""
        self._raised: dict[Key, dict[str, Any]] = {}
        self._cleared: OrderedDict[Key, float] = OrderedDict()
        self._offset = 0

    def raised(self) -> list[dict[str, Any]]:
        """The alerts that are raised, as their events tell them."""
        return [dict(event) for event in self._raised.values()]

    def take(self, event: Mapping[str, Any], offset: int, at: float) -> None:
        """Take the event at `offset`, which was received about `at` (epoch seconds)."""
        kind = event.get("type")
        self._offset = offset
        if kind in (RAISED, CLEARED):
            self._told(event, kind == RAISED, at)
            return
        session = _name(event.get("session"))
        room = _name(event.get("room"))
        if session is not None:
            self._note_session(event, kind, session, room, at)
        agent = self._agents.get(session) if session is not None else _name(event.get("agent"))
        for rule in self._rules.values():
            if not rule.concerns(agent, room):
                continue
            key = (rule.text, agent or "unknown")
            if rule.kind == "latency" and kind == "turn_metrics":
                value = event.get(rule.figure)
                if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LONGEST:
                    _bounded(self._samples, key, lambda: deque(maxlen=_SAMPLES)).append((at, float(value)))
            elif (rule.kind == "error" and kind == "agent_error") or (rule.kind == "crash" and _crashed(event)):
                _bounded(self._last, key, lambda: (at, {}))
                self._last[key] = (at, _known(agent=agent, room=room, session=session, value=_what(event)))

    def due(self, now: float) -> Iterator[dict[str, Any]]:
        """The events to publish now: alerts that begin, and those that end. The same until they were published."""
        for rule in self._rules.values():
            if rule.kind == "latency":
                yield from self._latency(rule, now)
            elif rule.kind == "silent":
                yield from self._silent(rule, now)
            else:
                yield from self._counted(rule, now)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _told(self, event: Mapping[str, Any], raised: bool, at: float) -> None:
        rule, about = event.get("rule"), event.get("about")
        if not isinstance(rule, str) or not isinstance(about, str) or rule not in self._rules:
            return
        key = (rule, about)
        if raised and len(self._raised) < _KEYS:
            self._raised[key] = dict(event)
        elif not raised:
            self._raised.pop(key, None)
            self._cleared[key] = at
            _trim(self._cleared)

    def _note_session(self, event: Mapping[str, Any], kind: Any, session: str, room: str | None, at: float) -> None:
        if kind == "session_ended" or kind == "livekit_room_finished":
            self._live.pop(session, None)
            return
        agent = _name(event.get("agent")) if kind == "session_started" else _name(event.get("new_agent"))
        if agent is not None:
            self._agents[session] = agent
            self._agents.move_to_end(session)
            _trim(self._agents)
        if kind == "session_started" and event.get("told") is None:
            self._live[session] = _Live(agent, room, session)
            _trim(self._live)
        if (live := self._live.get(session)) is not None:
            live.at, live.room, live.agent = at, room or live.room, self._agents.get(session)
            self._live.move_to_end(session)

    def _latency(self, rule: Rule, now: float) -> Iterator[dict[str, Any]]:
        for key, samples in list(self._samples.items()):
            if key[0] != rule.text:
                continue
            while samples and samples[0][0] <= now - rule.window:
                samples.popleft()
            values = sorted(value for _, value in samples)
            found = values[min(len(values) - 1, math.ceil(rule.share * len(values)) - 1)] if values else None
            known = _known(agent=None if key[1] == "unknown" else key[1])
            if len(values) >= ENOUGH and found is not None and found > rule.limit:
                yield from self._raise(rule, key, {**known, "value": round(found, 3), "threshold": rule.limit}, now)
            elif found is None or found <= CLEAR * rule.limit:
                yield from self._clear(rule, key, found)
                if not samples and key not in self._raised:
                    del self._samples[key]
        yield from self._forgotten(rule, self._samples)

    def _silent(self, rule: Rule, now: float) -> Iterator[dict[str, Any]]:
        broken = set()
        for live in list(self._live.values()):
            key = (rule.text, live.session)
            silence = now - live.at
            if silence > rule.limit and rule.concerns(live.agent, live.room):
                broken.add(key)
                about = _known(agent=live.agent, room=live.room, session=live.session)
                yield from self._raise(rule, key, {**about, "value": round(silence, 1), "threshold": rule.limit}, now)
        yield from self._forgotten(rule, broken)

    def _counted(self, rule: Rule, now: float) -> Iterator[dict[str, Any]]:
        for key, (at, what) in list(self._last.items()):
            if key[0] != rule.text:
                continue
            if now - at < rule.window:
                yield from self._raise(rule, key, what, now)
            else:
                del self._last[key]
        yield from self._forgotten(rule, self._last)

    def _forgotten(self, rule: Rule, known: Any) -> Iterator[dict[str, Any]]:
        """Alerts of which nothing is known any more."""
        for key in [key for key in self._raised if key[0] == rule.text and key not in known]:
            yield from self._clear(rule, key, None)

    def _raise(self, rule: Rule, key: Key, about: dict[str, Any], now: float) -> Iterator[dict[str, Any]]:
        if key not in self._raised and now - self._cleared.get(key, -math.inf) >= DAMPING:
            id = _id(key, self._offset, RAISED)
            yield {"type": RAISED, "rule": rule.text, "about": key[1], **about, "event_id": id}

    def _clear(self, rule: Rule, key: Key, value: float | None) -> Iterator[dict[str, Any]]:
        if (raised := self._raised.get(key)) is not None:
            kept = ("agent", "room", "session", "threshold")
            about: dict[str, Any] = {name: raised[name] for name in kept if name in raised}
            if value is not None:
                about["value"] = round(value, 3)
            id = f"{raised.get('event_id', _id(key, self._offset, RAISED))}-cleared"[:128]
            yield {"type": CLEARED, "rule": rule.text, "about": key[1], **about, "event_id": id}


def _id(key: Key, offset: int, kind: str) -> str:
    """The same for every process that comes to the same result."""
    return f"{kind}-{blake2b(repr(key).encode(), digest_size=8).hexdigest()}-{offset}"


def _bounded(known: OrderedDict[Key, Any], key: Key, new: Any) -> Any:
    found = known.get(key)
    if found is None:
        found = known[key] = new()
        _trim(known)
    known.move_to_end(key)
    return found


def _trim(known: OrderedDict[Any, Any]) -> None:
    if len(known) > _KEYS:
        known.popitem(last=False)


def _crashed(event: Mapping[str, Any]) -> bool:
    """As the page and `agent_process_exited` tell it."""
    if event.get("type") != "agent_process_exited":
        return False
    reason = event.get("reason")
    return reason not in _ORDERLY if reason else bool(event.get("code"))


def _what(event: Mapping[str, Any]) -> str | None:
    found = event.get("message") or event.get("reason")
    return found[:500] if isinstance(found, str) else None


def _known(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 256 else None

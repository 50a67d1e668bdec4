"""The hub's events of one session, grouped by reply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Event = dict[str, Any]
T = TypeVar("T")


SOON = 1.5
"""Seconds between the agent's report about its audio and what the caller hears: the way through LiveKit, a jitter buffer,
and two busy cores. On an idle machine it is 0.2."""


def undisturbed(call: Callable[[int], T], judge: Callable[[T], None]) -> T:
    """The result of `call`, which gets the number of earlier attempts. If `judge` raises, the machine was too busy to deliver
    the speech in time (which then is not understood either), and the call is made again, at most three times in all.

    `judge` must check nothing else: what is wrong on an idle machine too has to fail the first time.
    """
    for number in range(2):
        done = call(number)
        try:
            judge(done)
        except (AssertionError, ValueError) as error:  # ValueError: a different number of replies
            print(f"call {number} was disturbed: {error}")
        else:
            return done
    return call(2)


@dataclass(frozen=True)
class Reply:
    """The events of one of the agent's replies, which all have the same `utterance`."""

    started: Event
    finished: Event
    transcript: Event
    """What was actually said."""
    deltas: list[Event]
    text: str
    """What the model wrote."""

    def assert_heard(self, began: Event, ended: Event) -> None:
        """The reply was heard as reported. `began`, `ended`: the caller's notes."""
        assert -0.1 <= began["time"] - self.started["timestamp"] <= SOON, self.started
        assert abs(ended["time"] - self.finished["timestamp"]) <= SOON, self.finished
        assert abs(ended["time"] - began["time"] - self.finished["position"]) <= SOON, self.finished


class SessionEvents:
    """The events of one session, in the order of their arrival."""

    def __init__(self, events: list[Event], session: str) -> None:
        self.events = [event for event in events if event.get("session") == session]

    def all(self, kind: str, **fields: Any) -> list[Event]:
        return [event for event in self.events if event["type"] == kind and event.items() >= fields.items()]

    def only(self, kind: str, **fields: Any) -> Event:
        """The only event of this kind with these fields."""
        found = self.all(kind, **fields)
        assert len(found) == 1, f"{len(found)} of {kind} {fields}: {found}"
        return found[0]

    def place(self, event: Event) -> int:
        return self.events.index(event)

    def in_order(self, *events: Event) -> bool:
        places = [self.place(event) for event in events]
        return places == sorted(places)

    def finals(self) -> list[Event]:
        """The user's final transcripts."""
        return [event for event in self.all("transcript", role="user", final=True) if event["text"]]

    def replies(self) -> list[Reply]:
        """The agent's replies. Fails unless each reply has exactly one event of each kind."""
        replies = []
        for started in self.all("agent_speech_started"):
            utterance = started["utterance"]
            deltas = self.all("agent_text_delta", utterance=utterance)
            finished = self.only("agent_speech_finished", utterance=utterance)
            transcript = self.only("transcript", utterance=utterance, role="agent")
            assert self.only("agent_speech_started", utterance=utterance) is started
            assert self.in_order(started, finished, transcript), utterance
            assert transcript["final"] is True
            text = ""
            for delta in deltas:
                assert delta["offset"] == len(text), delta
                text += delta["delta"]
            replies.append(Reply(started, finished, transcript, deltas, text))
        for kind in ("agent_speech_finished", "agent_text_complete"):
            spoken = {reply.started["utterance"] for reply in replies}
            assert {event["utterance"] for event in self.all(kind)} <= spoken, kind
        return replies

    def metrics(self, event: Event) -> Event:
        """The latencies of the turn that `event` belongs to."""
        return self.only("turn_metrics", utterance=event["utterance"])
